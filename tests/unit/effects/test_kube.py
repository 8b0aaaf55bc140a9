import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from aiohttp import web

from stopgap.effects.connection import Connection, NoConnection
from stopgap.effects.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    KubeError,
    NotFound,
    Rejected,
    TooManyRequests,
    Unanswered,
    Unreachable,
)
from stopgap.effects.kube import METADATA_ONLY, Kube, PatchKind, collection, item, resource_of

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def nobody() -> str | None:
    return None


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Connection]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Connection(server=f"http://127.0.0.1:{runner.addresses[0][1]}", credentials=nobody)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def raw_serving(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Connection]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield Connection(server=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", credentials=nobody)


DEPLOYMENT = item("apps/v1", "deployments", "api", namespace="shop")


async def test_a_list_is_read_to_its_last_page() -> None:
    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        start = int(request.query.get("continue", "0"))
        more = {"continue": str(start + 2)} if start < 4 else {}
        return web.json_response({"metadata": more, "items": [{"n": start}, {"n": start + 1}]})

    asked: list[dict[str, str]] = []
    async with serving(answer) as connection, Kube(connection) as kube:
        found = [msgspec.json.decode(one)["n"] async for one in kube.items("/apis/apps/v1/deployments", {"labelSelector": "a=b"})]
    assert found == [0, 1, 2, 3, 4, 5]
    assert [one.get("continue") for one in asked] == [None, "2", "4"]
    assert {(one["labelSelector"], one["limit"]) for one in asked} == {("a=b", "500")}


async def test_a_list_of_metadata_alone_is_asked_for_as_such_and_an_empty_one_is_none() -> None:
    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept"])
        return web.json_response({"metadata": {}, "items": None})  # as the API server writes it

    asked: list[str] = []
    async with serving(answer) as connection, Kube(connection) as kube:
        assert [one async for one in kube.items("/apis/apps/v1/deployments", accept=METADATA_ONLY)] == []
    assert asked == ["application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"]


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        pytest.param(404, "NotFound", NotFound, id="404 is a missing object"),
        pytest.param(409, "Conflict", Conflict, id="409 is a lost race"),
        pytest.param(422, "Invalid", Invalid, id="422 is a failed test or validation"),
        pytest.param(410, "Expired", Gone, id="410 is a version that is too old"),
        pytest.param(401, "Unauthorized", Forbidden, id="401 is a missing right"),
        pytest.param(403, "Forbidden", Forbidden, id="403 is a missing right"),
        pytest.param(429, "TooManyRequests", TooManyRequests, id="429 is a server that protects itself"),
        pytest.param(400, "BadRequest", Rejected, id="400 is a wrong request"),
        pytest.param(413, "RequestEntityTooLarge", Rejected, id="413 is a request that is too big"),
        pytest.param(307, "", Rejected, id="a redirect is not followed"),
        pytest.param(500, "InternalError", Unanswered, id="500 leaves open what happened"),
        pytest.param(504, "Timeout", Unanswered, id="504 leaves open what happened"),
    ],
)
async def test_an_answer_is_raised_by_its_meaning_with_all_that_a_person_wants_to_know(
    status: int, reason: str, meaning: type[KubeError]
) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": reason, "message": "because " + "x" * 2000}
        return web.json_response(body, status=status, headers={"Retry-After": "3", "Location": "/elsewhere"})

    async with serving(answer) as connection, Kube(connection) as kube:
        with pytest.raises(KubeError) as caught:
            await kube.patch(DEPLOYMENT, {}, how=PatchKind.MERGE)
    error = caught.value
    assert type(error) is meaning
    assert (error.verb, error.path, error.status, error.reason) == ("patch", DEPLOYMENT, status, reason)
    assert error.retry_after == 3.0
    assert len(error.message) == 512
    assert str(error).startswith(f"patch {DEPLOYMENT}: {status} {reason}".strip() + ": because xxx")


async def test_a_name_that_is_taken_is_told_apart_from_a_lost_race() -> None:
    async def answer(request: web.Request) -> web.Response:
        reason = "AlreadyExists" if request.method == "POST" else "Conflict"
        return web.json_response({"reason": reason}, status=409)

    async with serving(answer) as connection, Kube(connection) as kube:
        with pytest.raises(Conflict) as taken:
            await kube.create(collection("v1", "configmaps", "shop"), {})
        with pytest.raises(Conflict) as raced:
            await kube.patch(item("v1", "configmaps", "a", namespace="shop"), {}, how=PatchKind.MERGE)
    assert (taken.value.already_exists, raced.value.already_exists) == (True, False)


async def test_an_error_page_of_a_load_balancer_is_quoted_as_it_is() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<h1>Bad gateway</h1>")

    async with serving(answer) as connection, Kube(connection) as kube:
        with pytest.raises(Unanswered, match="<h1>Bad gateway</h1>"):
            await kube.get(DEPLOYMENT)


async def test_a_refused_connection_is_known_not_to_have_happened(unused_tcp_port: int) -> None:
    async with Kube(Connection(server=f"http://127.0.0.1:{unused_tcp_port}", credentials=nobody)) as kube:
        with pytest.raises(Unreachable):
            await kube.create(collection("v1", "configmaps", "shop"), {})


async def test_without_credentials_nothing_is_sent() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    async def lost() -> str | None:
        raise NoConnection("the token file is gone", "here", "Look.")

    async with serving(answer) as connection, Kube(Connection(server=connection.server, credentials=lost)) as kube:
        with pytest.raises(Unreachable, match="the token file is gone"):
            await kube.get(DEPLOYMENT)
    assert asked == []


async def test_a_call_without_an_answer_ends_in_time_and_may_have_happened() -> None:
    class Hasty(Kube):
        READ_SECONDS = 0.02
        WRITE_SECONDS = 0.03

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(answer) as connection, Hasty(connection) as kube:
        with pytest.raises(Unanswered, match="no answer in time"):
            await kube.get(DEPLOYMENT)
        with pytest.raises(Unanswered, match="no answer in time"):
            await kube.delete(DEPLOYMENT)


@pytest.mark.parametrize("verb", ["create", "patch", "delete"])
async def test_a_write_whose_connection_breaks_is_never_sent_a_second_time(verb: str) -> None:
    received: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            while await reader.readline() not in {b"\r\n", b""}:
                pass
            received.append(line.split()[0])
            if line.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                continue
            break
        writer.close()

    async with raw_serving(talk) as connection, Kube(connection) as kube:
        await kube.get("/version")  # so that the write goes out on a connection that was kept
        calls: dict[str, Callable[[], Awaitable[bytes]]] = {
            "create": lambda: kube.create(collection("v1", "configmaps", "shop"), b""),
            "patch": lambda: kube.patch(DEPLOYMENT, b"", how=PatchKind.JSON),
            "delete": lambda: kube.delete(DEPLOYMENT),
        }
        with pytest.raises(Unanswered):
            await calls[verb]()
    assert len(received) == 2


async def test_a_read_on_a_dead_kept_connection_is_sent_once_more() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        answers = 1 if connections == 1 else 2
        while await reader.readline():
            while await reader.readline() not in {b"\r\n", b""}:
                pass
            if not answers:
                break
            answers -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async with raw_serving(talk) as connection, Kube(connection) as kube:
        assert await kube.get("/version") == b"{}"
        assert await kube.get("/version") == b"{}"
    assert connections == 2


async def test_a_request_says_who_we_are_and_what_it_carries() -> None:
    seen: list[tuple[str, str, dict[str, str], str, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        headers = {name: request.headers.get(name, "") for name in ("Authorization", "Content-Type")}
        assert request.headers["User-Agent"].startswith("stopgap/")
        seen.append((request.method, request.path, headers, request.query_string, await request.read()))
        return web.Response(body=b"{}")

    async def somebody() -> str | None:
        return "Bearer secret"

    async with serving(answer) as connection, Kube(Connection(server=connection.server, credentials=somebody)) as kube:
        await kube.get(collection("apps/v1", "deployments"), {"labelSelector": "a=b,c!=d+e", "limit": 500})
        await kube.create(collection("v1", "events", "shop"), {"kind": "Event"})
        await kube.patch(DEPLOYMENT, b"[]", how=PatchKind.JSON, params={"dryRun": "All"})
        await kube.delete(DEPLOYMENT, {"preconditions": {"uid": "1"}})
    known, json = {"Authorization": "Bearer secret"}, "application/json"
    written = "/api/v1/namespaces/shop/events"
    assert seen == [
        ("GET", "/apis/apps/v1/deployments", {**known, "Content-Type": ""}, seen[0][3], b""),
        ("POST", written, {**known, "Content-Type": json}, "fieldManager=stopgap", b'{"kind":"Event"}'),
        ("PATCH", DEPLOYMENT, {**known, "Content-Type": PatchKind.JSON}, "fieldManager=stopgap&dryRun=All", b"[]"),
        ("DELETE", DEPLOYMENT, {**known, "Content-Type": json}, "", b'{"preconditions":{"uid":"1"}}'),
    ]
    assert seen[0][3] == "labelSelector=a%3Db,c!%3Dd%2Be&limit=500"


async def test_every_request_is_told_of_once_with_verb_resource_and_code(unused_tcp_port: int) -> None:
    told: list[tuple[str, str, int]] = []

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({}, status=404 if request.path.endswith("/log") else 200)

    def note(verb: str, resource: str, code: int, seconds: float) -> None:
        assert 0 <= seconds < 5
        told.append((verb, resource, code))

    async with serving(answer) as connection, Kube(connection, on_request=note) as kube:
        await kube.get(collection("v1", "pods"))
        await kube.get(item("v1", "pods", "a", namespace="shop"))
        with pytest.raises(NotFound):
            await kube.get(item("v1", "pods", "a", namespace="shop", subresource="log"))
        async with contextlib.aclosing(kube.lines(collection("v1", "pods"))) as lines:
            assert [line async for line in lines] == []
    async with Kube(Connection(f"http://127.0.0.1:{unused_tcp_port}", nobody), on_request=note) as kube:
        with pytest.raises(Unreachable):
            await kube.get("/version")
    assert told == [
        ("list", "pods", 200),
        ("get", "pods", 200),
        ("get", "pods/log", 404),
        ("watch", "pods", 200),
        ("get", "version", 0),
    ]


async def test_a_stream_comes_line_by_line_however_it_is_cut_and_however_long_a_line_is() -> None:
    long = b"x" * 3_000_000

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b"one\ntw", b"o\n\n", b"thr", b"e", b"e\n" + long, b"\nunfinished"):
            await response.write(piece)
        return response

    async with serving(answer) as connection, Kube(connection) as kube, contextlib.aclosing(kube.lines("/api/v1/pods")) as lines:
        got = [line async for line in lines]
    assert got == [b"one", b"two", b"three", long]


async def test_a_stream_that_breaks_or_falls_silent_is_unanswered() -> None:
    class Impatient(Kube):
        SILENCE_SECONDS = 0.02

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        if "break" in request.path:
            assert request.transport is not None
            request.transport.abort()
        await asyncio.sleep(60)
        return response

    async with serving(answer) as connection, Impatient(connection) as kube:
        for path in ("/api/v1/break", "/api/v1/silent"):
            async with contextlib.aclosing(kube.lines(path)) as lines:
                assert await anext(lines) == b"one"
                with pytest.raises(Unanswered):
                    await anext(lines)


async def test_warm_connections_are_used_in_turn_so_that_one_caller_keeps_all_of_them_open() -> None:
    peers: list[object] = []
    all_here = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        if len(peers) == 4:
            all_here.set()
        await all_here.wait()
        return web.Response(body=b"{}")

    async with serving(answer) as connection, Kube(connection) as kube:
        await kube.warm(4)
        assert len(set(peers)) == 4
        for _ in range(4):
            await kube.get("/version")
    assert set(peers[4:]) == set(peers[:4])


async def test_the_server_s_time_is_learned_from_any_answer() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=404, headers={"Date": "Mon, 23 Nov 2026 10:02:00 GMT"})

    async with serving(answer) as connection, Kube(connection) as kube:
        with pytest.raises(NotFound):
            await kube.get(DEPLOYMENT)
        assert abs(kube.clock.now().timestamp() - 1795428120.5) < 0.6


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("pods", False)),
        ("/api/v1/namespaces", ("namespaces", False)),
        ("/api/v1/namespaces/shop", ("namespaces", True)),
        ("/api/v1/namespaces/shop/pods", ("pods", False)),
        ("/api/v1/namespaces/shop/pods/a/log", ("pods/log", True)),
        ("/apis/apps/v1/deployments", ("deployments", False)),
        ("/apis/stopgap.dev/v1alpha1/namespaces/shop/incidents/a/status", ("incidents/status", True)),
        ("/apis/stopgap.dev/v1alpha1/clusterremediationpolicies/a", ("clusterremediationpolicies", True)),
        ("/version", ("version", True)),
    ],
)
def test_the_resource_of_a_path_is_known(path: str, expected: tuple[str, bool]) -> None:
    assert resource_of(path) == expected


def test_paths_are_built_for_core_and_grouped_kinds() -> None:
    assert collection("v1", "pods") == "/api/v1/pods"
    assert collection("apps/v1", "deployments", "shop") == "/apis/apps/v1/namespaces/shop/deployments"
    assert item("v1", "nodes", "n1") == "/api/v1/nodes/n1"
    status = item("stopgap.dev/v1alpha1", "incidents", "a", namespace="shop", subresource="status")
    assert status == "/apis/stopgap.dev/v1alpha1/namespaces/shop/incidents/a/status"
    assert item("rbac.authorization.k8s.io/v1", "clusterroles", "system:a?b").endswith("/system:a%3Fb")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb"])
def test_a_name_that_would_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an object"):
        item("v1", "pods", name, namespace="shop")
    with pytest.raises(ValueError, match="cannot be the name of an object"):
        collection("v1", "pods", name)


async def test_a_collection_is_never_deleted() -> None:
    kube = Kube(Connection("http://127.0.0.1:1", nobody))
    with pytest.raises(ValueError, match="one by one"):
        await kube.delete(collection("v1", "pods", "shop"))


async def test_what_was_written_is_returned_as_it_came() -> None:
    stored = msgspec.json.encode({"metadata": {"resourceVersion": "7"}, "at": time.time()})

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=stored)

    async with serving(answer) as connection, Kube(connection) as kube:
        assert await kube.patch(DEPLOYMENT, {}, how=PatchKind.MERGE) == stored
