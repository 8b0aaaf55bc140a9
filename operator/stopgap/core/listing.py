"""What an incident lists of other records: its own actions, and the earlier incident in which the same release was undone."""

from stopgap.api.incident import IncidentRemediation
from stopgap.core.case import Case
from stopgap.model.text import abridged
from stopgap.model.time import whole


def actions(case: Case) -> tuple[IncidentRemediation, ...]:
    """Return the last actions of the open incident, oldest first."""
    listed = tuple(
        IncidentRemediation(
            name=one.metadata.name,
            step=one.spec.step,
            action=one.spec.action,
            state=one.state,
            summary=abridged(one.spec.plan.summary, 256),
            executed_at=whole(one.status.executed_at) if one.status and one.status.executed_at else None,
            revert=one.status.revert.state if one.status and one.status.revert else "",
        )
        for one in case.of_incident()
    )
    return listed[-20:]


def undone_before(case: Case, digest: str) -> str:
    """Return the earlier incident in which the release of this digest was undone, or nothing."""
    name = case.incident.metadata.name if case.incident else ""
    return next((one.incident for one in case.health.denied if one.digest == digest and one.incident != name), "")
