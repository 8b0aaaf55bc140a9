"""Long work on the event loop, in slices: what has to be quick is never behind more than one of them."""

import asyncio
import time
from typing import Final

AT_ONCE: Final = 0.002
"""Seconds of counting before everything else has its turn: an action must not wait for a statistic."""


class Breath:
    """Gives way whenever the loop was held for long enough."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def taken(self) -> None:
        """Let others run, if it is time."""
        if time.monotonic() - self._since > AT_ONCE:
            await asyncio.sleep(0)
            self._since = time.monotonic()
