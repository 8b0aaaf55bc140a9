"""The faults a test has ordered, and which request each one takes. Ordered in the test's thread, asked in the proxy's."""

import asyncio
import json
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, TypeVar

from tests.faults.proxy_requests import Match, Request

At = Literal["request", "reply"]
"""`request`: nothing of it has been sent upstream. `reply`: upstream has answered in full, the client knows nothing."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The request, or its reply, takes its way."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The client's connection is reset."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The client is answered with this, whatever upstream said or would have said."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Verdict = GoOn | Reset | Reply


def failure(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the reply of an API server that refuses: a Status object with the reason that goes with the code."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"the fault proxy answers {status}",
        "reason": _REASONS.get(status, ""),
        "code": status,
    }
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


_REASONS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.CONFLICT: "Conflict",
    HTTPStatus.GONE: "Expired",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLarge",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Invalid",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequests",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
    HTTPStatus.GATEWAY_TIMEOUT: "Timeout",
}


class Rule:
    """One fault that was ordered, and the requests it has taken. `times=None` takes every one, until cancelled."""

    def __init__(self, match: Match, verdict: Verdict, *, at: At, times: int | None) -> None:
        self.match = match
        self.caught: list[Request] = []
        """The requests it has taken, in order."""
        self.settles = True
        """It decides about the request, so that no later rule is asked."""
        self._verdict = verdict
        self._at = at
        self._left = times

    def cancel(self) -> None:
        """Take no more requests. What is held stays held."""
        self._left = 0

    def takes(self, request: Request, at: At) -> bool:
        """Take the request if it is meant and there is a time left. Only the RuleBook asks."""
        if self._left == 0 or at != self._at or not self.match(request):
            return False
        if self._left is not None:
            self._left -= 1
        self.caught.append(request)
        return True

    async def decide(self, request: Request) -> Verdict:  # noqa: ARG002 - the rules that wait need to know for whom.
        """Return what becomes of a request that was taken."""
        return self._verdict


class Delay(Rule):
    """Lets requests pass, later."""

    def __init__(self, match: Match, seconds: float, *, at: At, times: int | None) -> None:
        super().__init__(match, GoOn(), at=at, times=times)
        self.settles = False
        self._seconds = seconds

    async def decide(self, request: Request) -> Verdict:
        """Wait first."""
        await asyncio.sleep(self._seconds)
        return await super().decide(request)


@dataclass(frozen=True, slots=True)
class _Caught:
    request: Request
    loop: asyncio.AbstractEventLoop
    verdict: asyncio.Future[Verdict]


class Held(Rule):
    """Stops requests until the test has decided about them, one after the other: wait(), then release, drop or reply."""

    def __init__(self, match: Match, *, at: At, times: int | None) -> None:
        super().__init__(match, GoOn(), at=at, times=times)
        self._arrived: queue.SimpleQueue[_Caught] = queue.SimpleQueue()
        self._current: _Caught | None = None
        self._decided = True

    async def decide(self, request: Request) -> Verdict:
        """Wait for the test."""
        loop = asyncio.get_running_loop()
        caught = _Caught(request, loop, loop.create_future())
        self._arrived.put(caught)
        return await caught.verdict

    def wait(self, timeout: float = 30.0) -> Request:
        """Block until a request is held (at `reply`: until upstream has answered it) and return it. Raises TimeoutError.

        It returns the same one until that is decided about, then waits for the next.
        """
        if self._decided:
            try:
                self._current = self._arrived.get(timeout=timeout)
            except queue.Empty:
                raise TimeoutError(f"no request that matches {self.match} arrived within {timeout} s") from None
            self._decided = False
        return self.request

    def wait_until_client_is_gone(self, timeout: float = 30.0) -> None:
        """Block until the proxy has seen the connection of the client of the held request end. Raises TimeoutError."""
        if not self.request.gone.wait(timeout):
            raise TimeoutError(f"the client of {self.request} was still connected after {timeout} s")

    @property
    def request(self) -> Request:
        """The request that wait() returned last."""
        if self._current is None:
            raise RuntimeError("wait() first: it says which request is held")
        return self._current.request

    def release(self) -> None:
        """Let it go on: forward the request (even if its client is gone by now), or deliver the reply."""
        self._say(GoOn())

    def drop(self) -> None:
        """Reset the client's connection. At `request` it is never forwarded; at `reply` it has happened all the same."""
        self._say(Reset())

    def reply(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer it with this instead. At `request` it is never forwarded."""
        self._say(Reply(status, body, headers or {}))

    def _say(self, verdict: Verdict) -> None:
        if self._current is None or self._decided:
            raise RuntimeError("nothing is held: wait() first, and decide once")
        self._decided = True
        self._current.loop.call_soon_threadsafe(_settle, self._current.verdict, verdict)


def _settle(future: asyncio.Future[Verdict], verdict: Verdict) -> None:
    if not future.done():
        future.set_result(verdict)


R = TypeVar("R", bound="Rule")


class RuleBook:
    """All rules, in the order in which they were made."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: R) -> R:
        """Enter a rule; it is in force from now on."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def taking(self, request: Request, at: At) -> list[Rule]:
        """Return the rules that take this request here: delays, then at most one that settles it."""
        taken: list[Rule] = []
        with self._lock:
            for rule in self._rules:
                if rule.takes(request, at):
                    taken.append(rule)
                    if rule.settles:
                        break
        return taken


async def verdict_of(rules: list[Rule], request: Request) -> Verdict:
    """Ask the rules that took a request, in their order."""
    for rule in rules:
        verdict = await rule.decide(request)
        if not isinstance(verdict, GoOn):
            return verdict
    return GoOn()
