"""Facts about workloads whose revisions are ControllerRevisions, where they differ from those about Deployments (model/workload.py)."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Self

import msgspec

from stopgap.model.workload import Flag, Pod, Revision, Workload

ON_DELETE = "OnDelete"
_FINISHED = "Finished"


def key(owner: str, name: str) -> str:
    """Return our UID for such a revision: that of the workload, and the hash that ends the ControllerRevision's name.

    Its pods carry no more than these two, and the same template gets the same name again after its ControllerRevision was removed.
    """
    return f"{owner}.{name.rpartition('-')[2]}"


def is_key(uid: str) -> bool:
    """Whether a revision is a ControllerRevision: no UID of the API server has a dot."""
    return "." in uid


def ordinal(name: str) -> int:
    """Return the number that ends the name of a StatefulSet's pod."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


class Revised(Workload, frozen=True, gc=False):
    """A workload whose revisions are ControllerRevisions.

    Its status carries no times, so that `available` and `progressing` tell what was seen of it (`following`).
    """

    def following(self, before: Workload | None, now: datetime) -> Self:
        """Return the same with the times since when it is available or not, and when its rollout last moved."""
        old = before if isinstance(before, type(self)) else None
        holds = self.available_replicas >= max(self.least_available, min(self.replicas, 1))
        same = old.available if old and old.available and old.available.holds is holds else None
        moved = None if old is None or self._has_moved(old) else old.progressing
        available = same or Flag(holds, "", "", now, None)
        return msgspec.structs.replace(self, available=available, progressing=moved or Flag(True, "", "", now, now))

    def _has_moved(self, old: Workload) -> bool:
        counts = ((self.updated_replicas, old.updated_replicas), (self.ready_replicas, old.ready_replicas))
        return self.revision_mark != old.revision_mark or any(new > before for new, before in counts)

    def counted(self, revisions: tuple[Revision, ...], pods: Mapping[str, Mapping[str, Pod]]) -> tuple[Revision, ...]:
        """Return revisions with their number of pods: by the status, and by the troubled pods that are known, which may be ahead of it."""
        before = next((one for one in revisions if not self.runs(one)), None)
        return tuple(self._counted(one, before, pods.get(one.uid, {}).values()) for one in revisions)

    def _counted(self, revision: Revision, before: Revision | None, pods: Collection[Pod]) -> Revision:
        staying = [pod for pod in pods if not pod.leaving]
        replicas = max(self._told(revision, before), len(staying))
        ready = replicas - sum(1 for pod in staying if not pod.ready)
        return msgspec.structs.replace(revision, wanted=replicas, replicas=replicas, ready=ready, available=ready)

    def _told(self, revision: Revision, before: Revision | None) -> int:
        """How many pods a revision has, by the status. `before`: the newest of the older ones."""
        raise NotImplementedError


class StatefulSet(Revised, frozen=True, gc=False):
    """A StatefulSet."""

    update_revision: str
    """Name of the ControllerRevision of the present template."""
    current_revision: str
    """Name of the one that was rolled out completely before, or is now."""
    replicas_of_current: int
    partition: int
    """So many pods, from the lowest ordinal on, are kept at the revision before; with OnDelete all of them."""
    first_ordinal: int
    """The number of its first pod."""
    ordered: bool
    """podManagementPolicy OrderedReady: while a pod is not ready, no other is made, replaced or taken away."""

    @property
    def revision_mark(self) -> str:
        """What its controller last called the revision of the present template."""
        return self.update_revision

    def runs(self, revision: Revision) -> bool:
        """Whether a revision is the one of the present template, as its controller last said."""
        return revision.name == self.update_revision

    @property
    def held_back(self) -> bool:
        """Whether pods of an older revision are kept on purpose."""
        return self.partition > 0 and self.current_revision != self.update_revision and self.updated_replicas < self.current_replicas

    @property
    def rolled_out(self) -> bool:
        """Whether the newest template is what runs: observed, and no pod of another revision left but those that are kept on purpose."""
        kept = self.partition if self.held_back else 0
        reached = self.current_revision == self.update_revision or self.updated_replicas >= self.replicas - kept
        return self.observed_generation >= self.generation and reached and self.current_replicas - self.updated_replicas <= kept

    @property
    def finished(self) -> bool:
        """Whether the rollout of the newest template was complete once."""
        return self.rolled_out and self.current_revision == self.update_revision

    def _told(self, revision: Revision, before: Revision | None) -> int:  # noqa: ARG002 - what a DaemonSet needs
        told = self.updated_replicas if self.runs(revision) else 0
        return told or (self.replicas_of_current if revision.name == self.current_revision else 0)


class DaemonSet(Revised, frozen=True, gc=False):
    """A DaemonSet: a pod on each node that fits, so that `replicas` is the number of these nodes, as its controller counts them."""

    digest: str
    """Of the present template. Its status names no revision, so that the one with the same template is the newest."""

    @property
    def revision_mark(self) -> str:
        """What the present template is called."""
        return self.digest

    def runs(self, revision: Revision) -> bool:
        """Whether a revision has the present template."""
        return revision.digest == self.digest

    @property
    def least_available(self) -> int:
        """How many pods must be available for its strategy to be kept (rounding as its controller does: the allowed ones up)."""
        allowed = self.max_unavailable
        if isinstance(allowed, str):
            allowed = -(-self.replicas * int(allowed.rstrip("%") or 0) // 100) if allowed.endswith("%") else 0
        return max(self.replicas - allowed, 0)

    @property
    def held_back(self) -> bool:
        """Whether pods of an older revision are kept on purpose."""
        return self.strategy == ON_DELETE and self.updated_replicas < self.current_replicas

    @property
    def rolled_out(self) -> bool:
        """Whether the newest template is what runs: observed, and on every node, but for pods that are kept on purpose."""
        return self.observed_generation >= self.generation and (self.updated_replicas >= self.replicas or self.held_back)

    @property
    def finished(self) -> bool:
        """Whether the rollout of the newest template was complete once. A node that is new since does not begin another."""
        return self.progressing is not None and self.progressing.reason == _FINISHED

    def following(self, before: Workload | None, now: datetime) -> Self:
        """Return the same with these times, and whether its rollout was complete once."""
        seen = super().following(before, now)
        since = before.progressing if isinstance(before, DaemonSet) and before.digest == self.digest else None
        complete = (since is not None and since.reason == _FINISHED) or (seen.rolled_out and not seen.held_back and _holds(seen.available))
        if not complete or seen.progressing is None:
            return seen
        return msgspec.structs.replace(seen, progressing=msgspec.structs.replace(seen.progressing, reason=_FINISHED))

    def _told(self, revision: Revision, before: Revision | None) -> int:
        # All the others are taken for pods of the revision before: mostly they are, and the status does not tell.
        others = max(self.current_replicas - self.updated_replicas, 0)
        return self.updated_replicas if self.runs(revision) else others if revision is before else 0


def _holds(flag: Flag | None) -> bool:
    return flag is not None and flag.holds is True
