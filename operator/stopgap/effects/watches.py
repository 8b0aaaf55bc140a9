"""Watches that are believed together. Those of some kinds are begun only once somebody wants them: most clusters never need them."""

import asyncio
import ctypes
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from stopgap.api.clusterpolicy import Policy
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.revised import ControllerRevision, DaemonSetObject, RevisedPod, StatefulSetObject
from stopgap.effects.sinks import ControllerRevisionSink, DaemonSetSink, RevisedPodSink, StatefulSetSink
from stopgap.effects.watch import Sink, Watch, Watched, trouble_of
from stopgap.effects.written import PLURALS
from stopgap.model.refs import Target, WorkloadKind

Spawn = Callable[[Coroutine[Any, Any, None], str], None]
Paths = Callable[[str, str], list[str]]


class _Part:
    """The part that one of several collections has in a sink: the sink itself knows what all of them have told it."""

    def __init__(self, sink: Sink[Any]) -> None:
        self._sink = sink
        self._told: set[str] = set()

    def put(self, obj: Watched, /) -> None:
        """Take in one state."""
        self._told.add(obj.metadata.uid)
        self._sink.put(obj)

    def gone(self, obj: Watched, /) -> None:
        """Take in a deletion."""
        self._told.discard(obj.metadata.uid)
        self._sink.gone(obj)

    def known(self) -> Collection[str]:
        """UIDs held now that came from here."""
        return self._told.intersection(self._sink.known())

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        self._told.discard(uid)
        self._sink.forget(uid)


class Watches:
    """Some watches, each run as a task of its own."""

    def __init__(self, kube: Kube, spawn: Spawn) -> None:
        self._kube = kube
        self._spawn = spawn
        self._open: list[Watch[Any]] = []

    def open(self, paths: Iterable[str], decode: type[Any], sink: Any, params: dict[str, str] | None = None) -> None:
        """Begin to watch some collections. What one of them does not list any more is forgotten only if it was there."""
        places = list(paths)
        for path in places:
            into = sink if len(places) == 1 else _Part(sink)
            watch: Watch[Any] = Watch(self._kube, path, decode, into, params=params or {}, name=path)
            self._open.append(watch)
            self._spawn(watch.run(), path)

    def synced(self) -> bool:
        """Whether everything was listed and is being heard of."""
        return all(one.synced.is_set() and not trouble_of(one) for one in self._open)

    def troubles(self) -> list[str]:
        """Say of each watch why nothing may be concluded from it, where that is so."""
        return [trouble for one in self._open if (trouble := trouble_of(one))]

    async def listed(self) -> None:
        """Wait until everything was listed once."""
        await asyncio.gather(*(one.synced.wait() for one in self._open))
        _give_back_memory()


def _give_back_memory() -> None:
    """Return to the system what the pages of the first lists took: many times as much as what is kept of them."""
    with suppress(OSError, AttributeError):  # only glibc keeps it, and only there is this needed
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True, slots=True)
class RevisedKind:
    """How workloads of a kind whose revisions are ControllerRevisions are read."""

    kind: WorkloadKind
    decode: type[StatefulSetObject] | type[DaemonSetObject]
    sink: type[StatefulSetSink] | type[DaemonSetSink]
    pods: str
    """Labels that all of their pods have, and hardly any other."""


REVISED: Final = (
    RevisedKind("StatefulSet", StatefulSetObject, StatefulSetSink, "statefulset.kubernetes.io/pod-name"),
    RevisedKind("DaemonSet", DaemonSetObject, DaemonSetSink, "controller-revision-hash,!statefulset.kubernetes.io/pod-name"),
)


class _OfOneKind(Watches):
    """The watches of one kind."""

    def __init__(self, kube: Kube, spawn: Spawn, index: Index, of: RevisedKind) -> None:
        super().__init__(kube, spawn)
        self._index = index
        self._of = of
        self.wanted = asyncio.Event()

    def known(self) -> bool:
        """Whether all of them are known."""
        return bool(self._open) and self.synced()

    async def run(self, paths: Paths, listed: Callable[[], None]) -> None:
        """Begin to watch when it is wanted, and say when everything was listed."""
        of = self._of
        await self.wanted.wait()
        self.open(paths("apps/v1", PLURALS[of.kind]), of.decode, of.sink(self._index))
        self.open(paths("apps/v1", "controllerrevisions"), ControllerRevision, ControllerRevisionSink(self._index, of.kind))
        self.open(paths("v1", "pods"), RevisedPod, RevisedPodSink(self._index, of.kind), {"labelSelector": of.pods})
        await self.listed()
        listed()


class LaterWatches:
    """The watches of StatefulSets and DaemonSets. `paths` says which collections a version and a resource are read from."""

    def __init__(self, kube: Kube, spawn: Spawn, index: Index, paths: Paths) -> None:
        self._paths = paths
        self._kinds: dict[str, _OfOneKind] = {of.kind: _OfOneKind(kube, spawn, index, of) for of in REVISED}

    def want(self, target: Target) -> None:
        """Take note of a workload that matters."""
        self._want(target.kind)

    def policies_changed(self, policies: Iterable[Policy]) -> None:
        """Take note of what policies are about."""
        for kind in {kind for one in policies for kind in one.spec.targets.kinds}:
            self._want(kind)

    def _want(self, kind: str) -> None:
        if kind in self._kinds:
            self._kinds[kind].wanted.set()

    def synced_for(self, target: Target) -> bool:
        """Whether everything that is known about a workload beside its own records comes from other watches, or from these and is there."""
        return target.kind not in self._kinds or self._kinds[target.kind].known()

    def settled(self) -> bool:
        """Whether all workloads of the kinds that somebody wants to know of are known."""
        return all(one.known() for one in self._kinds.values() if one.wanted.is_set())

    def troubles(self) -> list[str]:
        """Say of each watch why nothing may be concluded from it, where that is so."""
        return [trouble for one in self._kinds.values() for trouble in one.troubles()]

    async def run(self, listed: Callable[[], None]) -> None:
        """Begin to watch each kind when it is wanted, and say when everything about it was listed."""
        await asyncio.gather(*(one.run(self._paths, listed) for one in self._kinds.values()))
