"""What the record says about the cause: shared by the update and the post-mortem, so that they never contradict each other."""

from collections.abc import Iterator
from typing import Final

from stopgap.api.communication import CommunicationStatus
from stopgap.api.incident import IncidentFinding, IncidentRefusal, IncidentSpec, IncidentStatus
from stopgap.core import lifecycle
from stopgap.core.reports.markdown import said
from stopgap.core.reports.wording import STATES, dated
from stopgap.model.conditions import Condition, find, holds
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

CAUSES: Final = frozenset(
    {Reason.ConfigOnlyChange, Reason.QuotaExceeded, Reason.Unschedulable, Reason.RegistryUnavailable, Reason.InjectedContainer}
)
"""Reasons that name what is behind it."""
CLEARED: Final = CAUSES | {Reason.NoRecentChange, Reason.NotAttributable, Reason.NotTheRelease}
"""Reasons by which the newest release is not the suspect."""
_COMPONENTS: Final = frozenset(
    {
        *(Reason.CrashLoop, Reason.OOMKilled, Reason.InitCrashLoop, Reason.ErrImagePull, Reason.ImagePullBackOff),
        *(Reason.InvalidImageName, Reason.CreateContainerConfigError),
    }
)
"""Findings that name the container that fails."""


def standing(status: IncidentStatus) -> CommunicationStatus:
    """Return how an incident stands, by its facts."""
    if holds(status.conditions, lifecycle.RESOLVED):
        return CommunicationStatus.RESOLVED
    if holds(status.conditions, lifecycle.MITIGATED):
        return CommunicationStatus.MITIGATED
    known = suspect(status) or cause(status) or component(status) or any(one.type in _COMPONENTS for one in status.findings)
    return CommunicationStatus.IDENTIFIED if known else CommunicationStatus.INVESTIGATING


def loudest(status: IncidentStatus) -> IncidentFinding | None:
    """Return the finding that tells most: one that fires, or the first that ever did."""
    return next((one for one in status.findings if one.state is State.FIRING), next(iter(status.findings), None))


def cause(status: IncidentStatus) -> IncidentRefusal | None:
    """Return the reason that names what is behind it, where there is one."""
    return next((one for one in _refusals(status) if one.reason in CAUSES), None)


def component(status: IncidentStatus) -> str:
    """Return what fails and how, where that was found out, or nothing."""
    return next((one.message for one in status.evidence if one.source == "Container"), "")


def cleared(status: IncidentStatus) -> str:
    """Return why the newest release is not the suspect, or nothing."""
    told = (one.message for one in _refusals(status) if one.reason in CLEARED)
    ended = (one.message for one in _verdicts(status) if one.reason == Reason.NotTheRelease)
    return next(told, next(ended, ""))


def suspect(status: IncidentStatus, most: int = 200) -> str:
    """Describe the suspected change in at most `most` bytes, or return nothing where there is none or it was cleared."""
    change = status.suspected_change
    if change is None or cleared(status):
        return ""
    what = f"revision {change.revision}"
    if change.images:
        what += f" ({', '.join(change.images)})"
    when = f", current since {dated(change.changed_at)}" if change.changed_at else ""
    tail = said(f"{when}{f', written by {change.by}' if change.by else ''}", most // 2)
    return said(what, most - len(tail.encode())) + tail


def headline(spec: IncidentSpec, status: IncidentStatus, most: int) -> str:
    """Say what is wrong in one line of at most `most` bytes: the title, and what the loudest signal or the person says."""
    found = loudest(status)
    more = found.message if found else spec.description
    again = f" (again, as in {status.recurrence_of})" if status.recurrence_of else ""
    return said(f"{spec.title.rstrip(' .')}{again}{': ' if more else ''}{more}", most)


def actions(status: IncidentStatus, most: int) -> list[str]:
    """Say what was done and how it ended, oldest first, each in at most `most` bytes."""
    lines = []
    for one in status.remediations:
        ended = STATES.get(one.state, one.state)
        lines.append(f"{said(one.summary or f'{one.action} (step {one.step})', most - len(ended.encode()) - 2)}: {ended}")
    return lines


def message_of(status: IncidentStatus, kind: str) -> str:
    """Return what a condition says, or nothing while it was never set."""
    found = find(status.conditions, kind)
    return found.message if found else ""


def _refusals(status: IncidentStatus) -> tuple[IncidentRefusal, ...]:
    return status.decision.refusals if status.decision else ()


def _verdicts(status: IncidentStatus) -> Iterator[Condition]:
    return (one for kind in (lifecycle.MITIGATED, lifecycle.ESCALATED) if (one := find(status.conditions, kind)))
