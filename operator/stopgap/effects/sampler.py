"""Asks for every polled signal when it is due, once for all who want to know, and keeps what the answers said.

Nothing waits for it: a decision takes the samples that are there (effects/observe.py), and a changed verdict asks for a look. One server
that hangs takes a few places of its own namespace's share, and nobody else's.
"""

import asyncio
import heapq
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Final
from weakref import WeakValueDictionary

from stopgap.api.clusterpolicy import Policy
from stopgap.detectors import Polled
from stopgap.effects.breath import Breath
from stopgap.model.query import PLATFORM, Answer, Asking, Query, Sample, Server, appended
from stopgap.model.refs import Target
from stopgap.model.workload import State

AT_ONCE, AT_ONCE_OF_THE_PLATFORM, AT_ONCE_OF_A_NAMESPACE, AT_ONCE_AT_ONE_HOST = 256, 128, 16, 4
"""Queries under way: in all, for the platform's policies, for those of one namespace, and of either at one host."""
REARRANGED_EVERY: Final = 30.0
"""Seconds after which the list of what is to be asked is made anew, whether or not it is known that something changed."""
SHORTEST_PAUSE: Final = 1.0
"""Seconds between two times of that, when much changes at once."""
SHORTEST_WAIT, LONGEST_WAIT = 0.02, 0.25
_OFF_BY: Final = 0.05
"""Each interval is this much longer or shorter by chance, so that what began together drifts apart."""
log = logging.getLogger(__name__)

Wanted = dict[Query, dict[Polled, set[Target]]]


class _Line:
    """One query: when it is due, who wants to know, and what the answers meant to each."""

    __slots__ = ("busy", "due", "rings", "wanted_by")

    def __init__(self, due: float) -> None:
        self.due = due
        self.busy = False
        self.wanted_by: dict[Polled, set[Target]] = {}
        self.rings: dict[Polled, tuple[Sample, ...]] = {}


class Sampler:
    """The only one that asks. `version` changes whenever policies, workloads or namespaces do, and with them what is to be asked."""

    def __init__(  # noqa: PLR0913 - whom it asks, for whom, and whom it tells
        self,
        ask: Callable[[Query], Awaitable[Answer]],
        *,
        targets: Callable[[], Iterable[Target]],
        deciding: Callable[[Target], Policy | None],
        version: Callable[[], Hashable],
        prometheus: Callable[[], Server | None],
        leading: Callable[[], bool],
        now: Callable[[], datetime],
        changed: Callable[[Target], None],
    ) -> None:
        self._ask = ask
        self._targets = targets
        self._deciding = deciding
        self._version = version
        self._prometheus = prometheus
        self._leading = leading
        self._now = now
        self._changed = changed
        self._lines: dict[Query, _Line] = {}
        self._due: list[tuple[float, int, Query]] = []
        self._order = count()
        self._lanes = _Lanes()
        self._asking: set[asyncio.Task[None]] = set()
        self.turns = 0
        """How often any signal has become readable or unreadable."""

    def samples(self, target: Target, policy: Policy | None) -> dict[str, tuple[Sample, ...]]:
        """Return what the polled triggers of a policy know about a workload. Waits for nothing."""
        found: dict[str, tuple[Sample, ...]] = {}
        for name, detector in _polled(policy):
            line = self._lines.get(detector.wants(self._asking_for(target, policy)))
            found[name] = line.rings.get(detector, ()) if line else ()
        return found

    def unknown(self, target: Target, policy: Policy) -> str:
        """Say which polled trigger of a policy cannot be told for a workload, and why; nothing where all can."""
        for name, detector in _polled(policy):
            line = self._lines.get(detector.wants(self._asking_for(target, policy)))
            ring = line.rings.get(detector, ()) if line else ()
            if _unread(ring):
                return f"{name}: {ring[-1].message}"
        return ""

    def _asking_for(self, target: Target, policy: Policy | None) -> Asking:
        return Asking(target, (policy.metadata.namespace if policy else None) or PLATFORM, self._prometheus())

    # ------------------------------------------------------------------------------------------------------------ asking

    async def run(self) -> None:
        """Ask for ever."""
        arranged, version = -REARRANGED_EVERY, self._version()
        try:
            while True:
                if time.monotonic() - arranged > (REARRANGED_EVERY if version == self._version() else SHORTEST_PAUSE):
                    version = self._version()
                    await self._arrange(await self._wanted())
                    arranged = time.monotonic()
                self._start_what_is_due()
                left = self._due[0][0] - time.monotonic() if self._due else LONGEST_WAIT
                await asyncio.sleep(min(max(left, SHORTEST_WAIT), LONGEST_WAIT))
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def _wanted(self) -> Wanted:
        wanted: Wanted = {}
        breath = Breath()
        for target in list(self._targets()):
            policy = self._deciding(target)
            for _, detector in _polled(policy):
                query = detector.wants(self._asking_for(target, policy))
                wanted.setdefault(query, defaultdict(set))[detector].add(target)
            await breath.taken()
        return wanted

    async def _arrange(self, wanted: Wanted) -> None:
        """Keep what is still wanted with its samples, drop the rest, and spread what is new over its interval."""
        breath = Breath()
        for query in self._lines.keys() - wanted.keys():
            del self._lines[query]
        for query, by in wanted.items():
            line = self._lines.get(query)
            if line is None:
                first = time.monotonic() + random.uniform(0, query.interval.total_seconds())  # noqa: S311 - spread, not a secret
                line = self._lines[query] = _Line(first)
                self._await(query, line)
            line.wanted_by = by
            line.rings = {detector: line.rings.get(detector, ()) for detector in by}
            await breath.taken()

    def _await(self, query: Query, line: _Line) -> None:
        heapq.heappush(self._due, (line.due, next(self._order), query))

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, _, query = heapq.heappop(self._due)
            line = self._lines.get(query)
            if line is None or line.due != due:
                continue  # it is not wanted any more, or was not for a while
            # What is late is not made up for: the next answer is as good.
            line.due = max(due, now - 1) + query.interval.total_seconds() * random.uniform(1 - _OFF_BY, 1 + _OFF_BY)  # noqa: S311 - as above
            self._await(query, line)
            if self._leading() and not line.busy:
                line.busy = True
                task = asyncio.get_running_loop().create_task(self._ask_one(query, line))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _ask_one(self, query: Query, line: _Line) -> None:
        try:
            async with self._lanes.place(query):
                at = self._now()
                answer = await self._ask(query)
            self._take_in(query, line, answer, at)
        except Exception:
            # One question must not end all of them. Its samples are missing, which is what Unknown means.
            log.exception("a signal could not be asked for", extra={"scope": query.scope})
        finally:
            line.busy = False

    def _take_in(self, query: Query, line: _Line, answer: Answer, at: datetime) -> None:
        if self._lines.get(query) is not line:
            return
        for detector, targets in line.wanted_by.items():
            ring = line.rings.get(detector, ())
            before, unread = detector.state(ring, at), _unread(ring)
            ring = line.rings[detector] = appended(ring, detector.assess(answer, at), query.interval)
            self.turns += _unread(ring) is not unread
            if detector.state(ring, at) is not before:
                for target in targets:
                    self._changed(target)


class _Lanes:
    """Who may ask now. Whoever waits holds a place at his own host only, so that a silent one is in nobody else's way."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(AT_ONCE)
        self._lanes: WeakValueDictionary[tuple[str, ...], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, query: Query) -> AsyncIterator[None]:
        """Wait for a place and hold it."""
        whom = query.requests[0].whom if query.requests else ""
        at_host = self._lane((query.scope, whom), AT_ONCE_AT_ONE_HOST)
        of_scope = self._lane((query.scope,), AT_ONCE_OF_THE_PLATFORM if query.scope == PLATFORM else AT_ONCE_OF_A_NAMESPACE)
        async with at_host, of_scope, self._all:
            yield

    def _lane(self, key: tuple[str, ...], places: int) -> asyncio.Semaphore:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = asyncio.Semaphore(places)
        return lane


def _unread(ring: tuple[Sample, ...]) -> bool | None:
    """Whether the last answer told nothing; None: there was none."""
    return ring[-1].state is State.UNKNOWN if ring else None


def _polled(policy: Policy | None) -> list[tuple[str, Polled]]:
    return [(one.name, one.detector) for one in policy.spec.triggers if isinstance(one.detector, Polled)] if policy else []
