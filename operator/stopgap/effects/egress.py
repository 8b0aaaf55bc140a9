"""The one way out, for what policies declare: who may be asked. Pinned, bounded, and silent about what comes back.

A host is looked up once; every address that it means is judged (core/reach.py), and the connection goes to one that was: a second lookup
could mean another. How an HTTP request is sent is in effects/exchange.py.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from stopgap.core.reach import Address, Reach
from stopgap.model.query import PLATFORM, Request, Response, Silence

if TYPE_CHECKING:
    from stopgap.effects.exchange import Exchange

MOST_LOOKUPS, MOST_LOOKUPS_OF_A_NAMESPACE = 32, 8
"""Name lookups under way for the platform's policies, and for those of one namespace. The thread that waits for a silent name server cannot
be called back, so it keeps its place beyond its deadline."""
MOST_ADDRESSES: Final = 3
"""Addresses of one host that are tried."""

Found = list[tuple[Any, ...]]
Lookup = Callable[[str, int], Found]
Resolve = Callable[[str, str], Awaitable[list[Address] | Silence]]
"""Returns the addresses that a host means, all of them judged for a scope."""


def system_lookup(host: str, port: int) -> Found:
    """Ask the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Egress:
    """Asks, and never raises for what the other side does."""

    def __init__(self, reach: Callable[[], Reach], *, lookup: Lookup = system_lookup) -> None:
        self._reach = reach
        self._lookups = _Lookups(lookup)
        self._exchange: Exchange | None = None

    async def close(self) -> None:
        """Close what is open."""
        if self._exchange is not None:
            await self._exchange.close()

    async def addresses(self, host: str) -> list[Address]:
        """Return what a host of the platform means."""
        return await self._lookups.addresses(host, PLATFORM)

    async def send(self, request: Request, *, scope: str, deadline: timedelta) -> Response | Silence:
        """Send one request, once, and return what became of it within the deadline."""
        if self._exchange is None:
            from stopgap.effects.exchange import Exchange  # noqa: PLC0415 - it takes 7 MiB, and most policies ask nobody

            self._exchange = Exchange(self.resolve)
        return await self._exchange.send(request, scope=scope, deadline=deadline)

    async def resolve(self, host: str, scope: str) -> list[Address] | Silence:
        """Look a host up once, and return the addresses that may be asked for this scope: all that it means, or none."""
        reach = self._reach()
        if why := reach.forbids_name(host, scope):
            return Silence(why, theirs=False)
        addresses = await self._lookups.addresses(host, scope)
        if not addresses:
            return Silence(f"the name {host} cannot be resolved", theirs=False)
        if why := reach.forbids_addresses(host, addresses, scope):
            return Silence(why, theirs=False)
        return addresses[:MOST_ADDRESSES]


class _Lookups:
    """Resolves names in threads of their own, few at a time for one scope: neither the loop nor anybody else waits for a slow resolver."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def addresses(self, host: str, scope: str) -> list[Address]:
        """Return what a host means, in the resolver's order; nothing where it means nothing."""
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        places = self._places_of(scope)
        await places.acquire()
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Found] = loop.create_future()

        def told(found: Found) -> None:
            places.release()
            if not waiting.done():
                waiting.set_result(found)

        # A daemon: a lookup that hangs must not keep the process from ending.
        threading.Thread(target=_look_up, args=(self._lookup, host, loop, told), name="stopgap-lookup", daemon=True).start()
        return list(dict.fromkeys(ipaddress.ip_address(one[4][0]) for one in await waiting))

    def _places_of(self, scope: str) -> asyncio.Semaphore:
        places = self._places.get(scope)
        if places is None:
            places = self._places[scope] = asyncio.Semaphore(MOST_LOOKUPS if scope == PLATFORM else MOST_LOOKUPS_OF_A_NAMESPACE)
        return places


def _look_up(lookup: Lookup, host: str, loop: asyncio.AbstractEventLoop, told: Callable[[Found], None]) -> None:
    try:
        found = lookup(host, 0)
    except (OSError, UnicodeError):
        found = []
    try:
        loop.call_soon_threadsafe(told, found)
    except RuntimeError:
        return  # the loop has ended meanwhile
