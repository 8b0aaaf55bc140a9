"""Reads what containers wrote: bounded per container and in all, as a stream, and nothing of it is kept but a digest (model/logs.py).

Whatever the other side does is told in the digest, never raised: a log that cannot be read is no reason to know nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Final

from stopgap.effects.breath import Breath
from stopgap.effects.errors import Forbidden, KubeError, NotFound, Rejected
from stopgap.effects.kube import Kube, item
from stopgap.model.base import Permission
from stopgap.model.logs import MOST_LINE, LogCount, LogDigest

BYTES_OF_ONE: Final = 1 << 20
BYTES_IN_ALL: Final = 8 << 20
LINES_OF_ONE: Final = 10_000
"""The newest of one container. Without a limit a kubelet begins to search at the beginning of the file."""
AT_ONCE: Final = 4
"""Logs that are read at once for one question."""
PERMISSIONS: Final = (
    Permission("", ("pods/log",), ("get",), "count the log lines that a policy asks about, and tell what a failing container writes"),
)


@dataclass(frozen=True, slots=True)
class LogSource:
    """One container whose log is read."""

    pod: str
    container: str
    previous: bool = False
    """Read what the process before the present one wrote: why it ended."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much is read. What there is beyond is said to be missed."""

    of_one: int = BYTES_OF_ONE
    """Bytes of one container."""
    in_all: int = BYTES_IN_ALL
    """Bytes of all containers together."""
    lines: int = LINES_OF_ONE
    """The newest of one container."""


class PodLogs:
    """Counts and folds the lines of pods."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def read(  # noqa: PLR0913 - what is read, and the bounds of it
        self,
        namespace: str,
        sources: Iterable[LogSource],
        *,
        pattern: str,
        within: timedelta | None,
        deadline: timedelta,
        limits: LogLimits | None = None,
    ) -> LogDigest:
        """Return what the lines that match an RE2 expression look like; `within`: only those of the last so long.

        Raises re2.error for an expression that is none.
        """
        reading = _Reading(self._kube, namespace, LogCount(pattern), within, limits or LogLimits())
        rest = iter(list(sources))
        try:
            async with asyncio.timeout(deadline.total_seconds()), asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(reading.each(rest))
        except TimeoutError:
            reading.missed["were not read to the end in time"] += len(list(rest)) + reading.open
        return reading.digest()


class _Reading:
    """One question under way."""

    def __init__(self, kube: Kube, namespace: str, count: LogCount, within: timedelta | None, limits: LogLimits) -> None:
        self._kube = kube
        self._namespace = namespace
        self._count = count
        self._within = within
        self._limits = limits
        self._left = limits.in_all
        self._breath = Breath()
        self._read = 0
        self.open = 0
        self.missed: Counter[str] = Counter()
        """Why so many containers were not read, or not to the end."""

    def digest(self) -> LogDigest:
        """Return what was read so far."""
        missed = "; ".join(f"logs that {why}: {count}" for why, count in self.missed.most_common())
        return self._count.digest(self._read, missed)

    async def each(self, rest: Iterator[LogSource]) -> None:
        """Read one after the other, as long as there are any and there is room."""
        for one in rest:
            granted = min(self._limits.of_one, self._left)
            if granted <= 0:
                self.missed[f"were not read, as {_mib(self._limits.in_all)} is the most in all"] += 1
                continue
            self._left -= granted
            self.open += 1
            size = await self._one(one, granted)
            self._left += granted - size
            self.open -= 1

    async def _one(self, source: LogSource, granted: int) -> int:
        """Read one container's log, and return how many bytes of it."""
        try:
            size, lines = await self._take(source, granted)
        except (NotFound, Rejected):
            return 0  # the pod is gone, or the container has not started (or has not ended before): there is no log
        except Forbidden:
            self.missed["may not be read by Stopgap (get pods/log)"] += 1
            return 0
        except KubeError:
            self.missed["could not be had from their nodes"] += 1
            return 0
        if size >= granted or lines >= self._limits.lines:
            self.missed["are longer than is read of one"] += 1
        return size

    async def _take(self, source: LogSource, granted: int) -> tuple[int, int]:
        size = lines = 0
        begun = b""
        async with aclosing(self._kube.chunks(self._path(source), self._params(source, granted), opened=self._opened)) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                head, *more = chunk.split(b"\n")
                begun += head[: max(MOST_LINE - len(begun), 0)]
                for start in more:
                    lines += 1
                    self._count.take(begun)
                    begun = start[:MOST_LINE]
                    await self._breath.taken()
                if size >= granted:
                    return size, lines  # what is begun is cut, and counts for nothing
        if begun:
            self._count.take(begun)
        return size, lines

    def _opened(self) -> None:
        self._read += 1

    def _path(self, source: LogSource) -> str:
        return item("v1", "pods", source.pod, namespace=self._namespace, subresource="log")

    def _params(self, source: LogSource, granted: int) -> dict[str, str | int]:
        asked: dict[str, str | int] = {"container": source.container, "limitBytes": granted, "tailLines": self._limits.lines}
        if source.previous:
            asked["previous"] = "true"
        if self._within is not None:
            asked["sinceSeconds"] = ceil(self._within.total_seconds())
        return asked


def _mib(size: int) -> str:
    return f"{size / (1 << 20):g} MiB"
