"""The ladder: which step is meant, which are passed over and why, and when nothing is left to try."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    NOW,
    after_rollback,
    ago,
    executed,
    make_case,
    make_exits,
    make_incident,
    make_live,
    make_pod,
    make_policy,
    make_remediation,
    make_seen,
    make_spent,
    make_waiting,
    make_workload,
)

from stopgap.api import Remediation
from stopgap.api.ladder import Mode
from stopgap.core import guards
from stopgap.core.case import Case
from stopgap.core.choosing import Choice, choose, intent
from stopgap.core.decide import decide, judge
from stopgap.core.storm import Breaker, Stage
from stopgap.model.conditions import Condition, find
from stopgap.model.observation import Scaler
from stopgap.model.reasons import Reason
from stopgap.model.workload import Flag

UNDO: dict[str, Any] = {"name": "undo", "when": {"triggers": ["crash"]}, "rollback": {}, "onFailure": "Next"}
MORE: dict[str, Any] = {"name": "more", "when": {"triggers": ["crash"]}, "scale": {"by": "2", "max": 9}, "onFailure": "Next"}
KICK: dict[str, Any] = {"name": "kick", "when": {"triggers": ["crash"]}, "restart": {}}
SCALED = {"summary": "scale 1 → 3 replicas", "field": "Replicas", "before": 1, "ours": 3}
TRIAGED = {"detectedAt": NOW, "findings": [{"trigger": "crash", "type": "CrashLoop", "state": "Firing"}]}


def ladder(*steps: dict[str, Any], live: dict[str, Any] | None = None, **changes: Any) -> Case:
    """The bad release under a policy of these steps, with everything read live."""
    seen = changes.pop("seen", None) or make_seen(live=make_live(scaler_known=True, **(live or {})))
    return make_case(policy=make_policy(steps=list(steps)), seen=seen, incident=make_incident(status=TRIAGED), **changes)


def chosen(case: Case) -> Choice:
    return choose(case, judge(case))


def ended(step: str, state: str, *, reason: str = "Failed", message: str = "it did not help", **spec: Any) -> Remediation:
    """A step of this incident that was carried out."""
    condition = {"type": "Succeeded", "status": "False", "reason": reason, "message": message, "lastTransitionTime": NOW}
    status = {**executed(ago(minutes=5)), "state": state, "message": message, "conditions": [condition], "fieldsReturned": True}
    status |= spec.pop("status", {})
    return make_remediation(step=step, name=f"api-{step}", status=status, **spec)


def test_the_first_step_that_is_meant_is_chosen() -> None:
    choice = chosen(ladder({**UNDO, "when": {"triggers": ["crash"], "severities": ["P1"]}}, MORE, KICK))
    assert choice.step is not None
    assert choice.step.name == "more"
    assert choice.passed == ()
    assert choice.refused == ()


def test_a_step_that_is_refused_for_good_is_passed_over_and_the_reason_is_kept() -> None:
    case = ladder(UNDO, MORE, health=replace_nothing_good())
    choice = chosen(case)
    assert choice.step is not None
    assert choice.step.name == "more"
    assert [(step.name, why.reason) for step, why in choice.passed] == [("undo", Reason.NoHealthyRevision)]
    decision = decide(case)
    assert decision.status is not None
    assert decision.status.decision is not None
    assert [(one.step, one.reason) for one in decision.status.decision.passed] == [("undo", Reason.NoHealthyRevision)]


def replace_nothing_good() -> Any:
    """A memory that knows no healthy revision."""
    return make_case().health.model_copy(update={"known_good": ()})


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"config_paused": "upgrade"}, id="a pause"),
        pytest.param({"leading": False}, id="not the leader"),
    ],
)
def test_a_step_that_is_refused_for_now_is_waited_for(changes: dict[str, Any]) -> None:
    choice = chosen(ladder(UNDO, MORE, **changes))
    assert choice.step is not None
    assert choice.step.name == "undo"
    assert choice.passed == ()


def test_what_the_next_steps_need_is_read_together_with_what_the_first_one_needs() -> None:
    choice = chosen(ladder(UNDO, MORE, seen=make_seen()))
    assert choice.reads.scaler
    assert "rs-1" in choice.reads.replica_sets


def test_a_step_that_failed_is_followed_by_the_next_one() -> None:
    choice = chosen(ladder(MORE, KICK, remediations=(ended("more", "Failed"),)))
    assert choice.step is not None
    assert choice.step.name == "kick"


@pytest.mark.parametrize(("on_failure", "people"), [("Next", False), ("Escalate", True)])
def test_on_failure_says_whether_people_are_called(on_failure: str, people: bool) -> None:  # noqa: FBT001 - a column of the table
    out = ended("more", "Verifying", action="Scale", plan=SCALED, verifyUntil=ago(hours=2))
    decision = decide(ladder({**MORE, "onFailure": on_failure}, KICK, remediations=(out,)))
    assert decision.remediation is not None
    assert decision.remediation[1].state == "Failed"
    assert decision.status is not None
    assert people == any(one.type == "Escalated" and one.status == "True" for one in decision.status.conditions)
    assert decision.look_again is not None
    assert (decision.look_again <= timedelta(seconds=1)) is (on_failure == "Next")


def test_a_next_step_that_no_signal_asks_for_does_not_keep_people_from_being_called() -> None:
    manual = {"sources": ["Manual"]}
    out = ended("more", "Verifying", action="Scale", plan=SCALED, verifyUntil=ago(minutes=1))
    full = Flag(True, "FailedCreate", "exceeded quota: few", ago(minutes=4), ago(minutes=4))
    case = ladder({**MORE, "when": manual}, {**KICK, "when": manual}, remediations=(out,))
    work = msgspec.structs.replace(make_workload(available_replicas=2), replica_failure=full)
    incident = make_incident(status={"detectedAt": NOW}, source={"type": "Manual"})
    decision = decide(replace(case, incident=incident, seen=replace(case.seen, workload=work, exits=(), pods=())))
    assert decision.remediation is not None
    assert decision.remediation[1].conditions[-1].reason == "NoCapacity"
    assert decision.status is not None
    assert "Escalated" in {one.type for one in decision.status.conditions if one.status == "True"}


def test_a_step_for_a_trigger_that_does_not_fire_is_not_meant() -> None:
    triggers = [{"name": "crash", "crashLoop": {}}, {"name": "pull", "imagePull": {}}]
    policy = make_policy(steps=[{**MORE, "when": {"triggers": ["pull"]}}, KICK], triggers=triggers)
    choice = chosen(replace(ladder(MORE, KICK), policy=policy))
    assert choice.step is not None
    assert choice.step.name == "kick"
    assert choice.passed == ()


def test_when_nothing_is_left_people_are_called_once_with_what_was_tried_and_what_was_not_and_why() -> None:
    tried = ended("more", "Failed", message="2 of 5 are available", action="Scale", plan=SCALED)
    case = ladder(UNDO, MORE, health=replace_nothing_good(), remediations=(tried,))
    decision = decide(case)
    assert decision.status is not None
    escalated = next(one for one in decision.status.conditions if one.type == "Escalated")
    assert escalated.reason == "LadderExhausted"
    assert "more (scale 1 → 3 replicas): Failed, 2 of 5 are available" in escalated.message
    assert "undo: not tried" in escalated.message
    assert [one.reason for one in decision.notices].count(Reason.Escalated) == 1
    incident = make_incident(status=decision.status.model_dump(by_alias=True, exclude_none=True, mode="json"))
    again = decide(replace(case, incident=incident))
    assert Reason.Escalated not in {one.reason for one in again.notices}


def escalation(case: Case) -> Condition | None:
    """Look once, and return what is told to people who are called, if they are."""
    decision = decide(case)
    assert decision.status is not None
    found = find(decision.status.conditions, "Escalated")
    assert [one.reason for one in decision.notices].count(Reason.Escalated) == (1 if found else 0)
    return found


@pytest.mark.parametrize(
    ("on_failure", "reason", "message"),
    [
        pytest.param(
            "Next",
            "LadderExhausted",
            "no step is left. Tried: more (scale 1 → 3 replicas): Failed, it did not help in time: rolling out: 1 of 3 replicas are "
            "updated, 3 available; undo: not tried, nothing was changed",
            id="the last one of a ladder is its end",
        ),
        pytest.param("Escalate", "Failed", "it did not help in time", id="one that people are called after is told by itself"),
    ],
)
def test_the_last_step_that_fails_calls_people_with_the_whole_ladder(on_failure: str, reason: str, message: str) -> None:
    passed = [{"step": "undo", "reason": "NoRecentChange", "message": "nothing was changed"}]
    told = {**TRIAGED, "decision": {"step": "more", "allowed": True, "message": "scale", "passed": passed}}
    out = ended("more", "Verifying", action="Scale", plan=SCALED, verifyUntil=ago(hours=2))
    case = ladder({**MORE, "onFailure": on_failure}, remediations=(out,))
    found = escalation(replace(case, incident=make_incident(status=told)))
    assert found is not None
    assert found.reason == reason
    assert found.message.startswith(message)


def test_that_the_release_was_not_to_blame_is_told_also_at_the_end_of_the_ladder() -> None:
    case = after_rollback(make_case(), exits=make_exits(owner="rs-1", pod="old") + make_exits(owner="rs-1", pod="older"))
    late = replace(case.seen, now=NOW + timedelta(minutes=1))
    out = make_remediation(status=executed(NOW - timedelta(minutes=1)))
    found = escalation(replace(case, policy=make_policy(steps=[UNDO]), seen=late, remediations=(out,)))
    assert found is not None
    assert found.reason == "NotTheRelease"


LONG_AGO = {**TRIAGED, "detectedAt": ago(minutes=1)}
NOT_ENOUGH = {"name": "kick", "when": {"triggers": ["crash"], "changedWithin": "1m"}, "restart": {}}


def for_long(*steps: dict[str, Any], **changes: Any) -> Case:
    """A ladder that was first looked at a minute ago."""
    return replace(ladder(*steps, **changes), incident=make_incident(status=LONG_AGO))


def ruled_out(*steps: dict[str, Any], **changes: Any) -> Case:
    """Nothing to go back to, and a change that is too old for the restart."""
    return replace(for_long(*(steps or (UNDO, NOT_ENOUGH)), health=replace_nothing_good()), **changes)


def test_a_ladder_of_which_no_step_can_be_taken_calls_people_once_with_each_reason() -> None:
    case = ruled_out()
    found = escalation(case)
    assert found is not None
    assert found.reason == "LadderExhausted"
    assert found.message == (
        "no step is left. undo: not tried, none of the last 1 older revisions is known to have been healthy: 1 (never seen healthy); "
        "kick: not tried, the newest revision had been current for 1m30s when the trouble began; only changes of the last 1m are suspects"
    )
    status = decide(case).status
    assert status is not None
    again = make_incident(status=status.model_dump(by_alias=True, exclude_none=True, mode="json"))
    assert Reason.Escalated not in {one.reason for one in decide(replace(case, incident=again)).notices}


@pytest.mark.parametrize("state", ["Rejected", "Expired"])
def test_a_ladder_of_which_people_took_no_step_calls_people(state: str) -> None:
    said = ended("undo", state, reason=f"Approval{state}", message="not tonight", status={"executedAt": None})
    found = escalation(ladder(UNDO, remediations=(said,)))
    assert found is not None
    assert (found.reason, found.message) == ("LadderExhausted", f"no step is left. Tried: undo (roll back 2 → 1): {state}, not tonight")


ORDER = {"step": "undo", "requestID": "1"}
PAUSED = [{"name": "ana", "reason": "audit"}]
STORM = Breaker("shop", Stage.OPEN, ago(minutes=5))
MANY_ILL = (make_pod(), make_pod("old", owner="rs-1"))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(ruled_out(incident=make_incident(status=TRIAGED)), id="in the first moments"),
        pytest.param(ruled_out(policy=make_policy(steps=[UNDO], mode="Observe")), id="in mode Observe"),
        pytest.param(ruled_out(policy=make_policy(steps=[UNDO], pauseRequests=PAUSED)), id="while a person has paused it"),
        pytest.param(ruled_out(storm=(STORM,)), id="while a storm lasts, of which people know"),
        pytest.param(ruled_out(leading=False), id="on the standby"),
        pytest.param(ruled_out(UNDO, MORE), id="while a step can be taken"),
        pytest.param(for_long(UNDO, spent=(make_spent(ago(minutes=3)),)), id="while the cooldown lasts"),
        pytest.param(ruled_out(UNDO, remediations=(make_waiting(),)), id="while a person is asked"),
        pytest.param(ruled_out(UNDO, incident=make_incident(status=LONG_AGO, mitigate=ORDER)), id="for what a person orders"),
        pytest.param(for_long(UNDO, unverified=3), id="while other actions are to be proved first"),
        pytest.param(for_long({**UNDO, "mode": "Observe"}), id="where the only thing against it is Observe"),
        pytest.param(for_long(UNDO, seen=make_seen(pods=MANY_ILL, live=make_live())), id="while a rollout may still show who is to blame"),
        pytest.param(for_long(UNDO, seen=make_seen(workload=make_workload(strategy="Recreate"), live=make_live())), id="while pods serve"),
        pytest.param(for_long({**KICK, "when": {"triggers": ["crash"], "severities": ["P1"]}}), id="where no step is meant for it"),
    ],
)
def test_people_are_not_called_for_what_may_change_or_is_switched_off(case: Case) -> None:
    assert escalation(case) is None


def lent_by(step: str) -> Remediation:
    plan = {"summary": "scale 3 → 5 replicas", "field": "Replicas", "before": 3, "ours": 5, "revert": {"upon": "Resolved"}}
    return ended(step, "Failed", action="Scale", plan=plan, status={"revert": {"state": "Pending"}})


def test_a_second_scale_while_something_is_lent_is_passed_over() -> None:
    choice = chosen(ladder(MORE, {**MORE, "name": "even-more"}, KICK, remediations=(lent_by("more"),)))
    assert choice.step is not None
    assert choice.step.name == "kick"
    assert [(step.name, why.reason) for step, why in choice.passed] == [("even-more", Reason.TargetBusy)]


def test_a_ladder_that_ends_in_a_second_scale_while_something_is_lent_ends() -> None:
    decision = decide(ladder(MORE, {**MORE, "name": "even-more"}, remediations=(lent_by("more"),)))
    assert decision.status is not None
    assert "LadderExhausted" in {one.reason for one in decision.status.conditions}


@pytest.mark.parametrize(
    ("policy", "step", "expected"),
    [
        ("Automatic", None, Mode.AUTOMATIC),
        ("Automatic", "Observe", Mode.OBSERVE),
        ("Observe", "Automatic", Mode.OBSERVE),
        ("Observe", None, Mode.OBSERVE),
    ],
)
def test_a_step_may_only_tighten_the_mode(policy: str, step: str | None, expected: Mode) -> None:
    made = make_policy(mode=policy, steps=[{**MORE, **({"mode": step} if step else {})}])
    assert guards.mode(make_case(), made, made.spec.steps[0]) is expected


def test_the_intent_of_a_scale_holds_its_inverse() -> None:
    case = ladder(MORE, live={"scaler": Scaler("HorizontalPodAutoscaler", "api", "hpa-uid", 2, 8)})
    meant = intent(case, chosen(case), judge(case))
    assert meant is not None
    plan = meant.spec.plan
    assert plan.scaler is not None
    assert (plan.field, plan.before, plan.ours, plan.scaler.uid) == ("MinReplicas", 2, 5, "hpa-uid")
    assert plan.revert is not None
    assert plan.revert.upon == "Resolved"


@pytest.mark.parametrize(("revert", "on", "after"), [({"after": "30m"}, None, "30m"), ({"upon": "Manual"}, "Manual", "")])
def test_what_the_step_says_about_putting_back_is_recorded(revert: dict[str, str], on: str | None, after: str) -> None:
    case = ladder({**MORE, "revert": revert})
    meant = intent(case, chosen(case), judge(case))
    assert meant is not None
    assert meant.spec.plan.revert is not None
    assert (meant.spec.plan.revert.upon, meant.spec.plan.revert.after) == (on, after)


def test_why_a_step_was_passed_over_is_still_told_while_the_next_one_is_out() -> None:
    passed = [{"step": "undo", "reason": "NoRecentChange", "message": "nothing was changed"}]
    told = {**TRIAGED, "decision": {"step": "more", "allowed": True, "message": "scale", "passed": passed}}
    out = make_remediation(step="more", action="Scale", plan=SCALED, status=executed())
    decision = decide(replace(ladder(UNDO, MORE, remediations=(out,)), incident=make_incident(status=told)))
    assert decision.status is not None
    assert decision.status.decision is not None
    assert [one.step for one in decision.status.decision.passed] == ["undo"]


def test_replicas_without_room_have_failed_when_their_time_is_over_although_a_rollout_still_has_time() -> None:
    out = make_remediation(step="more", action="Scale", plan=SCALED, status=executed(ago(minutes=5)), verifyUntil=ago(seconds=1))
    case = ladder(MORE, KICK, remediations=(out,))
    full = Flag(True, "FailedCreate", "exceeded quota: few", ago(minutes=4), ago(minutes=4))
    work = msgspec.structs.replace(make_workload(available_replicas=2), replica_failure=full)
    decision = decide(replace(case, seen=replace(case.seen, workload=work)))
    assert decision.remediation is not None
    assert decision.remediation[1].state == "Failed"
    assert "exceeded quota" in decision.remediation[1].message
