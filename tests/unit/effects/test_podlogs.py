"""Pod logs, from a server that answers like a kubelet: streamed, bounded, and never raised about."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from stopgap.effects.connection import Connection
from stopgap.effects.kube import Kube
from stopgap.effects.podlogs import LogLimits, LogSource, PodLogs
from stopgap.model.logs import MOST_LINE, LogDigest

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
MIB = 1 << 20


async def nobody() -> str | None:
    return None


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[PodLogs]:
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/shop/pods/{pod}/log", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Kube(Connection(server=f"http://127.0.0.1:{runner.addresses[0][1]}", credentials=nobody)) as kube:
            yield PodLogs(kube)
    finally:
        await runner.cleanup()


async def read(logs: PodLogs, *pods: str, seconds: float = 5, **options: Any) -> LogDigest:
    options = {"pattern": "ERROR", "within": timedelta(minutes=1), **options}
    return await logs.read("shop", [LogSource(one, "app") for one in pods], deadline=timedelta(seconds=seconds), **options)


def refusing(status: int) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"kind": "Status", "reason": "x", "message": "hunter2", "code": status}, status=status)

    return answer


async def test_the_lines_of_all_pods_are_counted_together() -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return web.Response(text=f"INFO up\nERROR db: refused {request.match_info['pod']}\nERROR cart\nunfinished ERROR")

    async with serving(answer) as logs:
        found = await read(logs, "api-1", "api-2", "api-3")
    assert (found.containers, found.lines, found.matching, found.missed) == (3, 12, 9, "")
    assert found.shapes[0] == ("ERROR db: refused api-#", 3)
    assert asked == [{"container": "app", "limitBytes": str(MIB), "tailLines": "10000", "sinceSeconds": "60"}] * 3


async def test_what_the_process_before_wrote_is_asked_for_as_such() -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return web.Response(text="FATAL giving up\n")

    async with serving(answer) as logs:
        sources = [LogSource("api-1", "app", previous=True)]
        found = await logs.read("shop", sources, pattern="FATAL", within=None, deadline=timedelta(seconds=5))
    assert found.matching == 1
    assert asked[0]["previous"] == "true"
    assert "sinceSeconds" not in asked[0]


@pytest.mark.parametrize("status", [pytest.param(404, id="the pod is gone"), pytest.param(400, id="the container has not started")])
async def test_where_there_is_no_log_none_is_missed(status: int) -> None:
    async with serving(refusing(status)) as logs:
        assert await read(logs, "api-1") == LogDigest(0, 0, 0)


@pytest.mark.parametrize(
    ("status", "missed"),
    [
        pytest.param(403, "logs that may not be read by Stopgap (get pods/log): 2", id="it may not be read"),
        pytest.param(500, "logs that could not be had from their nodes: 2", id="the kubelet is in trouble"),
    ],
)
async def test_a_log_that_cannot_be_read_is_said_to_be_missed_in_our_own_words(status: int, missed: str) -> None:
    async with serving(refusing(status)) as logs:
        assert await read(logs, "api-1", "api-2") == LogDigest(0, 0, 0, missed=missed)


async def test_a_kubelet_that_hangs_costs_no_more_than_the_deadline_and_the_others_are_read() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.match_info["pod"] == "hangs":
            await asyncio.sleep(60)
        return web.Response(text="ERROR x\n")

    async with serving(answer) as logs, asyncio.timeout(5):
        found = await read(logs, "hangs", "api-1", "api-2", "api-3", "api-4", seconds=0.3)
    assert (found.matching, found.containers) == (4, 4)
    assert found.missed == "logs that were not read to the end in time: 1"


def endless(sent: list[int]) -> Answer:
    """A container that writes as fast as it is read, and a kubelet that knows no limit."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        piece = b"ERROR the same again and again, 100 bytes a line, and never an end of it; how long can this go on?\n" * 640
        try:
            while True:
                await response.write(piece)
                sent[0] += len(piece)
        except ConnectionError:
            return response

    return answer


async def test_logs_without_an_end_are_cut_per_container_and_in_all_and_never_sit_in_memory() -> None:
    sent = [0]
    async with serving(endless(sent)) as logs:
        tracemalloc.start()
        try:
            found = await read(logs, *(f"api-{one}" for one in range(50)), seconds=60, limits=LogLimits(of_one=3 * MIB, in_all=12 * MIB))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert found.containers == 4
    assert 12 * MIB * 0.98 <= found.matching * 100 <= 16 * MIB
    assert found.missed == ("logs that were not read, as 12 MiB is the most in all: 46; logs that are longer than is read of one: 4")
    # The test's own server is in it, and it stays the same however much is read.
    assert peak < 11 * MIB


async def test_a_line_without_an_end_is_cut() -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"ERROR " + b"x" * 500_000 + b" LATE\nERROR y\n")

    async with serving(answer) as logs:
        assert (await read(logs, "api-1")).matching == 2
        assert (await read(logs, "api-1", pattern="LATE")).matching == 0
    assert MOST_LINE < 500_000


async def test_more_lines_than_are_asked_for_are_said_to_be_missed() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="ERROR x\n" * int(request.query["tailLines"]))

    async with serving(answer) as logs:
        found = await read(logs, "api-1", limits=LogLimits(lines=100))
    assert (found.matching, found.missed) == (100, "logs that are longer than is read of one: 1")
