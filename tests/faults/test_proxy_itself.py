"""The fault proxy, tested before anything is tested with it: each fault seen acting, and seen leaving the rest alone."""

import asyncio
import gzip
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.faults.proxy import At, FaultProxy, Match, Request
from tests.faults.proxy_upstream import Upstream

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/cart"
WATCH = "/api/v1/pods?watch=true"
PATCH = Match.patch("deployments")
CLIENT = """
import http.client, ssl, sys
host, ca_file, path = sys.argv[1:]
connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(cafile=ca_file))
connection.request("PATCH", path, body=b"[]")
connection.getresponse()
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(tmp_path / "upstream") as started:
        yield started


@pytest.fixture
def proxy(upstream: Upstream, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.url, upstream.ca_file, tmp_path / "proxy") as started:
        yield started


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=proxy.ca_file)
    with httpx.Client(base_url=proxy.url, verify=trust, timeout=10, limits=httpx.Limits(), trust_env=False) as made:
        yield made


@pytest.fixture
def in_background(proxy: FaultProxy) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool
        proxy.stop()  # ends what a failed test has left waiting


class Watch:
    """A watch opened through the proxy, read chunk by chunk."""

    def __init__(self, client: httpx.Client, keeping: ExitStack) -> None:
        self._chunks = keeping.enter_context(client.stream("GET", WATCH)).iter_raw()

    def read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            read += next(self._chunks)
        return read


@pytest.fixture
def watch(client: httpx.Client, upstream: Upstream) -> Iterator[Watch]:
    with ExitStack() as keeping:
        opened = Watch(client, keeping)
        upstream.wait_until(lambda: upstream.open_streams == 1)
        yield opened


@contextmanager
def it_breaks() -> Iterator[None]:
    # OpenSSL on a blocking socket tells a reset as an end; that it is one is shown with asyncio below.
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        yield


def killed_while_held(proxy: FaultProxy) -> subprocess.Popen[bytes]:
    host = proxy.url.removeprefix("https://")
    return subprocess.Popen([sys.executable, "-c", CLIENT, host, str(proxy.ca_file), DEPLOYMENT])


class TestPassing:
    @pytest.mark.parametrize(
        ("method", "target", "body"),
        [
            pytest.param("GET", "/api/v1/pods?limit=500&labelSelector=a%3Db%2Cc&empty=", b"", id="a list with a query"),
            pytest.param("POST", "/apis/stopgap.dev/v1alpha1/incidents", b'{"a": 1}', id="a create"),
            pytest.param("PATCH", DEPLOYMENT, b'[{"op":"test"}]\r\n', id="a patch"),
            pytest.param("PUT", "/api/v1/a%2Fb/%7Bc%7D//d", os.urandom(3 << 20), id="three megabytes to an odd path"),
            pytest.param("DELETE", "/api/v1/pods/one", b"", id="a delete without a body"),
        ],
    )
    def test_everything_passes_as_it_came(self, client: httpx.Client, upstream: Upstream, method: str, target: str, body: bytes) -> None:
        headers = {"Authorization": "Bearer t.o-k_en", "Content-Type": "application/json-patch+json", "X-Own": "a, b"}
        answer = client.request(method, target, content=body or None, headers=headers)
        [seen] = upstream.seen
        assert (seen.method, seen.target, seen.body) == (method, target, body)
        assert {**seen.headers, **headers} == seen.headers
        assert (answer.status_code, answer.headers["X-Upstream"]) == (201 if method == "POST" else 200, "yes")
        assert answer.content == (body or b"{}")

    def test_a_compressed_body_stays_compressed_both_ways(self, client: httpx.Client, upstream: Upstream) -> None:
        packed = gzip.compress(b"[]" * 1000)
        with client.stream("POST", "/gzip", content=packed, headers={"Content-Encoding": "gzip"}) as answer:
            assert b"".join(answer.iter_raw()) == packed
        assert upstream.seen[0].body == packed

    def test_no_header_is_invented(self, client: httpx.Client, upstream: Upstream) -> None:
        for name in ("accept", "accept-encoding", "user-agent"):
            del client.headers[name]
        client.post("/", content=b"x")
        assert {name.lower() for name in upstream.seen[0].headers} == {"host", "content-length"}

    def test_fifty_at_once_each_get_their_own_answer(self, client: httpx.Client, in_background: ThreadPoolExecutor) -> None:
        bodies = [os.urandom(10_000) for _ in range(50)]
        answers = in_background.map(lambda body: client.put("/", content=body).content, bodies)
        assert list(answers) == bodies

    def test_connections_are_kept_on_both_sides(self, client: httpx.Client, upstream: Upstream) -> None:
        ports = {client.get("/").extensions["network_stream"].get_extra_info("client_addr") for _ in range(3)}
        assert (len(ports), len({seen.peer for seen in upstream.seen})) == (1, 1)

    def test_a_stream_delivers_each_chunk_at_once(self, upstream: Upstream, watch: Watch) -> None:
        took = []
        for _ in range(30):
            began = time.monotonic()
            upstream.push(b'{"type":"ADDED"}\n')
            assert watch.read(17) == b'{"type":"ADDED"}\n'
            took.append(time.monotonic() - began)
        # A busy machine makes some of them late; a proxy that collects makes all of them late.
        assert min(took) < 0.01

    def test_a_stream_that_ends_ends_and_one_that_is_left_is_left(self, client: httpx.Client, upstream: Upstream, watch: Watch) -> None:
        upstream.push(b"")
        with pytest.raises(StopIteration):
            watch.read(1)
        with client.stream("GET", WATCH):
            upstream.wait_until(lambda: upstream.open_streams == 1)
        upstream.wait_until(lambda: upstream.open_streams == 0)

    def test_what_breaks_upstream_breaks_for_the_client_and_is_not_sent_again(self, client: httpx.Client, upstream: Upstream) -> None:
        client.get("/")  # so that there is a kept connection, on which aiohttp by itself would send a PUT twice
        with it_breaks():
            client.put("/break")
        assert upstream.targets == ["/", "/break"]
        upstream.__exit__(None, None, None)
        with it_breaks():
            client.get("/")

    def test_a_client_that_does_not_trust_it_stays_away(self, proxy: FaultProxy, upstream: Upstream) -> None:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(proxy.url, verify=ssl.create_default_context(cafile=upstream.ca_file), trust_env=False)

    def test_the_log_tells_what_came_and_what_became_of_it(self, proxy: FaultProxy, client: httpx.Client) -> None:
        proxy.fail(PATCH, 503)
        began = time.time()
        client.patch(DEPLOYMENT, json=[1], headers={"User-Agent": "stopgap/1"})
        client.post("/api/v1/pods?dryRun=All", content=b"{}")
        failed, passed = proxy.wait_for(Match(), count=2)
        assert (failed.method, failed.path, failed.json) == ("PATCH", DEPLOYMENT, [1])
        assert (failed.user_agent, failed.answered, failed.status) == ("stopgap/1", None, 503)
        assert (passed.query, passed.body, passed.answered, passed.status) == ("dryRun=All", b"{}", 201, 201)
        assert began <= failed.time <= passed.time <= time.time()
        assert proxy.requests == [failed, passed]


class TestHolding:
    def test_a_held_request_has_not_happened_and_others_pass(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(PATCH)
        answer = in_background.submit(client.patch, DEPLOYMENT, content=b"[]")
        assert held.wait() is held.request
        assert (held.request.path, held.request.body, held.request.json) == (DEPLOYMENT, b"[]", [])
        assert client.get(DEPLOYMENT).status_code == 200
        assert ([seen.method for seen in upstream.seen], answer.done()) == (["GET"], False)
        held.release()
        assert answer.result(10).content == b"[]"
        assert [seen.method for seen in upstream.seen] == ["GET", "PATCH"]

    def test_a_held_reply_has_happened_and_is_not_known(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(PATCH, at="reply")
        body = os.urandom(1 << 20)
        answer = in_background.submit(client.patch, DEPLOYMENT, content=body)
        assert (held.wait().answered, held.request.status, upstream.targets) == (200, None, [DEPLOYMENT])
        assert client.get("/").status_code == 200
        assert not answer.done()
        held.release()
        assert (answer.result(10).content, answer.result().headers["X-Upstream"]) == (body, "yes")

    @pytest.mark.parametrize("at", ["request", "reply"])
    def test_a_dropped_one_breaks_for_the_client_before_or_after_it_has_happened(
        self, at: At, proxy: FaultProxy, client: httpx.Client, upstream: Upstream
    ) -> None:
        held = proxy.hold(PATCH, at)
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(client.patch, DEPLOYMENT)
            held.wait()
            held.drop()
            with it_breaks():
                answer.result(10)
        assert upstream.targets == ([] if at == "request" else [DEPLOYMENT])
        assert client.patch(DEPLOYMENT).status_code == 200

    def test_a_held_one_can_be_answered_differently(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(PATCH)
        answer = in_background.submit(client.patch, DEPLOYMENT)
        held.wait()
        held.reply(409, b"taken", {"X-Why": "test"})
        assert (answer.result(10).status_code, answer.result().content) == (409, b"taken")
        assert (answer.result().headers["X-Why"], upstream.seen) == ("test", [])

    def test_several_are_held_and_decided_one_after_the_other(
        self, proxy: FaultProxy, client: httpx.Client, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(PATCH, times=2)
        answers = {body: in_background.submit(client.patch, DEPLOYMENT, content=body) for body in (b"a", b"b")}
        proxy.wait_for(PATCH, count=2)
        assert client.patch(DEPLOYMENT, content=b"c").content == b"c"
        first = held.wait()
        assert held.wait() is first
        held.reply(409)
        second = held.wait()
        held.release()
        assert (answers[first.body].result(10).status_code, answers[second.body].result(10).status_code) == (409, 200)
        assert {request.body for request in held.caught} == {b"a", b"b"}

    def test_a_stream_is_held_as_it_begins(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(Match.watch("pods"), at="reply")
        answer: Future[httpx.Response] = in_background.submit(client.get, WATCH)
        held.wait()
        held.release()
        upstream.push(b"one")
        upstream.push(b"")
        assert answer.result(10).content == b"one"

    def test_a_request_held_for_a_killed_client_is_forwarded_only_on_demand(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream
    ) -> None:
        held = proxy.hold(PATCH)
        with killed_while_held(proxy) as process:
            held.wait()
            assert not held.request.gone.is_set()
            process.kill()
        held.wait_until_client_is_gone()
        client.get("/after")
        assert upstream.targets == ["/after"]
        held.release()  # as a packet that was still on its way
        upstream.wait_until(lambda: upstream.targets == ["/after", DEPLOYMENT])

    def test_a_reply_held_for_a_killed_client_is_discarded(self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream) -> None:
        held = proxy.hold(PATCH, at="reply")
        with killed_while_held(proxy) as process:
            held.wait()
            process.kill()
        held.wait_until_client_is_gone()
        held.release()
        client.get("/after")
        assert (upstream.targets, held.request.status) == ([DEPLOYMENT, "/after"], None)

    def test_what_is_held_when_the_proxy_stops_is_dropped(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        held = proxy.hold(PATCH)
        answer = in_background.submit(client.patch, DEPLOYMENT)
        held.wait()
        proxy.stop()
        with it_breaks():
            answer.result(10)
        assert upstream.seen == []

    def test_waiting_in_vain_and_deciding_about_nothing_are_said(self, proxy: FaultProxy) -> None:
        held = proxy.hold(PATCH)
        with pytest.raises(TimeoutError, match=r"no request that matches Match\(method='PATCH'"):
            held.wait(timeout=0.01)
        with pytest.raises(TimeoutError, match=r"0 of 1 requests that match Match\(method='PATCH'"):
            proxy.wait_for(PATCH, timeout=0.01)
        with pytest.raises(RuntimeError, match="nothing is held"):
            held.release()


class TestFaults:
    def test_a_delay_delays_what_is_meant_and_nothing_else(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, in_background: ThreadPoolExecutor
    ) -> None:
        rule = proxy.delay(PATCH, 0.5)
        began = time.monotonic()
        answer = in_background.submit(client.patch, DEPLOYMENT)
        proxy.wait_for(PATCH)
        client.get("/meanwhile")
        assert answer.result(10).status_code == 200
        assert time.monotonic() - began >= 0.5
        assert upstream.targets == ["/meanwhile", DEPLOYMENT]
        rule.cancel()
        client.patch(DEPLOYMENT)
        assert len(rule.caught) == 1

    def test_a_failure_is_answered_as_the_api_server_would_and_not_forwarded(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream
    ) -> None:
        proxy.fail(PATCH, 429, times=2, headers={"Retry-After": "30"})
        assert client.get(DEPLOYMENT).status_code == 200
        for _ in range(2):
            answer = client.patch(DEPLOYMENT)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
            assert (answer.json()["kind"], answer.json()["reason"]) == ("Status", "TooManyRequests")
        assert client.patch(DEPLOYMENT).status_code == 200
        assert [seen.method for seen in upstream.seen] == ["GET", "PATCH"]

    def test_a_reset_comes_before_or_after_it_has_happened(self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream) -> None:
        before, after = proxy.reset(PATCH), proxy.reset(PATCH, at="reply")
        assert client.get("/").status_code == 200
        for happened in (["/"], ["/", DEPLOYMENT]):
            with it_breaks():
                client.patch(DEPLOYMENT)
            assert upstream.targets == happened
        assert client.patch(DEPLOYMENT).status_code == 200
        assert (before.caught[0].answered, after.caught[0].answered) == (None, 200)

    async def test_a_reset_is_a_reset_and_not_an_end(self, proxy: FaultProxy) -> None:
        proxy.reset(Match())
        trust = ssl.create_default_context(cafile=proxy.ca_file)
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(proxy.url).port, ssl=trust)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    def test_frozen_watches_stay_open_and_lose_nothing(
        self,
        proxy: FaultProxy,
        client: httpx.Client,
        upstream: Upstream,
        watch: Watch,
        in_background: ThreadPoolExecutor,
    ) -> None:
        proxy.freeze_watches()
        reading = in_background.submit(watch.read, 9)
        for chunk in (b"one", b"two", b"six"):
            upstream.push(chunk)
        with client.stream("GET", WATCH) as opened_meanwhile:
            assert opened_meanwhile.status_code == 200
        for _ in range(10):
            client.get("/")
        assert not reading.done()
        proxy.thaw()
        assert reading.result(10) == b"onetwosix"

    def test_a_cut_ends_all_connections_until_it_is_mended(
        self, proxy: FaultProxy, client: httpx.Client, upstream: Upstream, watch: Watch
    ) -> None:
        proxy.cut()
        with it_breaks():
            watch.read(1)
        upstream.wait_until(lambda: upstream.open_streams == 0)
        with pytest.raises(httpx.ConnectError, match="refused"):
            client.get("/")
        proxy.mend()
        assert client.get("/").status_code == 200


LEASE = "/apis/coordination.k8s.io/v1/namespaces/stopgap/leases/stopgap"


@pytest.mark.parametrize(
    ("match", "method", "target", "meant"),
    [
        pytest.param(Match(), "GET", "/healthz", True, id="an empty match means everything"),
        pytest.param(PATCH, "PATCH", DEPLOYMENT, True, id="a patch of the object"),
        pytest.param(PATCH, "PATCH", f"{DEPLOYMENT}/status", False, id="not of its subresource"),
        pytest.param(Match.patch("deployments/scale"), "PATCH", f"{DEPLOYMENT}/scale", True, id="unless that is named"),
        pytest.param(PATCH, "PUT", DEPLOYMENT, False, id="not another method"),
        pytest.param(PATCH, "PATCH", "/api/v1/namespaces/deployments/pods/x", False, id="not a namespace of that name"),
        pytest.param(Match.patch("deployments", "car"), "PATCH", DEPLOYMENT, False, id="a name is the whole name"),
        pytest.param(Match.replace("leases", "stopgap"), "PUT", LEASE, True, id="a replacement by name"),
        pytest.param(Match.get("namespaces"), "GET", "/api/v1/namespaces/shop", True, id="a read without a namespace"),
        pytest.param(Match.create("pods"), "POST", "/api/v1/namespaces/a/pods", True, id="a create in a collection"),
        pytest.param(Match.create("pods/eviction"), "POST", "/api/v1/namespaces/a/pods/b/eviction", True, id="eviction"),
        pytest.param(Match.delete("pods"), "DELETE", "/api/v1/namespaces/a/pods", False, id="not a whole collection"),
        pytest.param(Match.watch("pods"), "GET", WATCH, True, id="a watch"),
        pytest.param(Match.watch("pods"), "GET", "/api/v1/pods?limit=5", False, id="a list is no watch"),
        pytest.param(Match.listing("pods"), "GET", "/api/v1/pods?limit=5", True, id="a list"),
        pytest.param(Match.listing("pods"), "GET", "/api/v1/pods", True, id="a list without a query"),
        pytest.param(Match.listing("pods"), "GET", "/api/v1/pods?limit=5&watch=1", False, id="a watch is no list"),
        pytest.param(Match.patch("deployments", body="/spec"), "PATCH", DEPLOYMENT, True, id="text in the body"),
        pytest.param(Match.patch("deployments", body="/meta"), "PATCH", DEPLOYMENT, False, id="text not in the body"),
        pytest.param(Match(user_agent="stopgap/"), "GET", "/", True, id="who asks"),
        pytest.param(Match(user_agent="kubectl"), "GET", "/", False, id="who does not ask"),
    ],
)
def test_a_match_means_exactly_what_it_says(match: Match, method: str, target: str, *, meant: bool) -> None:
    path, _, query = target.partition("?")
    request = Request(method, path, query, {"user-agent": "stopgap/0.1.0"}, b'[{"path":"/spec/template"}]')
    assert match(request) is meant
