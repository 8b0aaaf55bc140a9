"""A person orders a step: once, now, within the guards and the platform's ceiling."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, ago, executed, make_case, make_incident, make_live, make_policy, make_remediation, make_seen

from stopgap.api.config import ConfigSpec
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.core.objecting import objection
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason

ORDER = {"step": "undo", "requestID": "1"}


def ordered(*, order: dict[str, str] | None = None, status: dict[str, Any] | None = None, **case: Any) -> Case:
    """Nothing fires, the policy only observes and means its step for signals; a person orders it."""
    incident = make_incident(source={"type": "Manual"}, mitigate=order or ORDER, acknowledgedBy="ana", status=status)
    seen = make_seen(pods=(), exits=(), live=make_live())
    return make_case(**{"incident": incident, "seen": seen, "policy": make_policy(mode="Observe"), **case})


def test_an_order_is_carried_out_although_nothing_fires_and_the_policy_only_observes() -> None:
    decision = decide(ordered())
    assert decision.intent is not None
    assert (decision.intent.spec.step, decision.intent.spec.request_id, decision.intent.spec.requested_by) == ("undo", "1", "ana")
    assert decision.status is not None
    assert decision.status.handled_requests == ("1",)
    told = next(entry for entry in decision.status.timeline if entry.type == Reason.Ordered)
    assert (told.actor, told.message) == ("ana", "ana ordered step undo (request 1)")


@pytest.mark.parametrize(
    "known",
    [
        pytest.param({"status": {"detectedAt": NOW, "handledRequests": ["1"]}}, id="it was noted"),
        pytest.param({"remediations": (make_remediation(requestID="1", status={"state": "Refused"}),)}, id="its intent was stored"),
    ],
)
def test_the_same_order_again_as_from_a_copy_in_git_does_nothing(known: dict[str, Any]) -> None:
    assert decide(ordered(**known)).intent is None


def test_an_order_whose_note_was_lost_in_a_crash_is_noted_from_the_intent() -> None:
    status = decide(ordered(remediations=(make_remediation(requestID="1", status=executed()),))).status
    assert status is not None
    assert status.handled_requests == ("1",)


def test_another_request_is_another_order() -> None:
    status = {"detectedAt": NOW, "handledRequests": ["1"]}
    assert decide(ordered(order={"step": "undo", "requestID": "2"}, status=status)).intent is not None


@pytest.mark.parametrize(
    ("case", "reason", "facts"),
    [
        pytest.param({"config": ConfigSpec.model_validate({"maxMode": "Observe"})}, Reason.ObserveOnly, "spec.maxMode", id="the ceiling"),
        pytest.param(
            {"config": ConfigSpec.model_validate({"pauseRequests": [{"name": "bo", "reason": "audit"}]})},
            Reason.Paused,
            "audit",
            id="a pause",
        ),
        pytest.param({"order": {"step": "undoo", "requestID": "1"}}, Reason.NoStepApplies, "its steps: undo", id="no such step"),
    ],
)
def test_an_order_that_something_stands_against_is_refused_once_and_says_why(case: dict[str, Any], reason: Reason, facts: str) -> None:
    made = ordered(**case)
    decision = decide(made)
    assert decision.intent is None
    assert decision.status is not None
    assert reason in [one.reason for one in decision.refusals]
    told = next(entry for entry in decision.status.timeline if entry.type == Reason.OrderRefused)
    assert facts in told.message
    assert decision.status.handled_requests == ("1",)
    again = replace(made, incident=made.incident.model_copy(update={"status": decision.status}))  # type: ignore[union-attr]  # it is there
    assert Reason.OrderRefused not in [one.reason for one in decide(again).notices]


def test_a_person_may_order_what_automation_was_stopped_from() -> None:
    escalated = {"type": "Escalated", "status": "True", "reason": "Failed", "message": "", "lastTransitionTime": ago(minutes=1)}
    decision = decide(ordered(status={"detectedAt": ago(minutes=9), "conditions": [escalated]}))
    assert decision.intent is not None
    assert decision.status is not None
    assert find(decision.status.conditions, "Escalated") is not None


def test_an_ordered_intent_is_not_stopped_by_the_mode_that_the_order_overrode() -> None:
    case = ordered()
    intended = make_remediation(requestID="1", notAfter=NOW + timedelta(minutes=1))
    assert objection(replace(case, remediations=(intended,)), intended) is None
    plain = make_remediation()
    against = objection(replace(case, remediations=(plain,)), plain)
    assert against is not None
    assert against.reason is Reason.ObserveOnly
