"""Watches that are believed together. Those of StatefulSets are begun only once somebody wants them: most clusters never need them."""

import asyncio
import ctypes
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from stopgap.api.clusterpolicy import Policy
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.sinks import ControllerRevisionSink, StatefulPodSink, StatefulSetSink
from stopgap.effects.statefulsets import PODS, ControllerRevision, StatefulPod, StatefulSetObject
from stopgap.effects.watch import Sink, Watch, Watched, trouble_of
from stopgap.model.refs import Target

Spawn = Callable[[Coroutine[Any, Any, None], str], None]
STATEFUL_SET = "StatefulSet"


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


class StatefulWatches(Watches):
    """The watches of StatefulSets. `paths` says which collections a version and a resource are read from."""

    def __init__(self, kube: Kube, spawn: Spawn, index: Index, paths: Callable[[str, str], list[str]]) -> None:
        super().__init__(kube, spawn)
        self._index = index
        self._paths = paths
        self._wanted = asyncio.Event()

    def want(self, target: Target) -> None:
        """Take note of a workload that matters."""
        if target.kind == STATEFUL_SET:
            self._wanted.set()

    def policies_changed(self, policies: Iterable[Policy]) -> None:
        """Take note of what policies are about."""
        if any(STATEFUL_SET in one.spec.targets.kinds for one in policies):
            self._wanted.set()

    def synced_for(self, target: Target) -> bool:
        """Whether everything that is known about a workload beside its own records comes from other watches, or from these and is there."""
        return target.kind != STATEFUL_SET or (bool(self._open) and self.synced())

    def settled(self) -> bool:
        """Whether nobody wants to know of StatefulSets, or all of them are known."""
        return not self._wanted.is_set() or (bool(self._open) and self.synced())

    async def run(self, listed: Callable[[], None]) -> None:
        """Begin to watch when it is wanted, and say when everything was listed."""
        await self._wanted.wait()
        self.open(self._paths("apps/v1", "statefulsets"), StatefulSetObject, StatefulSetSink(self._index))
        self.open(self._paths("apps/v1", "controllerrevisions"), ControllerRevision, ControllerRevisionSink(self._index))
        self.open(self._paths("v1", "pods"), StatefulPod, StatefulPodSink(self._index), PODS)
        await self.listed()
        listed()
