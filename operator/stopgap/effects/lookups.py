"""What is read when an incident is looked into: all at once, under one deadline, each bounded; what does not come in time is left out."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from stopgap.core import owners
from stopgap.core.evidence import BEFORE, Answers, NodeTrouble, Touched, Warned, Written
from stopgap.core.failing import Scene
from stopgap.effects import facts, signs, wire
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, Params, collection, item
from stopgap.effects.live import LiveReads
from stopgap.effects.podlogs import LogLimits, LogSource, PodLogs
from stopgap.effects.polledpods import PolledPods
from stopgap.effects.scalers import is_about
from stopgap.effects.written import SCALERS
from stopgap.model.base import Permission
from stopgap.model.logs import LogDigest
from stopgap.model.query import UsageRequest
from stopgap.model.template import Template
from stopgap.model.usage import Measured, Usage
from stopgap.model.workload import Pod, Workload

log = logging.getLogger(__name__)

DEADLINE: Final = timedelta(seconds=3)
"""For everything together."""
_IN_TIME: Final = timedelta(milliseconds=300)
"""What was read of logs so long before the deadline is told."""
_LIMITS: Final = LogLimits(of_one=256 * 1024, in_all=512 * 1024, lines=1000)
_RECENT: Final = timedelta(hours=1)
"""Of a process that runs, only the lines of this time are looked at."""
_TROUBLE: Final = r"(?i)error|fatal|panic|exception|traceback|fail|critical|refused|denied|unable|cannot"
_ANY: Final = "."
_MOST_PODS, _MOST_NODES, _MOST_MAPS, _MOST_LISTED = 3, 3, 10, 100
_MOST_SOURCES: Final = 6

PERMISSIONS: Final = (Permission("events.k8s.io", ("events",), ("list",), "fold the warnings about a failing workload into its incident"),)
CLUSTER_PERMISSIONS: Final = (Permission("", ("nodes",), ("get",), "say what is wrong with the nodes that failing pods are on"),)
CONFIGMAP_PERMISSIONS: Final = (
    Permission("", ("configmaps",), ("get",), "say when a ConfigMap of a failing workload was last changed, and by whom"),
)
CONFIGMAP_ROLE: Final = "stopgap-triage-configmaps"
CONFIGMAP_HINT: Final = f"for ClusterRole {CONFIGMAP_ROLE} is not bound in this namespace"


class _Listed(msgspec.Struct):
    items: list[msgspec.Raw]


class _Pods(msgspec.Struct):
    items: list[wire.PodObject]


class _Metadata(msgspec.Struct):
    metadata: wire.Meta


class Lookups:
    """Reads about incidents. `everywhere`: it watches the whole cluster, and so may look at nodes."""

    def __init__(self, kube: Kube, index: Index, live: LiveReads, *, everywhere: bool, now: Callable[[], datetime]) -> None:
        self._kube = kube
        self._everywhere = everywhere
        self._index = index
        self._live = live
        self._now = now

    async def answers(self, scene: Scene) -> Answers:
        """Return what could be read in time."""
        work = scene.case.seen.workload
        if work is None:
            return Answers(self._now())
        one = _Lookup(self._kube, self._live, PolledPods(self._kube, self._index), work, scene)
        one.touched += _rollouts(self._index, work, scene)
        await one.read(nodes=self._everywhere)
        return one.answers(self._now())


class _Lookup:
    """One incident that is looked into."""

    def __init__(self, kube: Kube, live: LiveReads, pods: PolledPods, work: Workload, scene: Scene) -> None:
        self._kube = kube
        self._live = live
        self._pods = pods
        self._work = work
        self._scene = scene
        self._templates = dict[str, Template]()
        self._warnings: list[Warned] = []
        self._nodes: list[NodeTrouble] = []
        self._logs: Written | None = None
        self._usage = tuple[Measured, ...]()
        self._source_revision = ""
        self._unread: dict[str, str] = {}
        self.touched: list[Touched] = []
        self._until = time.monotonic() + (DEADLINE - _IN_TIME).total_seconds()

    async def read(self, *, nodes: bool) -> None:
        """Read everything at once; what is not there by the deadline is noted as unread."""
        readings = (
            ("Rollout", self._rollout()),
            ("HorizontalPodAutoscalers", self._autoscalers()),
            *([("Nodes", self._look_at_nodes())] if nodes else []),
            ("Events", self._events()),
            ("Logs", self._read_logs()),
            ("Usage", self._measure()),
            ("Owner", self._owner()),
        )
        tasks = {asyncio.create_task(self._each(what, reading)): what for what, reading in readings}
        try:
            _, late = await asyncio.wait(tasks, timeout=DEADLINE.total_seconds())
            self._unread |= {tasks[one]: f"no answer within {DEADLINE.total_seconds():g}s" for one in late}
        finally:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def answers(self, now: datetime) -> Answers:
        """Return what was read so far."""
        return Answers(
            now,
            templates=self._templates,
            warnings=tuple(self._warnings),
            nodes=tuple(self._nodes),
            touched=tuple(self.touched),
            logs=self._logs,
            usage=self._usage,
            source_revision=self._source_revision,
            unread=self._unread,
        )

    async def _each(self, what: str, reading: Awaitable[None]) -> None:
        try:
            await reading
        except Forbidden:
            self._unread[what] = "not granted"
        except KubeError:
            self._unread[what] = "could not be read"
        except Exception:
            # Whatever is wrong with one of them, the others are worth having.
            log.exception("what was read about an incident cannot be understood", extra={"what": what, "target": str(self._work.target)})
            self._unread[what] = "could not be understood"

    async def _rollout(self) -> None:
        target, revisions = self._work.target, self._scene.revisions
        found = await asyncio.gather(*(self._live.template(target, one.name) for one in revisions))
        self._templates = {one.uid: template for one, template in zip(revisions, found, strict=True) if template is not None}
        await self._each("ConfigMaps", self._configmaps())

    async def _configmaps(self) -> None:
        revision = self._scene.revision
        template = self._templates.get(revision.uid) if revision else None
        names = sorted(one.partition("/")[2] for one in (template.references if template else ()) if one.startswith("configmap/"))
        await asyncio.gather(*(self._configmap(name) for name in names[:_MOST_MAPS]))

    async def _configmap(self, name: str) -> None:
        try:
            raw = await self._kube.metadata(item("v1", "configmaps", name, namespace=self._work.namespace))
        except NotFound:
            return  # the events say that it is missing, where that matters
        except Forbidden:
            self._unread["ConfigMaps"] = CONFIGMAP_HINT
            return
        self._touch(f"configmap/{name}", msgspec.json.decode(raw, type=_Metadata).metadata)

    def _touch(self, what: str, meta: wire.Meta) -> None:
        self.touched += [Touched(what, "was changed", at, by) for at, by in _last_written(meta)]

    async def _autoscalers(self) -> None:
        raw = await self._kube.get(collection(*SCALERS["HorizontalPodAutoscaler"], self._work.namespace), {"limit": _MOST_LISTED})
        for one in msgspec.json.decode(raw, type=_Listed).items:
            body: dict[str, Any] = msgspec.json.decode(one)
            if not is_about(body, self._work):
                continue
            name = f"horizontalpodautoscaler/{body['metadata']['name']}"
            self._touch(name, msgspec.json.decode(one, type=_Metadata).metadata)
            status = body.get("status") or {}
            if scaled := status.get("lastScaleTime"):
                self.touched.append(Touched(name, f"scaled it (to {status.get('desiredReplicas', '?')})", datetime.fromisoformat(scaled)))

    async def _look_at_nodes(self) -> None:
        names = list(dict.fromkeys(pod.node for pod in self._scene.pods if pod.node))[:_MOST_NODES]
        await asyncio.gather(*(self._node(name) for name in names))

    async def _node(self, name: str) -> None:
        try:
            node = msgspec.json.decode(await self._kube.get(item("v1", "nodes", name)), type=signs.Node)
        except NotFound:
            self._nodes.append(NodeTrouble(name, "is not there any more", None))
            return
        for trouble in signs.troubles(name, node):
            self._nodes.append(trouble)
            if trouble.since is not None:
                self.touched.append(Touched(f"node/{name}", f"({trouble.what}) changed", trouble.since))

    async def _events(self) -> None:
        # A pod that finds no node, or whose volume is not there, has no container that fails yet.
        pods = [f"Pod/{pod.name}" for pod in (self._scene.pods or self._scene.case.seen.pods)[: _MOST_PODS - 1]]
        revision = self._scene.revision
        sets = [f"ReplicaSet/{revision.name}"] if revision and self._work.kind == "Deployment" else []
        about = (*pods, *sets, f"{self._work.kind}/{self._work.name}")
        await asyncio.gather(*(self._events_about(*one.split("/")) for one in about))

    async def _events_about(self, kind: str, name: str) -> None:
        params: Params = {"fieldSelector": f"type=Warning,regarding.kind={kind},regarding.name={name}", "limit": _MOST_LISTED}
        raw = await self._kube.get(collection("events.k8s.io/v1", "events", self._work.namespace), params)
        self._warnings += signs.warnings(msgspec.json.decode(raw, type=signs.Events), self._scene.case.now)

    async def _read_logs(self) -> None:
        scene = self._scene
        if scene.pods:
            pods, previous = scene.pods[:_MOST_PODS], scene.ended
            sources = [LogSource(pod.name, scene.container, previous) for pod in pods]
            digest = await self._digest(sources, within=None if previous else _RECENT)
            if previous and not digest.containers:
                # The pod is too young, or its node forgot: what runs now is better than nothing.
                sources, previous = [LogSource(pod.name, scene.container) for pod in pods], False
                digest = await self._digest(sources, within=None)
        else:
            sources, previous = await self._healthy(), False
            digest = await self._digest(sources, within=_RECENT)
        if digest.matching == 0 and digest.lines:
            digest = await self._digest(sources, within=None, pattern=_ANY)
        self._logs = Written(digest, len(sources), previous=previous) if sources else None

    async def _digest(self, sources: Iterable[LogSource], *, within: timedelta | None, pattern: str = _TROUBLE) -> LogDigest:
        logs, space = PodLogs(self._kube), self._work.namespace
        return await logs.read(space, sources, pattern=pattern, within=within, deadline=self._left(), limits=_LIMITS)

    async def _healthy(self) -> list[LogSource]:
        """Nothing fails by what the kubelets say: the logs of some pods that run tell more. Those that are well are not in the index."""
        revision = self._scene.revision
        if revision is None:
            return []
        params: Params = {"labelSelector": f"{facts.revision_label(self._work.kind)}={revision.hash}", "limit": _MOST_PODS}
        raw = await self._kube.get(collection("v1", "pods", self._work.namespace), params)
        pods = [facts.pod(one, revision.uid) for one in msgspec.json.decode(raw, type=_Pods).items]
        return list(_containers(pods))[:_MOST_SOURCES]

    async def _measure(self) -> None:
        measured = await self._pods.usage(UsageRequest(self._work.target), self._left())
        # A cluster without figures is told of where a policy asks for them.
        self._usage = measured.containers if isinstance(measured, Usage) else ()

    def _left(self) -> timedelta:
        return timedelta(seconds=max(self._until - time.monotonic(), 0))

    async def _owner(self) -> None:
        found = owners.owner(self._work)
        self._source_revision = owners.source_revision(self._work, await self._live.owner(found) if found else None)


def _rollouts(index: Index, work: Workload, scene: Scene) -> list[Touched]:
    others = index.rolled_out_since(work.namespace, scene.onset - BEFORE)
    return [
        Touched(
            f"{one.kind.lower()}/{one.name}",
            f"rolled out revision {one.revision}" if one.revision else "was rolled out",
            at,
            one.changed_by,
        )
        for one, at in others
        if one.uid != work.uid
    ]


def _last_written(meta: wire.Meta) -> Iterator[tuple[datetime, str]]:
    """Yield when an object was last written, status apart, and by which field manager; of one that nobody tracks, when it was made."""
    writes = [one for one in meta.managed_fields if not one.subresource and one.time]
    if not writes:
        yield meta.creation_timestamp, ""
        return
    last = max(writes, key=lambda one: one.time)
    yield datetime.fromisoformat(last.time), last.manager


def _containers(pods: Iterable[Pod]) -> Iterator[LogSource]:
    for pod in pods:
        yield from (LogSource(pod.name, one.name) for one in pod.containers if not one.init)
