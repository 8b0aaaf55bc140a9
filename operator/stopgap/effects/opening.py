"""Opens incidents, and reads live what an act must not take from memory. Called by the reconciler; the first half of the hot path."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from stopgap.api import Incident
from stopgap.api.incident import TARGET_UID_LABEL, IncidentSource, IncidentSpec
from stopgap.api.ladder import Source
from stopgap.core.case import Case, Decision, Intent, Opening, Reads
from stopgap.core.decide import decide
from stopgap.effects.live import LiveReads
from stopgap.effects.observe import Observer
from stopgap.effects.record import Recorder, numbered
from stopgap.effects.telemetry import Telemetry
from stopgap.model.base import ObjectMeta
from stopgap.model.observation import Live
from stopgap.model.refs import ObjectRef, Target, TargetRef
from stopgap.model.workload import Workload

REREAD_SECONDS: Final = 30.0
"""For so long live reads are believed while something stands against the action anyway; an action always reads afresh."""


@dataclass(frozen=True, slots=True)
class _Believed:
    """Live reads that are good enough for saying no for a while."""

    about: tuple[str, int, str | None, int | None]
    live: Live
    read_at: datetime


class Opener:
    """Brings a decision that needs an incident or live reads to one that has both."""

    def __init__(self, observer: Observer, live: LiveReads, recorder: Recorder, telemetry: Telemetry) -> None:
        self._observer = observer
        self._live = live
        self._recorder = recorder
        self._telemetry = telemetry
        self._believed: dict[Target, _Believed] = {}

    def forget(self, target: Target) -> None:
        """Believe nothing any more that was read about a workload."""
        self._believed.pop(target, None)

    async def open(self, case: Case, decision: Decision) -> tuple[Case, Decision]:
        """Open the incident and read live at once: neither waits for the other. Returns what is decided then."""
        if case.seen.workload is None:
            return case, decision
        if decision.opening:
            fresh, then = await self._begin(case, decision, decision.opening, case.seen.workload)
        else:
            fresh, then = self._afresh(case, await self._read(case, decision.reads), case.incident)
        live = fresh.seen.live
        if live is not None and not live.confirmed and then.intent is None:
            # Why nothing is done is told in full, and what was approved is judged by everything.
            fresh = replace(fresh, seen=replace(fresh.seen, live=self._believe(fresh, await self._live.confirm(fresh, live))))
            return fresh, decide(fresh)
        believed = self._believed.get(case.seen.target)
        if (then.intent is None and then.approved is None) or believed is None or believed.read_at == case.now:
            return fresh, then
        # What was read a while ago was good enough for saying no. To act, it is read again.
        del self._believed[case.seen.target]
        fresh = replace(fresh, seen=replace(fresh.seen, live=await self._read(fresh, decision.reads)))
        return fresh, decide(fresh)

    async def _begin(self, case: Case, decision: Decision, opening: Opening, work: Workload) -> tuple[Case, Decision]:
        """Open the incident, and decide meanwhile as if it were there: what will be stored is known but for its UID."""
        number = case.health.incidents + 1
        announced, spent = _announced(work, opening, number), self._observer.spendings
        (incident, new), (foreseen, then) = await asyncio.gather(
            self._recorder.open(announced, number), self._foresee(case, decision.reads, announced)
        )
        self._telemetry.opened(case.seen.target, opening.trigger)
        as_foreseen = new and incident.metadata.name == announced.metadata.name and self._observer.spendings == spent
        if then.intent is None or not as_foreseen:
            return self._afresh(case, foreseen.seen.live, incident)
        ref = ObjectRef(name=incident.metadata.name, uid=incident.metadata.uid or "")
        intent = Intent(then.intent.spec.model_copy(update={"incident_ref": ref}))
        # What else it says may name an incident without a UID; it is decided once more after the act anyway.
        return replace(foreseen, incident=incident), replace(then, intent=intent, health=None)

    async def _foresee(self, case: Case, reads: Reads, announced: Incident) -> tuple[Case, Decision]:
        return self._afresh(case, await self._read(case, reads), announced)

    def _afresh(self, case: Case, live: Live | None, incident: Incident | None) -> tuple[Case, Decision]:
        fresh = self._observer.case(case.seen.target, live)
        fresh = replace(fresh, incident=fresh.incident or incident)
        return fresh, decide(fresh)

    async def _read(self, case: Case, reads: Reads) -> Live | None:
        """Read live; what was read a moment ago is good enough where something stood against the action anyway."""
        if not reads or case.seen.workload is None:
            return None
        believed = self._believed.get(case.seen.target)
        recent = believed is not None and (case.now - believed.read_at).total_seconds() < REREAD_SECONDS
        if believed and recent and believed.about == _about(case) and reads.covered_by(believed.live):
            return believed.live
        return await self._live.quick(case, reads) or self._believe(case, await self._live.read(case, reads))

    def _believe(self, case: Case, live: Live) -> Live:
        self._believed[case.seen.target] = _Believed(_about(case), live, case.now)
        return live


def _announced(work: Workload, opening: Opening, number: int) -> Incident:
    spec = IncidentSpec(
        title=opening.title,
        target_ref=TargetRef(kind=work.kind, name=work.name),
        started_at=opening.started_at,
        source=IncidentSource(type=Source.WORKLOAD, name=opening.trigger, fingerprint=opening.fingerprint),
    )
    metadata = ObjectMeta(name=numbered(work.name, number), namespace=work.namespace, labels={TARGET_UID_LABEL: work.uid})
    return Incident(metadata=metadata, spec=spec)


def _about(case: Case) -> tuple[str, int, str | None, int | None]:
    """What a reading is about: it is not believed about anything else."""
    work, policy = case.seen.workload, case.policy.metadata if case.policy else None
    return (work.uid if work else "", work.generation if work else 0, policy.uid if policy else "", policy.generation if policy else 0)
