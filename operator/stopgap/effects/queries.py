"""What is asked of a PostgreSQL database, in SQL, and what its rows say. Called by effects/postgres.py, which brings the connection.

Every transaction is read-only, has a time limit of the server's own, and looks for everything in pg_catalog: a database is somebody
else's, and so are its functions.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from stopgap.model.database import Activity, Blocker, Exempt, RunningQuery
from stopgap.model.sql import without_literals
from stopgap.model.text import plain

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
APPLICATION: Final = "stopgap"
"""What Stopgap calls itself there."""
_MOST_NAME: Final = 63

_LIMITS: Final = """
SELECT pg_catalog.set_config('search_path', 'pg_catalog', true), pg_catalog.set_config('statement_timeout', %(milliseconds)s, true)
"""
_FIGURES: Final = """
SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       count(*) FILTER (WHERE here AND state = 'active' AND pid <> pg_backend_pid()),
       count(*) FILTER (WHERE here AND state LIKE 'idle in transaction%'),
       count(*),
       current_setting('max_connections')::int,
       count(*) FILTER (WHERE here AND wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0)
FROM (SELECT *, datname = current_database() AS here FROM pg_stat_activity WHERE backend_type = 'client backend') AS clients
"""
_BLOCKER: Final = """
SELECT a.pid, coalesce(a.state, ''), coalesce(a.usename::text, ''), coalesce(a.application_name, ''),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8
FROM pg_stat_activity AS a
JOIN (SELECT unnest(pg_blocking_pids(pid)) AS pid, count(*) AS waiting FROM pg_stat_activity
      WHERE wait_event_type = 'Lock' AND datname = current_database() GROUP BY 1) AS held USING (pid)
ORDER BY held.waiting DESC, a.xact_start LIMIT 1
"""
_QUERY: Final = """
a.pid, a.backend_start, a.query_start, coalesce(a.usename::text, ''), coalesce(a.application_name, ''),
extract(epoch FROM clock_timestamp() - a.query_start)::float8, left(a.query, 2048)
"""
_OF_A_CLIENT: Final = f"""
a.backend_type = 'client backend' AND a.datname = current_database() AND a.state = 'active' AND a.application_name <> '{APPLICATION}'
"""
"""Walsenders, autovacuum and other workers are no clients to begin with; nor are we."""
_NOT_EXEMPT: Final = "coalesce(a.usename::text, '') <> ALL (%(users)s::text[]) AND a.application_name <> ALL (%(applications)s::text[])"
_CLIENTS: Final = "FROM pg_stat_activity AS a"
_LONGEST: Final = f"SELECT {_QUERY} {_CLIENTS} WHERE {_OF_A_CLIENT} AND {_NOT_EXEMPT} ORDER BY a.query_start LIMIT 1"


class _Figures(msgspec.Struct, array_like=True, frozen=True):
    sees_all: bool
    active: int
    in_transaction: int
    connections: int
    most_connections: int
    blocked: int


class _Blocker(msgspec.Struct, array_like=True, frozen=True):
    pid: int
    state: str
    user: str
    application: str
    seconds: float


class _Query(msgspec.Struct, array_like=True, frozen=True):
    pid: int
    backend_start: datetime
    query_start: datetime
    user: str
    application: str
    seconds: float
    text: str


R = TypeVar("R", _Figures, _Blocker, _Query)


class SeesTooLittle(Exception):  # noqa: N818 - read as what it says
    """The user may not see what others do, so that nothing can be concluded."""


async def figures(connection: Connection, exempt: Exempt, limit: timedelta) -> Activity:
    """Return what clients do now. Raises SeesTooLittle, psycopg.Error, msgspec.ValidationError."""
    async with _transaction(connection, limit):
        seen = await _seen(connection)
        blockers = await _rows(connection, _Blocker, _BLOCKER) if seen.blocked else []
        longest = await _rows(connection, _Query, _LONGEST, _names(exempt))
    return Activity(
        active=seen.active,
        in_transaction=seen.in_transaction,
        connections=seen.connections,
        most_connections=seen.most_connections,
        blocked=seen.blocked,
        longest=_running(longest[0]) if longest else None,
        blocker=_blocker(blockers[0]) if blockers else None,
    )


async def _seen(connection: Connection) -> _Figures:
    (seen,) = await _rows(connection, _Figures, _FIGURES)
    if not seen.sees_all:
        raise SeesTooLittle
    return seen


@asynccontextmanager
async def _transaction(connection: Connection, limit: timedelta) -> AsyncIterator[None]:
    """Within it everything is seen as of one moment; so what may have changed needs another one."""
    async with connection.transaction():
        await connection.execute(_LIMITS, {"milliseconds": str(max(int(limit / timedelta(milliseconds=1)), 1))})
        yield


async def _rows(connection: Connection, kind: type[R], statement: str, values: Mapping[str, Any] | None = None) -> list[R]:
    cursor = await connection.execute(statement.encode(), values)
    return msgspec.convert(await cursor.fetchall(), list[kind])  # type: ignore[valid-type]  # msgspec reads it at run time


def _names(exempt: Exempt) -> dict[str, Any]:
    return {"users": list(exempt.users), "applications": list(exempt.applications)}


def _running(one: _Query) -> RunningQuery:
    return RunningQuery(
        pid=one.pid,
        backend_start=one.backend_start,
        query_start=one.query_start,
        user=plain(one.user, _MOST_NAME),
        application=plain(one.application, _MOST_NAME),
        running_for=timedelta(seconds=max(round(one.seconds, 3), 0)),
        text=without_literals(one.text),
    )


def _blocker(one: _Blocker) -> Blocker:
    return Blocker(
        pid=one.pid,
        state=plain(one.state, _MOST_NAME),
        user=plain(one.user, _MOST_NAME),
        application=plain(one.application, _MOST_NAME),
        since=timedelta(seconds=max(one.seconds, 0)),
    )
