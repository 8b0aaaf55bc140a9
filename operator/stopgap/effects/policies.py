"""Tells people what Stopgap makes of their policies: Ready or why not, paused or not, what each is about, and what came of it."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from stopgap.api.clusterpolicy import Policy
from stopgap.api.policy import PolicyStatus, TrustRecord
from stopgap.core import matching, standing
from stopgap.effects.breath import Breath
from stopgap.effects.errors import KubeError
from stopgap.effects.index import Index
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.record import Recorder
from stopgap.effects.records import CLUSTER, Records
from stopgap.effects.rosters import Rosters
from stopgap.effects.tally import Tally
from stopgap.effects.trust import TrustKeeper
from stopgap.model.conditions import Truth, condition
from stopgap.model.observation import Refusal
from stopgap.model.refs import Target

BETWEEN_COUNTS: Final = timedelta(minutes=1)
"""How often changed figures alone are worth a write."""
BETWEEN_TURNS: Final = timedelta(seconds=5)
"""How often signals that can be read, or cannot any more, are worth a count."""
log = logging.getLogger(__name__)


class Signals(Protocol):
    """What is known of the signals that are asked for."""

    turns: int

    def unknown(self, target: Target, policy: Policy) -> str:
        """Say which signal of a policy cannot be read for a workload, and why; nothing where all can."""


class PolicyKeeper:
    """Writes the status of policies, only where it changed."""

    def __init__(  # noqa: PLR0913 - what it counts, and where it writes
        self,
        index: Index,
        records: Records,
        *,
        rosters: Rosters,
        namespaces: Namespaces,
        trust: TrustKeeper,
        recorder: Recorder,
        signals: Signals,
        now: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._records = records
        self._rosters = rosters
        self._namespaces = namespaces
        self._trust = trust
        self._recorder = recorder
        self._signals = signals
        self._turns = 0
        self._now = now
        self._due: datetime | None = None
        self._heard: datetime | None = None
        self._changed = True

    def changed(self) -> None:
        """Note that a policy or the config changed, so that the next round does not wait."""
        self._changed = True

    async def write(self) -> None:
        """Write every policy status that differs from what is stored. A write that fails is repeated at the next round."""
        now = self._now()
        if self._turns != self._signals.turns and (self._heard is None or now >= self._heard + BETWEEN_TURNS):
            self._turns, self._heard, self._changed = self._signals.turns, now, True
        figures_too = self._due is None or now >= self._due
        if not self._changed and not figures_too:
            return
        self._changed = False
        if figures_too:
            self._due = now + BETWEEN_COUNTS
        for policy, status in await self._statuses(now, figures_too=figures_too):
            try:
                await self._recorder.policy(policy, status)
            except (KubeError, ValueError) as error:
                # One that cannot be written must not keep the others from being written; it has its turn again in a minute.
                log.info("the status of a policy could not be written", extra={"error": str(error)[:300]})

    async def _statuses(self, now: datetime, *, figures_too: bool) -> list[tuple[Policy | dict[str, Any], PolicyStatus]]:
        breath = Breath()
        tally = await self._tally(breath)
        found: list[tuple[Policy | dict[str, Any], PolicyStatus]] = []
        for policy in self._records.all_policies():
            await breath.taken()
            stored = policy.status.record if policy.status else TrustRecord()
            counted = replace(tally.of(policy), record=self._trust.of(policy.metadata.uid or "") or stored)
            status = standing.status(policy, counted, now)
            if status != policy.status and (figures_too or standing.cannot_wait(policy.status, status)):
                found.append((policy, status))
        for why, body in self._records.unreadable_policies.values():
            told = body.get("status", {}).get("conditions") or ()
            if not any(one.get("message") == why.message[:1024] for one in told):
                found.append((body, _unreadable(why, now, body["metadata"].get("generation", 0))))
        return found

    async def _tally(self, breath: Breath) -> Tally:
        """Count, and let everything else have its turn in between."""
        tally = Tally()
        for work in list(self._index.workloads()):
            if fitting := self._rosters.fitting(work.target, work.labels):
                decider = next((one for one in fitting if matching.fault(one) is None), None)
                tally.workload(work.target, fitting, decider)
                if decider and (why := self._signals.unknown(work.target, decider)):
                    tally.unread(work.target, decider, why)
            await breath.taken()
        if self._records.policies(CLUSTER):
            for name in self._namespaces.names():
                tally.namespace(self._rosters.selecting(name))
                await breath.taken()
        for incident in list(self._records.open_incidents()):
            tally.incident(incident)
        for spent in self._records.spent():
            tally.action(spent)
        return tally


def _unreadable(why: Refusal, now: datetime, generation: int) -> PolicyStatus:
    ready = condition("Ready", Truth.FALSE, why.reason, why.message, now)
    return PolicyStatus(observed_generation=generation, conditions=(ready,))
