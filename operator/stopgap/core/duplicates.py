"""Further open incidents of one workload: one is handled, the others say which."""

from dataclasses import replace

from stopgap.api import Incident
from stopgap.api.incident import IncidentStatus
from stopgap.core import explaining, lifecycle, limits
from stopgap.core.case import Case
from stopgap.core.lifecycle import Story
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason


def duplicates(case: Case, *, closed: bool) -> tuple[tuple[Incident, IncidentStatus], ...]:
    """Mark every further open incident of the workload: one is handled, the others say which."""
    return tuple((other, _duplicate(replace(case, incident=other), case.incident, closed=closed).status) for other in case.others)


def _duplicate(case: Case, main: Incident | None, *, closed: bool) -> Story:
    story = lifecycle.begin(case)
    if main is not None:
        handled = Refusal(Reason.Duplicate, f"incident {main.metadata.name} of the same workload is handled")
        busy = limits.busy(case)
        story = story.set(duplicate_of=main.metadata.name)
        story = explaining.decision(story, "", "", (busy, handled) if busy else (handled,), allowed=False)
    if by_person := lifecycle.closed_by_person(case, story):
        return by_person.done()
    if closed and main is not None:
        story = lifecycle.resolved(story, Reason.Resolved, f"incident {main.metadata.name}, of which this is a duplicate, is over")
    return story.done()
