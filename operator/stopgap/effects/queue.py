"""What is to be looked at, in which order: one worker per key at a time, the urgent first, every namespace in its turn.

Everything here runs in the event loop; handlers, watches and timers call `add`, and the reconciler is `work`.
"""

import asyncio
import logging
import random
import time
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
Work = Callable[[K], Awaitable[float | None]]
"""Looks at one key; returns the seconds after which to look again, or None."""


@dataclass(frozen=True, slots=True)
class _Timer:
    due: float
    handle: asyncio.TimerHandle


class WorkQueue(Generic[K]):
    """A queue of keys without duplicates. A key that is added while it is worked on is worked on once more afterwards."""

    USUAL_PRIORITY = 4
    """Lower numbers go first: 1 for P1 to 4 for P4 and for everything without a severity."""
    FIRST_BACKOFF = 0.1
    LONGEST_BACKOFF = 60.0
    """Seconds; each failure in a row doubles the wait, and half of it is random."""
    GRACE = 5.0
    """Seconds that work under way is given to end when the queue is stopped."""

    def __init__(
        self,
        *,
        namespace: Callable[[K], str],
        on_error: Callable[[K, Exception], None],
        concurrency: int = 32,
    ) -> None:
        self._namespace, self._on_error = namespace, on_error
        self._free = concurrency
        self._work: Work[K] | None = None
        self._waiting: dict[K, int] = {}
        # priority -> namespace -> keys; both inner levels are used as ordered sets and served from the front.
        self._lanes: defaultdict[int, OrderedDict[str, OrderedDict[K, None]]] = defaultdict(OrderedDict)
        self._active: dict[K, asyncio.Task[None]] = {}
        self._again: dict[K, int] = {}
        self._timers: dict[K, _Timer] = {}
        self._failures: dict[K, int] = {}

    def add(self, key: K, priority: int = USUAL_PRIORITY) -> None:
        """Ask for a look at the key as soon as possible. Adding a waiting key can only make it more urgent."""
        if key in self._active:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        waits_at = self._waiting.get(key)
        if waits_at is not None:
            if waits_at <= priority:
                return
            self._leave_lane(key, waits_at)
        self._waiting[key] = priority
        self._lanes[priority].setdefault(self._namespace(key), OrderedDict())[key] = None
        self._start_what_fits()

    def add_after(self, key: K, seconds: float, priority: int = USUAL_PRIORITY) -> None:
        """Ask for a look in so many seconds. One timer per key: the earliest stays."""
        due = time.monotonic() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.due <= due:
                return
            timer.handle.cancel()
        handle = asyncio.get_running_loop().call_later(max(0.0, seconds), self._ring, key, priority)
        self._timers[key] = _Timer(due, handle)

    def retry(self, key: K, priority: int = USUAL_PRIORITY) -> float:
        """Ask for a look after a pause that grows with each failure in a row; return its seconds. Success resets it."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest: float = min(self.LONGEST_BACKOFF, self.FIRST_BACKOFF * 2 ** min(failures - 1, 16))
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        self.add_after(key, seconds, priority)
        return seconds

    def forget(self, key: K) -> None:
        """Drop timer, backoff and waiting place of a key that no longer exists. Work under way goes on."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.handle.cancel()
        self._failures.pop(key, None)
        self._again.pop(key, None)
        waits_at = self._waiting.pop(key, None)
        if waits_at is not None:
            self._leave_lane(key, waits_at)

    async def run(self, work: Work[K]) -> None:
        """Work until cancelled. What is then under way gets GRACE seconds to end; what waits is left undone."""
        self._work = work
        self._start_what_fits()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._work = None
            try:
                await self._wind_up()
            finally:
                for timer in self._timers.values():
                    timer.handle.cancel()
                self._timers.clear()

    @property
    def waiting(self) -> int:
        """How many keys wait for a worker."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """How many keys are being worked on."""
        return len(self._active)

    def _start_what_fits(self) -> None:
        # Called from add() itself: the worker starts in the very next turn of the loop, with no task in between.
        while self._work is not None and self._free and self._waiting:
            key, priority = self._next()
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._look_at(key, priority, self._work))
            self._active[key] = task

    def _next(self) -> tuple[K, int]:
        priority = min(number for number, lane in self._lanes.items() if lane)
        lane = self._lanes[priority]
        namespace, keys = next(iter(lane.items()))
        key, _ = keys.popitem(last=False)
        if keys:
            lane.move_to_end(namespace)  # the next namespace is served before this one again
        else:
            del lane[namespace]
        del self._waiting[key]
        return key, priority

    def _leave_lane(self, key: K, priority: int) -> None:
        lane, namespace = self._lanes[priority], self._namespace(key)
        del lane[namespace][key]
        if not lane[namespace]:
            del lane[namespace]

    async def _look_at(self, key: K, priority: int, work: Work[K]) -> None:
        try:
            again_after = await work(key)
        except Exception as error:  # noqa: BLE001 - one key's failure is told to on_error and must not stop the others
            self._fail(key, priority, error)
        else:
            self._failures.pop(key, None)
            if again_after is not None:
                self.add_after(key, again_after, priority)
        finally:
            self._done(key)

    def _fail(self, key: K, priority: int, error: Exception) -> None:
        self.retry(key, priority)
        try:
            self._on_error(key, error)
        except Exception:
            log.exception("the failure of a key cannot be told", extra={"key": str(key)})

    def _done(self, key: K) -> None:
        del self._active[key]
        self._free += 1
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)
        self._start_what_fits()

    def _ring(self, key: K, priority: int) -> None:
        del self._timers[key]
        self.add(key, priority)

    async def _wind_up(self) -> None:
        tasks = list(self._active.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self.GRACE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
