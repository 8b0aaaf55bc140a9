import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiohttp import web

from stopgap.effects.connection import Connection
from stopgap.effects.kube import Kube
from stopgap.effects.watch import Watch


class Meta(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str


class Thing(msgspec.Struct):
    metadata: Meta
    size: int = 0


class Quick(Watch[Thing]):
    FIRST_PAUSE = 0.002
    LONGEST_PAUSE = 0.1
    LONGEST_PAUSE_WHEN_REFUSED = 0.01


class Held:
    """A Sink that holds sizes by uid and tells when it looks as wanted."""

    def __init__(self) -> None:
        self.things: dict[str, int] = {}
        self.told: list[str] = []
        self._changed = asyncio.Event()

    def put(self, obj: Thing, /) -> None:
        if obj.size < 0:
            raise ValueError("a negative size")
        self.things[obj.metadata.uid] = obj.size
        self._tell(f"put {obj.metadata.uid}")

    def gone(self, obj: Thing, /) -> None:
        self.things.pop(obj.metadata.uid, None)
        self._tell(f"gone {obj.metadata.uid}")

    def known(self) -> list[str]:
        return list(self.things)

    def forget(self, uid: str, /) -> None:
        del self.things[uid]
        self._tell(f"forget {uid}")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._changed.set()

    async def until(self, wanted: dict[str, int]) -> None:
        async with asyncio.timeout(5):
            while self.things != wanted:
                self._changed.clear()
                await self._changed.wait()


def thing(uid: str, version: int, size: Any = 0) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}, "size": size}


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": kind, "object": obj}) + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def page(version: int, *items: dict[str, Any], more: str = "") -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)})


def refused(status: int, **headers: str) -> web.Response:
    return web.json_response({"code": status, "reason": "Some", "message": "no"}, status=status, headers=headers)


@dataclass(frozen=True)
class Stream:
    """A stream: the parts are sent, then it is `closed` or `broken`, or left `open`."""

    parts: tuple[bytes, ...]
    end: str


def stream(*parts: bytes, end: str = "closed") -> Stream:
    return Stream(parts, end)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a request that was counted sets no event
            await asyncio.sleep(0.001)


class Server:
    """Answers lists and watches from two scripts, in order; when the watches are used up the last one stays open and silent."""

    def __init__(self, lists: list[web.Response], watches: list[Stream | web.Response]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            return self.lists.pop(0)
        script = self.watches.pop(0) if self.watches else stream(end="open")
        if isinstance(script, web.Response):
            return script
        return await self._stream(request, script)

    async def _stream(self, request: web.Request, script: Stream) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in script.parts:
            await response.write(part)
        if script.end == "open":
            await asyncio.sleep(60)
        if script.end == "broken":
            assert request.transport is not None
            request.transport.abort()
        return response

    def versions(self) -> list[str]:
        return [query["resourceVersion"] for query in self.asked if "watch" in query]


async def nobody() -> str | None:
    return None


@contextlib.asynccontextmanager
async def watching(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], client: type[Kube] = Kube, **options: Any
) -> AsyncIterator[tuple[Quick, Held]]:
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connection = Connection(server=f"http://127.0.0.1:{runner.addresses[0][1]}", credentials=nobody)
    async with client(connection) as kube:
        held = Held()
        watch = Quick(kube, "/api/v1/things", Thing, held, **options)
        task = asyncio.create_task(watch.run())
        try:
            yield watch, held
        finally:
            assert not task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    await runner.cleanup()


async def test_a_list_in_pages_is_taken_in_whole_and_followed_from_its_version() -> None:
    server = Server(
        [page(7, thing("a", 1, 10), thing("b", 2, 20), more="next+one"), page(7, thing("c", 3, 30))],
        [stream(event("ADDED", thing("d", 8, 40)), end="open")],
    )
    async with watching(server.answer, params={"labelSelector": "x=y"}, page_size=2) as (watch, held):
        await asyncio.wait_for(watch.synced.wait(), 5)
        await held.until({"a": 10, "b": 20, "c": 30, "d": 40})
        assert (watch.lists, watch.trouble, watch.unreadable) == (1, None, 0)
        assert watch.heard_at is not None
    first, second, follow = server.asked
    assert first == {"labelSelector": "x=y", "limit": "2"}
    assert second == {"labelSelector": "x=y", "limit": "2", "continue": "next+one"}
    assert 240 <= int(follow.pop("timeoutSeconds")) <= 300
    assert follow == {
        "labelSelector": "x=y",
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
    }


async def test_nothing_counts_as_synced_before_the_last_page() -> None:
    gate = asyncio.Event()
    first = Server([page(7, thing("a", 1), more="more")], [])

    async def answer(request: web.Request) -> web.StreamResponse:
        if "continue" in request.query:
            await gate.wait()
            return page(7)
        return await first.answer(request)

    async with watching(answer) as (watch, held):
        await held.until({"a": 0})
        assert not watch.synced.is_set()
        gate.set()
        await asyncio.wait_for(watch.synced.wait(), 5)


async def test_changes_and_deletions_are_handed_on_in_order() -> None:
    server = Server(
        [page(1, thing("a", 1))],
        [stream(event("MODIFIED", thing("a", 2, 5)), event("ADDED", thing("b", 3)), event("DELETED", thing("a", 4)), end="open")],
    )
    async with watching(server.answer) as (_, held):
        await held.until({"b": 0})
        assert held.told == ["put a", "put a", "put b", "gone a"]


@pytest.mark.parametrize("end", ["closed", "broken"])
async def test_a_stream_that_ends_is_resumed_from_the_last_version_seen_without_a_new_list(end: str) -> None:
    server = Server(
        [page(1)],
        [
            stream(event("ADDED", thing("a", 5)), end=end),
            stream(event("ADDED", thing("b", 6)), bookmark(9), end=end),
            stream(event("ADDED", thing("c", 10)), end="open"),
        ],
    )
    async with watching(server.answer) as (watch, held):
        await held.until({"a": 0, "b": 0, "c": 0})
        assert watch.lists == 1
    assert server.versions() == ["1", "5", "9"]


async def test_a_silent_stream_is_left_and_resumed() -> None:
    class Impatient(Kube):
        SILENCE_SECONDS = 0.02

    server = Server([page(1)], [stream(bookmark(3), end="open"), stream(event("ADDED", thing("a", 4)), end="open")])
    async with watching(server.answer, Impatient) as (watch, held):
        await held.until({"a": 0})
        assert watch.lists == 1
    assert server.versions()[:2] == ["1", "3"]


@pytest.mark.parametrize(
    "too_old",
    [
        pytest.param(refused(410), id="as the answer to the watch"),
        pytest.param(stream(event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})), id="as an event"),
    ],
)
async def test_a_version_that_is_too_old_leads_to_a_new_list_and_what_is_not_in_it_is_forgotten(
    too_old: Stream | web.Response,
) -> None:
    server = Server([page(1, thing("a", 1, 1), thing("b", 1, 1)), page(20, thing("b", 15, 2))], [too_old])
    async with watching(server.answer) as (watch, held):
        await held.until({"b": 2})
        assert watch.lists == 2
        assert held.told == ["put a", "put b", "put b", "forget a"]
        await until(lambda: len(server.versions()) >= 2)
    assert server.versions() == ["1", "20"]


async def test_a_list_that_expires_between_two_pages_is_begun_again() -> None:
    server = Server([page(1, thing("a", 1), more="old"), refused(410), page(2, thing("b", 2), more="new"), page(2, thing("c", 2))], [])
    async with watching(server.answer) as (watch, held):
        await asyncio.wait_for(watch.synced.wait(), 5)
        # Nothing was held when the last list began but what the broken one had brought.
        assert held.things == {"b": 0, "c": 0}
        assert watch.lists == 1
    assert [query.get("continue") for query in server.asked if "limit" in query] == [None, "old", None, "new"]


async def test_what_is_folded_in_while_a_list_is_read_is_not_forgotten_by_it() -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.set()
        await gate.wait()
        return page(7) if "limit" in request.query else await Server([], []).answer(request)

    async with watching(answer) as (watch, held):
        await asyncio.wait_for(asked.wait(), 5)
        held.put(Thing(Meta("ours", "9"), 1))
        gate.set()
        await asyncio.wait_for(watch.synced.wait(), 5)
        assert held.things == {"ours": 1}


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_server_in_difficulties_is_asked_again_and_nobody_needs_to_mend_anything(status: int) -> None:
    server = Server([refused(status), refused(status), page(1, thing("a", 1))], [refused(status)])
    async with watching(server.answer) as (watch, held):
        await held.until({"a": 0})
        assert watch.trouble is None
        await until(lambda: len(server.asked) >= 5)
        assert (watch.lists, watch.trouble) == (1, None)


async def test_a_server_that_names_a_time_is_given_it() -> None:
    server = Server([refused(429, **{"Retry-After": "1"}), page(1)], [])
    async with watching(server.answer) as (watch, _):
        loop = asyncio.get_running_loop()
        await until(lambda: bool(server.asked))
        began = loop.time()
        await asyncio.wait_for(watch.synced.wait(), 5)
        assert loop.time() - began > 0.9


@pytest.mark.parametrize("status", [401, 403, 404, 400])
async def test_what_only_people_can_mend_is_said_until_it_is_mended(status: int) -> None:
    server = Server([refused(status), refused(status)], [])
    async with watching(server.answer) as (watch, _):
        await until(lambda: watch.trouble is not None)
        assert watch.trouble == f"list /api/v1/things: {status} Some: no"
        assert not watch.synced.is_set()
        server.lists.append(page(1))
        await asyncio.wait_for(watch.synced.wait(), 5)
        assert watch.trouble is None


async def test_one_unreadable_object_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(
        [page(1, thing("a", 1), thing("odd", 1, "large"), thing("negative", 1, -1), thing("b", 1))],
        [stream(event("ADDED", thing("odd", 2, "huge")), event("ADDED", thing("c", 3)), end="open")],
    )
    async with watching(server.answer) as (watch, held):
        await held.until({"a": 0, "b": 0, "c": 0})
        assert watch.unreadable == 3
        assert watch.lists == 1
    assert "cannot be read" in caplog.text
    assert "cannot be taken in" in caplog.text


@pytest.mark.parametrize("nonsense", [b"<html>", b'{"items": 1}', b"[]"])
async def test_an_answer_that_is_no_list_is_asked_for_again(nonsense: bytes) -> None:
    server = Server([web.Response(body=nonsense), page(1, thing("a", 1))], [stream(b"nonsense\n")])
    async with watching(server.answer) as (watch, held):
        await held.until({"a": 0})
        await until(lambda: len(server.versions()) >= 2)
        assert watch.lists == 1


async def test_streams_that_end_at_once_are_not_asked_for_without_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server = Server([page(1)], [stream()] * 3)
    async with watching(server.answer):
        await until(lambda: len(server.versions()) >= 4)
    assert len(re.findall("a watch is interrupted", caplog.text)) == 3


async def test_the_pause_grows_with_each_failure_in_a_row() -> None:
    server = Server([refused(500) for _ in range(6)] + [page(1)], [])
    began = asyncio.get_running_loop().time()
    async with watching(server.answer) as (watch, _):
        await asyncio.wait_for(watch.synced.wait(), 5)
    # 2, 4, 8, 16, 32 and 64 ms, of which up to a half is left to chance.
    assert asyncio.get_running_loop().time() - began > 0.063


async def test_silence_on_a_calm_cluster_is_resumed_without_growing_pauses_and_counts_as_life() -> None:
    class Impatient(Kube):
        SILENCE_SECONDS = 0.02

    server = Server([page(1)], [])
    async with watching(server.answer, Impatient) as (watch, _):
        watch.TOO_SHORT = 0.01
        await until(lambda: len(server.versions()) >= 2)
        first = watch.heard_at
        await until(lambda: len(server.versions()) >= 12)
        assert watch._failures <= 1
        assert watch.heard_at is not None
        assert first is not None
        assert watch.heard_at > first
        assert watch.lists == 1


async def test_a_watch_that_is_granted_later_is_no_trouble_any_more_before_anything_happens() -> None:
    server = Server([page(1)], [refused(403) for _ in range(6)])
    async with watching(server.answer) as (watch, _):
        await until(lambda: watch.trouble == "watch /api/v1/things: 403 Some: no")
        await until(lambda: watch.trouble is None)
        assert watch.lists == 1
