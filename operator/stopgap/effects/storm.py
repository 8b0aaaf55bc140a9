"""Keeps the storm breaker: evaluates it when the census changed, stores it in annotations of our Lease, and tells people once.

The annotations are the state: what the leader before us wrote counts, and what a person removes is closed. They ride on the renewals
of the Lease, so that an idle breaker writes nothing. Without a Lease they are a dictionary in memory.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from stopgap.api import RemediationConfig
from stopgap.api.config import NAME, ConfigSpec, StormBreaker
from stopgap.core import storm
from stopgap.core.case import Notice
from stopgap.core.storm import CLUSTER, Breaker, Stage
from stopgap.effects.census import Headcount
from stopgap.effects.errors import KubeError
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.telemetry import Telemetry
from stopgap.model.base import ObjectMeta, Permission
from stopgap.model.reasons import Reason

log = logging.getLogger(__name__)

OWN_NAMESPACE_PERMISSIONS: Final = (
    Permission("events.k8s.io", ("events",), ("create",), "tell people of a storm, once for all incidents"),
)
TOGETHER: Final = timedelta(seconds=5)
"""A storm reaches its namespaces one after the other; what opens within this time is told in one Event."""

NEXT_TRY: Final = timedelta(seconds=30)


class StormKeeper:
    """The breakers of all scopes. Ask `breakers()` for every case; `evaluate()` every second; `tell()` whenever there is time."""

    def __init__(  # noqa: PLR0913 - what it counts with, where it keeps it, and whom it tells
        self,
        headcount: Headcount,
        records: Records,
        annotations: dict[str, str],
        *,
        telemetry: Telemetry,
        ready: Callable[[], bool],
        now: Callable[[], datetime],
        changed: Callable[[str], None],
    ) -> None:
        self._headcount = headcount
        self._records = records
        self._annotations = annotations
        self._telemetry = telemetry
        self._ready = ready
        self._now = now
        self._changed = changed
        self._known: dict[str, Breaker] = {}
        self._wrote: dict[str, str] = {}
        self._closed: list[str] = []
        self._not_before: datetime | None = None

    def breakers(self, namespace: str) -> tuple[Breaker, ...]:
        """Return those that stand against an action in a namespace."""
        if self._headcount.changed:
            self.evaluate()
        return tuple(self._known[scope] for scope in (CLUSTER, namespace) if scope in self._known)

    def evaluate(self) -> None:
        """Take every breaker one step further, by what is known now. Before everything was listed, a share would mean nothing."""
        if not self._ready():
            return
        now, before = self._now(), self._known
        stored = self._read(now)
        self._known = storm.advance(stored, self._headcount.census(), self._config(), now)
        changes = list(storm.changes(before, stored, self._known))
        if changes or stored is not before:
            self._store()
        for scope, stage, breaker in changes:
            self._note(scope, stage, breaker, told=breaker is None and (before.get(scope) or stored[scope]).told)

    def _read(self, now: datetime) -> dict[str, Breaker]:
        """Return the breakers as they are stored: what is known, unless somebody else wrote there."""
        if self._wrote == {key: text for key, text in self._annotations.items() if storm.is_key(key)}:
            return self._known
        stored, malformed = storm.read(self._annotations, now)
        for key in malformed:
            log.warning("an annotation of the Lease cannot be read; it counts as a storm that ends now", extra={"annotation": key})
        return stored

    def forget(self) -> None:
        """This copy does not lead any more: the breakers are another's."""
        self._known, self._wrote = {}, {}
        self._telemetry.no_storm()

    async def tell(self, recorder: Recorder, own_namespace: str) -> None:
        """Post what people have to know; what could not be posted is posted later."""
        now = self._now()
        if self._not_before is not None and now < self._not_before:
            return
        about = self._records.config or RemediationConfig(metadata=ObjectMeta(name=NAME, namespace=own_namespace))
        try:
            await self._tell_of_opened(recorder, about, now)
            await self._tell_of_closed(recorder, about, now)
        except KubeError as error:
            self._not_before = now + NEXT_TRY
            log.warning("the Event about a storm could not be posted; it is tried again", extra={"error": str(error)[:300]})

    async def _tell_of_opened(self, recorder: Recorder, about: RemediationConfig, now: datetime) -> None:
        untold = [one for one in self._known.values() if not one.told]
        if not untold or now - min(one.since for one in untold) < TOGETHER:
            return
        await recorder.event(about, Notice(Reason.StormActive, storm.opening(untold, self._config()), warning=True), now)
        self._mark_told({one.scope for one in untold})

    async def _tell_of_closed(self, recorder: Recorder, about: RemediationConfig, now: datetime) -> None:
        if closed := list(self._closed):
            # With the time in it, so that the end of the next storm is an Event of its own.
            await recorder.event(about, Notice(Reason.StormOver, f"{storm.closing(closed)}, from {now:%H:%M:%S} on"), now)
            del self._closed[: len(closed)]

    def _config(self) -> StormBreaker:
        config = self._records.config
        return (config.spec if config else ConfigSpec()).storm_breaker

    def _store(self) -> None:
        self._wrote = storm.written(self._known)
        for key in [key for key in self._annotations if storm.is_key(key) and key not in self._wrote]:
            del self._annotations[key]
        self._annotations.update(self._wrote)

    def _mark_told(self, scopes: set[str]) -> None:
        """Note that people were called. Stored too, so that the next leader does not call them again."""
        self._known = storm.marked(self._known, scopes)
        self._wrote = storm.written(self._known)
        # What a person has removed meanwhile stays removed; the next evaluation sees it.
        self._annotations.update({key: text for key, text in self._wrote.items() if key in self._annotations})

    def _note(self, scope: str, before: Stage, breaker: Breaker | None, *, told: bool) -> None:
        stage, count = (breaker.stage, str(breaker.count)) if breaker else (Stage.CLOSED, "")
        log.warning("storm breaker", extra={"scope": storm.named(scope), "before": str(before), "now": str(stage), "ill": count})
        self._telemetry.storm(scope, before, stage)
        if told:
            self._closed.append(scope)
        if Stage.CLOSED in {before, stage}:
            self._changed(scope)
