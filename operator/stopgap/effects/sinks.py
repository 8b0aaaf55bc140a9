"""Where the workload watches put what they read: into the index, as facts."""

from collections.abc import Collection

from stopgap.effects import facts, wire
from stopgap.effects.index import Index


class DeploymentSink:
    """Where the watch of Deployments puts what it reads."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def put(self, obj: wire.Deployment, /) -> None:
        """Take in one state."""
        self._index.put_workload(facts.workload(obj))

    def gone(self, obj: wire.Deployment, /) -> None:
        """Take in a deletion."""
        self._index.drop_workload(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._index.workload_uids()

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        self._index.drop_workload(uid)


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
        return self._index.revision_uids()

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
