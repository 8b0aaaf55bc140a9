"""Tells people what Stopgap makes of their policies: Ready or why not, paused or not, and how many workloads each is about."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, Final

from stopgap.api.policy import PauseRequest, PolicyStatus, RemediationPolicy
from stopgap.core import matching
from stopgap.core.limits import pause_mark
from stopgap.effects.errors import KubeError
from stopgap.effects.index import Index
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.model.conditions import Truth, condition, put
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

BETWEEN_COUNTS: Final = timedelta(minutes=1)
"""How often a changed number of workloads alone is worth a write."""


COUNTED_AT_ONCE: Final = 200
"""Workloads counted before everything else has its turn: an action must not wait for a statistic."""
log = logging.getLogger(__name__)


class PolicyKeeper:
    """Writes the status of policies, only where it changed."""

    def __init__(self, index: Index, records: Records, recorder: Recorder, *, now: Callable[[], datetime]) -> None:
        self._index = index
        self._records = records
        self._recorder = recorder
        self._now = now
        self._due: datetime | None = None
        self._changed = True

    def changed(self) -> None:
        """Note that a policy or the config changed, so that the next round does not wait."""
        self._changed = True

    async def write(self) -> None:
        """Write every policy status that differs from what is stored. A write that fails is repeated at the next round."""
        now = self._now()
        if not self._changed and self._due and now < self._due:
            return
        self._changed, self._due = False, now + BETWEEN_COUNTS
        for policy, status in [one async for one in self._statuses(now)]:
            try:
                await self._recorder.policy(policy, status)
            except (KubeError, ValueError) as error:
                # One that cannot be written must not keep the others from being written; it has its turn again in a minute.
                log.info("the status of a policy could not be written", extra={"error": str(error)[:300]})

    async def _statuses(self, now: datetime) -> AsyncIterator[tuple[RemediationPolicy | dict[str, Any], PolicyStatus]]:
        counts: dict[str | None, int] = {}
        for number, work in enumerate(list(self._index.workloads())):
            if number % COUNTED_AT_ONCE == 0:
                await asyncio.sleep(0)
            decided = matching.deciding(self._records.policies(work.namespace), work.target, work.labels)
            if decided:
                counts[decided.metadata.uid] = counts.get(decided.metadata.uid, 0) + 1
        for policy in self._records.all_policies():
            status = _status(policy, counts.get(policy.metadata.uid, 0), now)
            if status != policy.status:
                yield policy, status
        for why, body in self._records.unreadable_policies.values():
            stored = body.get("status", {}).get("conditions") or ()
            if not any(one.get("message") == why.message[:1024] for one in stored):
                yield body, _unreadable(why, now, body["metadata"].get("generation", 0))


def _status(policy: RemediationPolicy, matched: int, now: datetime) -> PolicyStatus:
    fault = matching.fault(policy)
    old = policy.status.conditions if policy.status else ()
    ready = (
        condition("Ready", Truth.FALSE, fault.reason, fault.message, now)
        if fault
        else condition("Ready", Truth.TRUE, Reason.Ready, f"{policy.spec.mode}: {_ending(matched)}", now)
    )
    paused = _paused(policy, now)
    pause = condition("Paused", Truth.TRUE if paused else Truth.FALSE, Reason.Paused if paused else Reason.NotPaused, paused, now)
    return PolicyStatus(
        observed_generation=policy.metadata.generation or 0,
        matched_workloads=matched,
        conditions=put(put(old, ready), pause),
    )


def _ending(matched: int) -> str:
    return "it is about 1 workload" if matched == 1 else f"it is about {matched} workloads"


def _paused(policy: RemediationPolicy, now: datetime) -> str:
    holding: list[PauseRequest] = [one for one in policy.spec.pause_requests if one.until is None or one.until > now]
    if holding:
        return f"{holding[0].name}: {holding[0].reason}"
    return pause_mark(policy.metadata.annotations)


def _unreadable(why: Refusal, now: datetime, generation: int) -> PolicyStatus:
    ready = condition("Ready", Truth.FALSE, why.reason, why.message, now)
    return PolicyStatus(observed_generation=generation, conditions=(ready,))
