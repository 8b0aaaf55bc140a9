"""Writes what was decided: the records, and what people are told of them. The reconciler decides and acts; this is its other hand."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from stopgap.api import Incident, Remediation
from stopgap.api.health import WorkloadHealthStatus
from stopgap.api.incident import IncidentStatus
from stopgap.api.remediation import RemediationStatus
from stopgap.api.replacing import ReplacedPod
from stopgap.core import communication
from stopgap.core.case import Case, Decision, Notice
from stopgap.effects.execute import Executor
from stopgap.effects.inquiry import Inquiries
from stopgap.effects.notifications import Notifications
from stopgap.effects.observe import Observer
from stopgap.effects.record import Recorder, dumped
from stopgap.effects.records import target_of
from stopgap.effects.reviews import Reviews
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.trust import TrustKeeper
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

Objection = Callable[[Remediation], Refusal | None]
"""What stands against an action, asked from memory directly before it."""
_OF_THE_RESTORE: Final = frozenset({Reason.Restored, Reason.RestoreHeld, Reason.RestoreFailed, Reason.NotOurs})
_WORTH_TELLING_ON_THE_WORKLOAD: Final = frozenset({Reason.Detected, Reason.Executed, Reason.Mitigated, Reason.Escalated}) | _OF_THE_RESTORE


@dataclass(frozen=True, slots=True)
class Afterwards:
    """Who hears of incidents that are written, and works beside the queue: nothing waits for them."""

    trust: TrustKeeper
    reviews: Reviews
    inquiries: Inquiries
    notifications: Notifications

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.reviews.run(), name="stopgap-reviews")
            group.create_task(self.inquiries.run(), name="stopgap-inquiries")
            group.create_task(self.notifications.run(), name="stopgap-notifications")

    def forget(self) -> None:
        """Forget what another copy keeps now."""
        self.trust.forget()
        self.inquiries.forget()


class Writing:
    """Writes decisions. `closed` is told of each workload whose incident is over."""

    def __init__(  # noqa: PLR0913 - the parts that it connects
        self,
        observer: Observer,
        recorder: Recorder,
        *,
        executor: Executor,
        telemetry: Telemetry,
        afterwards: Afterwards,
        closed: Callable[[Target], None],
    ) -> None:
        self._observer = observer
        self._recorder = recorder
        self._executor = executor
        self._telemetry = telemetry
        self._trust, self._reviews = afterwards.trust, afterwards.reviews
        self._inquiries, self._notifications = afterwards.inquiries, afterwards.notifications
        self._closed = closed

    async def write(self, case: Case, decision: Decision, objection: Objection) -> None:
        """Write what changed. Independent records at once; the label that closes an incident last; what they announce after them."""
        # What was done since it was decided is told too, what was found out, and what was told meanwhile is written too.
        decision = communication.kept_current(case, self._inquiries.joined(case, decision))
        decision = self._notifications.joined(case, decision)
        writes: list[Coroutine[Any, Any, None]] = []
        if decision.remediation:
            writes.append(self._write_remediation(case, *decision.remediation))
        if decision.health is not None or decision.opening:
            writes.append(self._write_health(case, decision.health))
        if case.incident and (decision.status or decision.notices):
            writes.append(self._write_incident(case, case.incident, decision))
        elif not case.incident:
            # A restore may come when its incident is long closed: then the workload alone is told, or where that is gone the record.
            of = decision.remediation[0] if decision.remediation else None
            writes += [self._tell(case, one, of) for one in decision.notices if one.reason in _OF_THE_RESTORE]
        writes += [self._write_duplicate(*one) for one in decision.duplicates]
        written = decision.remediation[0].metadata.uid if decision.remediation else None
        writes += [self._return_fields(one) for one in (*case.remediations, *case.left) if one.owes_fields and one.metadata.uid != written]
        # Each to its end, whatever becomes of the others: a lost race for one record must not swallow what another one has told.
        results = await asyncio.gather(*writes, return_exceptions=True)
        if failed := next((one for one in results if isinstance(one, BaseException)), None):
            raise failed
        if case.incident and not decision.closed:
            self._notifications.written(case.incident, decision.status or case.status)
        if decision.replace:
            await self._replace(case, *decision.replace, objection)
        if decision.running:
            await self._look_at_job(case, decision.running)

    def _as_stored(self, case: Case, one: Remediation) -> Remediation | None:
        """Return a remediation as it was just written."""
        return next((each for each in self._observer.case(case.seen.target).remediations if each.metadata.uid == one.metadata.uid), None)

    async def _look_at_job(self, case: Case, meant: Remediation) -> None:
        """Write down how a Job ended, once it has."""
        stored, ended = self._as_stored(case, meant), await self._executor.jobs.ended(meant)
        if stored is not None and stored.status is not None and stored.awaits_job and ended is not None:
            await self._recorder.remediation(stored, stored.status.model_copy(update={"job": ended}))

    async def _replace(self, case: Case, meant: Remediation, pod: ReplacedPod, objection: Objection) -> None:
        """Delete a pod that all others wait for, now that it is written down that it is meant."""
        stored = self._as_stored(case, meant)
        if stored is None or stored.status is None or pod not in stored.status.replaced:
            return
        if refused := await self._executor.replacer.replace(stored, pod, lambda: objection(stored)):
            told = pod.model_copy(update={"refused": refused[:1024]})
            replaced = tuple(told if one.uid == pod.uid else one for one in stored.status.replaced)
            await self._recorder.remediation(stored, stored.status.model_copy(update={"replaced": replaced}))

    def _stored(self, incident: Incident) -> IncidentStatus | None:
        """The status as it was last stored: the one in the case may already hold what was concluded before the act."""
        return next((one.status for one in self._observer.incidents(incident) if one.metadata.uid == incident.metadata.uid), None)

    async def _write_incident(self, case: Case, incident: Incident, decision: Decision) -> None:
        """Write the status, then tell what it says: what could not be written is decided and told afresh."""
        if decision.status is not None and _is_news(decision.status, self._stored(incident)):
            incident = await self._recorder.incident(incident, decision.status)
        for notice in decision.notices:
            await self._tell(case, notice)
        if decision.closed:
            self._closed(target_of(incident))
            # Before the label: an incident that is closed is not looked at again.
            status = decision.status or case.status
            await self._reviews.over(incident, status)
            incident = await self._recorder.close(incident, untold=self._notifications.owes(incident, status))
            self._notifications.written(incident, status)
            self._telemetry.closed(incident)
            if decision.status is not None:
                self._trust.closed(incident, decision.status)

    async def _write_duplicate(self, incident: Incident, status: IncidentStatus) -> None:
        if _is_news(status, incident.status):
            incident = await self._recorder.incident(incident, status)
        if status.resolved_at is not None:
            await self._recorder.close(incident)

    async def _return_fields(self, remediation: Remediation) -> None:
        """Give back what could not be given back when the action ended."""
        if remediation.status and await self._executor.give_back(remediation):
            await self._recorder.remediation(remediation, remediation.status.model_copy(update={"fields_returned": True}))

    async def _write_remediation(self, case: Case, remediation: Remediation, status: RemediationStatus) -> None:
        if status.state.ended and status.executed_at and not status.fields_returned:
            returned = await self._executor.give_back(remediation)
            status = status.model_copy(update={"fields_returned": returned})
        if status.state.ended and remediation.state is not status.state:
            self._telemetry.ended(case.seen.target, remediation, status)
        await self._recorder.remediation(remediation, status)

    async def _write_health(self, case: Case, health: WorkloadHealthStatus | None) -> None:
        work = case.seen.workload
        if work is not None and health is not None and not work.deleting:
            await self._recorder.health(work, health)

    async def _tell(self, case: Case, notice: Notice, of: Remediation | None = None) -> None:
        if case.incident:
            await self._recorder.event(case.incident, notice, case.now)
        if case.seen.workload and notice.reason in _WORTH_TELLING_ON_THE_WORKLOAD:
            await self._recorder.event(case.seen.workload, notice, case.now)
        elif case.seen.workload is None and of is not None:
            await self._recorder.event(of, notice, case.now)


def _is_news(status: IncidentStatus, stored: IncidentStatus | None) -> bool:
    """Whether a status differs as it is stored: fractions of seconds that the record does not keep are no news."""
    return status != stored and (stored is None or dumped(status) != dumped(stored))
