"""How long it took to notice, to act, to stop the bleeding and to end it: from the record, and unknown where the record does not say."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.model.duration import spell
from stopgap.model.time import whole

UNKNOWN_ONSET = "not known: nobody said when it began"


@dataclass(frozen=True, slots=True)
class Span:
    """One of the four times."""

    name: str
    about: str
    """From what to what."""
    length: timedelta | None
    why_not: str = ""
    """Why it is not known."""

    def __str__(self) -> str:
        """Write it exactly, or why there is none."""
        return self.why_not if self.length is None else spell(self.length)


def onset(spec: IncidentSpec, status: IncidentStatus) -> datetime | None:
    """Return when it began, where somebody or a signal says so, and it is not only the time of the report."""
    began, seen = status.started_at, status.detected_at
    return began if spec.started_at or (began and seen and whole(began) < whole(seen)) else None


def spans(spec: IncidentSpec, status: IncidentStatus) -> tuple[Span, Span, Span, Span]:
    """Return the times to detect, to act, to mitigate and to resolve."""
    began = onset(spec, status)
    acted = min((one.executed_at for one in status.remediations if one.executed_at), default=None)
    return (
        _span("detect", "onset to detection", began, status.detected_at, UNKNOWN_ONSET),
        _span("act", "detection to the first action", status.detected_at, acted, "no action was taken"),
        _span("mitigate", "onset to mitigation", began, status.mitigated_at, _why(began, "it was not mitigated")),
        _span("resolve", "onset to the end", began, status.resolved_at, _why(began, "it is not over")),
    )


def _why(began: datetime | None, otherwise: str) -> str:
    return otherwise if began else UNKNOWN_ONSET


def _span(name: str, about: str, start: datetime | None, end: datetime | None, why_not: str) -> Span:
    if start is None or end is None:
        return Span(name, about, None, why_not)
    return Span(name, about, max(whole(end) - whole(start), timedelta(0)))
