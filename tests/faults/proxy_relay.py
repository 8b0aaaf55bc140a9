"""The proxy's way of a request from client to upstream and back, in one event loop. Used by FaultProxy only.

What a test orders comes in through the RuleBook; cut, mend, freeze and thaw are called in the loop.
"""

import asyncio
import io
import secrets
import socket
import ssl
import struct
from collections.abc import Mapping
from errno import EADDRINUSE

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from tests.faults.proxy_requests import Request, RequestLog
from tests.faults.proxy_rules import GoOn, Reply, Reset, RuleBook, verdict_of
from yarl import URL

# Below what kernels give to outgoing connections: cut() gives the port up, and mend() must find it free again.
_PORTS = range(20_000, 30_000)
_ONE_MEBIBYTE = 1 << 20
# They speak of one connection, and each side of a proxy is a connection of its own. Expect has been met by reading.
_OF_ONE_CONNECTION = {
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
# aiohttp would add these where the client sent none.
_NOT_OURS_TO_ADD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

Outcome = Reset | Reply | aiohttp.ClientResponse


class Relay:
    """A TLS server on 127.0.0.1 that passes requests on to one upstream, unless a rule says otherwise."""

    def __init__(self, upstream_url: str, *, trust: ssl.SSLContext, serving: ssl.SSLContext) -> None:
        self.book = RuleBook()
        self.log = RequestLog()
        self.port = 0
        self._upstream_url = upstream_url.rstrip("/")
        self._trust = trust
        self._serving = serving
        self._listener: asyncio.Server | None = None
        self._under_way: set[asyncio.Task[Outcome]] = set()

    async def open(self) -> None:
        """Listen on a free port."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust, limit=0, keepalive_timeout=75),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            middlewares=(_never_twice,),
            max_line_size=_ONE_MEBIBYTE,
            max_field_size=_ONE_MEBIBYTE,
        )
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,  # how a handler learns that its client is gone
            auto_decompress=False,
            access_log=None,
            max_line_size=_ONE_MEBIBYTE,
            max_field_size=_ONE_MEBIBYTE,
        )
        await self._listen_somewhere()

    async def close(self) -> None:
        """Give up everything that is held or under way, and close all connections."""
        await self.cut()
        # Before the tasks are cancelled: it waits for its connections to be gone, those left by a cancelled task it forgets.
        await self._session.close()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._server.shutdown(timeout=1)

    async def cut(self) -> None:
        """Reset all connections of clients and refuse new ones. What has gone upstream is carried through there."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._server.connections:
            _reset(connection.transport)

    async def mend(self) -> None:
        """Listen again, on the same port."""
        if self._listener is None:
            await self._listen(self.port)

    async def freeze(self) -> None:
        """Deliver nothing more of any stream."""
        self._flowing.clear()

    async def thaw(self) -> None:
        """Deliver what has come meanwhile, and what comes."""
        self._flowing.set()

    async def _listen_somewhere(self) -> None:
        first = secrets.randbelow(len(_PORTS))
        for offset in range(len(_PORTS)):
            port = _PORTS[(first + offset) % len(_PORTS)]
            try:
                return await self._listen(port)
            except OSError as error:
                if error.errno != EADDRINUSE:
                    raise
        raise RuntimeError(f"no port of {_PORTS} is free")

    async def _listen(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, "127.0.0.1", port, ssl=self._serving, backlog=1024)
        self.port = port

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        path, _, query = incoming.raw_path.partition("?")
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        request = Request(incoming.method, path, query, headers, await incoming.content.read())
        if self._listener is None:  # its connection was still shaking hands when the others were cut
            return await _hang_up(incoming)
        self.log.add(request)
        # A task of its own: what is under way, or held, outlives the client as it would on a real network.
        outcome = asyncio.create_task(self._outcome(request, incoming.headers))
        self._under_way.add(outcome)
        outcome.add_done_callback(self._under_way.discard)
        try:
            return await self._deliver(await asyncio.shield(outcome), request, incoming)
        except asyncio.CancelledError:
            if request.status is None:
                request.gone.set()
            outcome.add_done_callback(_discard)
            raise

    async def _outcome(self, request: Request, headers: Mapping[str, str]) -> Outcome:
        verdict = await verdict_of(self.book.taking(request, "request"), request)
        if not isinstance(verdict, GoOn):
            return verdict
        try:
            answer = await self._ask_upstream(request, headers)
            return await self._judge_reply(answer, request)
        except (aiohttp.ClientError, OSError):
            return Reset()  # the client sees what it would have seen without us: a broken connection, not an invented 502

    async def _ask_upstream(self, request: Request, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        return await self._session.request(
            request.method,
            URL(self._upstream_url + request.target, encoded=True),
            headers=_passed_on(headers, without="content-length"),  # aiohttp writes it from the body
            skip_auto_headers=_NOT_OURS_TO_ADD,
            data=io.BytesIO(request.body) if request.body else None,  # aiohttp warns of large bytes
            allow_redirects=False,
        )

    async def _judge_reply(self, answer: aiohttp.ClientResponse, request: Request) -> Outcome:
        rules = self.book.taking(request, "reply")
        if not rules:
            request.answered = answer.status
            return answer
        body = None if request.is_stream else await answer.read()
        request.answered = answer.status
        verdict = await verdict_of(rules, request)
        if not isinstance(verdict, GoOn):
            _leave(answer)
            return verdict
        if body is None:
            return answer
        return Reply(answer.status, body, _passed_on(answer.headers, without="content-length"))

    async def _deliver(self, outcome: Outcome, request: Request, incoming: web.BaseRequest) -> web.StreamResponse:
        if isinstance(outcome, Reset):
            return await _hang_up(incoming)
        request.status = outcome.status
        if isinstance(outcome, Reply):
            return web.Response(status=outcome.status, body=outcome.body, headers=outcome.headers)
        try:
            return await self._stream(outcome, incoming, holds_still=request.is_stream)
        except aiohttp.ClientError:
            return await _hang_up(incoming)  # it broke on one side, so it breaks on the other
        finally:
            _leave(outcome)

    async def _stream(self, answer: aiohttp.ClientResponse, incoming: web.BaseRequest, *, holds_still: bool) -> web.StreamResponse:
        outgoing = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_passed_on(answer.headers))
        await outgoing.prepare(incoming)
        async for chunk in answer.content.iter_any():
            if holds_still:
                await self._flowing.wait()
            await outgoing.write(chunk)
        await outgoing.write_eof()
        return outgoing


def _passed_on(headers: Mapping[str, str], *, without: str = "") -> CIMultiDict[str]:
    """Return the headers that are for the other end; a name may occur more than once."""
    dropped = _OF_ONE_CONNECTION | {without}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _discard(outcome: asyncio.Task[Outcome]) -> None:
    if not outcome.cancelled() and not outcome.exception() and isinstance(answer := outcome.result(), aiohttp.ClientResponse):
        _leave(answer)


def _leave(answer: aiohttp.ClientResponse) -> None:
    """Be done with an answer; read to its end, its connection has gone back to the pool already."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()  # at once: to close TLS politely outlives the loop when the proxy stops
    answer.close()


async def _hang_up(incoming: web.BaseRequest) -> web.StreamResponse:
    _reset(incoming.transport)
    # The lost connection cancels this handler; to return or raise would make aiohttp try to answer.
    await asyncio.Event().wait()
    raise AssertionError("a handler without a connection was not cancelled")


def _reset(transport: asyncio.BaseTransport | None) -> None:
    if not isinstance(transport, asyncio.WriteTransport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        # Lingering for no time makes the kernel send RST, not FIN, and forget what was not yet sent.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _SentOnce(aiohttp.ClientError):
    """Carries a broken connection past aiohttp, which would send a PUT or DELETE again and so hide what we are here to show."""


async def _never_twice(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method == "GET":
            raise  # harmless, and a kept connection that has died in the pool is no fault that a test ordered
        raise _SentOnce(str(error)) from error
