"""What stands behind the proxy in the proxy's own tests: a small TLS server that remembers, echoes and streams.

The tests of the operator have a real API server there; here we need to know exactly which bytes came.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from tests.faults.proxy_certificates import issue


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]
    """The address it came from: the same for all requests of one connection."""


class Upstream:
    """Echoes bodies; a target with `watch=true` streams what is pushed, one with `break` is answered by a dead connection."""

    def __init__(self, directory: Path) -> None:
        certificates = issue(directory)
        self.ca_file = certificates.ca_file
        self.url = ""
        self.seen: list[Seen] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates.certificate_file, certificates.key_file)
        self._streams: set[asyncio.Queue[bytes]] = set()
        self._changed = threading.Condition()
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._loop = self._ready.result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Stop. May be called twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [one.target for one in self.seen]

    @property
    def open_streams(self) -> int:
        """How many watches are open."""
        return len(self._streams)

    def push(self, chunk: bytes) -> None:
        """Send this on all watches; b"" ends them."""
        for stream in list(self._streams):
            self._loop.call_soon_threadsafe(stream.put_nowait, chunk)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Block until this holds; it is looked at after each request and each change of a watch."""
        with self._changed:
            assert self._changed.wait_for(holds, 10), f"not within 10 s; seen: {self.targets}"

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = web.Server(self._handle, handler_cancellation=True, auto_decompress=False, access_log=None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        self.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        self._ready.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        listener.close()
        for connection in server.connections:
            if isinstance(connection.transport, asyncio.WriteTransport):
                connection.transport.abort()
        await server.shutdown(timeout=0.1)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        assert incoming.transport is not None
        body, peer = await incoming.content.read(), incoming.transport.get_extra_info("peername")
        with self._changed:
            self.seen.append(Seen(incoming.method, incoming.raw_path, dict(incoming.headers), body, peer))
            self._changed.notify_all()
        if "break" in incoming.raw_path:
            incoming.transport.abort()
        if "watch=true" in incoming.raw_path:
            return await self._stream(incoming)
        encoding = {"Content-Encoding": "gzip"} if "gzip" in incoming.raw_path else {}
        headers = {"X-Upstream": "yes", "Content-Type": "application/json", **encoding}
        return web.Response(status=201 if incoming.method == "POST" else 200, body=body or b"{}", headers=headers)

    async def _stream(self, incoming: web.BaseRequest) -> web.StreamResponse:
        outgoing, chunks = web.StreamResponse(), asyncio.Queue[bytes]()
        await outgoing.prepare(incoming)
        with self._changed:
            self._streams.add(chunks)
            self._changed.notify_all()
        try:
            while chunk := await chunks.get():
                await outgoing.write(chunk)
            return outgoing
        finally:
            with self._changed:
                self._streams.discard(chunks)
                self._changed.notify_all()
