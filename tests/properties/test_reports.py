"""Whatever the record holds: never above the caps, never a part missing, never a placeholder, never markup of a stranger."""

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stopgap.api.communication import UPDATE_BYTES
from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.api.postmortem import DOCUMENT_BYTES, Facts, PostMortemSpec
from stopgap.core.reports import record, review, update
from stopgap.core.reports.markdown import said
from stopgap.model.conditions import Truth, condition
from stopgap.model.reasons import Reason

TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
WORDS = st.one_of(st.text(max_size=1200), st.sampled_from(["", "*" * 1200, "𝄞" * 1200, "\\" * 1200, "# x\n```\n<b>"]))
TYPES = st.sampled_from([*map(str, Reason), "Newer"])


def text(most: int) -> st.SearchStrategy[str]:
    return WORDS.map(lambda one: one[:most])


def maybe(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | value


def several(value: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.lists(value, max_size=3) | value.map(lambda one: [one] * most)


REFUSALS = several(st.fixed_dictionaries({"reason": TYPES, "message": text(1024)}), 32)
STATES = st.sampled_from(["Succeeded", "Failed", "Refused", "Verifying", "Newer"])
REMEDIATIONS = several(
    st.fixed_dictionaries(
        {
            "name": st.just("r"),
            "step": st.just("undo"),
            "action": st.just("Rollback"),
            "state": STATES,
            "summary": text(256),
            "executedAt": maybe(TIMES),
            "revert": st.sampled_from(["", "Pending", "Held", "Failed", "Done", "NotNeeded"]),
        }
    ),
    20,
)
STATUS = st.fixed_dictionaries(
    {
        "severity": maybe(st.sampled_from(["P1", "P2", "P3", "P4"])),
        **{f"{name}At": maybe(TIMES) for name in ("started", "detected", "mitigated", "resolved", "updated")},
        **{name: maybe(TIMES) for name in ("acknowledgeBy", "nextUpdateDue")},
        "duplicateOf": st.sampled_from(["", "a" * 253]),
        "recurrenceOf": st.sampled_from(["", "a" * 253]),
        "findings": several(
            st.fixed_dictionaries({"trigger": st.just("t"), "type": TYPES, "state": st.just("Firing"), "message": text(1024)}), 16
        ),
        "suspectedChange": maybe(
            st.fixed_dictionaries(
                {"revision": st.just(2**53), "images": several(text(600), 20), "by": text(128), "changedAt": maybe(TIMES)}
            )
        ),
        "decision": maybe(st.fixed_dictionaries({"step": st.just("undo"), "message": text(1024), "refusals": REFUSALS})),
        "remediations": REMEDIATIONS,
        "timeline": several(
            st.fixed_dictionaries({"time": TIMES, "type": TYPES, "message": text(512), "actor": text(63)}),
            100,
        ),
        "foldedEntries": st.sampled_from([0, 9]),
    }
)
CONDITIONS = st.lists(
    st.tuples(st.sampled_from(["Mitigated", "Resolved", "Escalated", "Acknowledged", "GitOpsDrift"]), st.booleans(), TYPES, text(1024)),
    max_size=5,
    unique_by=lambda one: one[0],
)
SPEC = st.fixed_dictionaries(
    {
        "title": text(256).filter(bool),
        "description": text(1200),
        "impact": text(1024),
        "acknowledgedBy": maybe(text(63)),
        "startedAt": maybe(TIMES),
    }
)
PEOPLE = st.fixed_dictionaries(
    {
        "incidentRef": st.just({"name": "api-1"}),
        "rootCause": text(1200).map(lambda one: (one * 4)[:4096]),
        "lessons": text(1200).map(lambda one: (one * 4)[:4096]),
        "impact": st.fixed_dictionaries({name: text(256) for name in ("usersAffected", "revenue", "dataLoss")}),
        "actionItems": several(
            st.fixed_dictionaries({"title": text(256).filter(bool), "owner": text(128), "due": maybe(st.just("2026-12-01"))}), 20
        ),
    }
)
# Without shrinking: the records are large, and what is wrong with one is seen without that.
some = settings(max_examples=50, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None)
PLACEHOLDER = re.compile(r"\bNone\b(?!:)|TODO|TBD|YYYY|<[^>]|\{\w*\}|datetime")
UPDATE = ["## Incident Update", "### Summary", "### Impact", "### Current Actions", "### Next Update"]
REVIEW = ["Summary", "Times", "Timeline", "Root Cause", "Impact", "Action Items", "Lessons Learned"]


def made(body: dict[str, Any], held: list[tuple[str, bool, str, str]]) -> IncidentStatus:
    conditions = tuple(
        condition(kind, Truth.TRUE if truth else Truth.FALSE, reason, message, datetime(2026, 6, 1, tzinfo=UTC))
        for kind, truth, reason, message in held
    )
    status = IncidentStatus.model_validate(body).model_copy(update={"conditions": conditions})
    return status.model_copy(update={"communication_status": record.standing(status)})


@some
@given(spec=SPEC, status=STATUS, held=CONDITIONS)
def test_an_update_keeps_its_shape_and_its_size(spec: dict[str, Any], status: dict[str, Any], held: list[Any]) -> None:
    told = update.render(IncidentSpec.model_validate(spec), made(status, held))
    assert len(told.encode()) <= UPDATE_BYTES
    lines = told.splitlines()
    assert [line for line in lines if line.startswith("#")] == UPDATE
    heads = ("**Status:** ", "**Severity:** ", "**Started:** ", "**Duration:** ")
    assert [line.startswith(head) for line, head in zip(lines[1:5], heads, strict=True)] == [True] * 4
    assert not lines[-1].endswith("…"), "the end was cut away by what stands before it"
    parts = told.split("\n\n")
    assert all("\n" in one and one.partition("\n")[2].strip() for one in parts)


@some
@given(spec=PEOPLE, of=SPEC, status=STATUS, held=CONDITIONS)
def test_a_review_keeps_its_shape_and_its_size(spec: dict[str, Any], of: dict[str, Any], status: dict[str, Any], held: list[Any]) -> None:
    facts = Facts(uid="u", spec=IncidentSpec.model_validate(of), status=made(status, held))
    told = review.render(PostMortemSpec.model_validate(spec), facts)
    assert len(told.encode()) <= DOCUMENT_BYTES
    assert [line[3:] for line in told.splitlines() if line.startswith("## ")] == REVIEW
    assert not [line for line in told.splitlines() if line.startswith("#") and not line.startswith(("# Post-Mortem", "## "))]
    assert "```" not in told


@some
@given(status=STATUS, held=CONDITIONS)
def test_nothing_is_left_to_be_filled_in(status: dict[str, Any], held: list[Any]) -> None:
    for one in ("findings", "remediations", "timeline"):
        status = {**status, one: []}
    blank = {**status, "suspectedChange": None, "decision": None}
    quiet = [(kind, truth, reason, "it is so") for kind, truth, reason, _ in held]
    known = made(blank, quiet)
    spec = IncidentSpec(title="api is down")
    assert not PLACEHOLDER.search(update.render(spec, known))
    document = review.render(PostMortemSpec.model_validate({"incidentRef": {"name": "a"}}), Facts(spec=spec, status=known))
    assert not PLACEHOLDER.search(document)


@some
@given(spec=SPEC, status=STATUS, held=CONDITIONS)
def test_the_same_record_gives_the_same_text_before_and_after_it_was_stored(
    spec: dict[str, Any], status: dict[str, Any], held: list[Any]
) -> None:
    before, known = IncidentSpec.model_validate(spec), made(status, held)
    again = IncidentStatus.model_validate_json(known.model_dump_json(by_alias=True))
    assert update.render(IncidentSpec.model_validate_json(before.model_dump_json(by_alias=True)), again) == update.render(before, known)


@given(text=st.text(), most=st.integers(12, 400))
def test_foreign_text_is_one_line_within_its_size_and_markup_in_it_is_escaped(text: str, most: int) -> None:
    shown = said(text, most)
    assert len(shown.encode()) <= most
    assert shown == "" or shown.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*\[\]<|~]", shown)
