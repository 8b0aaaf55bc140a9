"""Action items that the record itself speaks for. Each rests on a fact in it; what the record does not say is not suggested."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.core import lifecycle
from stopgap.core.reports import record, times
from stopgap.core.reports.markdown import said
from stopgap.model.conditions import holds
from stopgap.model.duration import spell
from stopgap.model.reasons import Reason

MOST: Final = 10
LATE: Final = timedelta(minutes=5)
"""Trouble that is noticed later than this was noticed late."""
_SELF_EXPLAINING: Final = frozenset({Reason.ObserveOnly, Reason.ApprovalPending, Reason.NoStepApplies, Reason.NoHealthyRevision})
_BLOCKED: Final = _SELF_EXPLAINING | {
    *(Reason.Paused, Reason.Excluded, Reason.FreezeWindow, Reason.CooldownActive, Reason.AttemptsExhausted, Reason.RateLimited),
    *(Reason.OwnedByController, Reason.GitOpsOwned, Reason.DeploymentPaused, Reason.ReferenceMissing, Reason.RollbackForbidden),
    *(Reason.MutableImage, Reason.RecreateOutage, Reason.NoCapacity, Reason.NotAuthorized),
}
"""Reasons against an action that people can remove, or decide to keep."""
_MOVING: Final = re.compile(r"→ (?P<image>\S+)$")


def suggestions(spec: IncidentSpec, status: IncidentStatus) -> tuple[str, ...]:
    """Return what the record speaks for, as lines of Markdown."""
    return tuple(_found(spec, status))[:MOST]


def _found(spec: IncidentSpec, status: IncidentStatus) -> Iterator[str]:
    if holds(status.conditions, lifecycle.DRIFT):
        yield f"Take the bad version out of where it is deployed from: {said(record.message_of(status, lifecycle.DRIFT), 200)}"
    if holds(status.conditions, lifecycle.CONTESTED):
        yield f"Agree who may put a version back: {said(record.message_of(status, lifecycle.CONTESTED), 200)}"
    if why := record.cleared(status):
        yield f"Find what failed, for the newest release was not to blame: {said(why, 200)}"
    yield from (
        f"Name the image {said(image, 150)} by its digest: the tag may mean another image tomorrow" for image in _moving_images(status)
    )
    # Without a workload there was nothing to act on.
    blocked = _blocks(status) if spec.target_ref else {}
    yield from (f"Decide about what held the action back ({reason}): {said(message, 200)}" for reason, message in blocked.items())
    if status.recurrence_of:
        yield f"See why the release that was undone in {said(status.recurrence_of, 100)} could be rolled out again"
    detected = times.spans(spec, status)[0].length
    if detected is not None and detected > LATE:
        yield f"Notice it earlier: it took {spell(detected)} until it was noticed ({spec.source.type})"
    if any(one.type == Reason.AcknowledgementOverdue for one in status.timeline):
        yield "See that somebody is reached: nobody had taken it within the time that its severity asks for"


def _blocks(status: IncidentStatus) -> dict[str, str]:
    """Return what was told to stand against an action, the latest message for each reason."""
    told = [(one.type, one.message) for one in status.timeline]
    told += [(one.reason, one.message) for one in (status.decision.refusals if status.decision else ())]
    return {reason: message for reason, message in told if reason in _BLOCKED}


def _moving_images(status: IncidentStatus) -> Iterator[str]:
    """Yield the new images of the suspected change that have the tag `latest` or none."""
    for line in status.suspected_change.images if status.suspected_change else ():
        found = _MOVING.search(line)
        if found and "@" not in found["image"]:
            _, colon, tag = found["image"].rpartition("/")[2].partition(":")
            if not colon or tag == "latest":
                yield found["image"]
