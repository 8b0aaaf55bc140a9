"""Alerts in an incident: what is kept of them, what is news, and when they are over. The receiver in effects/ stores what this says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from stopgap.api import Incident, Remediation
from stopgap.api.incident import IncidentAlert, IncidentStatus
from stopgap.api.ladder import Source
from stopgap.core import timeline
from stopgap.core.case import Case
from stopgap.model.alert import FORGOTTEN_AFTER, Alert, AlertState
from stopgap.model.conditions import holds
from stopgap.model.reasons import Reason
from stopgap.model.template import Template

MOST_LISTED: Final = 32
HEARD_EVERY: Final = timedelta(minutes=5)
"""A repeat is written down no more often than this: it says nothing but that the sender is still there."""
OUT_OF_ORDER: Final = timedelta(minutes=5)
"""The same firing told again within this time of its end is an old message, or one that somebody replays; later it fires again."""
STORED_WITHIN: Final = timedelta(seconds=10)
"""So long after an incident was opened for an alert, the alert itself may still be on its way into it."""


def told(incidents: Iterable[Incident]) -> tuple[Alert, ...]:
    """Return what is known of alerts from the open incidents of one workload; of two states of one alert, the later."""
    latest: dict[str, Alert] = {}
    for listed in (one.status.alerts for one in incidents if one.status):
        for alert in map(_read, listed):
            known = latest.get(alert.fingerprint)
            if known is None or (alert.since, alert.heard_at) > (known.since, known.heard_at):
                latest[alert.fingerprint] = alert
    return tuple(latest.values())


def _read(one: IncidentAlert) -> Alert:
    return Alert(one.fingerprint, one.name, one.state, one.since, one.last_received_at, one.labels, one.summary, one.ended_at)


def taken_in(status: IncidentStatus, alerts: Sequence[Alert], left_out: int) -> IncidentStatus | None:
    """Return the status with these alerts in it, or None where that is no news. `left_out`: how many more the sender has not told."""
    before = {one.fingerprint: one for one in status.alerts}
    listed = dict(before)
    for alert in alerts:
        if (entry := _entry(listed.get(alert.fingerprint), alert)) is not None:
            listed[alert.fingerprint] = entry
    kept = _fitting(listed.values())
    missing = max(left_out + len(listed) - len(kept), status.truncated_alerts)
    new = status.model_copy(update={"alerts": kept, "truncated_alerts": missing})
    if new == status:
        return None
    # What an incident began with is told when it is first looked at.
    return _said(new, before, missing - status.truncated_alerts) if status.detected_at is not None else new


def _said(status: IncidentStatus, before: Mapping[str, IncidentAlert], more: int) -> IncidentStatus:
    now = max(one.last_received_at for one in status.alerts)
    for one in status.alerts:
        known = before.get(one.fingerprint)
        if known is not None and known.state is one.state:
            continue
        if one.state is AlertState.FIRING:
            message = f"alert {one.name} fires" + (f": {one.summary}" if one.summary else "")
            status = timeline.tell(status, now, Reason.AlertFiring, message)
        else:
            status = timeline.tell(status, now, Reason.AlertResolved, f"alert {one.name} is resolved")
    return timeline.tell(status, now, Reason.AlertsLeftOut, f"{more} more alerts are not told here") if more > 0 else status


def _entry(known: IncidentAlert | None, alert: Alert) -> IncidentAlert | None:
    """Return what is to be kept of an alert, or None where what is kept is good enough."""
    if known is None:
        return _first(alert) if alert.firing else None
    if alert.firing and known.state is AlertState.FIRING:
        due = alert.heard_at - known.last_received_at >= HEARD_EVERY
        return known.model_copy(update={"last_received_at": alert.heard_at}) if due else None
    if alert.firing:
        again = alert.since > known.since or alert.heard_at - known.last_received_at > OUT_OF_ORDER
        return _first(alert) if again else None
    ended = alert.ended or alert.heard_at
    if known.state is AlertState.RESOLVED or ended < known.since:
        return None
    return known.model_copy(update={"state": AlertState.RESOLVED, "ended_at": ended, "last_received_at": alert.heard_at})


def _first(alert: Alert) -> IncidentAlert:
    return IncidentAlert(
        fingerprint=alert.fingerprint,
        name=alert.name,
        state=alert.state,
        since=alert.since,
        last_received_at=alert.heard_at,
        summary=alert.summary,
        labels=dict(alert.labels),
    )


def _fitting(listed: Collection[IncidentAlert]) -> tuple[IncidentAlert, ...]:
    """Keep as many as there is room for: those that fire before others, and of each state those that were told first."""
    first = sorted(listed, key=lambda one: one.state is not AlertState.FIRING)[:MOST_LISTED]
    fit = {one.fingerprint for one in first}
    return tuple(one for one in listed if one.fingerprint in fit)


def pending(case: Case) -> bool:
    """Whether an alert keeps the incident open: it fires, and was not forgotten by its sender."""
    return any(one.firing and case.now - one.heard_at < FORGOTTEN_AFTER for one in case.seen.alerts)


def reported(case: Case) -> bool:
    """Whether the incident began with an alert."""
    return case.incident is not None and case.incident.spec.source.type is Source.ALERT


def on_its_way(case: Case) -> bool:
    """Whether the alert that the incident was opened for is not in it yet: nothing is concluded without it."""
    if case.incident is None or not reported(case) or case.status.alerts or case.status.detected_at is not None:
        return False
    created = case.incident.metadata.creation_timestamp
    return created is not None and case.now - datetime.fromisoformat(created) < STORED_WITHIN


def another_release(status: IncidentStatus, template: Template | None, actions: Iterable[Remediation]) -> bool:
    """Whether, after an incident was mitigated, the template is neither the one of its onset nor one that the incident put there."""
    if template is None or status.mitigated_at is None or not status.digest:
        return False
    return template.digest != status.digest and not any(template.digest in one.put_there for one in actions)


def over(incident: Incident) -> bool:
    """Whether an incident takes in no more alerts: it has ended, or a person has said that it has."""
    return incident.spec.resolution is not None or (incident.status is not None and holds(incident.status.conditions, "Resolved"))
