"""A TLS proxy between the operator's process and the API server, with which a test makes the network fail at an exact point.

It lets a test `kill -9` the operator after its patch was committed and before it saw the reply, with no hook in the
product. Used by the tests in this folder; README.md says which fault case is made how.
"""

import asyncio
import concurrent.futures
import ssl
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.proxy_certificates import issue
from tests.faults.proxy_relay import Relay
from tests.faults.proxy_requests import Match, Request
from tests.faults.proxy_rules import At, Delay, Held, Reset, Rule, failure

__all__ = ["At", "FaultProxy", "Held", "Match", "Request", "Rule"]

_OWN_WORK_SECONDS = 10.0
"""How long the proxy's thread may take for what it is told; more means that it is broken."""


class FaultProxy:
    """Passes everything on to the API server as it is, and holds, drops, delays, answers or resets what a test names.

    Use it as `with FaultProxy(…) as proxy:` and give `proxy.url` and `proxy.ca_file` to the operator. Rules are asked in
    the order in which they were made: a request goes to the first one that has a time left, and passes all delays before.
    """

    def __init__(self, upstream_url: str, upstream_ca_file: str | Path, directory: Path) -> None:
        certificates = issue(directory)
        self.ca_file = certificates.ca_file
        """Whom a client has to trust, as PEM."""
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(certificates.certificate_file, certificates.key_file)
        trust = ssl.create_default_context(cafile=upstream_ca_file)
        self._relay = Relay(upstream_url, trust=trust, serving=serving)
        self._ready: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-proxy", daemon=True)

    def start(self) -> Self:
        """Listen. Once: a proxy that was stopped is not started again."""
        self._thread.start()
        self._ready.result(_OWN_WORK_SECONDS)
        return self

    def stop(self) -> None:
        """Close everything; what is held is dropped. May be called twice."""
        if self._thread.is_alive():
            self._ready.result(_OWN_WORK_SECONDS).call_soon_threadsafe(self._stopping.set)
            self._thread.join(_OWN_WORK_SECONDS)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Stop it."""
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        if not self._relay.port:
            raise RuntimeError("the proxy has no address before start()")
        return f"https://127.0.0.1:{self._relay.port}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order of arrival."""
        return self._relay.log.all()

    def wait_for(self, match: Match, timeout: float = 30.0, count: int = 1) -> list[Request]:
        """Block until this many requests that match have arrived since start(), and return them. Raises TimeoutError."""
        return self._relay.log.wait_for(match, timeout, count)

    def hold(self, match: Match, at: At = "request", times: int | None = 1) -> Held:
        """Stop matching requests until the test decides. At `reply`, a stream is held when it begins to answer."""
        return self._relay.book.add(Held(match, at=at, times=times))

    def delay(self, match: Match, seconds: float, at: At = "request", times: int | None = None) -> Rule:
        """Let them, or their replies, pass later. A request is delayed, not lost, if its client gives up meanwhile."""
        return self._relay.book.add(Delay(match, seconds, at=at, times=times))

    def fail(self, match: Match, status: int, times: int | None = 1, headers: Mapping[str, str] | None = None) -> Rule:
        """Answer with this status, as the API server would, and forward nothing."""
        return self._relay.book.add(Rule(match, failure(status, headers), at="request", times=times))

    def reset(self, match: Match, at: At = "request", times: int | None = 1) -> Rule:
        """Reset the client's connection: before anything was forwarded, or after it has happened."""
        return self._relay.book.add(Rule(match, Reset(), at=at, times=times))

    def freeze_watches(self) -> None:
        """Keep all streams open, present and future, and deliver nothing of them. Everything else passes."""
        self._tell(self._relay.freeze())

    def thaw(self) -> None:
        """Deliver what the streams have received meanwhile; nothing is lost."""
        self._tell(self._relay.thaw())

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._tell(self._relay.cut())

    def mend(self) -> None:
        """Accept connections again, at the same address."""
        self._tell(self._relay.mend())

    def _tell(self, what: Coroutine[Any, Any, None]) -> None:
        loop = self._ready.result(_OWN_WORK_SECONDS)
        asyncio.run_coroutine_threadsafe(what, loop).result(_OWN_WORK_SECONDS)

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        try:
            await self._relay.open()
        except BaseException as error:  # noqa: BLE001 - it is start() that raises it, in the thread that can see it.
            self._ready.set_exception(error)
            return
        self._ready.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await self._relay.close()
