"""Puts back what was lent to a workload or its autoscaler: only what is still ours is written, in one guarded write."""

import asyncio

from stopgap.api.revert import RevertState
from stopgap.core.case import Lent
from stopgap.core.marks import RESTORE, read_mark
from stopgap.core.restoring import Put
from stopgap.effects import objects
from stopgap.effects.errors import Forbidden, Invalid, KubeError, Rejected
from stopgap.effects.kube import Kube, PatchKind
from stopgap.effects.objects import MOST_TRIES, Objects, unchanged
from stopgap.effects.written import LAST_ACTION, Look, Place, operations
from stopgap.model.change import SetNumber
from stopgap.model.reasons import Reason


class Lender:
    """Puts numbers back."""

    def __init__(self, kube: Kube, objects: Objects) -> None:
        self._kube = kube
        self._objects = objects

    async def put_back(self, where: Place, lent: Lent) -> Put | None:
        """Put back what was changed for a while, where it is still ours. None: not now; it is tried again."""
        before: Look | None = None
        rejected: KubeError | None = None
        for _ in range(MOST_TRIES):
            look = await self._objects.look(where)
            settled = _put_already(where, look, lent)
            if look is None or (settled and not _marked(where, look, lent)):
                return settled
            if rejected is not None and before is not None and unchanged(before, look):
                return settled or _not_put(lent, rejected)
            before, rejected = look, None
            # Where the value is not ours any more, the mark alone goes: it would speak of something that is over.
            change = None if settled else SetNumber(lent.field, lent.ours, lent.before)
            try:
                self._objects.fold(
                    where, await self._kube.patch(where.path, operations(where, look, change, {RESTORE: None}), how=PatchKind.JSON)
                )
            except (Forbidden, Rejected) as error:
                return settled or _not_put(lent, error)
            except KubeError as error:
                rejected = error if isinstance(error, Invalid) else None
                await asyncio.sleep(objects.PAUSE_BETWEEN_LOOKS)
            else:
                if not _remembered(lent):
                    await self._objects.give_back(where)
                return settled or Put(RevertState.DONE, Reason.Restored, _put(lent))
        return None


def _put_already(where: Place, look: Look | None, lent: Lent) -> Put | None:
    """Say why nothing is to be written to put it back; None: it is still as we left it."""
    if look is None or look.uid != where.uid or look.leaving:
        return Put(RevertState.NOT_NEEDED, Reason.TargetGone, "the object is gone, so that nothing is left to put back")
    if lent.abandoned:
        return Put(RevertState.NOT_NEEDED, Reason.NotOurs, "a person takes care of it")
    marked = _marked(where, look, lent)
    # `kubectl rollout undo` replaces all annotations, ours too. After a restore of ours only the mark is gone.
    replaced = not marked and lent.remediation is not None and look.mark(LAST_ACTION) != lent.remediation_uid
    if look.value == lent.ours and (marked or replaced):
        return None
    if not marked and look.value == lent.before and lent.remediation is not None:
        return Put(RevertState.DONE, Reason.Restored, _put(lent))
    now = "nothing" if look.value is None else look.value
    return Put(RevertState.NOT_NEEDED, Reason.NotOurs, f"somebody set it to {now} since, so it is left as it is")


def _marked(where: Place, look: Look, lent: Lent) -> bool:
    """Whether the object still says that this very thing was lent to it."""
    said = read_mark(look.mark(RESTORE) or "")
    return look.uid == where.uid and not look.leaving and said is not None and said.remediation_uid == lent.remediation_uid


def _not_put(lent: Lent, error: KubeError) -> Put:
    was = "the field without a value" if lent.before is None else lent.before
    return Put(RevertState.FAILED, Reason.RestoreFailed, f"the API server refused to put {was} back: {error}")


def _remembered(lent: Lent) -> bool:
    """Whether a record knows that something was written under it, so that the ownership of fields is given up by it."""
    status = lent.remediation.status if lent.remediation else None
    return status is not None and status.executed_at is not None


def _put(lent: Lent) -> str:
    return f"put back {lent.ours} → {'unset' if lent.before is None else lent.before}"
