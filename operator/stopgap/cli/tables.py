"""`list`: open incidents, the worst first; `timeline`. Pure: objects in, something to print out."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.table import Table

from stopgap.api import Incident
from stopgap.api.incident import CLOSED_LABEL, IncidentStatus
from stopgap.cli.printing import ENDLESS, age, clock, table
from stopgap.core import lifecycle
from stopgap.core.timeline import FIRST
from stopgap.model.conditions import find, holds

_SPARE: Final = ("TITLE", "MITIGATED", "NEXT-UPDATE", "TAKEN-BY", "POLICY", "CAUSE", "ACTION", "TARGET")
"""What a narrow terminal does without first: the rest of the line, or `get`, says it too."""
_LAST = "~"
"""Sorts behind every severity."""


def is_over(incident: Incident) -> bool:
    """Whether it is closed, or is to be."""
    return incident.metadata.labels.get(CLOSED_LABEL) == "true" or holds(status_of(incident).conditions, lifecycle.RESOLVED)


def status_of(incident: Incident) -> IncidentStatus:
    """Return its status, empty while nobody has looked at it."""
    return incident.status or IncidentStatus()


def severity_of(incident: Incident) -> str:
    """Return the severity in force, or what a person says while nobody has looked at it."""
    return str(status_of(incident).severity or incident.spec.severity or "")


def by_severity(incidents: Iterable[Incident]) -> list[Incident]:
    """Order them as an on-call engineer would: what is not over first, then by severity, then the newest."""
    newest = sorted(incidents, key=lambda one: one.metadata.creation_timestamp or "", reverse=True)
    return sorted(newest, key=lambda one: (is_over(one), severity_of(one) or _LAST))


def about(incident: Incident) -> str:
    """Name the workload, as kubectl would be asked."""
    ref = incident.spec.target_ref
    return f"{ref.kind.lower()}/{ref.name}" if ref else ""


def why(incident: Incident) -> str:
    """Say in one word why an action is or is not taken."""
    allowed = find(status_of(incident).conditions, lifecycle.ALLOWED)
    return allowed.reason if allowed else ""


def incidents(found: Iterable[Incident], now: datetime, *, namespaces: bool, wide: bool, width: int = ENDLESS) -> Table:
    """Lay out incidents."""
    columns = ["NAME", "SEV", "PHASE", "TARGET", "CAUSE", "ACTION", "WHY", "AGE"]
    more = ["POLICY", "TAKEN-BY", "MITIGATED", "NEXT-UPDATE", "TITLE"]
    rows = []
    for one in found:
        status = status_of(one)
        cause = status.findings[0].type if status.findings else ""
        action = status.remediations[-1].state if status.remediations else ""
        row: list[object] = [one.metadata.name, severity_of(one), status.phase or "", about(one), cause, action, why(one)]
        row.append(age(one.metadata.creation_timestamp, now))
        if wide:
            policy = status.policy_ref.name if status.policy_ref else ""
            row += [policy, one.spec.acknowledged_by or "", clock(status.mitigated_at, now), clock(status.next_update_due, now)]
            row.append(one.spec.title)
        rows.append([one.metadata.namespace or "", *row] if namespaces else row)
    shown = [*(["NAMESPACE"] if namespaces else []), *columns, *(more if wide else [])]
    return table(shown, rows, width=width, spare=_SPARE)


def timeline(incident: Incident, now: datetime) -> Table:
    """Lay out the story, oldest first."""
    status = status_of(incident)
    rows: list[list[object]] = [[clock(one.time, now), one.type, one.actor, one.message] for one in status.timeline]
    if status.folded_entries:
        rows.insert(FIRST, ["", "", "", f"… {status.folded_entries} more …"])
    return table(["TIME (UTC)", "WHAT", "WHO", "MESSAGE"], rows)
