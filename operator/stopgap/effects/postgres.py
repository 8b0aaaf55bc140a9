"""One connection to a PostgreSQL database for one look: within a deadline, to an address that was judged, and silent about what it says.

Imported only where a policy wants a database: the driver is optional (effects/databases.py).
"""

import asyncio
import logging
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stopgap.core.reach import Address
from stopgap.effects.queries import APPLICATION, Connection, SeesTooLittle
from stopgap.model.query import Silence

MOST_BYTES: Final = 1 << 20
"""More than this is not taken from a server in one look."""
_CHECKED_EVERY: Final = 0.02
"""Seconds between two looks at how much came in while an answer is awaited."""
_BYTES_RECEIVED: Final = 128
"""Where Linux puts that figure in its struct tcp_info."""
_GRACE: Final = 0.2
"""Seconds for taking leave of a server that has used up its time."""
_USED: Final = frozenset(
    {"host", "port", "user", "password", "dbname", "sslmode", "sslnegotiation", "channel_binding", "target_session_attrs"}
)
_IGNORED: Final = frozenset({"application_name", "fallback_application_name", "connect_timeout", "gssencmode"})
"""What Stopgap sets itself. Anything else in a DSN would read files of Stopgap's own machine or lead elsewhere, and is refused."""
_FIXED: Final = {"application_name": APPLICATION, "gssencmode": "disable", "passfile": f"{os.devnull}/none"}
_USUAL_PORT: Final = "5432"
_FULL: Final = re.compile(r"too many clients|connection slots|too many connections|no more connections", re.IGNORECASE)
_TROUBLES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), why)
    for pattern, why in (
        (
            r"authentication failed|no password|role .* does not exist|pg_hba\.conf|not permitted to log in",
            "it does not accept the DSN's user",
        ),
        (r"database .* does not exist|for database", "it does not let the DSN's user into the DSN's database"),
        (r"\bSSL\b|certificate|\bTLS\b", "no TLS connection comes about, or its certificate is not accepted"),
        (r"starting up|shutting down|recovery", "it is starting up, shutting down or recovering"),
        (r"session is (not )?read-only|in hot standby|not in hot standby", "it is not the kind of server that the DSN asks for"),
        (r"refused|unreachable|no route|reset|closed", "no connection: refused or unreachable"),
    )
)
"""What the driver says of a connection that does not come about, in words of our own: those of the other side are not repeated."""

# Its warnings would repeat what the other side says.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dsn:
    """Whom to ask, and how. It holds a password, so it is not shown."""

    host: str
    parameters: dict[str, str] = field(repr=False)


def read(text: str) -> Dsn | Silence:
    """Return what a DSN says, or why it cannot be used, in words that tell nothing of it."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(text).items() if value}
    except psycopg.Error:
        return Silence("the DSN cannot be read: write it like postgresql://user:password@host:5432/database?sslmode=require", theirs=False)
    if unknown := sorted(given.keys() - _USED - _IGNORED):
        return Silence(f"the DSN has parameters that are not taken: {', '.join(unknown)}", theirs=False)
    if missing := sorted({"host", "user", "dbname"} - given.keys()):
        return Silence(f"the DSN lacks its {', '.join(missing)}", theirs=False)
    host = given["host"].strip("[]").rstrip(".").lower()
    if not host or "," in host or host.startswith(("/", "@")) or not given.get("port", _USUAL_PORT).isdecimal():
        return Silence("the DSN must name one host, by name or address, and one port", theirs=False)
    taken = {name: value for name, value in given.items() if name in _USED}
    if taken.get("sslmode", "").startswith("verify"):
        taken |= {"sslmode": "verify-full", "sslrootcert": "system"}
    return Dsn(host, taken)


@dataclass(slots=True)
class _Line:
    """How far one look is."""

    connection: Connection | None = None

    def received(self) -> int:
        """Return how many bytes came in; 0 before there is a connection, whose beginning the driver itself bounds."""
        if self.connection is None or self.connection.closed or not hasattr(socket, "TCP_INFO"):
            return 0
        with socket.socket(fileno=os.dup(self.connection.fileno())) as same:
            figures = same.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED + 8)
        return int.from_bytes(figures[_BYTES_RECEIVED:], sys.byteorder)


async def look(dsn: Dsn, addresses: Sequence[Address], deadline: timedelta, work: Callable[[Connection], Awaitable[T]]) -> T | Silence:
    """Connect, work, and take leave, all within the deadline. Never raises for what the other side does."""
    loop, line = asyncio.get_running_loop(), _Line()
    until = loop.time() + deadline.total_seconds()
    # The driver looks nothing up where it is given the addresses; it tries one after the other.
    parameters = {**dsn.parameters, "host": ",".join(dsn.host for _ in addresses), "hostaddr": ",".join(map(str, addresses))}
    parameters |= {"connect_timeout": str(max(int(deadline.total_seconds()), 2)), **_FIXED}
    task = loop.create_task(_at_work(parameters, work, line))
    try:
        while not task.done() and (left := until - loop.time()) > 0 and line.received() <= MOST_BYTES:
            await asyncio.wait({task}, timeout=min(left, _CHECKED_EVERY))
        if task.done():
            return task.result()
        if line.received() > MOST_BYTES:
            return Silence("it sends more than a database would", theirs=False, sent=True)
        connected = line.connection is not None
        return Silence(f"no answer in time ({'connected' if connected else 'no connection'})", theirs=False, sent=connected)
    finally:
        await _ended(task)


async def _ended(task: "asyncio.Task[T | Silence]") -> None:
    """The driver first asks the server to stop; told a second time, it just closes."""
    for _ in range(2):
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GRACE)


async def _at_work(parameters: dict[str, str], work: Callable[[Connection], Awaitable[T]], line: _Line) -> T | Silence:
    try:
        line.connection = await psycopg.AsyncConnection.connect(make_conninfo(**parameters), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        return _unconnected(str(error))
    try:
        await line.connection.set_read_only(True)
        return await work(line.connection)
    except SeesTooLittle:
        return Silence("the DSN's user does not see what others do: GRANT pg_monitor TO it", theirs=False)
    except (msgspec.ValidationError, ValueError):
        return Silence("what answers is no PostgreSQL", theirs=False)
    except psycopg.Error as error:
        return _broken(error)
    finally:
        await line.connection.close()


def _unconnected(said: str) -> Silence:
    if _FULL.search(said):
        return Silence("it has no connection left", theirs=True)
    return Silence(next((why for pattern, why in _TROUBLES if pattern.search(said)), "no connection comes about"), theirs=False)


def _broken(error: psycopg.Error) -> Silence:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Silence("it did not answer the question in time", theirs=False, sent=True)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return Silence("the DSN's user may not ask this: GRANT pg_monitor TO it", theirs=False)
    code = error.sqlstate or ""
    said = f" (SQLSTATE {code})" if re.fullmatch("[0-9A-Z]{5}", code) else ""
    return Silence(f"the connection broke, or the question failed{said}", theirs=False, sent=True)
