"""Whole incidents in mode Approve: asked, answered or not, and what is told of it."""

from datetime import timedelta

from tests.conftest import BAD, GOOD, make_policy
from tests.scenarios.driver import BAD2, Operator, of, start

from stopgap.api.remediation import RemediationState

HALF = timedelta(seconds=30)
ASKED = ["Detected", "CrashLoop", "ApprovalPending"]


def asked() -> Operator:
    """A bad release, until a person is asked."""
    operator = start(GOOD)
    operator.policy = make_policy(mode="Approve")
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    assert of(operator.incident) == ASKED
    assert [one.state for one in operator.remediations] == [RemediationState.AWAITING_APPROVAL]
    assert operator.cluster.template == BAD
    return operator


def test_what_is_approved_after_a_while_is_done_once_and_proved() -> None:
    operator = asked()
    operator.live_through(timedelta(minutes=5))
    assert operator.writes == 0
    operator.answer("Approved")
    operator.live_through(timedelta(minutes=2))
    assert operator.writes == 1
    assert operator.cluster.template == GOOD
    assert of(operator.incident) == [*ASKED, "Approved", "Executed", "Mitigated"]
    assert operator.incident is not None
    assert operator.incident.status is not None
    assert next(entry.actor for entry in operator.incident.status.timeline if entry.type == "Approved") == "ana"


def test_what_nobody_answers_expires_once_and_is_not_asked_again() -> None:
    operator = asked()
    operator.live_through(timedelta(minutes=20))
    operator.answer("Approved")
    operator.live_through(timedelta(minutes=5))
    assert [one.state for one in operator.remediations] == [RemediationState.EXPIRED]
    assert (operator.writes, of(operator.incident)) == (0, [*ASKED, "ApprovalExpired", "NoStepApplies", "Escalated"])


def test_a_new_release_is_judged_afresh_and_asked_about_anew() -> None:
    operator = asked()
    operator.cluster.apply(BAD2)
    operator.live_through(HALF + HALF)
    states = [one.state for one in operator.remediations]
    assert states == [RemediationState.SUPERSEDED, RemediationState.AWAITING_APPROVAL]
    assert operator.writes == 0
