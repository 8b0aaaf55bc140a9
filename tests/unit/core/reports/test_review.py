"""The document of a review, part by part. Whole drafts are in tests/golden."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, make_incident

from stopgap.api.incident import IncidentStatus
from stopgap.api.postmortem import DOCUMENT_BYTES, Facts, PostMortemSpec
from stopgap.core.reports import review
from stopgap.core.reports.suggestions import suggestions
from stopgap.core.reports.times import spans
from stopgap.model.conditions import Truth, condition

REF = {"incidentRef": {"name": "api-1"}}


def facts(status: dict[str, Any] | None = None, **spec: Any) -> Facts:
    incident = make_incident(**spec)
    return Facts(uid="u", spec=incident.spec, status=IncidentStatus.model_validate({"startedAt": NOW, "detectedAt": NOW, **(status or {})}))


def rendered(known: Facts | None, **spec: Any) -> str:
    return review.render(PostMortemSpec.model_validate({**REF, **spec}), known)


def test_what_people_wrote_stands_in_place_of_what_was_owed() -> None:
    text = rendered(
        facts(),
        rootCause="- a typo",
        impact={"usersAffected": "12 | of 40", "revenue": "none", "dataLoss": "none"},
        actionItems=[{"title": "lint | it", "owner": "ana", "due": "2026-12-01"}, {"title": "tell others"}],
        lessons="tests run too late",
    )
    assert "## Root Cause\n\n- a typo\n" in text
    assert "- Users affected: 12 \\| of 40\n- Revenue: none\n" in text
    assert "| lint \\| it | ana | 2026-12-01 |\n| tell others | **owed** | **owed** |" in text
    assert text.endswith("## Lessons Learned\n\ntests run too late")
    assert "**Owed:**" not in text
    assert "None: it was decided that nothing is to be done." in rendered(facts(), noActionItems=True)


def test_a_long_story_keeps_its_beginning_and_its_end_and_says_what_is_left_out() -> None:
    entries = [{"time": NOW + timedelta(minutes=n), "type": "Detected", "message": f"{n} {'ü' * 250}"} for n in range(100)]
    text = rendered(facts({"timeline": entries, "foldedEntries": 7}), rootCause="ü" * 4000, lessons="ü" * 4000)
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert "- 10:00 - Detected: 0 ü" in text
    assert "- 11:39 - Detected: 99 ü" in text
    assert "- … (7 further entries were not kept)" in lines or "entries are left out; status.facts has them)" in text
    assert DOCUMENT_BYTES - 1000 < len(text.encode()) <= DOCUMENT_BYTES


def test_the_times_are_exact_or_say_why_they_are_not_known() -> None:
    acted = [{"name": "r", "step": "undo", "action": "Rollback", "state": "Succeeded", "executedAt": NOW + timedelta(seconds=3)}]
    ends = {"mitigatedAt": NOW + timedelta(minutes=1), "resolvedAt": NOW + timedelta(hours=2)}
    known = facts({"remediations": acted, **ends}, startedAt=NOW)
    assert [str(one) for one in spans(known.spec, known.status)] == ["0s", "3s", "1m", "2h"]
    unknown = facts()
    assert [str(one) for one in spans(unknown.spec, unknown.status)] == [
        "not known: nobody said when it began",
        "no action was taken",
        "not known: nobody said when it began",
        "not known: nobody said when it began",
    ]


def entry(reason: str) -> dict[str, Any]:
    return {"timeline": [{"time": NOW, "type": reason, "message": f"told of {reason}"}]}


def decided(reason: str) -> dict[str, Any]:
    return {"decision": {"refusals": [{"reason": reason, "message": f"told of {reason}"}]}}


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        pytest.param({}, "", id="nothing in the record, nothing suggested"),
        pytest.param(entry("Executed"), "", id="an action is no reason"),
        pytest.param(entry("NotAuthorized"), "Decide about what held the action back (NotAuthorized): told of NotAuthorized", id="a guard"),
        pytest.param(decided("MutableImage"), "Decide about what held the action back (MutableImage): told of MutableImage", id="a tag"),
        pytest.param(
            decided("NotAttributable"),
            "Find what failed, for the newest release was not to blame: told of NotAttributable",
            id="not the release",
        ),
        pytest.param({"recurrenceOf": "api-6"}, "See why the release that was undone in api-6 could be rolled out again", id="again"),
        pytest.param(
            entry("AcknowledgementOverdue"),
            "See that somebody is reached: nobody had taken it within the time that its severity asks for",
            id="nobody was reached",
        ),
        pytest.param(
            {"suspectedChange": {"images": ["app: a:1 → registry:5000/a"]}},
            "Name the image registry:5000/a by its digest: the tag may mean another image tomorrow",
            id="an image without a tag",
        ),
        pytest.param(
            {"suspectedChange": {"images": ["app: a:1 → a:latest"]}},
            "Name the image a:latest by its digest: the tag may mean another image tomorrow",
            id="latest",
        ),
        pytest.param({"suspectedChange": {"images": ["app: a:1 → a:2", "b: c → c@sha256:0"]}}, "", id="a tag that names a version"),
        pytest.param(
            {"detectedAt": NOW + timedelta(minutes=20)}, "Notice it earlier: it took 20m until it was noticed (Workload)", id="noticed late"
        ),
    ],
)
def test_what_is_suggested_rests_on_the_record(status: dict[str, Any], wanted: str) -> None:
    known = facts(status, startedAt=NOW)
    assert suggestions(known.spec, known.status) == ((wanted,) if wanted else ())


def test_the_bad_version_in_git_is_the_first_suggestion() -> None:
    known = facts()
    held = condition("GitOpsDrift", Truth.TRUE, "GitOpsDrift", "Application shop still has 2.0", NOW)
    found = suggestions(known.spec, known.status.model_copy(update={"conditions": (held,)}))
    assert found == ("Take the bad version out of where it is deployed from: Application shop still has 2.0",)
