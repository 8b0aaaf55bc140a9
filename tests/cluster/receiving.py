"""The other side of an HTTP call: a server on loopback that counts what reaches it, answers as told, and can keep one waiting."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.cluster.harness import wait_for


@dataclass(frozen=True)
class Call:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


class Receiver:
    """Use it as `with Receiver() as receiver:`. `answers` are given in turn, the last for ever."""

    def __init__(self, *answers: int, body: str = "") -> None:
        self.answers, self.body = list(answers) or [200], body
        self.calls: list[Call] = []
        self.open = threading.Event()
        """While it is not set, nobody gets an answer."""
        self.open.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def take(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                receiver.calls.append(Call(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, content))
                receiver.open.wait(30)
                try:
                    self.send_response(receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0])
                    self.end_headers()
                    self.wfile.write(receiver.body.encode())
                except OSError:
                    return  # who asked is gone

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = take  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait(self, count: int = 1) -> list[Call]:
        """Wait for so many calls."""
        wait_for(f"{count} calls", lambda: len(self.calls) >= count)
        return self.calls

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Let everybody go, and end."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
