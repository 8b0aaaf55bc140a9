"""The communication update: what those who wait for the end of an incident are told, in Markdown, to be passed on as it is."""

from collections.abc import Iterator

from stopgap.api.communication import UPDATE_BYTES
from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.core import lifecycle
from stopgap.core.reports import record
from stopgap.core.reports.markdown import said, within
from stopgap.core.reports.times import onset
from stopgap.core.reports.wording import REVERTS, dated, lasting, sentence, timed
from stopgap.model.conditions import find, holds
from stopgap.model.reasons import Reason
from stopgap.model.time import whole

MOST_ACTIONS = 3
# Bytes of the parts: together never more than UPDATE_BYTES, so that no part is cut away by another.
HEADLINE, IMPACT, ACTION, REASON, SUSPECT = 280, 280, 110, 110, 120


def render(spec: IncidentSpec, status: IncidentStatus) -> str:
    """Return the update as of status.updatedAt. The same record gives the same text; what is not known is said to be unknown."""
    text = "\n".join(
        (
            "## Incident Update",
            f"**Status:** {status.communication_status or record.standing(status)}",
            f"**Severity:** {status.severity or 'not set yet'}",
            f"**Started:** {_started(spec, status)}",
            f"**Duration:** {_duration(status)}",
            "\n### Summary",
            f"{sentence(record.headline(spec, status, HEADLINE))} {sentence(_how_it_stands(status))}",
            "\n### Impact",
            _impact(spec, status),
            "\n### Current Actions",
            *(f"- {line}" for line in _actions(spec, status)),
            "\n### Next Update",
            _next(status),
        )
    )
    return within(text, UPDATE_BYTES)


def _started(spec: IncidentSpec, status: IncidentStatus) -> str:
    if status.started_at is None:
        return "not known yet"
    return dated(status.started_at) + ("" if onset(spec, status) else " (when it was reported)")


def _duration(status: IncidentStatus) -> str:
    began, now = status.started_at, status.resolved_at or status.updated_at
    if began is None or now is None:
        return "not known yet"
    if whole(now) < whole(began):
        return "none yet: it is said to begin later"
    word = "until" if status.resolved_at else "as of"
    return f"{lasting(whole(now) - whole(began))} ({word} {timed(now, began)})"


def _how_it_stands(status: IncidentStatus) -> str:
    """Return the second sentence of the summary."""
    if holds(status.conditions, lifecycle.RESOLVED):
        return _ended(status)
    if status.duplicate_of:
        return f"incident {said(status.duplicate_of, 120)} of the same workload is handled instead, and its update says how it stands"
    if holds(status.conditions, lifecycle.MITIGATED):
        return _with_suspect("the bleeding has stopped", status, lifecycle.MITIGATED)
    again = "it is back after it had been mitigated; " if _came_back(status) else ""
    if holds(status.conditions, lifecycle.ESCALATED):
        return _with_suspect(f"{again}automation has ended and people were called", status, lifecycle.ESCALATED)
    return again + _what_is_known(status)


def _ended(status: IncidentStatus) -> str:
    resolved = find(status.conditions, lifecycle.RESOLVED)
    if resolved and resolved.reason == Reason.FalseAlarm:
        return f"it was a false alarm: {said(resolved.message, 250)}"
    return _with_suspect("it is over", status, lifecycle.RESOLVED)


def _with_suspect(how: str, status: IncidentStatus, kind: str) -> str:
    change = record.suspect(status, SUSPECT)
    return f"{how}: {said(record.message_of(status, kind), REASON)}{f'; the suspected change is {change}' if change else ''}"


def _what_is_known(status: IncidentStatus) -> str:
    if change := record.suspect(status, 250):
        return f"the suspected change is {change}"
    behind = record.cause(status)
    known = (
        ("the cause is known", behind.message if behind else ""),
        ("a common cause is suspected", status.common_cause),
        ("the newest release is not to blame", record.cleared(status)),
        ("what fails is known, and why is not yet", record.component(status)),
    )
    if found := next((f"{what}: {said(message, 250)}" for what, message in known if message), ""):
        return found
    return "what fails is known, and why is not yet" if status.communication_status == "Identified" else "the cause is not known yet"


def _came_back(status: IncidentStatus) -> bool:
    return any(one.type in {Reason.Mitigated, Reason.Recovered} for one in status.timeline)


def _impact(spec: IncidentSpec, status: IncidentStatus) -> str:
    if reported := said(spec.impact, IMPACT):
        return reported
    seen = next((one.message for one in status.findings if one.type == Reason.Unavailable), "")
    unknown = "Nobody has reported yet who is affected and how."
    return f"{sentence(said(seen, 200))} {unknown}" if seen else unknown


def _actions(spec: IncidentSpec, status: IncidentStatus) -> Iterator[str]:
    done = record.actions(status, ACTION)
    if len(done) > MOST_ACTIONS:
        yield f"{len(done) - MOST_ACTIONS} earlier, see the timeline"
    yield from done[-MOST_ACTIONS:]
    yield from _to_put_back(status)
    if held := _held_back(status):
        yield held
    elif not done:
        yield "none was taken"
    if not holds(status.conditions, lifecycle.RESOLVED) and not status.duplicate_of:
        yield from _people(spec, status)


def _to_put_back(status: IncidentStatus) -> Iterator[str]:
    lent = [one for one in status.remediations if one.revert in {"Pending", "Held", "Failed"}]
    if lent:
        yield f"temporary: {said(lent[-1].summary or lent[-1].step, 50)}; {REVERTS[lent[-1].revert]}"


def _held_back(status: IncidentStatus) -> str:
    """Say why nothing more is done, where something is left to do."""
    over = (lifecycle.MITIGATED, lifecycle.RESOLVED, lifecycle.ESCALATED)
    decision = status.decision
    if decision is None or decision.allowed or not decision.refusals or any(holds(status.conditions, kind) for kind in over):
        return ""
    first, more = decision.refusals[0], len(decision.refusals) - 1
    others = f" (and {more} more reason{'s' if more > 1 else ''})" if more else ""
    what = f"{said(decision.message, 70)}: not done," if decision.message else "none was taken:"
    return f"{what} {said(first.message, REASON)}{others}"


def _people(spec: IncidentSpec, status: IncidentStatus) -> Iterator[str]:
    if holds(status.conditions, lifecycle.ESCALATED):
        yield "people were called"
    if spec.acknowledged_by:
        yield f"{said(spec.acknowledged_by, 70) or 'a person'} has taken it"
    elif status.acknowledge_by:
        late = find(status.conditions, lifecycle.ACKNOWLEDGED)
        verb = "was to" if late and late.reason == Reason.AcknowledgementOverdue else "is to"
        yield f"nobody has taken it yet; somebody {verb} by {timed(status.acknowledge_by, status.started_at or status.acknowledge_by)}"


def _next(status: IncidentStatus) -> str:
    if holds(status.conditions, lifecycle.RESOLVED):
        return "None: the incident is over."
    if status.duplicate_of:
        return f"See incident {said(status.duplicate_of, 120)}."
    if status.next_update_due is None:
        return "When something changes; none is planned at this severity."
    return f"{dated(status.next_update_due)}, or earlier if something changes"
