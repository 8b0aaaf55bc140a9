"""Asks beforehand for what a decision may need in a moment: while a release is in trouble, and before it is proved to be bad."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from stopgap.effects.errors import KubeError

FRESH_SECONDS: Final = 3.0
"""An answer counts as just read for so long after it was asked for. Beyond that only the watches tell what changed meanwhile."""
AT_ONCE: Final = 8
"""Questions under way, asked beforehand. Where many releases are in trouble, the rest is asked when it is needed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    answer: asyncio.Task[T]
    at: float = field(default_factory=time.monotonic)

    @property
    def fresh(self) -> bool:
        return time.monotonic() - self.at < FRESH_SECONDS


class ReadAhead:
    """Answers by key. What is the same for many workloads, such as their namespace, is asked once for all of them."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, ...], _Asked[Any]] = {}

    def expect(self, key: tuple[str, ...], read: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Ask in the background, unless the answer is fresh or too much is asked already. An error is met by who takes the answer."""
        # One that hangs keeps its place until it ends, or a server that is silent would be asked ever more.
        self._asked = {one: asked for one, asked in self._asked.items() if asked.fresh or not asked.answer.done()}
        if key not in self._asked and sum(not asked.answer.done() for asked in self._asked.values()) < AT_ONCE:
            self._asked[key] = _Asked(asyncio.create_task(_quietly(read)))

    async def take(self, key: tuple[str, ...], read: Callable[[], Awaitable[T]]) -> T:
        """Return the fresh answer, or ask now. Raises what reading raises."""
        asked = self._asked.get(key)
        if asked is not None and asked.fresh:
            answer: _Answer[T] | None = await asyncio.shield(asked.answer)
            if answer is not None:
                return answer.value
        return await read()


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T


async def _quietly(read: Callable[[], Awaitable[T]]) -> _Answer[T] | None:
    """Read; None: it failed, and is asked again by whoever needs it."""
    try:
        return _Answer(await read())
    except KubeError:
        return None
