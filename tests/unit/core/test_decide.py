"""What `decide` makes of whole cases."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    GOOD,
    GOOD_IMAGE,
    NOW,
    after_rollback,
    ago,
    executed,
    make_case,
    make_exits,
    make_health,
    make_incident,
    make_live,
    make_policy,
    make_remediation,
    make_seen,
    make_spent,
    make_template,
    make_workload,
)

from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.api.remediation import RemediationState
from stopgap.core.case import Case
from stopgap.core.choosing import choose
from stopgap.core.decide import decide
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.template import Template
from stopgap.model.workload import Workload


def test_a_crash_loop_without_an_incident_opens_one_and_asks_for_the_live_reads() -> None:
    decision = decide(make_case(incident=None, live=False))
    assert decision.opening is not None
    assert decision.opening.trigger == "crash"
    assert decision.reads.replica_sets == {"rs-1"}
    assert decision.intent is None


def test_with_the_live_reads_the_rollback_to_the_healthy_revision_is_intended(case: Case) -> None:
    decision = decide(case)
    assert decision.refusals == ()
    assert decision.intent is not None
    plan = decision.intent.spec.plan
    assert (plan.from_digest, plan.to_digest, plan.replica_set_uid) == (BAD.digest, GOOD.digest, "rs-1")
    assert decision.intent.spec.generation == 4
    assert decision.intent.spec.not_after == NOW + timedelta(minutes=1)


def test_in_observe_mode_the_same_case_says_what_would_be_done_and_intends_nothing() -> None:
    decision = decide(make_case(policy=make_policy(mode="Observe")))
    assert decision.intent is None
    assert [one.reason for one in decision.refusals] == [Reason.ObserveOnly]
    assert decision.status is not None
    assert decision.status.decision is not None
    assert decision.status.decision.message.startswith("roll back 2 → 1")
    allowed = find(decision.status.conditions, "ActionAllowed")
    assert allowed is not None
    assert allowed.reason == Reason.ObserveOnly


def reported_by_a_person(*sources: str) -> Case:
    """A person's incident, while no signal fires."""
    undo = {"name": "undo", "when": {"changedWithin": "30m", "sources": sources}, "rollback": {}}
    incident = make_incident(title="checkout is slow", source={"type": "Manual"})
    return make_case(incident=incident, policy=make_policy(steps=[undo]), seen=make_seen(pods=(), exits=(), live=make_live()))


def test_what_a_person_reports_is_decided_although_no_signal_fires() -> None:
    decision = decide(reported_by_a_person("Workload", "Manual"))
    assert decision.intent is not None
    assert decision.intent.spec.plan.to_digest == GOOD.digest
    assert decision.status is not None
    # What is wrong is not known from a title: that is told when a signal shows it.
    assert find(decision.status.conditions, "Triaged") is None


def test_what_a_person_reports_is_refused_by_name_where_no_step_is_meant_for_people_s_incidents() -> None:
    decision = decide(reported_by_a_person("Workload"))
    assert decision.intent is None
    assert decision.status is not None
    allowed = find(decision.status.conditions, "ActionAllowed")
    assert allowed is not None
    assert allowed.reason == Reason.NoStepApplies
    assert "no signal of policy web fires, and no step of it is meant for what a person reports" in allowed.message


def test_what_a_person_reported_is_acted_on_once() -> None:
    reported = reported_by_a_person("Manual")
    decision = decide(replace(reported, remediations=(make_remediation(status=executed(state="Inconclusive")),)))
    assert decision.intent is None
    assert decision.refusals == ()


def paused_by(name: str) -> Case:
    return make_case(policy=make_policy(pauseRequests=[{"name": name, "reason": "audit"}]))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(paused_by("ana"), paused_by("ben"), "ben paused policy web: audit", id="another one pauses it now"),
        pytest.param(paused_by("ana"), paused_by("ana"), "ana paused policy web: audit", id="the same one still pauses it"),
    ],
)
def test_who_stands_against_it_now_is_told_although_the_reason_is_the_same(before: Case, after: Case, told: str) -> None:
    once = decide(before).status
    assert once is not None
    incident = make_incident().model_copy(update={"status": once})
    status = decide(replace(after, incident=incident)).status
    assert status is not None
    assert status.decision is not None
    assert [one.message for one in status.decision.refusals] == [told]
    assert told in str(next(one.message for one in status.conditions if one.type == "ActionAllowed"))
    assert [one.type for one in status.timeline].count("Paused") == 1, "one reason is announced once"


def test_a_figure_that_moves_by_itself_is_no_news() -> None:
    case = make_case(spent=(make_spent(ago(minutes=5)),))
    once = decide(case).status
    assert once is not None
    assert once.decision is not None
    assert "5m ago" in once.decision.refusals[0].message
    incident = make_incident().model_copy(update={"status": once})
    again = decide(replace(case, incident=incident, seen=replace(case.seen, now=NOW + timedelta(minutes=1)))).status
    assert again is not None
    assert again.decision == once.decision


def test_the_same_case_gives_the_same_decision(case: Case) -> None:
    assert decide(case) == decide(case)


def test_an_intent_that_is_found_is_resumed_and_no_second_one_is_made(case: Case) -> None:
    pending = make_remediation()
    decision = decide(replace(case, remediations=(pending,)))
    assert decision.resume == pending
    assert decision.intent is None


def test_an_executed_rollback_denies_the_revision_it_left_and_charges_the_budget() -> None:
    decision = decide(after_rollback(make_case()))
    assert decision.health is not None
    assert [one.digest for one in decision.health.denied] == [BAD.digest]
    assert [one.remediation for one in decision.health.last_actions] == ["api-d-uid-g4-1-uid"]


def test_quiet_for_long_enough_is_success_and_mitigates_the_incident() -> None:
    case = after_rollback(make_case(), now=NOW + timedelta(minutes=2))
    first = decide(make_case())
    assert first.status is not None
    incident = make_incident().model_copy(update={"status": first.status})
    done = make_remediation(status=executed(healthySince=NOW + timedelta(seconds=30)))
    decision = decide(replace(case, incident=incident, remediations=(done,)))
    assert decision.remediation is not None
    assert decision.remediation[1].state is RemediationState.SUCCEEDED
    assert decision.status is not None
    assert decision.status.phase == "Mitigated"


def test_once_mitigated_it_is_looked_at_when_the_incident_may_be_over() -> None:
    policy = make_policy(resolution={"after": "7s"})
    case = after_rollback(make_case(policy=policy), now=NOW + timedelta(minutes=2))
    done = make_remediation(status=executed(healthySince=NOW + timedelta(seconds=30)))
    assert decide(replace(case, remediations=(done,))).look_again == timedelta(seconds=7)


def test_exits_from_before_the_action_do_not_count_against_it() -> None:
    decision = decide(after_rollback(make_case()))
    assert [one.state for one in decision.findings] == ["Quiet"]


def test_the_same_trouble_on_the_older_revision_pardons_the_release_and_calls_people() -> None:
    case = after_rollback(make_case(), exits=make_exits(owner="rs-1", pod="old") + make_exits(owner="rs-1", pod="older"))
    case = replace(
        case,
        seen=replace(case.seen, now=NOW + timedelta(minutes=1)),
        remediations=(make_remediation(status=executed(NOW - timedelta(minutes=1))),),
    )
    denied = make_health().model_copy(update={"denied": ()})
    decision = decide(replace(case, health=denied))
    assert decision.remediation is not None
    assert decision.remediation[1].state is RemediationState.FAILED
    assert decision.remediation[1].conditions[-1].reason == Reason.NotTheRelease
    assert decision.health is not None
    assert decision.health.denied == ()
    assert decision.status is not None
    assert decision.status.phase == "Escalated"


def test_an_incident_is_resolved_only_after_it_was_quiet_for_long_enough() -> None:
    status = {
        "detectedAt": NOW,
        "findings": [{"trigger": "crash", "type": "CrashLoop", "state": "Quiet"}],
        "quietSince": NOW,
        "mitigatedAt": NOW,
        "conditions": [
            {"type": "Mitigated", "status": "True", "reason": "Mitigated", "message": "", "lastTransitionTime": NOW},
        ],
    }
    incident = make_incident(status=status)
    done = make_remediation(status=executed(state="Succeeded"))
    early = after_rollback(make_case(incident=incident), now=NOW + timedelta(minutes=14))
    late = after_rollback(make_case(incident=incident), now=NOW + timedelta(minutes=15))
    assert not decide(replace(early, remediations=(done,))).closed
    decision = decide(replace(late, remediations=(done,)))
    assert decision.closed
    assert decision.status is not None
    assert decision.status.phase == "Resolved"


def test_the_bad_template_put_back_after_success_is_contested_and_nothing_is_done_again() -> None:
    status = {"detectedAt": NOW, "findings": [{"trigger": "crash", "type": "CrashLoop", "state": "Quiet"}]}
    done = make_remediation(status=executed(state="Succeeded"))
    decision = decide(make_case(incident=make_incident(status=status), remediations=(done,)))
    assert decision.intent is None
    assert decision.status is not None
    assert find(decision.status.conditions, "Contested") is not None
    assert decision.status.phase == "Escalated"


def test_before_everything_is_listed_nothing_is_concluded() -> None:
    decision = decide(make_case(seen=make_seen(synced=False)))
    assert decision.intent is None
    assert decision.opening is None
    assert decision.status is None


def test_what_a_crash_kept_from_being_told_is_told_from_the_intent() -> None:
    finding = {"trigger": "crash", "type": "CrashLoop", "state": "Firing", "message": "3 exits in 20s of container app"}
    change = {"revision": 2, "previousRevision": 1, "images": ["app: shop/api:1.9 → shop/api:2.0-crash"]}
    case = after_rollback(make_case())
    resumed = replace(case, remediations=(make_remediation(status=executed(), finding=finding, suspectedChange=change),))
    status = decide(resumed).status
    assert status is not None
    assert [entry.type for entry in status.timeline] == ["Detected", "CrashLoop", "Executed"]
    assert status.timeline[1].message == "3 exits in 20s of container app"
    assert [(one.type, one.state) for one in status.findings] == [("CrashLoop", "Unknown")]
    assert status.suspected_change is not None
    assert (status.suspected_change.revision, status.suspected_change.previous_revision) == (2, 1)


def well(**changes: Any) -> Case:
    """A person opened an incident, and no signal of the policy fires."""
    incident = make_incident(source={"type": "Manual"}, **changes.pop("spec", {}))
    return make_case(seen=make_seen(pods=(), exits=()), incident=incident, **changes)


@pytest.mark.parametrize(
    ("case", "fact"),
    [
        pytest.param(well(), "no signal of policy web fires", id="nothing fires"),
        pytest.param(well(policy=None), "no policy matches this workload", id="there is no policy"),
        pytest.param(
            well(policy=None, spec={"policyRef": {"name": "typo"}}),
            "policy typo, which spec.policyRef names",
            id="the policy named is none",
        ),
    ],
)
def test_an_incident_in_which_nothing_can_be_done_says_why(case: Case, fact: str) -> None:
    status = decide(case).status
    assert status is not None
    told = find(status.conditions, "ActionAllowed")
    assert told is not None
    assert (told.status, told.reason) == ("False", Reason.NoStepApplies)
    assert fact in told.message


def test_people_are_called_where_the_api_server_does_not_take_the_change_again_and_again() -> None:
    status = {"state": "Superseded", "message": "it was not written in time (5 tries); it is decided afresh"}
    decision = decide(make_case(remediations=tuple(make_remediation(name=f"r-{number}", status=status) for number in range(3))))
    assert decision.intent is None
    assert decision.status is not None
    escalated = find(decision.status.conditions, "Escalated")
    assert escalated is not None
    assert "could not be written" in escalated.message


def test_a_very_long_name_still_gets_an_incident() -> None:
    target = Target("shop", "Deployment", "a" * 242)
    seen = make_seen(target=target, workload=make_workload(name=target.name))
    opening = decide(make_case(incident=None, live=False, seen=seen)).opening
    assert opening is not None
    assert IncidentSpec(title=opening.title).title.startswith("CrashLoop in deployment aaa")


def test_a_number_that_a_person_gave_does_not_spoil_the_count() -> None:
    decision = decide(make_case(incident=make_incident(name="api-99999999999999999999")))
    assert decision.health is not None
    assert decision.health.incidents == 0


def unknown(since: timedelta | None, *, policy: bool = True, **spec: Any) -> IncidentStatus:
    """What is decided while the controller has not taken up the newest template, so that no signal can tell anything."""
    status = {"detectedAt": NOW - timedelta(days=2), **({"unknownSince": NOW - since} if since is not None else {})}
    seen = make_seen(workload=make_workload(generation=9))
    resolution = {"resolution": {"unknownAfter": "2h"}}
    case = make_case(seen=seen, incident=make_incident(status=status, **spec), policy=make_policy(**resolution) if policy else None)
    decided = decide(case).status
    assert decided is not None
    return decided


def test_since_when_every_signal_is_unknown_is_kept() -> None:
    assert unknown(None).unknown_since == NOW
    assert unknown(timedelta(hours=1)).unknown_since == NOW - timedelta(hours=1)


def test_people_are_called_where_every_signal_was_unknown_for_too_long() -> None:
    assert find(unknown(timedelta(minutes=119)).conditions, "Escalated") is None
    called = find(unknown(timedelta(hours=2)).conditions, "Escalated")
    assert called is not None
    assert (called.reason, "unknown for 2h" in called.message) == (Reason.SignalLost, True)


def test_without_a_policy_left_the_signals_are_lost_after_a_day() -> None:
    assert find(unknown(timedelta(hours=23), policy=False).conditions, "Escalated") is None
    assert find(unknown(timedelta(hours=24), policy=False).conditions, "Escalated") is not None


def test_a_persons_incident_in_which_no_signal_ever_fired_has_none_to_lose() -> None:
    assert unknown(timedelta(days=2), source={"type": "Manual"}).unknown_since is None


def test_a_signal_that_fires_again_is_not_lost() -> None:
    status = {"detectedAt": NOW - timedelta(days=2), "unknownSince": NOW - timedelta(days=1)}
    decided = decide(make_case(incident=make_incident(status=status))).status
    assert decided is not None
    assert decided.unknown_since is None


def test_an_incident_that_a_signal_keeps_open_by_being_unknown_says_so_until_it_is_known() -> None:
    fired = [{"trigger": "crash", "type": "CrashLoop", "state": "Firing"}]
    first = decide(make_case(incident=make_incident(status=None))).status
    assert first is not None
    case = make_case(incident=make_incident(status={**stored(first), "findings": fired}))
    away = replace(case, seen=make_seen(workload=make_workload(generation=9)))
    status = decide(away).status
    assert status is not None
    resolved = find(status.conditions, "Resolved")
    assert resolved is not None
    assert (resolved.status, resolved.reason) == ("False", Reason.SignalUnknown)
    assert "trigger crash is Unknown" in resolved.message
    for seen in (make_seen(live=make_live()), make_seen(exits=(), pods=())):
        again = decide(make_case(seen=seen, incident=make_incident(status=stored(status)))).status
        assert again is not None
        open_ = find(again.conditions, "Resolved")
        assert open_ is not None
        assert (open_.status, open_.reason) == ("False", Reason.Open)


def stored(status: IncidentStatus) -> dict[str, Any]:
    return status.model_dump(by_alias=True, exclude_none=True, mode="json")


@pytest.mark.parametrize(("image", "told"), [(GOOD_IMAGE, 0), ("mirror/shop/api:1.9", 1)], ids=["as it was written", "changed"])
def test_that_admission_changed_the_template_is_told_once(image: str, told: int) -> None:
    case = after_rollback(make_case())
    work, there = case.seen.workload, Template.read(make_template(image))
    assert work is not None
    work = msgspec.structs.replace(work, template=msgspec.json.encode(there.body))
    seen = replace(case.seen, workload=work, template=there)
    case = replace(case, seen=seen, remediations=(make_remediation(status=executed(writtenDigest=there.digest)),))
    for _ in range(2):
        status = decide(case).status
        assert status is not None
        assert [one.type for one in status.timeline].count(Reason.MutatedByAdmission) == told
        case = replace(case, incident=make_incident(status=stored(status)))


def test_an_incident_that_no_policy_decides_about_says_so_once_and_never_claims_what_an_earlier_policy_meant() -> None:
    refused = decide(make_case(policy=make_policy(mode="Observe"))).status
    assert refused is not None
    orphaned = make_case(policy=None, incident=make_incident().model_copy(update={"status": refused}))
    status = decide(orphaned).status
    assert status is not None
    assert status.decision is not None
    assert (status.decision.step, status.decision.message) == ("", "")
    allowed = find(status.conditions, "ActionAllowed")
    assert allowed is not None
    assert allowed.reason == Reason.NoStepApplies
    assert "no policy matches this workload" in allowed.message
    assert "close this incident by hand (spec.resolution)" in allowed.message
    again = decide(replace(orphaned, incident=make_incident().model_copy(update={"status": status})))
    assert again.status == status
    assert again.notices == ()


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        pytest.param(None, "deployment/api in shop does not exist any more", id="gone"),
        pytest.param(make_workload(deleting=True), "deployment/api in shop does not exist any more", id="going"),
        pytest.param(
            make_workload(uid="another"), "deployment/api in shop was deleted, and another of the same name is there", id="replaced"
        ),
    ],
)
def test_an_incident_of_a_workload_that_is_gone_is_over(workload: Workload | None, message: str) -> None:
    incident = make_incident(status={"targetUid": "d-uid", "detectedAt": NOW.isoformat()})
    decision = decide(make_case(incident=incident, seen=make_seen(workload=workload)))
    assert decision.closed
    assert decision.status is not None
    resolved = find(decision.status.conditions, "Resolved")
    assert resolved is not None
    assert (resolved.reason, resolved.message) == (Reason.TargetGone, message)


def test_a_step_that_was_tried_is_named_where_no_other_is_left() -> None:
    failed = make_remediation(status=executed(state="Failed"))
    assert "tried in this incident already: undo (Failed)" in choose(make_case(remediations=(failed,)), ()).refused[0].message


def test_an_older_copy_of_a_remediation_does_not_tell_again_what_the_incident_knows_to_be_over() -> None:
    listed = {"name": "api-d-uid-g4-1", "step": "undo", "action": "Rollback", "state": "Succeeded"}
    mitigated = {"type": "Mitigated", "status": "True", "reason": "Mitigated", "message": "", "lastTransitionTime": NOW}
    known = make_incident(status={"detectedAt": NOW, "remediations": [listed], "conditions": [mitigated]})
    status = decide(after_rollback(make_case(incident=known))).status
    assert status is not None
    assert [entry.type for entry in status.timeline if entry.type == "Executed"] == []
    assert find(status.conditions, "Mitigated") == known.status.conditions[0]  # type: ignore[union-attr]  # it was given above
