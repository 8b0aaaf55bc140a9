"""A real PostgreSQL: what it shows of its clients, and which of their queries are ended, and how."""

import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from tests.cluster import postgres as real
from tests.cluster.harness import wait_for

from stopgap.effects import postgres, queries
from stopgap.effects.queries import Connection
from stopgap.model.database import Activity, End, Ended, EndQueries, Exempt, Listing, Wanted
from stopgap.model.query import Silence
from stopgap.model.refs import SecretKeyRef

pytestmark = pytest.mark.cluster

LOOPBACK, LIMIT = ipaddress.ip_address("127.0.0.1"), timedelta(seconds=5)
REF = SecretKeyRef(name="db", key="dsn")
LONG = "SELECT pg_sleep(60), 'canary' AS x"
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


async def listing(server: real.Server, user: str = "ender", most: int = 5, **exempt: Any) -> Listing:
    wanted = Wanted("shop", REF, timedelta(milliseconds=1), Exempt.model_validate(exempt), most)
    found = await look(server, user, lambda connection: queries.listing(connection, wanted, LIMIT))
    assert isinstance(found, Listing), found
    return found


async def end(server: real.Server, deed: EndQueries, user: str = "ender") -> Ended:
    found = await look(server, user, lambda connection: queries.end(connection, deed, LIMIT))
    assert isinstance(found, Ended), found
    return found


def deed(listed: Listing, **more: Any) -> EndQueries:
    return EndQueries(secret_ref=REF, queries=listed.queries, **more)


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


async def test_only_what_may_be_ended_is_listed(server: real.Server) -> None:
    for _ in range(3):
        server.execute("SELECT name FROM products WHERE id = 42")
    with (
        server.session(LONG) as first,
        server.session("SELECT pg_sleep(60), 'second'") as second,
        server.session(LONG, user="postgres") as superuser,
        server.session(LONG, user="copier") as replicating,
        server.session(LONG, user="reports") as exempt_user,
        server.session(LONG, application="backup") as exempt_application,
        server.session(LONG, application="stopgap") as own,
        server.session("BEGIN; SELECT 1") as idle,
    ):
        wait_for("it is idle", lambda: not idle.at_work)
        listed = await listing(server, users=["reports"], applications=["backup"])
        assert [one.pid for one in listed.queries] == [first.pid, second.pid]
        assert [one.text for one in listed.queries] == ["SELECT pg_sleep(?), ? AS x", "SELECT pg_sleep(?), ?"]
        assert (listed.more, listed.spared, listed.forbidden) == (0, 4, 0)
        assert "SELECT name FROM products WHERE id = $1" in [one.text for one in listed.hot]
        few = await listing(server, most=1, users=["reports"], applications=["backup"])
        assert ([one.pid for one in few.queries], few.more) == ([first.pid], 1)
        assert (await listing(server, "watcher")).forbidden == 4
        ended = await end(server, deed(listed, exempt=Exempt(users=("reports",), applications=("backup",))))
        assert ended.by_pid == {first.pid: End.CANCELLED, second.pid: End.CANCELLED}
        wait_for("both are told", lambda: not first.at_work and not second.at_work)
        assert isinstance(first.ended_by, psycopg.errors.QueryCanceled)
        assert all(one.at_work for one in (superuser, replicating, exempt_user, exempt_application, own))


async def test_a_query_that_is_not_the_same_any_more_is_left_alone(server: real.Server) -> None:
    with server.session(f"{LONG}; ", application="one") as session:
        listed = await listing(server)
        (query,) = listed.queries
        server.execute(f"SELECT pg_cancel_backend({session.pid})")
        wait_for("it has ended", lambda: not session.at_work)
        with server.session(LONG, application="two") as other:
            (now,) = (await listing(server)).queries
            others = [
                query,
                query.model_copy(update={"pid": other.pid}),
                now.model_copy(update={"query_start": now.query_start - timedelta(microseconds=1)}),
                now.model_copy(update={"backend_start": now.backend_start - timedelta(microseconds=1)}),
            ]
            for each in others:
                ended = await end(server, EndQueries(secret_ref=REF, queries=(each,)))
                assert ended.all_gone
            assert other.at_work
            assert (await end(server, EndQueries(secret_ref=REF, queries=(now,), exempt=Exempt(applications=("two",))))).all_gone
            assert other.at_work


async def test_what_does_not_heed_a_cancel_is_terminated_where_that_is_wanted(server: real.Server) -> None:
    stubborn = "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$"
    with server.session(stubborn) as session:
        listed = await listing(server)
        gentle = await end(server, deed(listed))
        assert gentle.by_pid == {session.pid: End.LEFT}
        assert str(gentle) == f"1 still running (pid {session.pid})"
        assert session.at_work
        assert (await end(server, deed(listed, terminate_after=timedelta(seconds=0.2)))).by_pid == {session.pid: End.TERMINATED}
        wait_for("it is gone", lambda: not session.at_work)
        assert isinstance(session.ended_by, psycopg.errors.AdminShutdown)


async def test_who_may_not_end_a_query_is_told(server: real.Server) -> None:
    with server.session(LONG) as session:
        listed = await listing(server, "watcher")
        assert (await end(server, deed(listed), "watcher")).by_pid == {session.pid: End.FORBIDDEN}
        assert session.at_work


async def test_nothing_is_ever_written(server: real.Server) -> None:
    async def write(connection: Connection) -> None:
        async with queries._transaction(connection, LIMIT):
            await connection.execute("DELETE FROM public.products")

    found = await look(server, "app", write)
    assert found == Silence("the connection broke, or the question failed (SQLSTATE 25006)", theirs=False, sent=True)
