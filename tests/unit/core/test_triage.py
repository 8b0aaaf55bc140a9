"""What is told at every look: when it began, and who has taken it."""

from datetime import datetime
from typing import Any

import pytest
from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago, make_case, make_incident, make_live, make_policy, make_seen

from stopgap.api.incident import IncidentStatus
from stopgap.core.decide import decide
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason


def told(incident: dict[str, Any] | None = None, **seen: Any) -> IncidentStatus:
    """The status after one look; by the signals the crash loop began 30 s ago."""
    status = decide(make_case(incident=make_incident(**(incident or {})), seen=make_seen(live=make_live(), **seen))).status
    assert status is not None
    return status


MANUAL: dict[str, Any] = {"source": {"type": "Manual"}}
FIRST_EXIT = ago(seconds=30)


@pytest.mark.parametrize(
    ("incident", "began"),
    [
        pytest.param({"startedAt": FIRST_EXIT}, FIRST_EXIT, id="the first bad sample, of which the incident was opened"),
        pytest.param(MANUAL, FIRST_EXIT, id="the first bad sample, which a person did not know of"),
        pytest.param({**MANUAL, "startedAt": ago(seconds=5)}, ago(seconds=5), id="a person's word"),
        pytest.param({**MANUAL, "startedAt": ago(minutes=9)}, ago(minutes=9), id="a person's word for the earlier"),
        pytest.param({"source": {"type": "Alert"}, "startedAt": ago(seconds=1)}, FIRST_EXIT, id="the pods were ill before the alert fired"),
        pytest.param({"startedAt": ago(minutes=3)}, ago(minutes=3), id="what was known of earlier stays"),
        pytest.param(
            {"startedAt": ago(minutes=3), "status": {"detectedAt": ago(minutes=2), "startedAt": ago(minutes=3)}},
            ago(minutes=3),
            id="a window that moves on moves no beginning",
        ),
        pytest.param(
            {**MANUAL, "status": {"detectedAt": ago(seconds=5), "startedAt": ago(seconds=5)}},
            FIRST_EXIT,
            id="a signal that confirms it later",
        ),
    ],
)
def test_it_began_with_the_first_bad_sample_and_not_when_it_was_noticed(incident: dict[str, Any], began: datetime) -> None:
    assert told(incident).started_at == began


def test_where_no_signal_says_when_it_began_it_is_when_it_was_reported() -> None:
    assert told(MANUAL, pods=(), exits=()).started_at == NOW


def test_who_takes_an_incident_is_told_and_who_takes_it_over() -> None:
    first = told({"acknowledgedBy": "ana"})
    assert [(one.message, one.actor) for one in first.timeline if one.type == Reason.Acknowledged] == [
        ("ana has taken the incident", "ana")
    ]
    stored = first.model_copy(update={"acknowledged_at": ago(minutes=1)}).model_dump()
    again = told({"acknowledgedBy": "ana", "status": stored})
    assert again.timeline == first.timeline
    over = told({"acknowledgedBy": "bo", "status": stored})
    assert [one.message for one in over.timeline if one.type == Reason.Acknowledged][1:] == ["bo has taken the incident over"]
    condition = find(over.conditions, "Acknowledged")
    assert condition is not None
    assert condition.message == "bo has taken it"
    assert over.acknowledged_at == ago(minutes=1)


@pytest.mark.parametrize(
    ("live", "images"),
    [
        pytest.param(False, ("app: 1 → 2",), id="images that this look does not tell"),
        pytest.param(True, (f"app: {GOOD_IMAGE} → {BAD_IMAGE}",), id="images that it tells"),
    ],
)
def test_what_was_found_of_the_suspected_change_stays_from_look_to_look(live: bool, images: tuple[str, ...]) -> None:  # noqa: FBT001 - a column
    change = {"revision": 2, "images": ["app: 1 → 2"], "sourceRevision": "4f2a (Argo CD application shop)"}
    case = make_case(
        live=live, incident=make_incident(status={"detectedAt": NOW, "suspectedChange": change}), policy=make_policy(mode="Observe")
    )
    status = decide(case).status
    assert status is not None
    assert status.suspected_change is not None
    assert status.suspected_change.source_revision == "4f2a (Argo CD application shop)"
    assert status.suspected_change.images == images


def test_what_a_person_reports_has_a_suspected_change_too_where_a_step_is_meant_for_it() -> None:
    step = {"name": "undo", "when": {"sources": ["Manual"]}, "rollback": {}}
    case = make_case(
        incident=make_incident(**MANUAL), policy=make_policy(steps=[step]), seen=make_seen(pods=(), exits=(), live=make_live())
    )
    decision = decide(case)
    assert decision.intent is not None
    assert decision.status is not None
    assert decision.status.suspected_change is not None
    assert decision.status.suspected_change.images == (f"app: {GOOD_IMAGE} → {BAD_IMAGE}",)
