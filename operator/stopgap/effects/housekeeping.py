"""What is not urgent, once a second: gauges, what we make of policies, the storm breaker, and a slow repetition of the first reading."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from stopgap.api import ClusterRemediationPolicy, Incident, RemediationConfig, RemediationPolicy
from stopgap.core import matching
from stopgap.effects.index import Index
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.policies import PolicyKeeper
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.storm import StormKeeper
from stopgap.effects.telemetry import Telemetry

RESYNC_SECONDS: Final = 600.0
REPEATED: Final = (Incident, RemediationPolicy, ClusterRemediationPolicy, RemediationConfig)


class Housekeeping:
    """Runs beside the queue. `counts_are_true` says whether the workloads were listed, or are not to be listed at all.

    `heard_again` is told whenever that has become so: what came meanwhile was not looked at.
    """

    def __init__(  # noqa: PLR0913 - everything that it keeps
        self,
        index: Index,
        records: Records,
        *,
        own: OwnLists,
        policies: PolicyKeeper,
        storm: StormKeeper,
        recorder: Recorder,
        telemetry: Telemetry,
        leading: Callable[[], bool],
        counts_are_true: Callable[[], bool],
        heard_again: Callable[[], None],
        now: Callable[[], datetime],
        own_namespace: str,
    ) -> None:
        self._index = index
        self._records = records
        self._own = own
        self._policies = policies
        self._storm = storm
        self._recorder = recorder
        self._telemetry = telemetry
        self._leading = leading
        self._counts_are_true = counts_are_true
        self._heard_again = heard_again
        self._now = now
        self._own_namespace = own_namespace

    async def run(self) -> None:
        """Keep house for ever."""
        last, true_before = time.monotonic(), True
        while True:
            self._gauge()
            true = self._counts_are_true()
            if true and not true_before:
                self._heard_again()
            true_before = true
            if self._leading() and true:
                await self._policies.write()
                self._records.forget_spent(self._now() - matching.LONGEST_WINDOW)
                self._storm.evaluate()
                await self._storm.tell(self._recorder, self._own_namespace)
            if time.monotonic() - last > RESYNC_SECONDS:
                last = time.monotonic()
                await asyncio.gather(*(self._own.read(kind) for kind in REPEATED))
            await asyncio.sleep(1)

    def _gauge(self) -> None:
        self._telemetry.leading.set(self._leading())
        self._telemetry.workloads.set(len(self._index.workload_uids()))
        self._telemetry.open_incidents.set(sum(1 for _ in self._records.open_incidents()))
