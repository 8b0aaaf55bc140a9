"""What is asked of a PostgreSQL database, in SQL, and what its rows say. Called by effects/postgres.py, which brings the connection.

Every transaction is read-only, has a time limit of the server's own, and looks for everything in pg_catalog: a database is somebody
else's, and so are its functions.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from stopgap.model.database import Activity, Blocker, End, Ended, EndQueries, Exempt, HotQuery, Listing, RunningQuery, Wanted
from stopgap.model.sql import without_literals
from stopgap.model.text import plain

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
APPLICATION: Final = "stopgap"
"""What Stopgap calls itself there."""
_PATIENCE: Final = timedelta(seconds=2)
"""How long a query is watched after it was told to end, where the policy does not say."""
_LOOKED_EVERY: Final = 0.1
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
_ENDABLE: Final = f"{_NOT_EXEMPT} AND NOT coalesce(r.rolsuper OR r.rolreplication, true)"
"""Never a superuser's, nor that of a role that may replicate."""
_AND_ROLE: Final = "FROM pg_stat_activity AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid"
_LONGEST: Final = f"SELECT {_QUERY} {_AND_ROLE} WHERE {_OF_A_CLIENT} AND {_NOT_EXEMPT} ORDER BY a.query_start LIMIT 1"
_LISTED: Final = f"""
SELECT {_QUERY}, {_ENDABLE},
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') OR pg_has_role(current_user, a.usesysid, 'USAGE')
{_AND_ROLE} WHERE {_OF_A_CLIENT} AND clock_timestamp() - a.query_start > %(longer_than)s ORDER BY a.query_start LIMIT 100
"""
_STILL_THE_SAME: Final = f"""
{_AND_ROLE}
WHERE a.pid = %(pid)s AND a.backend_start = %(backend_start)s AND a.query_start = %(query_start)s AND {_OF_A_CLIENT} AND {_ENDABLE}
"""
_LOOK: Final = f"SELECT true {_STILL_THE_SAME}"
_SIGNALS: Final = {
    # That it is the same query of the same client, and may be ended, is asked in the very statement that ends it.
    End.CANCELLED: f"SELECT pg_cancel_backend(a.pid) {_STILL_THE_SAME}",
    End.TERMINATED: f"SELECT pg_terminate_backend(a.pid) {_STILL_THE_SAME}",
}
_WITH_STATEMENTS: Final = """
SELECT set_config('search_path', 'pg_catalog, ' || quote_ident(n.nspname), true)
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'
"""
_HOT: Final = """
SELECT query, calls, mean_exec_time::float8, share FROM (
    SELECT left(query, 2048) AS query, calls, total_exec_time, mean_exec_time,
           round(100 * total_exec_time / greatest(sum(total_exec_time) OVER (), 1e-9))::int AS share
    FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS every
WHERE calls > 1 AND query ~* '^\\s*(select|with)\\M' AND query !~ 'pg_stat_activity|pg_catalog'
ORDER BY total_exec_time DESC LIMIT 3
"""


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
    endable: bool = False
    may_end: bool = False


class _Hot(msgspec.Struct, array_like=True, frozen=True):
    text: str
    calls: int
    mean: float
    """Milliseconds."""
    share: int


R = TypeVar("R", _Figures, _Blocker, _Query, _Hot)


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


async def listing(connection: Connection, wanted: Wanted, limit: timedelta) -> Listing:
    """Return which queries could be ended now; nothing is changed. Raises as `figures` does."""
    async with _transaction(connection, limit):
        await _seen(connection)
        rows = await _rows(connection, _Query, _LISTED, {**_names(wanted.exempt), "longer_than": wanted.longer_than})
        hot = await _hot(connection)
    endable = [one for one in rows if one.endable]
    chosen = endable[: wanted.most]
    return Listing(
        queries=tuple(_running(one) for one in chosen),
        more=len(endable) - len(chosen),
        spared=len(rows) - len(endable),
        forbidden=sum(not one.may_end for one in chosen),
        hot=hot,
    )


async def end(connection: Connection, deed: EndQueries, limit: timedelta) -> Ended:
    """Cancel each query that is still the same; those that do not heed that are terminated, where the policy wants it.

    Doing it twice does no harm: what is not the same any more is left alone. Raises psycopg.Error.
    """
    ends = {one: await _signal(connection, End.CANCELLED, one, deed.exempt, limit) for one in deed.queries}
    told = [one for one in ends if ends[one] is End.CANCELLED]
    left = await _outlasting(connection, told, deed.exempt, limit, deed.terminate_after or _PATIENCE)
    if deed.terminate_after is not None and left:
        for one in left:
            if await _signal(connection, End.TERMINATED, one, deed.exempt, limit) is End.TERMINATED:
                ends[one] = End.TERMINATED
        left = await _outlasting(connection, left, deed.exempt, limit, _PATIENCE)
    return Ended({one.pid: End.LEFT if one in left else became for one, became in ends.items()})


async def _signal(connection: Connection, wanted: End, one: RunningQuery, exempt: Exempt, limit: timedelta) -> End:
    """Tell one query to end, if it is still the same; say what came of it."""
    try:
        async with _transaction(connection, limit):
            row = await (await connection.execute(_SIGNALS[wanted], _pinned(one, exempt))).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return End.FORBIDDEN
    return wanted if row and row[0] else End.GONE


async def _outlasting(
    connection: Connection, queries: list[RunningQuery], exempt: Exempt, limit: timedelta, patience: timedelta
) -> list[RunningQuery]:
    """Return those that are still there when the patience is at its end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience.total_seconds()
    while True:
        left = []
        for one in queries:
            async with _transaction(connection, limit):
                if await (await connection.execute(_LOOK, _pinned(one, exempt))).fetchone():
                    left.append(one)
        if not left or loop.time() > until:
            return left
        queries = left
        await asyncio.sleep(_LOOKED_EVERY)


async def _seen(connection: Connection) -> _Figures:
    (seen,) = await _rows(connection, _Figures, _FIGURES)
    if not seen.sees_all:
        raise SeesTooLittle
    return seen


async def _hot(connection: Connection) -> tuple[HotQuery, ...]:
    """Return where the time goes: good to know, and no reason to do without the rest."""
    with suppress(psycopg.Error):
        async with connection.transaction():  # a savepoint, so that what fails here fails alone
            if await (await connection.execute(_WITH_STATEMENTS)).fetchone():
                return tuple(_hot_query(one) for one in await _rows(connection, _Hot, _HOT))
    return ()


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


def _pinned(one: RunningQuery, exempt: Exempt) -> dict[str, Any]:
    return {"pid": one.pid, "backend_start": one.backend_start, "query_start": one.query_start, **_names(exempt)}


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


def _hot_query(one: _Hot) -> HotQuery:
    return HotQuery(text=without_literals(one.text), calls=one.calls, mean=timedelta(milliseconds=one.mean), share=one.share)
