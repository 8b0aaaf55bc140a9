"""Puts alerts where they belong: into the open Incident that lists them, into that of their workload, or into a new one.

Any copy may do it, the leader or not: an alert's Incident has a name made of the alert, and every write is tested against what it was
derived from. What cannot be stored raises, and its sender comes again.
"""

import asyncio
import re
from collections.abc import Hashable, Iterable
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

from stopgap.api import Incident
from stopgap.api.incident import IncidentSource, IncidentSpec, IncidentStatus
from stopgap.api.ladder import Source
from stopgap.core import alerts
from stopgap.effects.addressees import Addressee
from stopgap.effects.byalert import listed
from stopgap.effects.errors import Conflict, Invalid, NotFound
from stopgap.effects.events import beginning
from stopgap.effects.index import Index
from stopgap.effects.payloads import Report
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records, target_of
from stopgap.model.alert import AlertState
from stopgap.model.refs import TargetRef
from stopgap.model.text import plain

MOST_TRIES: Final = 8
MOST_FIRINGS: Final = 20
"""Times that one and the same firing may end and begin again, each as an incident of its own."""
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


class Contended(Exception):  # noqa: N818 - read as what it says
    """Others wrote the same incident again and again; nothing of ours was stored."""


class AlertBook:
    """Stores alerts in Incidents."""

    def __init__(self, index: Index, records: Records, recorder: Recorder) -> None:
        self._index = index
        self._records = records
        self._recorder = recorder
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def known(self, namespace: str, fingerprint: str) -> Addressee | None:
        """Return whom an alert is about by the open incident that lists it, or None."""
        listing = self._open_ones(self._records.by_alert.of(namespace, fingerprint))
        if not listing:
            return None
        target = target_of(listing[0])
        return Addressee(namespace, target if listing[0].spec.target_ref else None)

    async def store(self, whom: Addressee, reports: list[Report], left_out: int) -> int:
        """Store alerts about one addressee; return how many writes that took. Raises KubeError or Contended where it could not be done."""
        # One at a time for each workload, so that two alerts do not open two incidents of it.
        key = whom.target or (whom.namespace, reports[0].alert.fingerprint)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            return await self._store(whom, reports, left_out)

    async def _store(self, whom: Addressee, reports: list[Report], left_out: int) -> int:
        homes: dict[str, tuple[Incident, list[Report]]] = {}
        writes = 0
        for report in reports:
            incident = self._home(whom, report)
            if incident is None and report.alert.firing:
                incident, created = await self._open(whom, report)
                writes += created
            if incident is not None:
                homes.setdefault(incident.metadata.uid or "", (incident, []))[1].append(report)
        for incident, those in homes.values():
            writes += await self._write(incident, those, left_out)
        return writes

    def _home(self, whom: Addressee, report: Report) -> Incident | None:
        """Return the open incident that an alert belongs to: the one that lists it, else that of its workload."""
        alert = report.alert
        listing = self._open_ones(self._records.by_alert.of(whom.namespace, alert.fingerprint))
        listing.sort(key=lambda one: not _fires(one, alert.fingerprint))
        others = self._open_ones(self._records.incidents(whom.target)) if whom.target else []
        for one in (*listing, *others):
            if not alert.firing or _fires(one, alert.fingerprint) or not self._is_of_another_release(one, whom):
                return one
        return None

    @staticmethod
    def _open_ones(incidents: Iterable[Incident]) -> list[Incident]:
        return [one for one in incidents if not alerts.over(one)]

    def _is_of_another_release(self, incident: Incident, whom: Addressee) -> bool:
        """Whether the incident was mitigated and something else runs now: what begins to fire then is an incident of its own."""
        status = incident.status or IncidentStatus()
        if whom.target is None or status.mitigated_at is None:
            return False
        template = self._index.observe(whom.target, synced=True).template
        actions = [one for one in self._records.remediations(status.target_uid) if one.spec.incident_ref.uid == incident.metadata.uid]
        return alerts.another_release(status, template, actions)

    async def _open(self, whom: Addressee, report: Report) -> tuple[Incident | None, int]:
        """Create the incident of an alert; None where people closed it while the alert fired: they have heard of it."""
        for number in range(MOST_FIRINGS):
            found, new = await self._recorder.report(whom.namespace, _name(whom, report, number), _spec(whom, report))
            if not alerts.over(found):
                return found, int(new)
            if not _fires_again(found, report):
                return None, 0
        return None, 0

    async def _write(self, incident: Incident, reports: list[Report], left_out: int) -> int:
        told = [one.alert for one in reports]
        current: Incident | None = incident
        for _ in range(MOST_TRIES):
            if current is None or alerts.over(current):
                break
            new = alerts.taken_in(current.status or IncidentStatus(), told, left_out)
            if new is None:
                return 0
            try:
                await self._recorder.incident(current, new)
            except (Conflict, Invalid):
                current = await self._recorder.reread(current)
            except NotFound:
                break
            else:
                return 1
        raise Contended(f"incident {incident.metadata.name} ended or changed while an alert was written into it")


def _fires(incident: Incident, fingerprint: str) -> bool:
    return any(one.fingerprint == fingerprint and one.state is AlertState.FIRING for one in listed(incident))


def _fires_again(ended: Incident, report: Report) -> bool:
    """Whether an alert whose incident has ended was over by then, and is not just told again in an old message."""
    known = next((one for one in listed(ended) if one.fingerprint == report.alert.fingerprint), None)
    if known is None or known.state is AlertState.FIRING:
        return False
    return report.alert.heard_at - known.last_received_at > alerts.OUT_OF_ORDER


def _name(whom: Addressee, report: Report, number: int) -> str:
    """Name an incident by its alert, so that whoever hears of the same firing finds the same name taken."""
    said = f"{whom.namespace}\n{report.alert.fingerprint}\n{report.began}\n{number}"
    called = whom.target.name if whom.target else _NOT_IN_NAMES.sub("-", report.alert.name.lower()).strip("-") or "unnamed"
    return f"{beginning(called, 200)}-alert-{blake2b(said.encode(), digest_size=6).hexdigest()}"


def _spec(whom: Addressee, report: Report) -> IncidentSpec:
    alert, target = report.alert, whom.target
    title = f"{alert.name}: {alert.summary}" if alert.summary else f"alert {alert.name} fires"
    why = f"A record only: {whom.why}." if whom.why else ""
    return IncidentSpec(
        title=plain(title, 256),
        description=plain(f"{report.description} {why}", 4096),
        target_ref=TargetRef.model_validate({"kind": target.kind, "name": target.name}) if target else None,
        started_at=alert.since,
        source=IncidentSource(type=Source.ALERT, name=alert.name, fingerprint=alert.fingerprint),
    )
