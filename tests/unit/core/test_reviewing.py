"""Which incidents are reviewed, what people owe, and when it is enough."""

from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_policy

from stopgap.api import Incident, PostMortem
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.core import reviewing
from stopgap.core.decide import decide
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason

RESOLVED = {"type": "Resolved", "status": "True", "reason": "Resolved", "message": "it is over", "lastTransitionTime": NOW}
FILLED: dict[str, Any] = {
    "rootCause": "a missing environment variable",
    "impact": {"usersAffected": "all", "revenue": "none", "dataLoss": "none"},
    "actionItems": [{"title": "check it at start", "owner": "ana", "due": "2026-12-01"}],
    "completed": True,
}


def over(**status: Any) -> Incident:
    return make_incident(status={"detectedAt": NOW, "severity": "P1", "resolvedAt": NOW, "conditions": [RESOLVED], **status})


def make_pm(known: Incident | None = None, *, ref: dict[str, str] | None = None, **spec: Any) -> PostMortem:
    body = {"incidentRef": ref or {"name": "api-1", "uid": "api-1-uid"}, **spec}
    pm = PostMortem.model_validate({"metadata": {"name": "api-1", "namespace": "shop", "generation": 3}, "spec": body})
    facts = reviewing.facts_of(known) if known else None
    return pm.model_copy(update={"status": reviewing.status(pm, facts, NOW)}) if facts else pm


def closed(severity: str, config: dict[str, Any] | None = None, **spec: Any) -> IncidentStatus:
    """The last status of an incident that a person closes."""
    incident = make_incident(severity=severity, **{"resolution": "Resolved", **spec})
    case = make_case(incident=incident, policy=make_policy(mode="Observe"), config=ConfigSpec.model_validate(config or {}))
    status = decide(case).status
    assert status is not None
    return status


@pytest.mark.parametrize(
    ("severity", "config", "spec", "owed"),
    [
        pytest.param("P1", {}, {}, True, id="a P1"),
        pytest.param("P3", {}, {}, False, id="a P3"),
        pytest.param("P3", {"review": {"severities": ["P3"]}}, {}, True, id="what the platform wants"),
        pytest.param("P1", {"review": {"severities": []}}, {}, False, id="what it does not want"),
        pytest.param("P1", {}, {"resolution": "FalseAlarm"}, False, id="no incident at all"),
    ],
)
def test_an_incident_of_the_given_severities_owes_its_review(
    severity: str, config: dict[str, Any], spec: dict[str, Any], *, owed: bool
) -> None:
    status = closed(severity, config, **spec)
    assert reviewing.is_owed(status) is owed
    assert status.phase in {"Resolved", "FalseAlarm"}


def test_an_open_incident_and_a_duplicate_owe_none() -> None:
    case = make_case(incident=make_incident(severity="P1"), policy=make_policy(mode="Observe"), others=(make_incident(name="b"),))
    decision = decide(case)
    assert decision.status is not None
    assert not reviewing.is_owed(decision.status)
    closing = replace(case, incident=make_incident(severity="P1", resolution="Resolved"))
    assert not any(reviewing.is_owed(status) for _, status in decide(closing).duplicates)


@pytest.mark.parametrize(
    ("less", "owed"),
    [
        pytest.param({"rootCause": " "}, "the root cause (spec.rootCause)", id="no root cause"),
        pytest.param({"impact": {"revenue": "none"}}, "the impact (spec.impact: usersAffected, dataLoss)", id="half of the impact"),
        pytest.param({"actionItems": []}, "action items (spec.actionItems, or spec.noActionItems: true)", id="no action item"),
        pytest.param({"actionItems": [{"title": "x", "owner": "ana"}]}, "an owner and a due day for every action item", id="no due day"),
        pytest.param({"completed": False}, "your word that it is finished (spec.completed: true)", id="not finished"),
    ],
)
def test_each_part_that_is_missing_is_owed_and_alone_keeps_it_from_being_complete(less: dict[str, Any], owed: str) -> None:
    status = make_pm(over(), **{**FILLED, **less}).status
    assert status is not None
    [one] = status.owed
    assert one.startswith(owed)
    complete = find(status.conditions, "Complete")
    assert complete is not None
    assert (complete.status, complete.reason) == ("False", Reason.ReviewOwed)
    assert one in complete.message


@pytest.mark.parametrize(
    "enough", [pytest.param({}, id="with action items"), pytest.param({"actionItems": [], "noActionItems": True}, id="or an explicit none")]
)
def test_it_is_complete_once_everything_is_there(enough: dict[str, Any]) -> None:
    status = make_pm(over(), **{**FILLED, **enough}).status
    assert status is not None
    assert status.owed == ()
    assert [(one.type, one.status) for one in status.conditions] == [("Complete", "True")]
    assert status.observed_generation == 3


def test_the_review_of_an_open_incident_or_of_none_is_never_complete() -> None:
    still = make_pm(make_incident(status={"detectedAt": NOW}), **FILLED)
    assert still.status is not None
    assert still.status.owed == ("the end of the incident: it is still open",)
    nothing = reviewing.status(make_pm(**FILLED), None, NOW)
    assert [one.partition(":")[2] for one in nothing.owed] == [" nothing is known of it"]
    assert "# Post-Mortem: api-1" in nothing.document


def test_the_facts_are_those_of_the_end_and_outlive_the_incident() -> None:
    ended = over()
    pm = make_pm(ended)
    assert pm.status is not None
    assert reviewing.facts(pm, None) == pm.status.facts
    assert reviewing.facts(pm, over(severity="P4")) == pm.status.facts
    still = make_pm(make_incident(status={"detectedAt": NOW}))
    assert reviewing.facts(still, ended) == reviewing.facts_of(ended)


def test_another_incident_of_the_same_name_is_not_taken_for_it() -> None:
    stranger = over()
    stranger = stranger.model_copy(update={"metadata": stranger.metadata.model_copy(update={"uid": "other"})})
    assert reviewing.facts(make_pm(), stranger) is None
    known = make_pm(make_incident(status={"detectedAt": NOW}), ref={"name": "api-1"})
    assert known.status is not None
    assert reviewing.facts(known, stranger) == known.status.facts
    assert reviewing.facts(make_pm(ref={"name": "api-1"}), stranger) == reviewing.facts_of(stranger)


def test_the_incident_is_reviewed_when_its_review_is_complete_and_says_so_once() -> None:
    incident = over()
    after = reviewing.reviewed(incident, make_pm(incident, **FILLED), NOW)
    assert after is not None
    assert after.phase == "Reviewed"
    told = incident.model_copy(update={"status": after})
    assert reviewing.reviewed(told, make_pm(incident, **FILLED), NOW) is None


def test_a_review_that_is_taken_back_is_owed_again() -> None:
    incident = over()
    done = incident.model_copy(update={"status": reviewing.reviewed(incident, make_pm(incident, **FILLED), NOW)})
    after = reviewing.reviewed(done, make_pm(incident, **{**FILLED, "rootCause": ""}), NOW)
    assert after is not None
    assert reviewing.is_owed(after)
    assert after.phase == "Resolved"


def test_an_open_incident_is_told_nothing_of_its_review() -> None:
    incident = make_incident(status={"detectedAt": NOW})
    assert reviewing.reviewed(incident, make_pm(incident, **FILLED), NOW) is None
