"""The one way to PostgreSQL databases, for what policies declare: what clients do there, and the end of some of their queries.

The DSN is read from its Secret when it is used, and told nobody. The host is looked up once and judged like any other (effects/egress.py).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from stopgap.effects.egress import Resolve
from stopgap.effects.secrets import Secrets
from stopgap.model.database import Activity, DatabaseRequest, Ended, EndQueries, Listing, Wanted
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Silence
from stopgap.model.refs import SecretKeyRef

EXTRA: Final = "this Stopgap has no PostgreSQL driver: install it with the extra, pip install 'stopgap[postgres]' (the image has it)"
_USUALLY: Final = timedelta(seconds=5)
"""How long a database has for what an action wants of it, beyond the time that it is given to end queries."""


class Databases:
    """Looks into databases, and never raises for what the other side does."""

    def __init__(self, secrets: Secrets, resolve: Resolve) -> None:
        self._secrets = secrets
        self._resolve = resolve

    async def figures(self, asked: DatabaseRequest, *, scope: str, deadline: timedelta) -> Activity | Silence:
        """Return what clients do now."""
        found: Activity | Silence = await self._look(scope, asked.secret_ref, deadline, "figures", asked.exempt, deadline)
        return found

    async def listing(self, wanted: Wanted) -> Listing | Silence:
        """Return which queries could be ended now. Changes nothing."""
        found: Listing | Silence = await self._look(wanted.scope, wanted.secret_ref, _USUALLY, "listing", wanted, _USUALLY)
        return found

    async def end(self, scope: str, deed: EndQueries) -> Ended | Silence:
        """End queries that are still the same. May be repeated."""
        deadline = 2 * _USUALLY + (deed.terminate_after or timedelta(0))
        found: Ended | Silence = await self._look(scope, deed.secret_ref, deadline, "end", deed, _USUALLY)
        return found

    async def _look(self, scope: str, ref: SecretKeyRef, deadline: timedelta, what: str, *about: Any) -> Any:
        """Ask one of the questions of effects/queries.py, over one connection, all within the deadline."""
        try:
            # Only when a policy wants a database: the driver is optional, and takes its memory.
            from stopgap.effects import postgres, queries  # noqa: PLC0415 - as the line above says
        except ImportError:
            return Silence(EXTRA, theirs=False)
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline.total_seconds()
        try:
            async with asyncio.timeout_at(until):
                way = await self._way(scope, ref, postgres.read)
        except TimeoutError:
            return Silence("its address was not found in time", theirs=False)
        if isinstance(way, Silence):
            return way
        dsn, addresses = way
        left = timedelta(seconds=max(until - loop.time(), 0))
        return await postgres.look(dsn, addresses, left, lambda connection: getattr(queries, what)(connection, *about))

    async def _way(self, scope: str, ref: SecretKeyRef, read: Callable[[str], Any]) -> Any:
        """Return the DSN with the addresses that may be asked, or why there is no way."""
        text = await self._secrets.read(self._secrets.where(scope, platform=scope == PLATFORM), ref)
        if isinstance(text, Refusal):
            return Silence(text.message, theirs=False)
        dsn = read(text.get_secret_value())
        if isinstance(dsn, Silence):
            return dsn
        addresses = await self._resolve(dsn.host, scope)
        if isinstance(addresses, Silence):
            # The host is part of what is not told.
            return Silence(addresses.why.replace(dsn.host, "the DSN's host"), theirs=False)
        return dsn, addresses
