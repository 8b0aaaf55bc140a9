"""The bounded story of an incident: the beginning and the end are kept, the middle is folded and counted."""

from datetime import datetime

from stopgap.api.incident import IncidentStatus, TimelineEntry
from stopgap.model.reasons import Reason

FIRST, LAST = 20, 80


def tell(status: IncidentStatus, now: datetime, reason: Reason, message: str, *, actor: str = "stopgap") -> IncidentStatus:
    """Return the status with one more entry; telling the same thing twice in a row adds nothing."""
    entry = TimelineEntry(time=now, type=reason, actor=actor, message=message[:512])
    if status.timeline and (status.timeline[-1].type, status.timeline[-1].message) == (entry.type, entry.message):
        return status
    entries = (*status.timeline, entry)
    folded = max(len(entries) - FIRST - LAST, 0)
    if folded:
        entries = (*entries[:FIRST], *entries[-LAST:])
    return status.model_copy(update={"timeline": entries, "folded_entries": status.folded_entries + folded})
