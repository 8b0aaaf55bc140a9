"""Where the workload watches put what they read: into the index, as facts."""

from collections.abc import Collection
from typing import ClassVar, Generic, TypeVar

from stopgap.effects import facts, revised, wire
from stopgap.effects.index import Index
from stopgap.effects.watch import Watched
from stopgap.model.refs import WorkloadKind
from stopgap.model.revised import is_key
from stopgap.model.workload import Workload

T = TypeVar("T", bound=Watched)


class _WorkloadSink(Generic[T]):
    """Where a watch of workloads of one kind puts what it reads."""

    kind: ClassVar[WorkloadKind]

    def __init__(self, index: Index) -> None:
        self._index = index

    @staticmethod
    def read(obj: T, /) -> Workload:
        """Turn an object into facts."""
        raise NotImplementedError

    def put(self, obj: T, /) -> None:
        """Take in one state."""
        self._index.put_workload(self.read(obj))

    def gone(self, obj: T, /) -> None:
        """Take in a deletion."""
        self._index.drop_workload(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return [one.uid for one in self._index.workloads() if one.kind == self.kind]

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        self._index.drop_workload(uid)


class DeploymentSink(_WorkloadSink[wire.Deployment]):
    """Where the watch of Deployments puts what it reads."""

    kind = "Deployment"
    read = staticmethod(facts.workload)


class StatefulSetSink(_WorkloadSink[revised.StatefulSetObject]):
    """Where the watch of StatefulSets puts what it reads."""

    kind = "StatefulSet"
    read = staticmethod(revised.stateful_set)


class DaemonSetSink(_WorkloadSink[revised.DaemonSetObject]):
    """Where the watch of DaemonSets puts what it reads."""

    kind = "DaemonSet"
    read = staticmethod(revised.daemon_set)


class ReplicaSetSink:
    """Where the watch of ReplicaSets puts what it reads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def put(self, obj: wire.ReplicaSet, /) -> None:
        """Take in one state."""
        if (revision := facts.revision(obj)) is not None:
            self._index.put_revision(revision)

    def gone(self, obj: wire.ReplicaSet, /) -> None:
        """Take in a deletion."""
        self._index.drop_revision(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return [uid for uid in self._index.revision_uids() if not is_key(uid)]

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        self._index.drop_revision(uid)


class PodSink:
    """Where the watch of pods puts what it reads: troubled pods of ReplicaSets are kept, all others are dropped."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def put(self, obj: wire.PodObject, /) -> None:
        """Take in one state."""
        owner = wire.controller_of(obj.metadata.owner_references)
        if owner is not None and owner.kind in {"StatefulSet", "DaemonSet"}:
            return  # where they matter, a watch of their own sees them
        if owner is None or owner.kind != "ReplicaSet" or facts.is_well(obj):
            self._index.drop_pod(obj.metadata.uid)
            return
        self._index.put_pod(facts.pod(obj, owner.uid))

    def gone(self, obj: wire.PodObject, /) -> None:
        """Take in a deletion."""
        self._index.drop_pod(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._index.pod_uids()

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        self._index.drop_pod(uid)


class ControllerRevisionSink:
    """Where a watch of ControllerRevisions puts what it reads: those of workloads of one kind, under the key that their pods carry."""

    def __init__(self, index: Index, kind: WorkloadKind) -> None:
        self._index = index
        self._kind = kind
        self._keys: dict[str, str] = {}

    def put(self, obj: revised.ControllerRevision, /) -> None:
        """Take in one state."""
        if (revision := revised.revision(obj, self._kind)) is not None:
            self._keys[obj.metadata.uid] = revision.uid
            self._index.put_revision(revision)

    def gone(self, obj: revised.ControllerRevision, /) -> None:
        """Take in a deletion."""
        self.forget(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._keys.keys()

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        key = self._keys.pop(uid, None)
        # One of the same name may have been made meanwhile: the same template gets the same name again.
        if key is not None and key not in self._keys.values():
            self._index.drop_revision(key)


class RevisedPodSink:
    """Where a watch of the pods of such workloads of one kind puts what it reads: the troubled ones are kept."""

    def __init__(self, index: Index, kind: WorkloadKind) -> None:
        self._index = index
        self._kind = kind
        self._held: set[str] = set()

    def put(self, obj: revised.RevisedPod, /) -> None:
        """Take in one state."""
        pod = revised.pod(obj, self._kind)
        if pod is None:
            self.forget(obj.metadata.uid)
            return
        self._held.add(pod.uid)
        self._index.put_pod(pod)

    def gone(self, obj: revised.RevisedPod, /) -> None:
        """Take in a deletion."""
        self.forget(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._held

    def forget(self, uid: str, /) -> None:
        """Take in a deletion, or that it is well."""
        self._held.discard(uid)
        self._index.drop_pod(uid)
