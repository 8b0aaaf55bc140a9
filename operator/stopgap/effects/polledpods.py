"""What the pods of a workload tell when they are asked: their logs, and what they use.

The watches keep only those in trouble, so each question lists them.
"""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from stopgap.effects import facts, wire
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, collection
from stopgap.effects.podlogs import LogSource, PodLogs
from stopgap.model.base import Permission
from stopgap.model.duration import spell
from stopgap.model.logs import LogDigest
from stopgap.model.observation import Observation
from stopgap.model.query import LogRequest, Silence, UsageRequest
from stopgap.model.usage import Measured, Usage, quantity

PERMISSIONS: Final = (Permission("metrics.k8s.io", ("pods",), ("list",), "compare what pods use with what they ask for"),)


class _Resources(msgspec.Struct):
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class _Container(msgspec.Struct):
    name: str
    resources: _Resources = msgspec.field(default_factory=_Resources)


class _Spec(msgspec.Struct):
    containers: list[_Container]


class _Pod(msgspec.Struct):
    metadata: wire.SmallMeta
    spec: _Spec


class _Pods(msgspec.Struct):
    items: list[_Pod]


class _Used(msgspec.Struct):
    name: str
    usage: dict[str, str]


class _Named(msgspec.Struct):
    name: str


class _PodMetrics(msgspec.Struct):
    metadata: _Named
    timestamp: datetime
    containers: list[_Used]


class _Metrics(msgspec.Struct):
    items: list[_PodMetrics]


class PolledPods:
    """Asks about all pods of a workload, of whatever revision."""

    def __init__(self, kube: Kube, index: Index) -> None:
        self._kube = kube
        self._index = index
        self._logs = PodLogs(kube)

    async def logs(self, asked: LogRequest, deadline: timedelta) -> LogDigest | Silence:
        """Count and fold the lines that match."""
        seen = self._index.observe(asked.target, synced=True)
        names = _own_containers(seen)
        if asked.container and asked.container not in names:
            return Silence(f"the workload has no container {asked.container}", theirs=False)
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                pods = await self._pods(seen)
        except TimeoutError:
            return _late(deadline)
        except KubeError as error:
            return _unlisted(error)
        # What a sidecar that something injected writes is not said by the workload.
        wanted = {asked.container} if asked.container else names
        sources = [LogSource(pod.metadata.name, one.name) for pod in pods for one in pod.spec.containers if one.name in wanted]
        left = deadline - timedelta(seconds=time.monotonic() - began)
        return await self._logs.read(asked.target.namespace, sources, pattern=asked.pattern, within=asked.within, deadline=left)

    async def usage(self, asked: UsageRequest, deadline: timedelta) -> Usage | Silence:
        """Return what every container of the workload's own uses, beside what it asks for."""
        seen = self._index.observe(asked.target, synced=True)
        if not seen.revisions:
            return Usage(())
        path = collection("metrics.k8s.io/v1beta1", "pods", asked.target.namespace)
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                pods, raw = await asyncio.gather(self._pods(seen), self._kube.get(path, {"labelSelector": _selector(seen)}))
            return _usage(pods, msgspec.json.decode(raw, type=_Metrics), _own_containers(seen))
        except TimeoutError:
            return _late(deadline)
        except KubeError as error:
            return _unlisted(error) if "/metrics.k8s.io/" not in error.path else _unmeasured(error)
        except (msgspec.DecodeError, ValueError):
            return Silence("what the metrics.k8s.io API says cannot be understood", theirs=False)

    async def _pods(self, seen: Observation) -> list[_Pod]:
        if not seen.revisions:
            return []
        # As the API server's cache has it: no store is asked for a figure that is looked at every few seconds.
        params = {"labelSelector": _selector(seen), "resourceVersion": "0"}
        raw = await self._kube.get(collection("v1", "pods", seen.target.namespace), params)
        owners = {uid for one in seen.revisions for uid in (one.uid, one.owner)}
        return list(_staying(msgspec.json.decode(raw, type=_Pods).items, owners))


def _selector(seen: Observation) -> str:
    return f"{facts.revision_label(seen.target.kind)} in ({','.join(sorted(one.hash for one in seen.revisions))})"


def _own_containers(seen: Observation) -> set[str]:
    return {one["name"] for one in (seen.template.spec.get("containers") if seen.template else None) or ()}


def _usage(pods: list[_Pod], metrics: _Metrics, names: set[str]) -> Usage:
    told = {(pod.metadata.name, one.name): (pod.timestamp, one.usage) for pod in metrics.items for one in pod.containers}
    wanted = [(pod.metadata.name, one) for pod in pods for one in pod.spec.containers if one.name in names]
    measured = tuple(
        Measured(pod, one.name, at, _figures(used), _figures(one.resources.requests), _figures(one.resources.limits))
        for pod, one in wanted
        if (found := told.get((pod, one.name))) is not None
        for at, used in (found,)
    )
    return Usage(measured, len(wanted) - len(measured))


def _figures(told: dict[str, str]) -> dict[str, float]:
    return {name: quantity(told[name]) for name in ("cpu", "memory") if name in told}


def _staying(pods: list[_Pod], owners: set[str]) -> Iterator[_Pod]:
    for one in pods:
        owner = wire.controller_of(one.metadata.owner_references)
        if owner is not None and owner.uid in owners and one.metadata.deletion_timestamp is None:
            yield one


def _late(deadline: timedelta) -> Silence:
    return Silence(f"no answer within {spell(deadline)}", theirs=False)


def _unlisted(error: KubeError) -> Silence:
    why = "Stopgap may not list them" if isinstance(error, Forbidden) else f"the API server does not tell ({error.status or 'no answer'})"
    return Silence(f"its pods are not known: {why}", theirs=False)


def _unmeasured(error: KubeError) -> Silence:
    match error:
        case NotFound():
            why = "this cluster has no metrics.k8s.io API: install metrics-server"
        case Forbidden():
            why = "Stopgap may not list pods of metrics.k8s.io: apply its present roles"
        case _:
            why = f"the metrics.k8s.io API does not answer ({error.status or 'no answer'}): look at metrics-server"
    return Silence(why, theirs=False)
