"""Databases: whom a DSN leads to and what of it is told, and what a server cannot do that is none, or a hostile one."""

import asyncio
import ipaddress
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from stopgap.core.reach import Address
from stopgap.effects import postgres
from stopgap.effects.databases import EXTRA, Databases
from stopgap.model.database import DatabaseRequest, Exempt
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Silence
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef

REF = SecretKeyRef(name="db", key="dsn")
ASKED = DatabaseRequest(REF, Exempt())
LOOPBACK = ipaddress.ip_address("127.0.0.1")
DSN = "postgresql://canary-user:canary-password@canary-host.shop.svc:5432/canary-database"


class Kept:
    """Stands in for Secrets, of which there is one."""

    def __init__(self, dsn: str | Refusal) -> None:
        self.dsn, self.asked = dsn, list[tuple[str, str]]()

    def where(self, namespace: str, *, platform: bool) -> str:
        return "stopgap-system" if platform else namespace

    async def read(self, namespace: str, ref: SecretKeyRef) -> SecretStr | Refusal:
        self.asked.append((namespace, ref.name))
        return self.dsn if isinstance(self.dsn, Refusal) else SecretStr(self.dsn)


async def anywhere(_host: str, _scope: str) -> list[Address] | Silence:
    return [LOOPBACK]


def databases(kept: Kept, resolve: Any = anywhere) -> Databases:
    return Databases(kept, resolve)  # type: ignore[arg-type]  # it stands in for them


async def ask(dsn: str | Refusal, resolve: Any = anywhere, *, seconds: float = 5, scope: str = "shop") -> str:
    """Return why there are no figures."""
    found = await databases(Kept(dsn), resolve).figures(ASKED, scope=scope, deadline=timedelta(seconds=seconds))
    assert isinstance(found, Silence)
    assert not found.theirs
    assert "canary" not in repr(found)
    return found.why


@pytest.mark.parametrize(
    ("dsn", "why"),
    [
        pytest.param("canary", "cannot be read", id="no DSN at all"),
        pytest.param("postgresql://canary@/shop", "lacks its host", id="no host: a socket of Stopgap's own machine"),
        pytest.param("host=/run/canary user=u dbname=d", "must name one host", id="a socket by its path"),
        pytest.param("host=@canary user=u dbname=d", "must name one host", id="an abstract socket"),
        pytest.param("postgresql://u@a,canary/shop", "must name one host", id="several hosts"),
        pytest.param("host=db.shop.svc port=canary user=u dbname=d", "one port", id="a port that is none"),
        pytest.param("postgresql://db.shop.svc/shop", "lacks its user", id="no user: it would be Stopgap's own"),
        pytest.param("host=db.shop.svc hostaddr=1.2.3.4 user=u dbname=d", "not taken: hostaddr", id="an address past the judgement"),
        pytest.param("service=canary", "not taken: service", id="a file of services"),
        pytest.param("host=h user=u dbname=d passfile=/canary", "not taken: passfile", id="a file of passwords"),
        pytest.param("host=h user=u dbname=d sslkey=/canary sslcert=/c", "not taken: sslcert, sslkey", id="a key of Stopgap's own machine"),
        pytest.param("host=h user=u dbname=d options='-c canary=1'", "not taken: options", id="settings of the session"),
    ],
)
async def test_a_dsn_that_leads_elsewhere_is_refused_in_words_that_tell_nothing_of_it(dsn: str, why: str) -> None:
    assert why in await ask(dsn)


async def test_the_host_is_judged_for_the_policy_and_not_told() -> None:
    async def refuse(host: str, scope: str) -> list[Address] | Silence:
        return Silence(f"{host} is no Service of namespace {scope}, and the platform does not allow it", theirs=False)

    assert await ask(DSN, refuse) == "the DSN's host is no Service of namespace shop, and the platform does not allow it"


async def test_the_secret_is_that_of_the_policy_or_of_the_platform() -> None:
    why = Refusal(Reason.NotAuthorized, "Stopgap may not read Secret db in shop")
    assert await ask(why) == why.message
    for scope, namespace in (("shop", "shop"), (PLATFORM, "stopgap-system")):
        kept = Kept(why)
        await databases(kept).figures(ASKED, scope=scope, deadline=timedelta(seconds=1))
        assert kept.asked == [(namespace, "db")]


async def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("stopgap.effects.postgres")
    monkeypatch.setitem(sys.modules, "stopgap.effects.postgres", None)
    assert await ask(DSN) == EXTRA
    assert "stopgap[postgres]" in EXTRA


async def test_a_name_that_is_not_resolved_in_time_is_told() -> None:
    async def hang(_host: str, _scope: str) -> list[Address] | Silence:
        await asyncio.sleep(60)
        raise AssertionError

    assert await ask(DSN, hang, seconds=0.1) == "its address was not found in time"


def test_a_certificate_is_either_verified_wholly_or_not_asked_for() -> None:
    read = postgres.read(f"{DSN}?sslmode=verify-ca")
    assert isinstance(read, postgres.Dsn)
    assert (read.parameters["sslmode"], read.parameters["sslrootcert"]) == ("verify-full", "system")
    assert "canary-password" not in repr(read)


@pytest.mark.parametrize(
    ("said", "why", "theirs"),
    [
        pytest.param("FATAL:  sorry, too many clients already", "it has no connection left", True, id="full"),
        pytest.param("FATAL:  remaining connection slots are reserved for …", "it has no connection left", True, id="full but for some"),
        pytest.param(
            "FATAL:  password authentication failed for user canary", "it does not accept the DSN's user", False, id="the password"
        ),
        pytest.param(
            'FATAL:  database "canary" does not exist', "it does not let the DSN's user into the DSN's database", False, id="no database"
        ),
        pytest.param("FATAL:  the database system is starting up", "it is starting up, shutting down or recovering", False, id="too early"),
        pytest.param("canary", "no connection comes about", False, id="whatever it says"),
    ],
)
def test_what_a_server_says_instead_of_connecting_is_told_in_words_of_our_own(said: str, why: str, theirs: bool) -> None:  # noqa: FBT001 - a column
    assert postgres._unconnected(said) == Silence(why, theirs=theirs)


# ------------------------------------------------------------------------------------------------------------- hostile servers

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


WELCOME = message(b"R", struct.pack("!i", 0)) + message(b"Z", b"I")
COLUMN = message(b"T", struct.pack("!h", 1) + b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
ROW = message(b"D", struct.pack("!hi", 1, 1 << 16) + b"x" * (1 << 16))


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ncanary")
    await writer.drain()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8192)
    for byte in WELCOME * 100:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(8192)
    writer.write(WELCOME)
    await reader.read(8192)
    writer.write(COLUMN)
    while True:
        writer.write(ROW)
        await writer.drain()


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say to every question that it was answered, without a row."""
    await reader.read(8192)
    writer.write(WELCOME)
    while await reader.read(8192):
        writer.write(message(b"C", b"SELECT 0\0") + message(b"Z", b"T"))


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """Serve for as long, and return the DSN."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"postgresql://u:canary@db:{running.sockets[0].getsockname()[1]}/d?sslmode=disable&gssencmode=disable"
    finally:
        running.close()


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        pytest.param(silence, "no answer in time (no connection)", id="one that says nothing"),
        pytest.param(garbage, "no connection comes about", id="one that speaks HTTP"),
        pytest.param(drip, "no answer in time (no connection)", id="one that says a byte at a time"),
        pytest.param(flood, "it sends more than a database would", id="one that never stops talking"),
        pytest.param(nonsense, "the connection broke, or the question failed", id="one that answers nothing to everything"),
    ],
)
async def test_a_hostile_server_costs_a_deadline_and_no_more(talk: Talk, why: str) -> None:
    loop = asyncio.get_running_loop()
    async with server(talk) as dsn:
        began = loop.time()
        assert await ask(dsn, seconds=0.5) == why
        assert loop.time() - began < 2
