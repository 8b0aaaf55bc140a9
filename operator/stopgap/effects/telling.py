"""Tells one channel one thing: reads its Secret, sends what its notifier says, and keeps to a pace that the service can bear."""

import random
from datetime import datetime, timedelta
from typing import Final, Protocol

from stopgap.api import Incident
from stopgap.api.incident import IncidentStatus
from stopgap.core import notifying
from stopgap.core.notifying import Listener
from stopgap.effects.secrets import Secrets
from stopgap.model.news import Delivered, GivenUp, Later, News, Telling, Verdict
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Request, Response, Silence

DEADLINE: Final = timedelta(seconds=10)
BURST, PACE = 5.0, 1.0
"""Seconds: a channel is sent one message in PACE, and after a silence as many at once as fit into BURST."""
LONGEST_BACKOFF: Final = 300.0


class Send(Protocol):
    """The one way out (effects/egress.py)."""

    async def __call__(self, request: Request, *, scope: str, deadline: timedelta) -> Response | Silence:
        """Send one request, once, and return what became of it."""


class Teller:
    """Sends. Never raises for what the other side does."""

    def __init__(self, secrets: Secrets, send: Send) -> None:
        self._secrets = secrets
        self._send = send

    async def tell(self, incident: Incident, listener: Listener, news: News, now: datetime) -> Verdict:
        """Send all requests of one piece of news in their order, up to the first that is not taken."""
        notifier, status = listener.channel.notifier, incident.status or IncidentStatus()
        if notifier is None:
            return GivenUp("this version does not know the channel")
        where = self._secrets.where(listener.scope, platform=listener.scope == PLATFORM)
        secret = await self._secrets.read(where, notifier.wants) if notifier.wants else None
        if isinstance(secret, Refusal):
            return Later(secret.message)
        telling = Telling(
            secret=secret.get_secret_value().strip() if secret else "",
            reference=notifying.entry(status, listener.id).reference,
            occasions=listener.channel.hears,
            now=now,
        )
        found: Verdict = Delivered()
        for request in notifier.requests(notifying.shown(news), notifying.facts(incident, status, now), telling):
            scope = notifying.scope_for(listener, request.url)
            found = notifier.judge(await self._send(request, scope=scope, deadline=DEADLINE))
            if not isinstance(found, Delivered):
                break
        return found


class Pace:
    """When a channel may be sent the next message. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._failures = 0
        self._not_before = 0.0
        self._paid_until = 0.0

    def wait(self, time: float) -> float:
        """Return how long to wait; nothing or less: not at all."""
        return max(self._not_before - time, self._paid_until - time - BURST)

    def sent(self, time: float) -> None:
        """Note that something is sent now."""
        self._paid_until = max(self._paid_until, time) + PACE

    def answered(self, found: Verdict, time: float) -> None:
        """Note what became of it: a failure that passes makes the channel wait, longer each time, or as long as the service asks."""
        if not isinstance(found, Later):
            self._failures = 0
            return
        self._failures += 1
        longest = min(LONGEST_BACKOFF, 2.0 ** min(self._failures - 1, 16))
        usual = longest * random.uniform(0.75, 1.0)  # noqa: S311 - jitter, not a secret
        self._not_before = time + (usual if found.after is None else found.after.total_seconds())
