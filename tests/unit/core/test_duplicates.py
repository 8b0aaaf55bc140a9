"""Two incidents of one workload: one acts, and the other says which, and that the workload is busy while something is out."""

from datetime import timedelta

from tests.conftest import NOW, executed, make_case, make_incident, make_policy, make_remediation

from stopgap.api.incident import IncidentStatus
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.core.lifecycle import ALLOWED
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason

OTHER = make_incident(name="other")
HANDLED = "nothing is done: incident api-1 of the same workload is handled"


def told(case: Case) -> IncidentStatus:
    """Return what the other incident is told."""
    ((other, status),) = decide(case).duplicates
    assert other.metadata.name == OTHER.metadata.name
    assert status.duplicate_of == "api-1"
    return status


def test_while_an_action_is_out_the_other_says_that_the_target_is_busy_and_until_when() -> None:
    status = told(make_case(others=(OTHER,), remediations=(make_remediation(status=executed()),)))
    assert status.decision is not None
    assert not status.decision.allowed
    assert [(one.reason, one.until) for one in status.decision.refusals] == [
        (Reason.TargetBusy, NOW + timedelta(minutes=10)),
        (Reason.Duplicate, None),
    ]
    assert Reason.TargetBusy in [one.type for one in status.timeline]
    allowed = find(status.conditions, ALLOWED)
    assert allowed is not None
    assert allowed.message == "nothing is done: remediation api-d-uid-g4-1 has not ended; incident api-1 of the same workload is handled"


def test_while_nothing_is_out_it_says_which_incident_is_handled() -> None:
    status = told(make_case(others=(OTHER,), policy=make_policy(mode="Observe")))
    allowed = find(status.conditions, ALLOWED)
    assert allowed is not None
    assert (allowed.reason, allowed.message) == (Reason.Duplicate, HANDLED)


def test_what_is_told_already_is_not_told_again() -> None:
    case = make_case(others=(OTHER,), policy=make_policy(mode="Observe"))
    once = told(case)
    stored = OTHER.model_copy(update={"status": once})
    assert told(make_case(others=(stored,), policy=make_policy(mode="Observe"))) == once
