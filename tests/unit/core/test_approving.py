"""An action that waits for a person: every way in which the wait ends, and what an approval leads to."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import (
    GOOD,
    NOW,
    ago,
    executed,
    make_case,
    make_incident,
    make_live,
    make_policy,
    make_seen,
    make_waiting,
    make_workload,
)

from stopgap.api.config import ConfigSpec
from stopgap.api.remediation import Remediation, RemediationState, RemediationStatus
from stopgap.core import choosing
from stopgap.core.case import Case, Decision
from stopgap.core.decide import decide, judge
from stopgap.core.objecting import objection
from stopgap.core.storm import Breaker, Count, Stage, unverified
from stopgap.model.observation import Pausable
from stopgap.model.reasons import Reason

APPROVE = make_policy(mode="Approve")
PAUSED = ConfigSpec.model_validate({"pauseRequests": [{"name": "ana", "reason": "audit"}]})
STORM = (Breaker("", Stage.OPEN, NOW, count=Count(9, 5)),)


def recorded() -> Remediation:
    """The waiting action, exactly as a decision intends it."""
    intent = decide(make_case(policy=APPROVE)).intent
    assert intent is not None
    return make_waiting().model_copy(update={"spec": intent.spec})


def waiting_case(said: str = "", **changes: Any) -> Case:
    one = recorded()
    if said:
        answer = make_waiting(said).spec.approval
        one = one.model_copy(update={"spec": one.spec.model_copy(update={"approval": answer})})
    return make_case(**{"policy": APPROVE, "remediations": (one,), **changes})


def suspending_case(said: str, owner: str = "web") -> Case:
    """An action that suspends the owner first waits for a person since two minutes ago."""
    policy = make_policy(mode="Approve", gitOps="SuspendOwner")

    def at(now: datetime, found: str) -> Case:
        pausable = Pausable("argoproj.io/v1alpha1", "Application", "argocd", found, "app-uid", "{}", "", may_patch=True)
        return make_case(policy=policy, seen=make_seen(now=now, live=make_live(owner="Argo CD syncs this", pausable=pausable)))

    intent = decide(at(ago(minutes=2), "web")).intent
    assert intent is not None
    assert intent.spec.plan.suspends is not None
    one = make_waiting(said)
    spec = intent.spec.model_copy(update={"approval": one.spec.approval})
    return replace(at(NOW, owner), remediations=(one.model_copy(update={"spec": spec}),))


def quiet_seen(**changes: Any) -> Any:
    return make_seen(**{"live": make_live(), "exits": (), "pods": (), **changes})


def ended_as(decision: Decision) -> tuple[RemediationState, str]:
    assert decision.remediation is not None
    status = decision.remediation[1]
    return status.state, status.conditions[-1].reason


def sends(decision: Decision) -> bool:
    return decision.intent is not None or decision.approved is not None or decision.resume is not None


def test_the_intent_names_its_expiry_and_nothing_is_refused_before_it_is_stored() -> None:
    intent = decide(make_case(policy=make_policy(mode="Approve", guards={"approvalTimeout": "20m"}))).intent
    assert intent is not None
    assert intent.spec.expires_at == NOW + timedelta(minutes=20)
    assert Remediation.model_validate({"metadata": {"name": "x"}, "spec": intent.spec}).state is RemediationState.AWAITING_APPROVAL


@pytest.mark.parametrize(
    ("ceiling", "policy", "step", "asks"),
    [
        ("Automatic", "Automatic", None, False),
        ("Approve", "Automatic", None, True),
        ("Automatic", "Approve", "Automatic", True),
        ("Automatic", "Automatic", "Approve", True),
    ],
)
def test_the_lowest_mode_wins(ceiling: str, policy: str, step: str | None, *, asks: bool) -> None:
    steps = [{"name": "undo", "when": {}, "rollback": {}, **({"mode": step} if step else {})}]
    case = make_case(policy=make_policy(mode=policy, steps=steps), config=ConfigSpec.model_validate({"maxMode": ceiling}))
    intent = decide(case).intent
    assert intent is not None
    assert (intent.spec.expires_at is not None) is asks


def test_while_it_waits_nothing_is_sent_and_the_incident_says_how_to_answer_and_until_when() -> None:
    decision = decide(waiting_case())
    assert not sends(decision)
    assert decision.status is not None
    assert decision.status.decision is not None
    (refusal,) = decision.status.decision.refusals
    assert (refusal.reason, refusal.until) == (Reason.ApprovalPending, NOW + timedelta(minutes=15))
    assert decision.status.would_have is not None


def test_a_wait_that_was_not_recorded_yet_is_recorded() -> None:
    one = recorded().model_copy(update={"status": None})
    assert decide(waiting_case(remediations=(one,))).remediation is not None
    decision = decide(waiting_case(remediations=(one,)))
    assert decision.remediation is not None
    assert decision.remediation[1].state is RemediationState.AWAITING_APPROVAL


def test_while_it_waits_the_workload_is_not_busy_and_no_action_counts_as_unverified() -> None:
    case = waiting_case()
    assert case.active is None
    assert unverified(case.remediations, NOW) == frozenset()


def test_an_approved_action_that_suspends_the_owner_first_is_the_one_that_was_approved() -> None:
    decision = decide(suspending_case("Approved"))
    assert decision.approved is not None
    assert decision.approved[1].state is RemediationState.PENDING


def test_an_approval_to_suspend_one_owner_is_none_for_another() -> None:
    assert ended_as(decide(suspending_case("Approved", owner="other"))) == (RemediationState.SUPERSEDED, Reason.Superseded)


ENDS = [
    pytest.param(waiting_case("Rejected"), RemediationState.REJECTED, Reason.ApprovalRejected, "ana rejected it: go", id="rejected"),
    pytest.param(
        waiting_case(seen=make_seen(now=NOW + timedelta(minutes=15))),
        RemediationState.EXPIRED,
        Reason.ApprovalExpired,
        "nobody approved it in time",
        id="nobody answered",
    ),
    pytest.param(
        waiting_case("Approved", seen=make_seen(now=NOW + timedelta(minutes=15))),
        RemediationState.EXPIRED,
        Reason.ApprovalExpired,
        "nobody approved it in time",
        id="approved and seen too late",
    ),
    pytest.param(
        waiting_case(seen=make_seen(workload=make_workload(template=GOOD))),
        RemediationState.SUPERSEDED,
        Reason.Superseded,
        "the workload was changed meanwhile",
        id="another release",
    ),
    pytest.param(
        waiting_case(policy=None), RemediationState.SUPERSEDED, Reason.Superseded, "policy web was changed or deleted", id="no policy"
    ),
    pytest.param(
        waiting_case(policy=APPROVE.model_copy(update={"metadata": APPROVE.metadata.model_copy(update={"generation": 2})})),
        RemediationState.SUPERSEDED,
        Reason.Superseded,
        "policy web was changed or deleted",
        id="another policy",
    ),
    pytest.param(
        waiting_case(incident=None),
        RemediationState.SUPERSEDED,
        Reason.Superseded,
        "incident api-1 was closed or deleted",
        id="deleted",
    ),
    pytest.param(
        waiting_case(incident=make_incident(resolution="Resolved")),
        RemediationState.SUPERSEDED,
        Reason.Superseded,
        "the incident is over",
        id="a person closed the incident",
    ),
    pytest.param(
        waiting_case("Approved", seen=quiet_seen()),
        RemediationState.SUPERSEDED,
        Reason.Superseded,
        "recovered without it",
        id="approved when all is quiet",
    ),
    pytest.param(waiting_case("Approved", config=PAUSED), RemediationState.REFUSED, Reason.Paused, "approved by ana", id="a pause"),
    pytest.param(waiting_case("Approved", storm=STORM), RemediationState.REFUSED, Reason.StormActive, "approved by ana", id="a storm"),
    pytest.param(
        waiting_case("Approved", seen=make_seen(live=make_live(may_patch=False))),
        RemediationState.REFUSED,
        Reason.NotAuthorized,
        "may not patch",
        id="what only a live read shows",
    ),
]


@pytest.mark.parametrize(("case", "state", "reason", "fact"), ENDS)
def test_a_wait_ends_under_its_own_name_with_one_warning_and_nothing_is_sent(
    case: Case, state: RemediationState, reason: Reason, fact: str
) -> None:
    decision = decide(case)
    assert ended_as(decision) == (state, reason)
    assert decision.remediation is not None
    assert fact in decision.remediation[1].message
    assert not sends(decision)
    if case.incident is not None:
        assert len([one for one in decision.notices if one.warning and "was not written" in one.message]) == 1
        again = replace(
            case,
            incident=case.incident.model_copy(update={"status": decision.status}),
            remediations=(case.remediations[0].model_copy(update={"status": decision.remediation[1]}),),
        )
        assert not [one for one in decide(again).notices if "was not written" in one.message]


def test_signals_that_stay_quiet_end_the_wait() -> None:
    since = {
        "detectedAt": ago(minutes=9),
        "quietSince": ago(minutes=2),
        "findings": [{"trigger": "crash", "type": "CrashLoop", "state": "Quiet"}],
    }
    decision = decide(waiting_case(seen=quiet_seen(), incident=make_incident(status=since)))
    assert ended_as(decision) == (RemediationState.SUPERSEDED, Reason.Superseded)
    assert "recovered without it" in decision.remediation[1].message  # type: ignore[index]  # asserted by ended_as


@pytest.mark.parametrize(("state", "again"), [("Rejected", False), ("Expired", False), ("Superseded", True)])
def test_what_a_person_did_not_want_is_not_asked_for_again(state: str, *, again: bool) -> None:
    one = recorded().model_copy(update={"status": RemediationStatus(state=RemediationState(state))})
    case = waiting_case(remediations=(one,))
    assert ("undo" not in choosing.tried(case)) is again
    assert (decide(case).intent is not None) is again


def test_an_approval_is_asked_everything_again_with_fresh_reads() -> None:
    case = waiting_case("Approved", seen=make_seen(live=None))
    assert decide(case).reads
    assert not sends(decide(case))


def test_what_is_approved_is_stored_before_it_is_sent_and_has_a_minute_from_then() -> None:
    late = NOW + timedelta(minutes=9)
    case = waiting_case("Approved", seen=make_seen(live=make_live(), now=late))
    decision = decide(case)
    assert decision.approved is not None
    one, status = decision.approved
    stored = one.model_copy(update={"status": status})
    assert stored.state is RemediationState.PENDING
    assert stored.write_until == late + timedelta(minutes=1)
    assert stored.prove_until == late + timedelta(minutes=10)
    assert decision.status is not None
    assert [entry.actor for entry in decision.status.timeline if entry.type == Reason.Approved] == ["ana"]
    assert objection(case, stored, judge(case)) is None
    assert decide(replace(case, remediations=(stored,))).resume == stored


def test_an_intent_of_automatic_times_is_not_sent_once_the_mode_is_approve() -> None:
    one = recorded().model_copy(update={"spec": recorded().spec.model_copy(update={"expires_at": None})})
    against = objection(make_case(policy=APPROVE), one)
    assert against is not None
    assert against.reason is Reason.ApprovalPending


def test_an_action_that_was_approved_counts_as_any_other_once_it_is_sent() -> None:
    one = recorded().model_copy(update={"status": RemediationStatus.model_validate(executed(NOW))})
    assert unverified((one,), NOW) == {one.spec.target_ref.uid}


@settings(deadline=None)
@given(
    said=st.sampled_from(["", "Approved", "Rejected"]),
    minutes=st.floats(min_value=-1, max_value=40),
    live=st.booleans(),
    mode=st.sampled_from(["Observe", "Approve", "Automatic"]),
)
def test_nothing_is_sent_without_a_yes_or_after_the_expiry(said: str, minutes: float, mode: str, *, live: bool) -> None:
    now = NOW + timedelta(minutes=minutes)
    seen = make_seen(now=now, live=make_live() if live else None)
    case = waiting_case(said, seen=seen, config=ConfigSpec.model_validate({"maxMode": mode}))
    expires = case.remediations[0].spec.expires_at
    assert expires is not None
    if sends(decide(case)):
        assert said == "Approved"
        assert now < expires
        assert mode != "Observe"
