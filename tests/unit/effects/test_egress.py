"""The one way out over HTTP, against real servers on loopback: what comes back, and that nothing arrives where it must not."""

import asyncio
import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.faults.proxy_certificates import issue

from stopgap.api.config import Outbound
from stopgap.core.reach import Reach
from stopgap.effects.egress import MOST_LOOKUPS_OF_A_NAMESPACE, Egress, system_lookup
from stopgap.effects.exchange import MOST_BYTES
from stopgap.model.query import PLATFORM, Request, Response, Silence

LOOPBACK = "127.0.0.0/8"
SECOND, SECONDS = timedelta(seconds=1), timedelta(seconds=5)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A server on loopback that counts what reaches it."""

    def __init__(self, port: int, connections: list[str], requests: list[web.Request]) -> None:
        self.port, self.connections, self.requests = port, connections, requests

    def url(self, host: str = "127.0.0.1", path: str = "/") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def site(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    requests: list[web.Request] = []
    connections: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    made = runner.server
    assert made is not None

    def counted() -> Any:
        connections.append("connection")
        return made()

    server = await asyncio.get_running_loop().create_server(counted, "127.0.0.1", 0, ssl=tls)
    try:
        yield Site(server.sockets[0].getsockname()[1], connections, requests)
    finally:
        server.close()
        await runner.cleanup()


async def fine(_request: web.Request) -> web.Response:
    return web.Response(text="fine")


@asynccontextmanager
async def egress(*allow: str, **options: Any) -> AsyncIterator[Egress]:
    made = Egress(lambda: Reach(Outbound(allow=allow)), **options)
    try:
        yield made
    finally:
        await made.close()


async def ask(
    url: str, *allow: str, seconds: float = 5, scope: str = PLATFORM, form: tuple[tuple[str, str], ...] = (), **options: Any
) -> Response | Silence:
    async with egress(*allow, **options) as way:
        return await way.send(Request(url, form), scope=scope, deadline=timedelta(seconds=seconds))


def responded(answer: Response | Silence) -> Response:
    assert isinstance(answer, Response), answer
    return answer


def silent(answer: Response | Silence) -> Silence:
    assert isinstance(answer, Silence), answer
    return answer


def leads_to(*addresses: str) -> Callable[[str, int], list[tuple[Any, ...]]]:
    return lambda _host, port: [(0, 0, 0, "", (one, port)) for one in addresses]


# ---------------------------------------------------------------------------------------------------------- what comes back


async def test_an_error_is_an_answer_with_the_time_that_each_part_took() -> None:
    async def broken(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(status=500, text="traceback")

    async with site(broken) as server:
        answer = responded(await ask(server.url(), LOOPBACK))
    assert (answer.status, answer.body, answer.whole) == (500, b"traceback", True)
    timing = answer.timing
    assert 0 <= timing.lookup <= timing.connect < timing.first_byte <= timing.total
    assert timing.first_byte >= 0.05
    assert timing.tls is None
    assert "traceback" not in repr(answer)


async def test_a_form_is_posted() -> None:
    async with site(fine) as server:
        await ask(server.url(path="/api/v1/query"), LOOPBACK, form=(("query", 'up{a="b"} > 1'),))
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/api/v1/query")
        assert request.content_type == "application/x-www-form-urlencoded"


async def test_what_a_policy_declares_is_sent_as_it_is_and_once() -> None:
    async with site(fine) as server, egress(LOOPBACK) as way:
        url = server.url("127.0.0.1", "/features/checkout")
        headers = (("Authorization", "Bearer hidden"), ("Content-Type", "application/json"), ("Host", "elsewhere"))
        request = Request(url, method="PATCH", headers=headers, content=b'{"feature": false}')
        answer = responded(await way.send(request, scope=PLATFORM, deadline=timedelta(seconds=5)))
        (got,) = server.requests
    assert (answer.status, got.method, got.content_type) == (200, "PATCH", "application/json")
    assert got.headers["authorization"] == "Bearer hidden"
    assert got.headers["content-length"] == "18"
    assert got.host == f"127.0.0.1:{server.port}"
    assert "hidden" not in repr(request)


async def test_a_header_that_cannot_be_one_is_not_sent_and_not_quoted() -> None:
    async with site(fine) as server, egress(LOOPBACK) as way:
        request = Request(server.url(), headers=(("authorization", "hidden\r\nx: y"),))
        answer = silent(await way.send(request, scope=PLATFORM, deadline=timedelta(seconds=5)))
        assert server.requests == []
    assert (answer.why, answer.sent) == ("a header of it holds what HTTP does not allow", False)


async def test_whether_anything_may_have_arrived_is_known() -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    async with site(cut) as cutting, site(hang) as hanging:
        assert silent(await ask(cutting.url(), LOOPBACK)).sent
        assert silent(await ask(hanging.url(), LOOPBACK, seconds=0.2)).sent
        gone = hanging.url()
    assert not silent(await ask(gone, LOOPBACK)).sent
    assert not silent(await ask("http://127.0.0.1:1/")).sent
    assert not silent(await ask("http://api.shop.svc/", LOOPBACK, lookup=leads_to())).sent


async def test_a_redirect_is_not_followed() -> None:
    async with site(fine) as elsewhere:

        async def away(_request: web.Request) -> web.Response:
            raise web.HTTPFound(elsewhere.url())

        async with site(away) as server:
            answer = responded(await ask(server.url(), LOOPBACK))
        assert answer.status == 302
        assert elsewhere.connections == []


async def test_a_server_that_hangs_is_given_up_at_the_deadline() -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        raise AssertionError

    async with site(hang) as server:
        began = time.monotonic()
        answer = silent(await ask(server.url(), LOOPBACK, seconds=0.3))
    assert time.monotonic() - began < 2
    assert (answer.why, answer.theirs) == ("no answer within 0.3s (connected)", True)


async def test_an_answer_in_drips_does_not_outlast_the_deadline() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(300):
            await answer.write(b".")
            await asyncio.sleep(0.1)
        return answer

    async with site(drip) as server:
        began = time.monotonic()
        answer = silent(await ask(server.url(), LOOPBACK, seconds=0.5))
    assert time.monotonic() - began < 2
    assert (answer.why, answer.theirs) == ("no answer within 0.5s (the answer did not end)", True)


async def test_of_ten_megabytes_64_kib_are_read() -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(160):
            await answer.write(b"x" * 65536)
            written += 65536
        return answer

    async with site(flood) as server:
        answer = responded(await ask(server.url(), LOOPBACK))
    assert (len(answer.body), answer.whole) == (MOST_BYTES, False)
    assert written < 10 << 20


async def test_what_is_packed_is_not_unpacked() -> None:
    async def packed(_request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b\x08 not really", headers={"content-encoding": "gzip"})

    async with site(packed) as server:
        answer = responded(await ask(server.url(), LOOPBACK))
        assert server.requests[0].headers["accept-encoding"] == "identity"
    assert answer.body == b"\x1f\x8b\x08 not really"


async def test_nobody_there_is_their_fault() -> None:
    async with site(fine) as server:
        url = server.url()
    answer = silent(await ask(url, LOOPBACK))
    assert (answer.why, answer.theirs) == ("no connection: refused or unreachable", True)


async def test_something_that_speaks_no_http_is_their_fault_and_not_quoted() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"SSH-2.0-hidden\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        answer = silent(await ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", LOOPBACK))
    assert (answer.why, answer.theirs) == ("it closed the connection, or what it sends is no HTTP", True)


async def test_nothing_is_carried_from_one_request_to_the_next() -> None:
    async def baking(_request: web.Request) -> web.Response:
        answer = web.Response(text="fine")
        answer.set_cookie("session", "1")
        return answer

    async with site(baking) as server, egress(LOOPBACK) as way:
        for _ in range(2):
            await way.send(Request(server.url()), scope=PLATFORM, deadline=SECONDS)
        assert [one.headers.get("cookie") for one in server.requests] == [None, None]
        assert len(server.connections) == 2


async def test_the_environment_s_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(fine) as proxy, site(fine) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert responded(await ask(server.url(), LOOPBACK)).status == 200
        assert proxy.connections == []


async def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site(fine) as server:
        await ask(server.url(path="/?token=hidden"), LOOPBACK)
    assert [record for record in caplog.records if "aiohttp.access" not in record.name] == []


# ----------------------------------------------------------------------------------------------------- what must not be asked


@pytest.mark.parametrize("scope", [PLATFORM, "shop"])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f000001", "127.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "localhost", "localhost."],  # noqa: S104
)
async def test_no_spelling_of_loopback_is_connected_to(host: str, scope: str) -> None:
    async with site(fine) as server:
        answer = silent(await ask(server.url(host), scope=scope))
        assert server.connections == []
    assert not answer.theirs


async def test_a_service_name_that_means_loopback_is_not_connected_to() -> None:
    async with site(fine) as server:
        url = server.url("api.shop.svc")
        answer = silent(await ask(url, scope="shop", lookup=leads_to("10.96.7.7", "127.0.0.1")))
        assert server.connections == []
        assert (answer.why[:46], answer.theirs) == ("api.shop.svc is an address of this very machin", False)
        assert responded(await ask(url, LOOPBACK, scope="shop", lookup=leads_to("127.0.0.1"))).status == 200


async def test_the_name_is_looked_up_once_and_the_connection_goes_to_what_was_judged() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        return leads_to("127.0.0.1" if len(asked) == 1 else "127.0.0.2")(host, port)

    async with site(fine) as server:
        answer = await ask(server.url("API.shop.svc"), LOOPBACK, scope="shop", lookup=rebinding)
        assert responded(answer).status == 200
        assert server.requests[0].headers["host"] == f"api.shop.svc:{server.port}"
    assert asked == ["api.shop.svc"]


async def test_a_foreign_name_is_not_even_looked_up() -> None:
    def never(_host: str, _port: int) -> list[tuple[Any, ...]]:
        raise AssertionError("it was looked up")

    answer = silent(await ask("http://api.other.svc/", scope="shop", lookup=never))
    assert "no Service of namespace shop" in answer.why


async def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    async with site(fine) as server:
        answer = await ask(server.url("api.shop.svc"), LOOPBACK, scope="shop", lookup=leads_to("127.0.0.7", "127.0.0.1"))
    assert responded(answer).status == 200


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://a:b@127.0.0.1/", "http://127.0.0.1:99999/", "http://", "http://127.0.0.1:0/", "http://[::1"]
)
async def test_what_is_no_usable_url_is_said_to_be_none(url: str) -> None:
    answer = silent(await ask(url, LOOPBACK))
    assert (answer.why, answer.theirs) == ("the URL cannot be used", False)


# ----------------------------------------------------------------------------------------------------------------- lookups


async def test_a_name_that_is_not_there_is_unknown_and_not_trouble() -> None:
    answer = silent(await ask("http://api.shop.svc/", scope="shop", lookup=leads_to()))
    assert (answer.why, answer.theirs) == ("the name api.shop.svc cannot be resolved", False)


async def test_a_name_server_that_is_silent_for_one_namespace_holds_up_no_other() -> None:
    released = threading.Event()
    waiting: list[str] = []

    def slow(host: str, port: int) -> list[tuple[Any, ...]]:
        if host.endswith(".bad.svc"):
            waiting.append(host)
            released.wait(20)
        return leads_to("127.0.0.1")(host, port)

    try:
        async with site(fine) as server, egress(LOOPBACK, lookup=slow) as way:
            count = 3 * MOST_LOOKUPS_OF_A_NAMESPACE
            hung = [asyncio.create_task(way.send(Request(f"http://a{one}.bad.svc/"), scope="bad", deadline=SECOND)) for one in range(count)]
            await asyncio.sleep(0)
            began = time.monotonic()
            answer = await way.send(Request(server.url("api.shop.svc")), scope="shop", deadline=SECONDS)
            assert responded(answer).status == 200
            assert time.monotonic() - began < 0.9
            answers = [silent(one) for one in await asyncio.gather(*hung)]
            assert len(waiting) == MOST_LOOKUPS_OF_A_NAMESPACE
            assert {(one.why, one.theirs) for one in answers} == {("no answer within 1s (the name was not resolved)", False)}
    finally:
        released.set()


def test_the_system_resolves_what_looks_like_a_number() -> None:
    # Which is why addresses are judged after the lookup, and not only as they are written.
    assert ipaddress.ip_address(system_lookup("2130706433", 0)[0][4][0]).is_loopback


# --------------------------------------------------------------------------------------------------------------------- TLS


async def test_the_certificate_is_checked_against_the_name_though_the_connection_goes_to_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = issue(tmp_path)
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[str]()
    context.load_cert_chain(made.certificate_file, made.key_file)
    context.sni_callback = lambda _socket, name, _context: names.append(name or "")
    async with site(fine, tls=context) as server:
        url = f"https://localhost:{server.port}/"
        stranger = silent(await ask(url, LOOPBACK, lookup=leads_to("127.0.0.1")))
        assert stranger.why.startswith("its certificate is not accepted (")
        assert not stranger.theirs
        assert server.requests == []

        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))
        timing = responded(await ask(url, LOOPBACK, lookup=leads_to("127.0.0.1"))).timing
        assert timing.tls is not None
        assert timing.connect < timing.tls < timing.first_byte
        other = silent(await ask(f"https://web.shop.svc:{server.port}/", LOOPBACK, lookup=leads_to("127.0.0.1")))
        assert "web.shop.svc" in other.why
    assert names == ["localhost", "localhost", "web.shop.svc"]


async def test_a_server_is_known_by_certificates_that_are_given_and_by_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, foreign = issue(tmp_path), issue(tmp_path / "foreign")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate_file, made.key_file)
    async with site(fine, tls=context) as server:

        async def asked(ca: str) -> Response | Silence:
            async with egress(LOOPBACK, lookup=leads_to("127.0.0.1")) as way:
                request = Request(f"https://localhost:{server.port}/", ca=ca)
                return await way.send(request, scope=PLATFORM, deadline=SECONDS)

        assert responded(await asked(made.ca_file.read_text())).status == 200
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca_file))
        assert silent(await asked(foreign.ca_file.read_text())).why.startswith("its certificate is not accepted (")
        for nonsense in ("hidden", "-----BEGIN CERTIFICATE-----\nhidden\n-----END CERTIFICATE-----", "h\u00efdden"):
            why = silent(await asked(nonsense)).why
            assert why == "what its certificate must be signed by (ca) is no certificate in PEM"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        pytest.param("7", timedelta(seconds=7), id="seconds are taken"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", None, id="a date is not, for clocks differ"),
        pytest.param("-1", None, id="nor what is no number of seconds"),
        pytest.param("9" * 40, None, id="nor one beyond all reason"),
    ],
)
async def test_how_long_a_server_asks_to_be_left_alone_is_known(header: str, pause: timedelta | None) -> None:
    async def busy(_request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": header})

    async with site(busy) as server:
        answer = responded(await ask(server.url(), LOOPBACK))
    assert (answer.status, answer.retry_after) == (429, pause)
