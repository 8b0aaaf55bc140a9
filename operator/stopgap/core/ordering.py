"""A person orders a step: it is done once, now, whatever the policy's `when` and mode say; the guards and the platform's ceiling hold."""

from stopgap.api.incident import Mitigate
from stopgap.core.case import Case
from stopgap.core.lifecycle import Story
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

MOST_KEPT = 20


def pending(case: Case) -> Mitigate | None:
    """Return the order that was not answered yet, or None. A copy of the manifest that is applied again is no new order."""
    order = case.incident.spec.mitigate if case.incident else None
    if order is None or order.request_id in case.status.handled_requests:
        return None
    return None if any(one.spec.request_id == order.request_id for one in case.of_incident()) else order


def answered(case: Case, story: Story, refused: tuple[Refusal, ...]) -> Story:
    """Note that an order was carried out or refused: a refused one is given again under a new requestID."""
    order = pending(case)
    if order is None:
        return story
    story = story.set(handled_requests=(*story.status.handled_requests, order.request_id)[-MOST_KEPT:])
    by = _who(case)
    if not refused:
        return story.tell(Reason.Ordered, f"{by} ordered step {order.step} (request {order.request_id})", actor=by)
    why = "; ".join(one.message for one in refused)
    message = f"{by} ordered step {order.step} (request {order.request_id}). Not done: {why}"
    return story.announce(Reason.OrderRefused, message, warning=True)


def carried_over(case: Case, story: Story) -> Story:
    """Note an order whose intent was stored before a crash kept it from being noted here."""
    known = story.status.handled_requests
    done = [one.spec.request_id for one in case.of_incident() if one.spec.request_id and one.spec.request_id not in known]
    return story.set(handled_requests=(*known, *done)[-MOST_KEPT:]) if done else story


def requested_by(case: Case) -> str:
    """Return who wants what is decided now, for the record."""
    return _who(case) if pending(case) else "stopgap"


def _who(case: Case) -> str:
    return (case.incident.spec.acknowledged_by if case.incident else None) or "a person"
