"""Whom to tell what of an incident, read from its record: what is so and was not told is due. effects/notifications.py tells it."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from stopgap.api import ClusterRemediationPolicy, Incident, RemediationConfig, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentRemediation, IncidentSpec, IncidentStatus
from stopgap.api.notify import Channel, Told
from stopgap.api.remediation import RemediationState
from stopgap.core import lifecycle
from stopgap.core.reports import record
from stopgap.core.reports.wording import STATES, lasting
from stopgap.model.conditions import Condition, Truth, condition, find, holds, put
from stopgap.model.news import Facts, News, Occasion
from stopgap.model.query import PLATFORM
from stopgap.model.reasons import Reason
from stopgap.model.text import plain
from stopgap.model.time import stamp, whole

NOTIFIED: Final = "Notified"
TOLD_WITHIN: Final = timedelta(hours=24)
"""What has been over for longer is told to nobody any more."""
MOST_TOLD: Final = 16
MESSAGE, SUMMARY, ACTION, TITLE = 1500, 800, 400, 256
"""Characters of foreign text."""
MOST_ACTIONS: Final = 5
_ORDER: Final = tuple(Occasion)


@dataclass(frozen=True, slots=True)
class Listener:
    """One channel of one policy, or of the platform."""

    id: str
    """`RemediationPolicy/web/oncall`."""
    scope: str
    """Namespace whose Secrets and outbound rules hold; PLATFORM for what is of the whole cluster."""
    channel: Channel


def listeners(policy: Policy | None, config: ConfigSpec | None) -> tuple[Listener, ...]:
    """Return everybody who may be told of an incident that this policy decides."""
    found = [_listener(RemediationConfig.__name__, "", PLATFORM, one) for one in (config.notify if config else ())]
    if policy is not None:
        kind = ClusterRemediationPolicy if isinstance(policy, ClusterRemediationPolicy) else RemediationPolicy
        scope = policy.metadata.namespace or PLATFORM
        found += [_listener(kind.__name__, policy.metadata.name, scope, one) for one in policy.spec.notify]
    return tuple(one for one in found if one.channel.notifier is not None)


def _listener(kind: str, name: str, scope: str, channel: Channel) -> Listener:
    return Listener("/".join(one for one in (kind, name, channel.name) if one), scope, channel)


def scope_for(listener: Listener, url: str) -> str:
    """Return under whose rules a request goes out: the service's own hosts need no leave, for only the Secret says whose account it is."""
    notifier, parts = listener.channel.notifier, urlsplit(url)
    vendor = notifier is not None and parts.scheme == "https" and parts.netloc in notifier.hosts
    return PLATFORM if vendor else listener.scope


# ------------------------------------------------------------------------------------------------------------- what is so


def occasions(incident: Incident, status: IncidentStatus) -> tuple[News, ...]:
    """Return everything that is so and could be told, in the order in which it came about."""

    # That it began comes first, though it is written down after what was done at once. Within a second, times tell nothing.
    def order(one: News) -> tuple[bool, datetime, int]:
        return one.occasion is not Occasion.OPENED, whole(one.at), _ORDER.index(one.occasion)

    return tuple(sorted(_occasions(incident, status), key=order))


def _occasions(incident: Incident, status: IncidentStatus) -> Iterator[News]:
    if status.detected_at is None:
        return
    over = holds(status.conditions, lifecycle.RESOLVED)
    yield News(Occasion.OPENED, str(Occasion.OPENED), status.detected_at, _beginning(incident.spec, status))
    yield from _of_actions(incident.metadata.namespace or "", status)
    yield from _of_conditions(status, over=over)
    if status.reminded_at is not None and status.reminded_at == status.updated_at and not over:
        again = f"; the next time by {stamp(status.next_update_due)}" if status.next_update_due else ""
        message = f"nothing has changed, and those who wait were to hear again: tell them so with status.update{again}"
        yield News(Occasion.UPDATE_DUE, f"{Occasion.UPDATE_DUE}/{stamp(status.reminded_at)}", status.reminded_at, message)


def _beginning(spec: IncidentSpec, status: IncidentStatus) -> str:
    parts = [_what(spec, status)]
    change = status.suspected_change
    if change is not None and not record.cleared(status):
        parts.append(f"suspected change: revision {change.revision}" + (f" ({', '.join(change.images)})" if change.images else ""))
    decision = status.decision
    if decision is not None and decision.step:
        held = "; ".join(one.message for one in decision.refusals)
        parts.append(f"{decision.message}: {'not done, ' + held if held else 'allowed'}")
    return "; ".join(parts)


def _what(spec: IncidentSpec, status: IncidentStatus) -> str:
    found = record.loudest(status)
    return (found.message if found else "") or spec.description or spec.title


def _of_actions(namespace: str, status: IncidentStatus) -> Iterator[News]:
    for one in status.remediations:
        number = hashlib.blake2b(one.name.encode(), digest_size=6).hexdigest()
        if one.executed_at is not None:
            yield News(Occasion.ACTION_TAKEN, f"{Occasion.ACTION_TAKEN}/{number}", one.executed_at, _done(one))
        elif one.state == RemediationState.AWAITING_APPROVAL and status.detected_at is not None:
            said = """'{"spec":{"approval":{"decision":"Approved"}}}'"""
            how = f"approve it, or reject it with Rejected: kubectl -n {namespace} patch remediation {one.name} --type=merge -p {said}"
            yield News(Occasion.APPROVAL_NEEDED, f"{Occasion.APPROVAL_NEEDED}/{number}", status.detected_at, f"{one.summary}: {how}")


def _done(one: IncidentRemediation) -> str:
    return f"{one.summary or f'{one.action} (step {one.step})'}: {STATES.get(one.state, one.state)}"


def _of_conditions(status: IncidentStatus, *, over: bool) -> Iterator[News]:
    taken, mitigated = find(status.conditions, lifecycle.ACKNOWLEDGED), find(status.conditions, lifecycle.MITIGATED)
    if taken is not None and taken.status is Truth.TRUE:
        yield _news(Occasion.ACKNOWLEDGED, taken)
    elif taken is not None and taken.reason == Reason.AcknowledgementOverdue and not over:
        yield _news(Occasion.ACK_OVERDUE, taken)
    if mitigated is not None and mitigated.status is Truth.TRUE:
        yield _news(Occasion.MITIGATED, mitigated, often=True)
    elif mitigated is not None and not over and any(one.type in {Reason.Mitigated, Reason.Recovered} for one in status.timeline):
        yield _news(Occasion.RELAPSED, mitigated, often=True)
    for kind, occasion in ((lifecycle.ESCALATED, Occasion.ESCALATED), (lifecycle.RESOLVED, Occasion.RESOLVED)):
        if (found := find(status.conditions, kind)) is not None and found.status is Truth.TRUE:
            yield _news(occasion, found)


def _news(occasion: Occasion, one: Condition, *, often: bool = False) -> News:
    """What a condition says; `often`: it can become so again, and is then told again."""
    key = f"{occasion}/{stamp(one.last_transition_time)}" if often else str(occasion)
    message = f"{one.reason}: {one.message}" if occasion is Occasion.ESCALATED else one.message
    return News(occasion, key, one.last_transition_time, message)


# ------------------------------------------------------------------------------------------------------------ what is due


def due(listener: Listener, incident: Incident, status: IncidentStatus, now: datetime) -> tuple[News, ...]:
    """Return what one channel has still to be told, in order."""
    if status.resolved_at is not None and now - status.resolved_at > TOLD_WITHIN:
        return ()
    channel, told = listener.channel, entry(status, listener.id).told
    if not told and channel.severities and status.severity not in channel.severities:
        return ()
    # What a pager hears in any case means nothing to one that has heard of nothing yet.
    wanted = channel.hears if told or not channel.occasions else frozenset(channel.occasions)
    return tuple(one for one in occasions(incident, status) if one.occasion in wanted and one.key not in told)


def entry(status: IncidentStatus, channel: str) -> Told:
    """Return how far a channel is."""
    return next((one for one in status.notifications if one.channel == channel), Told(channel=channel))


def noted(incident: Incident, status: IncidentStatus, entries: Iterable[Told], now: datetime) -> IncidentStatus:
    """Put what channels were told in the place of what stood there; only what is still so is worth remembering."""
    so = {one.key for one in occasions(incident, status)}
    new = {one.channel: one.model_copy(update={"told": tuple(key for key in one.told if key in so)}) for one in entries}
    kept = [new.pop(one.channel, one) for one in status.notifications]
    every = (*kept, *new.values())[-MOST_TOLD:]
    if not every:
        return status
    failing = [f"{one.channel}: {one.trouble}" for one in every if one.trouble]
    state, reason = (Truth.FALSE, Reason.NotificationFailed) if failing else (Truth.TRUE, Reason.Notified)
    message = "; ".join(failing) if failing else "no channel is failing"
    conditions = put(status.conditions, condition(NOTIFIED, state, reason, message, whole(now)))
    return status.model_copy(update={"notifications": every, "conditions": conditions})


def shown(news: News) -> News:
    """Put what it says on one line, cut, and without what a terminal would obey. Not before it is told: that takes its time."""
    return replace(news, message=plain(news.message, MESSAGE))


def facts(incident: Incident, status: IncidentStatus, now: datetime) -> Facts:
    """Say how an incident stands. Foreign text is on one line and cut; what would be markup somewhere is left in it."""
    spec, ref = incident.spec, incident.spec.target_ref
    again = f" (again, as in {status.recurrence_of})" if status.recurrence_of else ""
    what = _what(spec, status)
    began, end = status.started_at, status.resolved_at or now
    return Facts(
        uid=incident.metadata.uid or "",
        namespace=incident.metadata.namespace or "",
        name=incident.metadata.name,
        title=plain(spec.title, TITLE),
        severity=status.severity or "",
        standing=status.communication_status or record.standing(status),
        target=f"{ref.kind.lower()}/{ref.name}" if ref else "",
        policy=status.policy_ref.name if status.policy_ref else "",
        started_at=began,
        lasted=lasting(max(whole(end) - whole(began), timedelta(0))) if began else "not known",
        summary=plain(f"{spec.title}{again}" + (f": {what}" if what != spec.title else ""), SUMMARY),
        impact=plain(spec.impact, SUMMARY),
        actions=tuple(plain(_done(one), ACTION) for one in status.remediations if one.executed_at)[-MOST_ACTIONS:],
        acknowledged_by=plain(spec.acknowledged_by or "", TITLE),
        next_update_due=status.next_update_due,
        update=status.update,
        over=holds(status.conditions, lifecycle.RESOLVED),
    )
