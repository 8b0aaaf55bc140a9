"""The document of a PostMortem: the facts from the record, the reasons from people, and what they still owe marked as owed."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from stopgap.api.incident import IncidentSpec, IncidentStatus, TimelineEntry
from stopgap.api.postmortem import DOCUMENT_BYTES, ActionItem, Facts, PostMortemSpec
from stopgap.core import lifecycle
from stopgap.core.reports import record
from stopgap.core.reports.markdown import prose, said, within
from stopgap.core.reports.suggestions import suggestions
from stopgap.core.reports.times import spans
from stopgap.core.reports.wording import lasting, sentence
from stopgap.core.timeline import FIRST
from stopgap.model.conditions import find, holds
from stopgap.model.duration import spell
from stopgap.model.reasons import Reason
from stopgap.model.time import whole

PROSE = (12_000, 4000)
"""Bytes of each text of people: all of it where that leaves room for a timeline, and else as much as always does."""
TIMELINE = 7000
"""Bytes that are always left for the timeline."""
EVENT = 200
"""Bytes of one line of the timeline."""
SEEN = 400
"""Bytes of one piece of evidence."""
UNKNOWN = "not known: there is no record of the Incident"


def render(spec: PostMortemSpec, facts: Facts | None) -> str:
    """Return the document. The same spec and facts give the same text, whether or not the Incident is still there."""
    for most in PROSE:
        before, after = [*_head(spec, facts), "", "## Timeline", ""], ["", *_people(spec, facts, most)]
        room = DOCUMENT_BYTES - _size((*before, *after))
        if room >= TIMELINE:
            break
    events = _fitting(_timeline(facts.status), room) if facts else [UNKNOWN]
    return within("\n".join((*before, *events, *after)), DOCUMENT_BYTES)


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)


def _head(spec: PostMortemSpec, facts: Facts | None) -> Iterator[str]:
    if facts is None:
        yield f"# Post-Mortem: {said(spec.incident_ref.name, 253)}"
        yield from ("", *(f"**{name}:** {UNKNOWN}" for name in ("Date", "Duration", "Severity")), "", "## Summary", "", UNKNOWN)
        return
    status = facts.status
    yield f"# Post-Mortem: {said(facts.spec.title, 300)}"
    yield ""
    yield f"**Date:** {f'{status.started_at:%Y-%m-%d}' if status.started_at else 'not known'}"
    yield f"**Duration:** {_duration(status)}"
    yield f"**Severity:** {status.severity or 'not set'}"
    yield from ("", "## Summary", "", " ".join(_summary(facts.spec, status)))
    yield from ("", "## Times", "", "| To | Took | From what to what |", "| --- | --- | --- |")
    yield from (f"| {one.name} | {one} | {one.about} |" for one in spans(facts.spec, status))


def _duration(status: IncidentStatus) -> str:
    if status.started_at is None or status.resolved_at is None:
        return "not known: the incident is still open"
    length = max(whole(status.resolved_at) - whole(status.started_at), timedelta(0))
    exact = f" ({spell(length)})" if lasting(length) == "less than a minute" else ""
    return f"{lasting(length)}{exact}"


def _summary(spec: IncidentSpec, status: IncidentStatus) -> Iterator[str]:
    """Yield two or three sentences: what it was, what was done, and how it ended."""
    yield sentence(record.headline(spec, status, 500))
    change = record.suspect(status, 400)
    acts = record.actions(status, 250)
    blamed = f"the suspected change is {change}" if change else "no change is known that could be behind it"
    if record.cleared(status):
        blamed = "the newest release was not to blame"
    done = "; ".join(acts[-3:]) or "nothing was done by Stopgap"
    yield sentence(f"{blamed}; {done}")
    ended = find(status.conditions, lifecycle.RESOLVED)
    if ended is None or not holds(status.conditions, lifecycle.RESOLVED):
        yield "It is still open."
    else:
        yield sentence(f"it {'was a false alarm' if ended.reason == Reason.FalseAlarm else 'ended'}: {said(ended.message, 300)}")


def _timeline(status: IncidentStatus) -> list[str]:
    entries = status.timeline
    days = {one.time.date() for one in entries}
    lines: list[str] = []
    for number, one in enumerate(entries):
        if status.folded_entries and number == FIRST:
            lines.append(f"- … ({status.folded_entries} further entries were not kept)")
        if len(days) > 1 and (number == 0 or entries[number - 1].time.date() != one.time.date()):
            lines.append(f"- **{one.time:%Y-%m-%d}**")
        lines.append(_event(one))
    return lines or ["- nothing was told"]


def _event(one: TimelineEntry) -> str:
    by = "" if one.actor in {"stopgap", ""} else f" ({said(one.actor, 70)})"
    return f"- {one.time:%H:%M} - {said(f'{one.type}: {one.message}', EVENT)}{by}"


def _fitting(lines: list[str], room: int) -> list[str]:
    """Keep the beginning and the end, and say how many lines between them are left out for want of room."""
    if _size(lines) <= room:
        return lines
    first, last = lines[:FIRST], lines[FIRST:]
    while last and _size(first) + _size(last) > room - 80:  # for the line that says so
        last = last[1:]
    return [*first, f"- … ({len(lines) - len(first) - len(last)} entries are left out; status.facts has them)", *last]


def _people(spec: PostMortemSpec, facts: Facts | None, most: int) -> Iterator[str]:
    yield from ("## Root Cause", "", prose(spec.root_cause, most) if spec.root_cause.strip() else _owed("why it happened", "rootCause"))
    if facts and facts.status.evidence:
        yield from ("", "What was seen when it was looked into:", "", *_seen(facts.status))
    yield from ("", "## Impact", "", *_impact(spec, facts))
    yield from ("", "## Action Items", "", *_action_items(spec))
    if facts and (found := suggestions(facts.spec, facts.status)):
        yield from ("", "Suggested by the record:", "", *(f"- {one}" for one in found))
    lessons = prose(spec.lessons, most) if spec.lessons.strip() else "Nobody has written any down (spec.lessons)."
    yield from ("", "## Lessons Learned", "", lessons)


def _owed(what: str, field: str) -> str:
    return f"**Owed:** {what} (spec.{field})"


def _seen(status: IncidentStatus) -> Iterator[str]:
    if status.common_cause:
        yield f"- Suspected common cause: {said(status.common_cause, SEEN)}"
    yield from (f"- {said(f'{one.source}: {one.message}', SEEN)}" for one in status.evidence)


def _impact(spec: PostMortemSpec, facts: Facts | None) -> Iterator[str]:
    impact = spec.impact
    asked = (
        ("Users affected", "usersAffected", impact.users_affected),
        ("Revenue", "revenue", impact.revenue),
        ("Data loss", "dataLoss", impact.data_loss),
    )
    for name, field, told in asked:
        yield f"- {name}: {said(told, 400) if told.strip() else _owed('somebody to say so, even if it is none', f'impact.{field}')}"
    if facts and (reported := said(facts.spec.impact, 800)):
        yield f"- As reported during the incident: {reported}"


def _action_items(spec: PostMortemSpec) -> Iterable[str]:
    if not spec.action_items:
        return [
            "None: it was decided that nothing is to be done." if spec.no_action_items else _owed("what is done about it", "actionItems")
        ]
    return ["| Action | Owner | Due |", "| --- | --- | --- |", *(_row(one) for one in spec.action_items)]


def _row(one: ActionItem) -> str:
    return f"| {said(one.title, 200)} | {said(one.owner, 80) or '**owed**'} | {one.due or '**owed**'} |"
