"""What the pods of a workload tell when they are asked: their logs. The watches keep only those in trouble, so each question lists them."""

from collections.abc import Iterator
from datetime import timedelta

import msgspec

from stopgap.effects import wire
from stopgap.effects.errors import Forbidden, KubeError
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, collection
from stopgap.effects.podlogs import LogSource, PodLogs
from stopgap.model.logs import LogDigest
from stopgap.model.observation import Observation
from stopgap.model.query import LogRequest, Silence
from stopgap.model.refs import Target


class _Container(msgspec.Struct):
    name: str


class _Spec(msgspec.Struct):
    containers: list[_Container]


class _Pod(msgspec.Struct):
    metadata: wire.SmallMeta
    spec: _Spec


class _Pods(msgspec.Struct):
    items: list[_Pod]


class PolledPods:
    """Asks about all pods of a workload, of whatever revision."""

    def __init__(self, kube: Kube, index: Index) -> None:
        self._kube = kube
        self._index = index
        self._logs = PodLogs(kube)

    async def logs(self, asked: LogRequest, deadline: timedelta) -> LogDigest | Silence:
        """Count and fold the lines that match."""
        seen = self._index.observe(asked.target, synced=True)
        names = {one["name"] for one in (seen.template.spec.get("containers") if seen.template else None) or ()}
        if asked.container and asked.container not in names:
            return Silence(f"the workload has no container {asked.container}", theirs=False)
        try:
            pods = await self._pods(seen)
        except KubeError as error:
            return _unlisted(error)
        # What a sidecar that something injected writes is not said by the workload.
        wanted = {asked.container} if asked.container else names
        sources = [LogSource(pod.metadata.name, one.name) for pod in pods for one in pod.spec.containers if one.name in wanted]
        return await self._logs.read(asked.target.namespace, sources, pattern=asked.pattern, within=asked.within, deadline=deadline)

    async def _pods(self, seen: Observation) -> list[_Pod]:
        hashes = ",".join(sorted(one.hash for one in seen.revisions))
        if not hashes:
            return []
        # As the API server's cache has it: no store is asked for a figure that is looked at every few seconds.
        params = {"labelSelector": f"{_label(seen.target)} in ({hashes})", "resourceVersion": "0"}
        raw = await self._kube.get(collection("v1", "pods", seen.target.namespace), params)
        owners = {uid for one in seen.revisions for uid in (one.uid, one.owner)}
        return list(_staying(msgspec.json.decode(raw, type=_Pods).items, owners))


def _label(target: Target) -> str:
    return "controller-revision-hash" if target.kind == "StatefulSet" else "pod-template-hash"


def _staying(pods: list[_Pod], owners: set[str]) -> Iterator[_Pod]:
    for one in pods:
        owner = wire.controller_of(one.metadata.owner_references)
        if owner is not None and owner.uid in owners and one.metadata.deletion_timestamp is None:
            yield one


def _unlisted(error: KubeError) -> Silence:
    why = "Stopgap may not list them" if isinstance(error, Forbidden) else f"the API server does not tell ({error.status or 'no answer'})"
    return Silence(f"its pods are not known: {why}", theirs=False)
