"""The receiver of alerts: `POST /alerts`, as Alertmanager (webhook version 4) and Grafana send them. Off unless a port is set.

Answers 2xx only once everything in a message is stored as Kubernetes objects, and 503 where that could not be: the sender comes again,
to this copy or another one. Every synced copy may store; the one that leads acts.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from aiohttp import web

from stopgap.effects.addressees import Addressee, Addressees
from stopgap.effects.alertbook import AlertBook, Contended
from stopgap.effects.errors import KubeError
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.payloads import Misfit, Post, Report, read
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.tokens import SIGNATURE, Credential, Credentials
from stopgap.model.text import plain

log = logging.getLogger(__name__)

PATH: Final = "/alerts"
LARGEST_BODY: Final = 2**20
READ_WITHIN: Final = 5.0
STORE_WITHIN: Final = 15.0
AT_ONCE: Final = 8
"""Messages of one sender that are read and stored side by side; each holds one body."""
MOST_WAITING: Final = 200
"""Messages of one sender that wait for their turn, unread. More are sent away, to come again."""
WRITES_AT_ONCE: Final = 8
_HEADERS: Final = {503: {"Retry-After": "2"}, 401: {"WWW-Authenticate": "Bearer"}}

T = TypeVar("T")


class _Answer(Exception):  # noqa: N818 - read as what it says
    """What a sender is told in place of "stored"."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class _Gate:
    """A few of one sender at once, some more in waiting, so that no sender takes the place of another."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises the answer for those who are too many."""
        if self._waiting >= MOST_WAITING:
            raise _Answer(503, "too many messages of this sender are waiting")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


class Intake:
    """Takes alerts in. `not_ready` says why nothing can be stored or told apart now, or nothing."""

    def __init__(  # noqa: PLR0913 - what it connects
        self,
        credentials: Credentials,
        addressees: Addressees,
        book: AlertBook,
        *,
        telemetry: Telemetry,
        not_ready: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._addressees = addressees
        self._book = book
        self._telemetry = telemetry
        self._not_ready = not_ready
        self._now = now
        self._gates: dict[str, _Gate] = defaultdict(_Gate)

    def app(self) -> web.Application:
        """Return the application that listens."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_post(PATH, self._handle)
        app.router.add_put(PATH, self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            alerts, writes = await self._take(request)
        except _Answer as answer:
            self._telemetry.alerts_refused(answer.status)
            # Strangers must not fill the log; the metric counts them.
            log.log(
                logging.DEBUG if answer.status == web.HTTPUnauthorized.status_code else logging.INFO,
                "alerts were not taken in",
                extra={"status": answer.status, "why": answer.why},
            )
            return web.json_response({"error": answer.why}, status=answer.status, headers=_HEADERS.get(answer.status))
        self._telemetry.alerts_taken(alerts)
        return web.json_response({"alerts": alerts, "writes": writes})

    async def _take(self, request: web.Request) -> tuple[int, int]:
        who = self._recognised(request)
        if (request.content_length or 0) > LARGEST_BODY:
            raise _too_large()
        async with self._gates[who.key if who else SIGNATURE].passed():
            body = await _body(request)
            if why := self._not_ready():
                raise _Answer(503, f"not ready: {why}")
            who = who or self._credentials.signed(request.headers, body, self._now())
            if who is None:
                raise _Answer(401, "the signature fits no key, or was made too long ago")
            if not self._addressees.records(who):
                raise _Answer(422, "none of the namespaces that the sender is bound to is watched by this installation")
            try:
                post = read(body, self._now())
            except Misfit as misfit:
                raise _Answer(422, str(misfit)) from misfit
            return len(post.reports), await self._store(post, who)

    def _recognised(self, request: web.Request) -> Credential | None:
        """Return whose token a request shows, before any of its body is read; None where it is signed, which the body will tell."""
        if not self._credentials.known():
            raise _Answer(503, "no credentials are configured, or their file cannot be read")
        who = self._credentials.bearer(request.headers.get("Authorization", ""))
        if who is None and SIGNATURE not in request.headers:
            raise _Answer(401, "a token is needed, as `Authorization: Bearer …`, or a signature")
        return who

    async def _store(self, post: Post, who: Credential) -> int:
        try:
            async with asyncio.timeout(STORE_WITHIN):
                return await self._stored(post, who)
        except TimeoutError as error:
            raise _Answer(503, f"not everything could be stored within {STORE_WITHIN:.0f} s; what was is not stored again") from error
        except (KubeError, Contended) as error:
            raise _Answer(503, f"it could not be stored: {plain(str(error), 300)}") from error

    async def _stored(self, post: Post, who: Credential) -> int:
        by_addressee: dict[tuple[Addressee, str], list[Report]] = defaultdict(list)
        whom = await _side_by_side(self._whom(one, who) for one in post.reports)
        for addressee, report in zip(whom, post.reports, strict=True):
            # Alerts about one workload are one incident; records have nothing in common.
            if addressee is not None:
                by_addressee[addressee, "" if addressee.target else report.alert.fingerprint].append(report)
        return sum(await _side_by_side(self._book.store(each, those, post.left_out) for (each, _), those in by_addressee.items()))

    async def _whom(self, report: Report, who: Credential) -> Addressee | None:
        """Return where an alert belongs; None where there is nothing to store. What is known already is not looked up again."""
        homes = (self._addressees.home(report.addressed, who), self._addressees.records(who))
        known = next((found for home in homes if (found := self._book.known(home, report.alert.fingerprint))), None)
        if known is None and report.alert.firing:
            return await self._addressees.of(report.addressed, who)
        return known


class Where(Protocol):
    """What an installation says about its receiver."""

    @property
    def alerts_port(self) -> int:
        """Port; 0: none."""

    @property
    def alerts_tokens(self) -> str:
        """File of credentials."""

    @property
    def alert_records(self) -> str:
        """Namespace of what is about nothing known."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """What is watched; empty: all."""


def receiver(  # noqa: PLR0913 - what it is made of
    where: Where, kube: Kube, index: Index, records: Records, recorder: Recorder, *, counts: Telemetry, ready: Callable[[], str]
) -> Intake | None:
    """Connect the receiver, where there is to be one. `ready` says why not, or nothing."""
    if not where.alerts_port:
        return None
    addressees = Addressees(kube, index, namespaces=where.namespaces, records=where.alert_records)
    book = AlertBook(index, records, recorder)
    return Intake(Credentials(Path(where.alerts_tokens)), addressees, book, telemetry=counts, not_ready=ready, now=index.now)


async def _side_by_side(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do all of it, a few at once and each to its end; what failed first is raised then."""
    slots = asyncio.Semaphore(WRITES_AT_ONCE)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await each

    results = await asyncio.gather(*map(one, work), return_exceptions=True)
    if failed := next((each for each in results if isinstance(each, BaseException)), None):
        raise failed
    return [each for each in results if not isinstance(each, BaseException)]


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(READ_WITHIN):
            return await request.read()
    except TimeoutError as error:
        raise _Answer(503, f"the body did not come within {READ_WITHIN:.0f} s") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error


def _too_large() -> _Answer:
    return _Answer(413, f"a message has at most {LARGEST_BODY} bytes; lower max_alerts or group differently")
