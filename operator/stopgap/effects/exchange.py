"""Sends HTTP requests to addresses that were judged before (effects/egress.py).

No redirects, cookies, proxies or environment; one connection for each request; at most 64 KiB are read.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import httpx

from stopgap.core.reach import Address
from stopgap.effects.egress import Resolve
from stopgap.model.duration import spell
from stopgap.model.query import Request, Response, Silence, Timing

MOST_BYTES: Final = 64 * 1024
LAST_PORT: Final = 65535
_HEADERS: Final = {"accept": "*/*", "accept-encoding": "identity", "connection": "close", "user-agent": "stopgap"}


class Exchange:
    """Sends, and never raises for what the other side does."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._transport = _transport(ssl.create_default_context())

    async def close(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def send(self, request: Request, *, scope: str, deadline: timedelta) -> Response | Silence:
        """Send one request, once, and return what became of it within the deadline."""
        watch = _Watch()
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                return await self._send(request, scope, watch)
        except TimeoutError:
            silence = Silence(f"no answer within {spell(deadline)} ({watch.reached()})", theirs=watch.found)
        except ssl.SSLError:
            return Silence("what its certificate must be signed by (ca) is no certificate in PEM", theirs=False)
        except httpx.LocalProtocolError:
            return Silence("a header of it holds what HTTP does not allow", theirs=False)
        except httpx.HTTPError as error:
            silence = _failed(error)
        return replace(silence, sent=watch.sent)

    async def _send(self, request: Request, scope: str, watch: "_Watch") -> Response | Silence:
        try:
            url = httpx.URL(request.url)
        except httpx.InvalidURL:
            return Silence("the URL cannot be used", theirs=False)
        host = url.raw_host.decode().strip("[]").rstrip(".").lower()
        if not host or url.scheme not in {"http", "https"} or url.userinfo or (url.port is not None and not 0 < url.port <= LAST_PORT):
            return Silence("the URL cannot be used", theirs=False)
        addresses = await self._resolve(host, scope)
        if isinstance(addresses, Silence):
            return addresses
        watch.note("resolved")
        return await self._first_that_connects(request, url, addresses, watch)

    async def _first_that_connects(self, request: Request, url: httpx.URL, addresses: list[Address], watch: "_Watch") -> Response:
        *others, last = addresses
        for one in others:
            try:
                return await self._exchange(request, url, one, watch)
            except httpx.ConnectError:
                continue
        return await self._exchange(request, url, last, watch)

    async def _exchange(self, request: Request, url: httpx.URL, address: Address, watch: "_Watch") -> Response:
        """Send to the address that was judged, in the name of the host."""
        host = url.raw_host.decode().strip("[]")
        sent = httpx.Request(
            request.method or ("POST" if request.form else "GET"),
            url.copy_with(host=str(address), fragment=None),
            headers=_headers(request, url),
            data=dict(request.form) or None,
            content=request.content,
            extensions={"sni_hostname": host, "trace": watch.trace, "timeout": {}},
        )
        transport = _transport(_trusting(request.ca)) if request.ca else self._transport
        try:
            answer = await transport.handle_async_request(sent)
            try:
                body, whole = await _read(answer)
            finally:
                await answer.aclose()
        finally:
            if transport is not self._transport:
                await transport.aclose()
        return Response(answer.status_code, body, whole, watch.timing(), _retry_after(answer))


def _trusting(ca: str) -> ssl.SSLContext:
    """Return what trusts these certificates and no others. Raises ssl.SSLError where there are none."""
    return ssl.create_default_context(cadata=ca.encode("ascii", "replace").decode())


def _transport(trusting: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    # Not a client but its transport: it has no cookies, follows nothing, and writes no log.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=trusting, trust_env=False, limits=limits)


def _headers(request: Request, url: httpx.URL) -> list[tuple[bytes, bytes]]:
    wanted = {name.lower(): value for name, value in request.headers}
    return [(name.encode(), value.encode()) for name, value in ({**_HEADERS, **wanted, "host": url.netloc.decode()}).items()]


def _retry_after(answer: httpx.Response) -> timedelta | None:
    seconds = answer.headers.get("retry-after", "")
    return timedelta(seconds=int(seconds)) if re.fullmatch(r"[0-9]{1,6}", seconds) else None


async def _read(answer: httpx.Response) -> tuple[bytes, bool]:
    """Read as much as is read of anything; nothing is unpacked."""
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            return bytes(body[:MOST_BYTES]), False
    return bytes(body), True


def _failed(error: httpx.HTTPError) -> Silence:
    """Say what went wrong in words of our own: those of an exception may repeat what the other side sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Silence(f"its certificate is not accepted ({cause.verify_message})", theirs=False)
        if isinstance(cause, ssl.SSLError):
            return Silence("no TLS connection comes about", theirs=False)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return Silence("no connection: refused or unreachable", theirs=True)
    if isinstance(error, httpx.RemoteProtocolError):
        return Silence("it closed the connection, or what it sends is no HTTP", theirs=True)
    return Silence("the connection broke", theirs=isinstance(error, httpx.NetworkError))


class _Watch:
    """Measures when each point of one request was reached, as curl does."""

    _POINTS: Final[Mapping[str, str]] = {
        "connection.connect_tcp.complete": "connected",
        "connection.start_tls.complete": "secured",
        "http11.send_request_headers.started": "sent",
        "http11.receive_response_headers.complete": "answered",
    }

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._at: dict[str, float] = {}

    def note(self, point: str) -> None:
        """Note that a point is reached."""
        self._at[point] = time.monotonic() - self._began

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Hear what the transport does."""
        if point := self._POINTS.get(event):
            self.note(point)

    @property
    def found(self) -> bool:
        """Whether it is known whom to ask."""
        return "resolved" in self._at

    @property
    def sent(self) -> bool:
        """Whether anything of the request may have arrived."""
        return "sent" in self._at

    def reached(self) -> str:
        """Say how far it came."""
        told = {"answered": "the answer did not end", "secured": "connected", "connected": "connected", "resolved": "no connection"}
        return next((told[one] for one in told if one in self._at), "the name was not resolved")

    def timing(self) -> Timing:
        """Return the times, now that all was read."""
        at = self._at
        total = time.monotonic() - self._began
        return Timing(at.get("resolved", 0.0), at.get("connected", total), at.get("secured"), at.get("answered", total), total)
