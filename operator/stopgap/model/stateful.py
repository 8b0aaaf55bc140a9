"""Facts about StatefulSets where they differ from those about Deployments. What is the same is said in model/workload.py."""

from collections.abc import Collection
from datetime import datetime
from typing import Self

import msgspec

from stopgap.model.workload import Flag, Pod, Revision, Workload

ON_DELETE = "OnDelete"


def key(owner: str, name: str) -> str:
    """Return our UID for a revision of a StatefulSet: the StatefulSet's own, and the hash that ends the ControllerRevision's name.

    Its pods carry no more than these two, and the same template gets the same name again after its ControllerRevision was removed.
    """
    return f"{owner}.{name.rpartition('-')[2]}"


def is_key(uid: str) -> bool:
    """Whether a revision is one of a StatefulSet: no UID of the API server has a dot."""
    return "." in uid


def ordinal(name: str) -> int:
    """Return the number that ends the name of a StatefulSet's pod."""
    tail = name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


class StatefulSet(Workload, frozen=True, gc=False):
    """A StatefulSet. Its status carries no times, so that `available` and `progressing` tell what was seen of it (`following`)."""

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

    def following(self, before: Workload | None, now: datetime) -> Self:
        """Return the same with the times since when it is available or not, and when its rollout last moved."""
        old = before if isinstance(before, StatefulSet) else None
        holds = self.available_replicas >= max(self.least_available, min(self.replicas, 1))
        same = old.available if old and old.available and old.available.holds is holds else None
        moved = None if old is None or self._has_moved(old) else old.progressing
        available = same or Flag(holds, "", "", now, None)
        return msgspec.structs.replace(self, available=available, progressing=moved or Flag(True, "", "", now, now))

    def _has_moved(self, old: "StatefulSet") -> bool:
        counts = ((self.updated_replicas, old.updated_replicas), (self.ready_replicas, old.ready_replicas))
        return self.update_revision != old.update_revision or any(new > before for new, before in counts)

    def counted(self, revision: Revision, pods: Collection[Pod]) -> Revision:
        """Return a revision with its number of pods: by the status, and by the troubled pods that are known, which may be ahead of it."""
        told = self.updated_replicas if self.runs(revision) else 0
        if not told and revision.name == self.current_revision:
            told = self.replicas_of_current
        staying = [pod for pod in pods if not pod.leaving]
        replicas = max(told, len(staying))
        ready = replicas - sum(1 for pod in staying if not pod.ready)
        return msgspec.structs.replace(revision, wanted=replicas, replicas=replicas, ready=ready, available=ready)
