"""Keeps the update of an incident current with every transition, and reminds people when the next one is due. No write of its own.

The update is part of the status that is written anyway. While nothing changes it says as of when it is true, and is left alone: one write
and one Event for each time that it is due, and none in between.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.core import lifecycle, response
from stopgap.core.case import Case, Decision, Notice, soonest
from stopgap.core.reports import record, update
from stopgap.model.conditions import find, holds
from stopgap.model.reasons import Reason
from stopgap.model.time import stamp, whole


def kept_current(case: Case, decision: Decision) -> Decision:
    """Add the update to every incident status of a decision. Doing it twice changes nothing."""
    duplicates = tuple((one, _current(case, one.spec, status)[0]) for one, status in decision.duplicates)
    decision = replace(decision, duplicates=duplicates)
    if case.incident is None or decision.status is None:
        return decision
    status, due = _current(case, case.incident.spec, decision.status)
    notices = (*decision.notices, _reminder(decision.status, status)) if due else decision.notices
    return replace(decision, status=status, notices=notices, look_again=_look_again(case, status, decision.look_again))


def _current(case: Case, spec: IncidentSpec, status: IncidentStatus) -> tuple[IncidentStatus, bool]:
    """Return the status with its update, and whether it was written anew for no other reason than that it was due."""
    status = status.model_copy(update={"communication_status": record.standing(status)})
    now = whole(case.now)
    if status.updated_at is None:
        return _as_of(case, spec, status, now), False
    same = _as_of(case, spec, status, status.updated_at)
    changed = same.update != status.update
    due = not changed and same.next_update_due is not None and now >= same.next_update_due
    if due:
        status = status.model_copy(update={"reminded_at": now})
    return (_as_of(case, spec, status, now) if changed or due else same), due


def _as_of(case: Case, spec: IncidentSpec, status: IncidentStatus, at: datetime) -> IncidentStatus:
    every = _every(case, status)
    status = status.model_copy(update={"updated_at": at, "next_update_due": at + every if every else None})
    return status.model_copy(update={"update": update.render(spec, status)})


def _every(case: Case, status: IncidentStatus) -> timedelta | None:
    if status.severity is None or status.duplicate_of or holds(status.conditions, lifecycle.RESOLVED):
        return None
    return response.level(case.config, status.severity).update_every


def _reminder(before: IncidentStatus, now: IncidentStatus) -> Notice:
    # The times make each reminder an Event of its own.
    by, then = before.next_update_due, now.next_update_due
    message = (
        f"those who wait were to hear again{f' by {stamp(by)}' if by else ''}, and nothing has changed: "
        f"tell them so with status.update{f', and the next time by {stamp(then)}' if then else ''}"
    )
    return Notice(Reason.UpdateDue, message, warning=True)


def _look_again(case: Case, status: IncidentStatus, planned: timedelta | None) -> timedelta | None:
    """Look again when an update or an acknowledgement is due, also where nothing else would make anybody look."""
    if holds(status.conditions, lifecycle.RESOLVED):
        return planned
    waits = [status.next_update_due, None if find(status.conditions, lifecycle.ACKNOWLEDGED) else status.acknowledge_by]
    # What has passed is told already, or is not told while it is mitigated: to wait for it would be to look for ever.
    return soonest([planned, *(until - case.now for until in waits if until is not None and until > case.now)])
