"""A real PostgreSQL: what it shows of its clients."""

import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import TypeVar

import psycopg
import pytest
from tests.cluster import postgres as real
from tests.cluster.harness import wait_for

from stopgap.effects import postgres, queries
from stopgap.effects.queries import Connection
from stopgap.model.database import Activity, Exempt
from stopgap.model.query import Silence

pytestmark = pytest.mark.cluster

LOOPBACK, LIMIT = ipaddress.ip_address("127.0.0.1"), timedelta(seconds=5)
T = TypeVar("T")


@pytest.fixture(scope="module")
def server() -> Iterator[real.Server]:
    yield from real.server()


async def look(server: real.Server, user: str, work: Callable[[Connection], Awaitable[T]]) -> T | Silence:
    dsn = postgres.read(server.dsn(user))
    assert isinstance(dsn, postgres.Dsn)
    return await postgres.look(dsn, [LOOPBACK], LIMIT, work)


async def figures(server: real.Server, user: str = "watcher", exempt: Exempt = Exempt()) -> Activity:  # noqa: B008 - frozen
    found = await look(server, user, lambda connection: queries.figures(connection, exempt, LIMIT))
    assert isinstance(found, Activity), found
    return found


async def test_figures_of_a_database_that_is_idle_busy_and_blocked(server: real.Server) -> None:
    idle = await figures(server)
    assert (idle.active, idle.blocked, idle.longest, idle.most_connections) == (0, 0, None, 30)
    with server.session("BEGIN; LOCK TABLE products; SELECT 1") as holder, server.session("SELECT name FROM products WHERE id = 7"):
        wait_for("one waits", lambda: server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        busy = await figures(server)
        assert (busy.active, busy.in_transaction, busy.blocked) == (1, 1, 1)
        assert busy.longest is not None
        assert busy.longest.text == "SELECT name FROM products WHERE id = ?"
        assert busy.blocker is not None
        assert (busy.blocker.pid, busy.blocker.state) == (holder.pid, "idle in transaction")
        exempt = await figures(server, exempt=Exempt(applications=("shop",)))
        assert (exempt.longest, exempt.active) == (None, 1)


async def test_a_user_who_sees_too_little_or_no_connection_that_is_left_is_told_apart(server: real.Server) -> None:
    blind = await look(server, "blind", lambda connection: queries.figures(connection, Exempt(), LIMIT))
    assert blind == Silence("the DSN's user does not see what others do: GRANT pg_monitor TO it", theirs=False)
    with ExitStack() as open_ones:
        while True:
            try:
                open_ones.enter_context(psycopg.connect(server.dsn("app")))
            except psycopg.OperationalError:
                break
        full = await look(server, "watcher", lambda connection: queries.figures(connection, Exempt(), LIMIT))
    assert full == Silence("it has no connection left", theirs=True)


async def test_nothing_is_ever_written(server: real.Server) -> None:
    async def write(connection: Connection) -> None:
        async with queries._transaction(connection, LIMIT):
            await connection.execute("DELETE FROM public.products")

    found = await look(server, "app", write)
    assert found == Silence("the connection broke, or the question failed (SQLSTATE 25006)", theirs=False, sent=True)
