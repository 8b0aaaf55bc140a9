"""Until when people are to take an incident, and that they are called again."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_policy

from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.core.decide import decide
from stopgap.core.response import level
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason
from stopgap.model.severity import Severity


def decided(age: timedelta, *, status: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **spec: Any) -> IncidentStatus:
    incident = make_incident(severity="P2", status={"detectedAt": NOW - age, **(status or {})}, **spec)
    made = make_case(incident=incident, policy=make_policy(mode="Observe"), config=ConfigSpec.model_validate(config or {}))
    found = decide(made).status
    assert found is not None
    return found


@pytest.mark.parametrize(("severity", "minutes"), [("P1", 5), ("P2", 15), ("P3", 60), ("P4", 1440)])
def test_each_severity_has_its_time(severity: str, minutes: int) -> None:
    assert level(ConfigSpec(), Severity(severity)).acknowledge_within == timedelta(minutes=minutes)
    assert level(None, Severity(severity)).acknowledge_within == timedelta(minutes=minutes)


def test_the_platform_may_name_one_severity_and_leave_the_others() -> None:
    config = ConfigSpec.model_validate({"severityLevels": [{"name": "P1", "acknowledgeWithin": "2m"}]})
    assert level(config, Severity.P1).acknowledge_within == timedelta(minutes=2)
    assert level(config, Severity.P2).acknowledge_within == timedelta(minutes=15)


def test_until_the_time_has_passed_it_is_only_told() -> None:
    status = decided(timedelta(minutes=14))
    assert status.acknowledge_by == NOW + timedelta(minutes=1)
    assert find(status.conditions, "Acknowledged") is None


def test_people_are_called_again_once_the_time_has_passed_and_only_once() -> None:
    status = decided(timedelta(minutes=15))
    overdue = find(status.conditions, "Acknowledged")
    assert overdue is not None
    assert (overdue.status, overdue.reason) == ("False", Reason.AcknowledgementOverdue)
    assert "nobody has taken this P2 incident within 15m" in overdue.message
    again = make_case(incident=make_incident(severity="P2").model_copy(update={"status": status}), policy=make_policy(mode="Observe"))
    assert [one.reason for one in decide(again).notices if one.reason is Reason.AcknowledgementOverdue] == []


def test_an_incident_that_somebody_has_taken_is_not_overdue() -> None:
    taken = find(decided(timedelta(hours=2), acknowledgedBy="ana").conditions, "Acknowledged")
    assert taken is not None
    assert (taken.status, taken.reason) == ("True", Reason.Acknowledged)


def test_a_person_who_takes_it_late_is_told_all_the_same() -> None:
    late = {"type": "Acknowledged", "status": "False", "reason": "AcknowledgementOverdue", "message": "", "lastTransitionTime": NOW}
    taken = find(decided(timedelta(hours=2), status={"conditions": [late]}, acknowledgedBy="ana").conditions, "Acknowledged")
    assert taken is not None
    assert taken.status == "True"


def test_being_overdue_stops_no_automation() -> None:
    incident = make_incident(severity="P1", status={"detectedAt": NOW - timedelta(hours=1)})
    assert decide(make_case(incident=incident)).intent is not None
