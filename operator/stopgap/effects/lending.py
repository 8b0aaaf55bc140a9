"""What is changed for a while: the records that are not done with, and what is left of it where no record is. Kept by the records."""

from collections.abc import Collection, Iterable
from typing import Any

from stopgap.api import Remediation
from stopgap.core.case import Lent
from stopgap.core.pausing import LostPause
from stopgap.model.refs import Target


class Lending:
    """By workload name, for a workload may be gone, or another of its name be there, before its autoscaler has its number back."""

    def __init__(self) -> None:
        self._unfinished: dict[Target, dict[str, Remediation]] = {}
        self._lost: dict[Target, dict[str, Lent]] = {}
        self.pauses: dict[str, LostPause] = {}
        """GitOps owners that were paused under records that are gone, by the UID of the record."""

    def take(self, one: Remediation) -> None:
        """Take in a record as it is now."""
        target, uid = about(one), one.metadata.uid or ""
        self.pauses.pop(uid, None)
        if one.unfinished:
            self._unfinished.setdefault(target, {})[uid] = one
        else:
            _forget(self._unfinished, target, uid)
        if one.status and one.status.revert:
            self.found(target, uid)

    def drop(self, one: Remediation) -> Target | None:
        """Take in that a record was deleted; return the workload that has something left of it."""
        target, uid, plan = about(one), one.metadata.uid or "", one.spec.plan
        _forget(self._unfinished, target, uid)
        if plan.suspends is not None and (one.owes_resume or one.state.out):
            self.pauses[uid] = LostPause.of(one, plan.suspends)
        # What was perhaps written and has not been heard of counts as well: a look at the object will tell.
        if plan.revert is None or not (one.owes_restore or one.state.out):
            return None
        # A workload says itself what was lent to it; about its autoscaler nothing else is heard.
        if plan.outside is not None:
            return None  # how it is put back was in the record alone
        if plan.scaler is not None:
            self.lose(target, Lent(plan.field, plan.scaler, plan.before, plan.ours, uid))
        return target

    def lose(self, target: Target, lent: Lent) -> None:
        """Note what was lent to an autoscaler and is nobody's."""
        self._lost.setdefault(target, {})[lent.remediation_uid] = lent

    def found(self, target: Target, uid: str) -> None:
        """Forget what was lost: it is put back, or was not lost at all."""
        _forget(self._lost, target, uid)

    def begin_anew(self) -> None:
        """Forget everything that was lost: another copy may have put it back, and the objects themselves say what was not."""
        self._lost.clear()
        self.pauses.clear()

    def targets(self) -> Collection[Target]:
        """Return the workloads with a record that is not done with, or something that was lost."""
        return {*self._unfinished, *self._lost}

    def left(self, target: Target, *uids: str) -> tuple[Remediation, ...]:
        """Return the records of earlier workloads of this name that are not done with, oldest first; `uids` are of the present one."""
        return oldest_first(one for one in self._unfinished.get(target, {}).values() if one.spec.target_ref.uid not in uids)

    def lost(self, target: Target) -> tuple[Lent, ...]:
        """Return what is left of lost records on the autoscalers of a workload."""
        return tuple(self._lost.get(target, {}).values())


def oldest_first(those: Iterable[Remediation]) -> tuple[Remediation, ...]:
    """Return them in the order in which they were intended."""
    return tuple(sorted(those, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name)))


def about(one: Remediation) -> Target:
    """Return the workload that a remediation is about."""
    return Target(one.metadata.namespace or "", one.spec.target_ref.kind, one.spec.target_ref.name)


def _forget(where: dict[Target, dict[str, Any]], target: Target, uid: str) -> None:
    each = where.get(target)
    if each is not None:
        each.pop(uid, None)
        if not each:
            del where[target]
