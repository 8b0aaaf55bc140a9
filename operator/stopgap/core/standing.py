"""Where a policy stands: what it is about, who decides there instead, and what came of it. Told in its status, for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stopgap.api import ClusterRemediationPolicy, Incident
from stopgap.api.clusterpolicy import Policy
from stopgap.api.policy import PolicyStatus, TrustRecord
from stopgap.core import matching
from stopgap.core.limits import pause_mark
from stopgap.detectors import Polled
from stopgap.model.conditions import Condition, Truth, condition, holds, put
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target


@dataclass(frozen=True, slots=True)
class Overlap:
    """The workloads that a policy is about and that others decide."""

    workloads: int = 0
    example: Target | None = None
    deciders: Mapping[str, int] = field(default_factory=dict)
    """How many of them each of the others decides, by what it is called."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The workloads of a policy of which a polled signal cannot be read."""

    workloads: int = 0
    example: Target | None = None
    why: str = ""
    """Of the example: which trigger, and why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was counted for one policy."""

    matched: int = 0
    overlap: Overlap = Overlap()
    unread: Unread = Unread()
    namespaces: tuple[int, int] = (0, 0)
    """How many namespaces a cluster policy selects, and how many there are."""
    open_incidents: int = 0
    blocked_incidents: int = 0
    recent_actions: int = 0
    record: TrustRecord = field(default_factory=TrustRecord)


def held_back(incident: Incident) -> bool:
    """Whether an action is described in an open incident and something stands against it now."""
    status = incident.status
    if status is None or status.decision is None or holds(status.conditions, "Mitigated"):
        return False
    return bool(status.decision.step) and not status.decision.allowed


def status(policy: Policy, standing: Standing, now: datetime) -> PolicyStatus:
    """Return what is told about a policy."""
    conditions = policy.status.conditions if policy.status else ()
    for one in (_ready(policy, standing, now), _pause(policy, now), _overlapping(standing, now)):
        conditions = put(conditions, one)
    if any(isinstance(trigger.detector, Polled) for trigger in policy.spec.triggers):
        conditions = put(conditions, _signals(standing.unread, now))
    return PolicyStatus(
        observed_generation=policy.metadata.generation or 0,
        matched_workloads=standing.matched,
        open_incidents=standing.open_incidents,
        blocked_incidents=standing.blocked_incidents,
        recent_actions=standing.recent_actions,
        record=standing.record,
        conditions=conditions,
    )


def cannot_wait(old: PolicyStatus | None, new: PolicyStatus) -> bool:
    """Whether somebody waits for the news: another generation was read, or a condition turned. Figures can wait for their minute."""
    if old is None or old.observed_generation != new.observed_generation:
        return True
    return {(one.type, one.status, one.reason) for one in old.conditions} != {(one.type, one.status, one.reason) for one in new.conditions}


def _ready(policy: Policy, standing: Standing, now: datetime) -> Condition:
    fault = matching.fault(policy)
    if fault is not None:
        return condition("Ready", Truth.FALSE, fault.reason, fault.message, now)
    where = _where(standing) if isinstance(policy, ClusterRemediationPolicy) else ""
    about = "it is about 1 workload" if standing.matched == 1 else f"it is about {standing.matched} workloads"
    return condition("Ready", Truth.TRUE, Reason.Ready, f"{policy.spec.mode}: {about}{where}", now)


def _where(standing: Standing) -> str:
    selected, there = standing.namespaces
    if selected == 0:
        return "; no namespace has the labels of spec.namespaceSelector"
    if selected == there:
        return f"; spec.namespaceSelector selects every namespace of this cluster ({there})"
    return f" in the {selected} of {there} namespaces that it selects"


def _pause(policy: Policy, now: datetime) -> Condition:
    paused = _paused(policy, now)
    return condition("Paused", Truth.TRUE if paused else Truth.FALSE, Reason.Paused if paused else Reason.NotPaused, paused, now)


def _paused(policy: Policy, now: datetime) -> str:
    holding = [one for one in policy.spec.pause_requests if one.holds(now)]
    if holding:
        return f"{holding[0].name}: {holding[0].reason}"
    return pause_mark(policy.metadata.annotations)


def _signals(unread: Unread, now: datetime) -> Condition:
    if not unread.workloads:
        return condition("SignalsKnown", Truth.TRUE, Reason.SignalsKnown, "", now)
    message = f"of {unread.workloads} workloads a signal cannot be read, such as {unread.example}: {unread.why}"
    return condition("SignalsKnown", Truth.FALSE, Reason.SignalUnknown, message, now)


def _overlapping(standing: Standing, now: datetime) -> Condition:
    overlap = standing.overlap
    if not overlap.workloads:
        return condition("Overlapping", Truth.FALSE, Reason.NotOverlapping, "", now)
    most = min(overlap.deciders, key=lambda name: (-overlap.deciders[name], name))
    others = len(overlap.deciders) - 1
    who = f"{most} decides" if not others else f"{most} and {others} more decide"
    message = f"{who} about {overlap.workloads} of its {standing.matched} workloads instead, such as {overlap.example}"
    return condition("Overlapping", Truth.TRUE, Reason.Overlapping, message, now)
