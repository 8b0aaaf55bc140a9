"""What stands in for the vendors' clouds: it takes everything that is posted, and answers as the test wants it to."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cluster.harness import OWN_NAMESPACE, Shop


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    answered: int

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


@dataclass
class Answer:
    """How requests are answered: with a status and headers, or not at all."""

    status: int = 202
    headers: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    hang: bool = False
    """No answer comes before the receiver ends."""
    reset: bool = False
    """The connection is closed without an answer."""


class Receiver(ThreadingHTTPServer):
    """Keeps what was posted, in order, by the first word of its path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers: dict[str, Answer] = {}
        """By the beginning of the path; else 202."""
        self.ended = threading.Event()
        self._posted: list[Posted] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"

    def posted(self, beginning: str) -> list[Posted]:
        """Return what was posted to paths that begin so."""
        return [one for one in list(self._posted) if one.path.startswith(f"/{beginning}")]

    def keep(self, one: Posted) -> None:
        self._posted.append(one)

    def handle_error(self, *_: Any) -> None:
        """A client that was killed is what the test wanted."""


class _Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = next((one for path, one in self.server.answers.items() if self.path.startswith(f"/{path}")), Answer())
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.keep(Posted(self.path, headers, raw, 0 if answer.hang or answer.reset else answer.status))
        if answer.hang:
            self.server.ended.wait()
        if answer.hang or answer.reset:
            self.close_connection = True
            return
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {**answer.headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run one on loopback."""
    made = Receiver()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield made
    finally:
        made.ended.set()
        made.shutdown()
        made.server_close()


def secret(shop: Shop, name: str, **data: str) -> None:
    """Make a Secret, and let Stopgap read this one, as its owner would."""
    shop.kubectl("create", "secret", "generic", name, *(f"--from-literal={key}={value}" for key, value in data.items()))
    role = f"stopgap-secret-{name}"
    shop.kubectl("create", "role", role, "--verb=get", "--resource=secrets", f"--resource-name={name}")
    shop.kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={OWN_NAMESPACE}:stopgap")
