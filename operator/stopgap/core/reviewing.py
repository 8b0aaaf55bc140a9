"""After the incident: which one is reviewed, what people still owe, and when it counts as reviewed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from stopgap.api import Incident, PostMortem
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.api.postmortem import COMPLETE, Facts, PostMortemSpec, PostMortemStatus
from stopgap.core import lifecycle
from stopgap.core.case import Case, Decision
from stopgap.core.lifecycle import Story
from stopgap.core.reports import review
from stopgap.model.conditions import Truth, condition, find, holds, put
from stopgap.model.reasons import Reason


def owed(case: Case, decision: Decision) -> Decision:
    """Note in the last status of an incident that it is to be reviewed, where its severity asks for that."""
    status = decision.status
    if status is None or not decision.closed or status.duplicate_of or find(status.conditions, lifecycle.REVIEWED):
        return decision
    resolved = find(status.conditions, lifecycle.RESOLVED)
    # A person may raise it and close the incident at once.
    severity = (case.incident.spec.severity if case.incident else None) or status.severity
    severities = (case.config or ConfigSpec()).review.severities
    if resolved is None or resolved.reason == Reason.FalseAlarm or severity not in severities:
        return decision
    message = f"{severity} incidents are reviewed: a PostMortem is drafted from the record, and people complete it"
    story = Story(status, case.now).observe(lifecycle.REVIEWED, False, Reason.ReviewOwed, message)
    return replace(decision, status=story.status)


def is_owed(status: IncidentStatus) -> bool:
    """Whether an incident is to be reviewed and is not yet."""
    found = find(status.conditions, lifecycle.REVIEWED)
    return found is not None and found.status is not Truth.TRUE


def facts_of(incident: Incident) -> Facts | None:
    """Copy what a review is written from; None where nothing of the incident was written down yet."""
    return Facts(uid=incident.metadata.uid or "", spec=incident.spec, status=incident.status) if incident.status else None


def facts(pm: PostMortem, incident: Incident | None) -> Facts | None:
    """Return what the review is written from: the Incident as it is, or the copy of before where that is over, or gone."""
    known = pm.status.facts if pm.status else None
    if known and holds(known.status.conditions, lifecycle.RESOLVED):
        return known
    meant = pm.spec.incident_ref.uid or (known.uid if known else "")
    if incident is None or (meant and incident.metadata.uid != meant):
        return known
    return facts_of(incident) or known


def status(pm: PostMortem, known: Facts | None, now: datetime) -> PostMortemStatus:
    """Return the status of a review: the document, what is owed, and whether it is complete."""
    left = tuple(missing(pm.spec, known))
    if left:
        told = condition(COMPLETE, Truth.FALSE, Reason.ReviewOwed, f"still owed: {'; '.join(left)}", now)
    else:
        told = condition(COMPLETE, Truth.TRUE, Reason.Reviewed, "everything is there", now)
    return PostMortemStatus(
        observed_generation=pm.metadata.generation or 0,
        document=review.render(pm.spec, known),
        owed=left,
        facts=known,
        conditions=put(pm.status.conditions if pm.status else (), told),
    )


def missing(spec: PostMortemSpec, known: Facts | None) -> Iterator[str]:
    """Yield what people still owe."""
    if known is None:
        yield "an Incident of the name in spec.incidentRef in this namespace: nothing is known of it"
    elif not holds(known.status.conditions, lifecycle.RESOLVED):
        yield "the end of the incident: it is still open"
    if not spec.root_cause.strip():
        yield "the root cause (spec.rootCause)"
    asked = (("usersAffected", spec.impact.users_affected), ("revenue", spec.impact.revenue), ("dataLoss", spec.impact.data_loss))
    if silent := [name for name, said in asked if not said.strip()]:
        yield f"the impact (spec.impact: {', '.join(silent)})"
    if not spec.action_items and not spec.no_action_items:
        yield "action items (spec.actionItems, or spec.noActionItems: true)"
    if any(not one.owner.strip() or one.due is None for one in spec.action_items):
        yield "an owner and a due day for every action item (spec.actionItems)"
    if not spec.completed:
        yield "your word that it is finished (spec.completed: true)"


def reviewed(incident: Incident, pm: PostMortem, now: datetime) -> IncidentStatus | None:
    """Return the status of an incident that is over once more, by how its review stands; None: it says so already."""
    before = incident.status
    complete = find(pm.status.conditions, COMPLETE) if pm.status else None
    if before is None or complete is None or not holds(before.conditions, lifecycle.RESOLVED):
        return None
    done = complete.status is Truth.TRUE
    if not done and is_owed(before):
        return None
    reason = Reason.Reviewed if done else Reason.ReviewOwed
    word = "is complete" if done else "is to be completed, see its status.owed"
    after = Story(before, now).observe(lifecycle.REVIEWED, done, reason, f"PostMortem {pm.metadata.name} {word}").done().status
    return after if after != before else None
