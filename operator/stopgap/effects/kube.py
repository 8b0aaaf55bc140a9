"""The one way to the API server: raw bytes over one warm session, a deadline on every call, errors by meaning.

It repeats no write, ever: only the caller knows whether his write may be sent twice.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from stopgap.effects.clock import ServerClock
from stopgap.effects.connection import Connection, NoConnection
from stopgap.effects.errors import KubeError, Unanswered, Unreachable, refusal

Params = Mapping[str, str | int]
OnRequest = Callable[[str, str, int, float], None]
"""Told of every request: verb, resource, status code (0 = no answer), seconds until the answer began."""

_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "patch": "PATCH", "delete": "DELETE"}
_JSON = "application/json"
_METADATA = f"{_JSON};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_ONLY = f"{_JSON};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,{_JSON}"
"""Accept header for a list of `metadata` alone."""
_PAGE = 500
"""Objects in one answer to a list."""
_WRITTEN_BY = {"fieldManager": "stopgap"}


class PatchKind(StrEnum):
    """How a patch is to be read; the value is its content type."""

    JSON = "application/json-patch+json"
    """A list of operations; `test` guards it."""
    MERGE = "application/merge-patch+json"
    """The fields to change; null removes. With a metadata.resourceVersion in it, a changed object gives Conflict."""


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None
    """None: an empty list of `metadata` alone comes as null."""


def collection(group_version: str, plural: str, namespace: str | None = None) -> str:
    """Return the path of a collection (`apps/v1`, `deployments`), of one namespace or all. Raises ValueError for a bad name."""
    root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    return f"{root}/{plural}" if namespace is None else f"{root}/namespaces/{_segment(namespace)}/{plural}"


def item(group_version: str, plural: str, name: str, *, namespace: str | None = None, subresource: str = "") -> str:
    """Return the path of one object, or of a subresource of it. Raises ValueError for a bad name."""
    path = f"{collection(group_version, plural, namespace)}/{_segment(name)}"
    return f"{path}/{subresource}" if subresource else path


def _segment(name: str) -> str:
    # Names come from alerts too, and an empty one would turn one object into its whole collection.
    if name in {"", ".", ".."} or "/" in name or "%" in name:
        raise ValueError(f"{name!r} cannot be the name of an object")
    return quote(name, safe=":")


def resource_of(path: str) -> tuple[str, bool]:
    """Return the resource of a path, with its subresource (`incidents/status`), and whether it names one object."""
    parts = path.strip("/").split("/")
    if parts[0] not in {"api", "apis"}:
        return parts[0], True
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(rest) > 2 and rest[0] == "namespaces":  # noqa: PLR2004 - namespaces/<name>/<plural>
        rest = rest[2:]
    return "/".join([*rest[:1], *rest[2:3]]), len(rest) > 1


class Kube:
    """One API server, one keep-alive session: `async with Kube(connection) as kube:`, or open() and close() it.

    Every call raises a KubeError by meaning: Unreachable = known not to have happened, Unanswered = may have happened.
    """

    READ_SECONDS = 5.0
    WRITE_SECONDS = 10.0
    CONNECT_SECONDS = 3.0
    SILENCE_SECONDS = 75.0
    """A watch this silent is taken for broken. Bookmarks come every minute, but not while a whole kind is quiet and etcd
    reports no progress (its default is 10 minutes), so on a calm cluster it may as well be healthy: resuming costs little."""
    IDLE_SECONDS = 75.0
    """An idle connection is kept this long: less than the API server's 90 s, so that it is we who close it."""

    def __init__(self, connection: Connection, *, on_request: OnRequest | None = None) -> None:
        self.connection = connection
        self.clock = ServerClock()
        self._on_request = on_request
        self._opened: aiohttp.ClientSession | None = None

    async def open(self) -> Self:
        """Open the session. Sends nothing yet."""
        connector = aiohttp.TCPConnector(
            ssl=self.connection.tls or True,
            limit=0,  # watches hold theirs for minutes; a limit would let them starve the writes
            keepalive_timeout=self.IDLE_SECONDS,
            socket_factory=_socket,
        )
        self._opened = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy named in the environment is no friend of a cluster's credentials
            # Compressing a big list takes the API server far longer than sending it; its own controllers do not ask for that either.
            headers={"User-Agent": f"stopgap/{version('stopgap')}", "Accept": _JSON, "Accept-Encoding": "identity"},
        )
        return self

    async def close(self) -> None:
        """Close every connection, watches too."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self.close()

    async def warm(self, n: int = 8) -> None:
        """Open n connections now, so that no decision pays for handshakes: as many as are asked for at once beside a new incident.

        They stay open without further care: idle connections are used in turn, so the Lease's renewals pass through all, each long
        before it has been idle for IDLE_SECONDS.
        """
        await asyncio.gather(*(self.get("/version") for _ in range(n)))

    async def get(self, path: str, params: Params | None = None, *, accept: str = _JSON) -> bytes:
        """Read one object, or list a collection. Sent once more by itself if a kept connection turns out to be dead."""
        return await self._ask("get" if resource_of(path)[1] else "list", path, params=params, media=accept)

    async def metadata(self, path: str) -> bytes:
        """Read one object without its spec, data and status."""
        return await self._ask("get", path, media=_METADATA)

    async def items(self, path: str, params: Params | None = None, *, accept: str = _JSON) -> AsyncGenerator[msgspec.Raw, None]:
        """List a collection page by page; yields each object as it came. Raises what get() raises, also between two pages.

        With `accept=METADATA_ONLY` an object has nothing but `metadata`: what is big is neither sent nor read.
        """
        token = ""
        while True:
            asked = {**(params or {}), "limit": _PAGE, **({"continue": token} if token else {})}
            page = msgspec.json.decode(await self.get(path, asked, accept=accept), type=_Page)
            for one in page.items or ():
                yield one
            token = page.metadata.continue_
            if not token:
                return

    async def create(self, path: str, body: object, params: Params | None = None) -> bytes:
        """Create an object in a collection; returns it as stored. A taken name raises Conflict with already_exists."""
        return await self._ask("create", path, params={**_WRITTEN_BY, **(params or {})}, body=body)

    async def patch(self, path: str, body: object, *, how: PatchKind, params: Params | None = None) -> bytes:
        """Change an object; returns it as stored. A JSON patch whose `test` does not hold raises Invalid."""
        return await self._ask("patch", path, params={**_WRITTEN_BY, **(params or {})}, body=body, media=how)

    async def delete(self, path: str, body: object | None = None) -> bytes:
        """Delete one object; the body is DeleteOptions (preconditions). Raises ValueError for a collection."""
        if not resource_of(path)[1]:
            raise ValueError(f"{path} is a collection; objects are deleted one by one")
        return await self._ask("delete", path, body=body)

    async def lines(
        self, path: str, params: Params | None = None, *, opened: Callable[[], None] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Follow a watch line by line, however long a line is. Ends where the server ends it.

        `opened` is called when the server has agreed, which may be long before the first line.

        Raises what chunks() raises. Wrap it in contextlib.aclosing: leaving closes it.
        """
        begun: list[bytes] = []
        async with aclosing(self.chunks(path, params, opened=opened)) as chunks:
            async for chunk in chunks:
                head, *more = chunk.split(b"\n")
                begun.append(head)
                for start in more:
                    line, begun = b"".join(begun), [start]
                    if line:
                        yield line

    async def chunks(
        self, path: str, params: Params | None = None, *, opened: Callable[[], None] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Follow a streamed answer as it comes: no more of it is held than a chunk.

        Raises Unanswered when it breaks or is silent for SILENCE_SECONDS. Wrap it in contextlib.aclosing: leaving closes it.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.CONNECT_SECONDS, sock_read=self.SILENCE_SECONDS)
        verb = "get" if resource_of(path)[1] else "watch"
        async with self._answer(verb, path, params=params, timeout=timeout) as answer:
            if opened is not None:
                opened()
            async for chunk in answer.content.iter_any():
                yield chunk

    async def _ask(self, verb: str, path: str, *, params: Params | None = None, body: object = None, media: str = _JSON) -> bytes:
        seconds = self.READ_SECONDS if verb in {"get", "list"} else self.WRITE_SECONDS
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=self.CONNECT_SECONDS)
        data, headers = (None, {"Accept": media}) if body is None else (_encoded(body), {"Content-Type": str(media)})
        async with self._answer(verb, path, headers=headers, params=params, data=data, timeout=timeout) as answer:
            return await answer.read()

    @asynccontextmanager
    async def _answer(
        self, verb: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        began, code = time.monotonic(), 0
        try:
            async with self._session.request(
                _METHODS[verb],
                URL(self.connection.server + path, encoded=True),
                headers=await self._authorized(headers or {}),
                allow_redirects=False,  # our credentials go nowhere else
                server_hostname=self.connection.server_hostname,
                middlewares=() if _METHODS[verb] == "GET" else (_send_once,),
                **options,
            ) as answer:
                code = answer.status
                self.clock.heard(answer.headers.get("Date"), sent=began, received=time.monotonic())
                self._tell(verb, path, code, began)
                if code >= 300:  # noqa: PLR2004 - not a success
                    wait = answer.headers.get("Retry-After")
                    raise refusal(verb, path, status=code, body=await answer.read(), retry_after=wait)
                yield answer
        except (aiohttp.ClientError, TimeoutError, NoConnection) as error:
            if not code:
                self._tell(verb, path, code, began)
            raise _without_answer(error)(verb, path, message=str(error) or "no answer in time") from error

    async def _authorized(self, headers: Mapping[str, str]) -> dict[str, str]:
        authorization = await self.connection.authorization()
        return {**headers, "Authorization": authorization} if authorization else dict(headers)

    def _tell(self, verb: str, path: str, code: int, began: float) -> None:
        if self._on_request is not None:
            self._on_request(verb, resource_of(path)[0], code, time.monotonic() - began)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            raise RuntimeError("this Kube is not open")
        return self._opened


def _encoded(body: object) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def _without_answer(error: Exception) -> type[KubeError]:
    never_sent = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, NoConnection)
    return Unreachable if isinstance(error, never_sent) else Unanswered


class _SentOnce(aiohttp.ClientError):
    """Carries a broken connection past aiohttp, which would otherwise send a DELETE a second time."""


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # never sent, and aiohttp does not repeat these
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _SentOnce(str(error)) from error


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that notices a dead peer in about 20 s, also while a watch is silent."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):  # macOS has other names; it is a laptop there
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
