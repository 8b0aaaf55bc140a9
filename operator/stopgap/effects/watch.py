"""One typed watch per kind: a paged list, then a stream that is resumed for as long as the API server allows it.

The index subscribes to it as a Sink. It never gives up: whatever happens is waited out, and `trouble` says what does not heal.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from stopgap.effects.errors import Forbidden, Gone, Invalid, KubeError, NotFound, Rejected, Unanswered, refusal
from stopgap.effects.kube import Kube, Params

log = logging.getLogger(__name__)


class HasIdentity(Protocol):
    """What a watch needs to know of an object's metadata."""

    @property
    def uid(self) -> str:
        """The identity of this incarnation of the object."""

    @property
    def resource_version(self) -> str:
        """The version to resume from (`resourceVersion`; a Struct says `rename="camel"`)."""


class Watched(Protocol):
    """An object as a watch hands it on: a msgspec Struct with whatever fields its reader wants."""

    @property
    def metadata(self) -> HasIdentity:
        """At least uid and resource_version."""


T = TypeVar("T", bound=Watched)
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Where a watch puts what it sees. Called in the event loop, so it must be quick.

    A msgspec.Raw inside an object is a slice of the whole page or chunk it came in and keeps all of that alive: copy it
    (`raw.copy()`) before keeping it. What an exception here means for one object is logged; the watch goes on.
    """

    def put(self, obj: T_contra, /) -> None:
        """Take an object as it now is: new, changed, or listed again. It may be older than what an own write returned."""

    def gone(self, obj: T_contra, /) -> None:
        """Take note that an object was deleted; this is its last state."""

    def known(self) -> Collection[str]:
        """Return the uids now held."""

    def forget(self, uid: str, /) -> None:
        """Take note that an object was deleted while nobody looked; its last state is not known."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T]


class _RawPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw]


class _Bookmark(msgspec.Struct):
    metadata: _ListMeta


class _Error(msgspec.Struct):
    code: int = 500


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


SILENT_FOR = 150.0
"""Seconds without a sign of life of a watch after which nothing is concluded from it: two bookmarks and a reconnect were missed."""
_DOES_NOT_HEAL = (NotFound, Forbidden, Rejected, Invalid)


class Watch(Generic[T]):
    """Keeps a Sink equal to one collection. Start `run()` as a task; read `synced`, `trouble` and `heard_at`."""

    FIRST_PAUSE = 0.1
    LONGEST_PAUSE = 5.0
    LONGEST_PAUSE_WHEN_REFUSED = 30.0
    """Seconds; a missing kind or right is put right by people."""
    STREAM_SECONDS = (240, 300)
    """The stream is ended by the server after a time between these, so that many watches do not return at once."""
    TOO_SHORT = 1.0
    """A stream that ends sooner than this many seconds counts as a failure, or a broken proxy would make us spin.
    After a longer one the next is asked for with hardly a pause, so that silence on a calm cluster costs nobody time."""
    LONGEST_WAIT_ASKED = 60.0
    """Seconds of Retry-After that are honoured."""

    def __init__(  # noqa: PLR0913 - what to watch, where to put it, and how it is called.
        self,
        kube: Kube,
        path: str,
        decode: type[T],
        sink: Sink[T],
        *,
        params: Mapping[str, str] | None = None,
        page_size: int = 500,
        name: str = "",
    ) -> None:
        self.name = name or path
        self.synced = asyncio.Event()
        """Set after the first complete list, and for good."""
        self.trouble: str | None = None
        """What keeps the watch from working until somebody mends it (no right, no such kind), else None."""
        self.heard_at: float | None = None
        """Monotonic seconds of the last sign of life: a page, an event, a bookmark, or a stream that was opened.

        While all is well it is never older than Kube.SILENCE_SECONDS and the time to connect.
        """
        self.lists = 0
        """Complete lists so far; 1 in a life without accidents."""
        self.unreadable = 0
        """Objects so far that could not be decoded or taken in, and were left out."""
        self._kube, self._path, self._sink = kube, path, sink
        self._params = dict(params or {})
        self._page_size = page_size
        self._decode = msgspec.json.Decoder(decode)
        self._decode_page: msgspec.json.Decoder[_Page[T]] = msgspec.json.Decoder(_Page[decode])  # type: ignore[valid-type]  # a type made at run time
        self._decode_event = msgspec.json.Decoder(_Event)
        self._version = ""
        self._failures = 0
        self._open_since: float | None = None

    async def run(self) -> None:
        """List, then follow, for ever. Raises nothing but CancelledError."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
            except KubeError as error:
                if isinstance(error, Gone):
                    self._version = ""
                await self._pause(error)

    async def _list(self) -> None:
        # Taken first: what is folded into the sink from our own writes while we list may be newer than the list.
        before = set(self._sink.known())
        listed: set[str] = set()
        page = self._read_page(await self._fetch(""))
        while page.metadata.continue_:
            following = asyncio.create_task(self._fetch(page.metadata.continue_))
            self._take_in(page.items, listed)
            page = self._read_page(await following)
        self._take_in(page.items, listed)
        for uid in before - listed:
            self._sink.forget(uid)
        self._version = page.metadata.resource_version
        self.lists += 1
        self.synced.set()

    async def _fetch(self, token: str) -> bytes:
        params: Params = {**self._params, "limit": self._page_size, **({"continue": token} if token else {})}
        body = await self._kube.get(self._path, params)
        self._heard()
        return body

    def _read_page(self, body: bytes) -> _Page[T]:
        try:
            return self._decode_page.decode(body)
        except msgspec.ValidationError:
            return self._read_one_by_one(body)
        except msgspec.DecodeError as error:
            raise Unanswered("list", self._path, message=f"not a list: {error}") from error

    def _read_one_by_one(self, body: bytes) -> _Page[T]:
        # One object that nobody can read must not hide the others of its page.
        try:
            page = msgspec.json.decode(body, type=_RawPage)
        except msgspec.DecodeError as error:
            raise Unanswered("list", self._path, message=f"not a list: {error}") from error
        found = (self._read(raw) for raw in page.items)
        return _Page(page.metadata, [obj for obj in found if obj is not None])

    def _read(self, raw: msgspec.Raw) -> T | None:
        try:
            return self._decode.decode(raw)
        except msgspec.DecodeError as error:
            self.unreadable += 1
            log.warning("an object cannot be read and is left out", extra={"watch": self.name, "error": str(error)})
            return None

    def _take_in(self, items: list[T], listed: set[str]) -> None:
        for obj in items:
            listed.add(obj.metadata.uid)
            self._hand_on(self._sink.put, obj)

    def _hand_on(self, take: Callable[[T], None], obj: T) -> None:
        try:
            take(obj)
        except Exception:
            # Whatever one tenant's object trips over must not end the watch of all.
            self.unreadable += 1
            log.exception("an object cannot be taken in", extra={"watch": self.name, "uid": obj.metadata.uid})

    async def _follow(self) -> None:
        self._open_since = None
        try:
            stream = self._kube.lines(self._path, self._stream_params(), opened=self._stream_is_open)
            async with aclosing(stream) as lines:
                async for line in lines:
                    self._heard()
                    self._take_event(line)
        finally:
            lasted = time.monotonic() - self._open_since if self._open_since is not None else 0.0
            if lasted >= self.TOO_SHORT:
                self._failures = 0
        if lasted < self.TOO_SHORT:
            await self._pause(None)

    def _stream_params(self) -> Params:
        return {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": random.randint(*self.STREAM_SECONDS),  # noqa: S311 - jitter, not a secret
        }

    def _take_event(self, line: bytes) -> None:
        try:
            event = self._decode_event.decode(line)
            if event.type == "BOOKMARK":
                self._version = msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
                return
            if event.type == "ERROR":
                status = msgspec.json.decode(event.object, type=_Error).code
                raise refusal("watch", self._path, status=status, body=bytes(event.object))
        except msgspec.DecodeError as error:
            raise Unanswered("watch", self._path, message=f"not an event: {error}") from error
        obj = self._read(event.object)
        if obj is not None:
            self._hand_on(self._sink.gone if event.type == "DELETED" else self._sink.put, obj)
            self._version = obj.metadata.resource_version

    def _stream_is_open(self) -> None:
        self._heard()
        self._open_since = time.monotonic()

    def _heard(self) -> None:
        self.heard_at = time.monotonic()
        self.trouble = None

    async def _pause(self, error: KubeError | None) -> None:
        refused = isinstance(error, _DOES_NOT_HEAL)
        if refused:
            self.trouble = str(error)
        log.info("a watch is interrupted", extra={"watch": self.name, "error": str(error or "the stream ended")})
        longest = self.LONGEST_PAUSE_WHEN_REFUSED if refused else self.LONGEST_PAUSE
        seconds = min(longest, self.FIRST_PAUSE * 2 ** min(self._failures, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._failures += 1
        asked = min(error.retry_after or 0.0, self.LONGEST_WAIT_ASKED) if error else 0.0
        await asyncio.sleep(max(seconds, asked))


def trouble_of(watch: Watch[Any]) -> str:
    """Say why nothing may be concluded from what a watch has told, or nothing."""
    if watch.trouble:
        return f"watch of {watch.name}: {watch.trouble}"
    silent = watch.heard_at is not None and time.monotonic() - watch.heard_at > SILENT_FOR
    return f"nothing was heard of {watch.name} for too long" if silent else ""
