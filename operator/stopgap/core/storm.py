"""The storm breaker: many workloads that fall ill at once are hardly many bad releases, and acting on each makes it worse.

Pure: a census and the state before it give the state after it. effects/storm.py counts, keeps and tells; core/limits.py refuses.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from stopgap.api.config import StormBreaker
from stopgap.api.incident import Incident
from stopgap.api.ladder import Source
from stopgap.api.remediation import Remediation
from stopgap.model.conditions import holds
from stopgap.model.duration import spell
from stopgap.model.time import exact

CLUSTER: Final = ""
"""The scope that is about every namespace; any other scope is the name of one."""
CLUSTER_KEY: Final = "stopgap.dev/storm"
NAMESPACE_KEY: Final = "storm.stopgap.dev/"
MOST_NAMESPACES: Final = 500
"""Namespaces with a breaker of their own. The state is kept in annotations, which hold 256 KiB in all; beyond this it is a matter of the
cluster, whose breaker opens."""
GIVEN_UP_AFTER: Final = timedelta(hours=1)
"""A verification may outlast its time while the rollout moves on. What is not judged this much later is looked at by nobody any more."""
MOST_NAMED: Final = 5
_UNTOLD: Final = ", not told yet"
_STATE: Final = re.compile(rf"(Open|CoolingDown) since (\S+?)({_UNTOLD})?")


class Stage(StrEnum):
    """What a breaker says. It stops new actions only: never observation, verification, a restore or communication."""

    CLOSED = "Closed"
    """No more is ill than single releases explain. Actions are allowed."""
    OPEN = "Open"
    """Too much is ill at once. Nothing new is done; people are called, once."""
    COOLING_DOWN = "CoolingDown"
    """It fell below the threshold, where it may flap. Nothing new is done until it has stayed there for the whole cooldown."""


@dataclass(frozen=True, slots=True)
class Count:
    """Workloads that a policy is about, and how many of them are ill."""

    managed: int = 0
    ill: int = 0

    def __str__(self) -> str:
        """Read as a person would say it."""
        return f"{self.ill} of {self.managed}"


@dataclass(frozen=True, slots=True)
class Census:
    """Who is ill, where."""

    namespaces: Mapping[str, Count]
    """Those in which anything is ill; the others do not matter."""
    managed: int
    """Workloads that a policy is about, in all namespaces."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker that is not closed."""

    scope: str
    stage: Stage
    since: datetime
    told: bool = False
    """Whether people were called for it."""
    count: Count = field(default_factory=Count)
    until: datetime | None = None
    """When it closes, if nothing falls ill again."""


Breakers = Mapping[str, Breaker]
"""By scope; a scope that is not in it is closed."""


def is_ill(incident: Incident) -> bool:
    """Whether an open incident makes its workload ill: until it is mitigated. What only a person tells of proves nothing for others."""
    status, source = incident.status, incident.spec.source.type
    if status is None:
        return source is not Source.MANUAL
    fired = any(one.fired for one in status.findings) or source is not Source.MANUAL
    return fired and not status.duplicate_of and not holds(status.conditions, "Mitigated")


def unverified(remediations: Iterable[Remediation], now: datetime) -> frozenset[str]:
    """Return the UIDs of workloads with an action that is out and not proved yet."""
    return frozenset(one.spec.target_ref.uid for one in remediations if one.state.out and now < one.prove_until + GIVEN_UP_AFTER)


# ------------------------------------------------------------------------------------------------------------- transitions


def advance(before: Breakers, census: Census, config: StormBreaker, now: datetime) -> dict[str, Breaker]:
    """Return the breakers that are not closed after this census."""
    scopes = sorted({*before, *census.namespaces} - {CLUSTER}, key=lambda one: (one not in before, one))
    after: dict[str, Breaker] = {}
    for scope in scopes:
        count = census.namespaces.get(scope, Count())
        over = count.ill >= _needed(count.managed, config) and (scope in before or len(after) < MOST_NAMESPACES)
        if one := _next(before.get(scope), Breaker(scope, Stage.OPEN, now, count=count), config.cooldown, over=over):
            after[scope] = one
    count = Count(census.managed, sum(one.ill for one in census.namespaces.values()))
    over = _is_everywhere(census, config) or len(after) >= MOST_NAMESPACES
    if one := _next(before.get(CLUSTER), Breaker(CLUSTER, Stage.OPEN, now, count=count), config.cooldown, over=over):
        after[CLUSTER] = one
    return after


def _next(before: Breaker | None, opened: Breaker, cooldown: timedelta, *, over: bool) -> Breaker | None:
    """Take one breaker one step further; None: it is closed. `opened`: what it would be if it opened now."""
    if over and before is not None and before.stage is Stage.OPEN:
        return before if before.count == opened.count else replace(before, count=opened.count)
    if over:
        # A relapse while it cools down is the same storm: nobody is called again for it.
        return replace(opened, told=before.told) if before else opened
    if before is None:
        return None
    # The quiet window begins when it is first seen below the threshold, and again after each relapse.
    since = opened.since if before.stage is Stage.OPEN else min(before.since, opened.since)
    until = since + cooldown
    return None if until <= opened.since else replace(before, stage=Stage.COOLING_DOWN, since=since, count=opened.count, until=until)


def _needed(managed: int, config: StormBreaker) -> int:
    """Return how many must be ill: the floor and the percentage, both, so that 2 of 2 is no storm and 3 of 1000 neither."""
    return max(config.min_unhealthy, -(-managed * config.percent // 100))


def _is_everywhere(census: Census, config: StormBreaker) -> bool:
    """Whether it is a matter of the cluster, and of no single namespace.

    One namespace counts for at most half of what is needed, however many it has: what one tenant breaks (or makes up) must not stop
    the help for the others, whose own illness has to be the other half. Half and no less, because a storm often has two centres.
    """
    ill = [one.ill for one in census.namespaces.values() if one.ill]
    needed = _needed(census.managed, config)
    most = -(-needed // 2)
    return len(ill) > 1 and sum(min(one, most) for one in ill) >= needed


def marked(breakers: Breakers, scopes: Collection[str]) -> dict[str, Breaker]:
    """Return the breakers with a note on these that people were called."""
    return {scope: replace(one, told=one.told or scope in scopes) for scope, one in breakers.items()}


def changes(known: Breakers, stored: Breakers, after: Breakers) -> Iterator[tuple[str, Stage, Breaker | None]]:
    """Yield scope, stage before and breaker now of everything that is not as this copy last knew it.

    `stored` is what was found written: by the leader before us, or without what a person removed.
    """
    for scope in sorted({*known, *stored, *after}):
        old, new = known.get(scope) or stored.get(scope), after.get(scope)
        before, now = old.stage if old else Stage.CLOSED, new.stage if new else Stage.CLOSED
        if before is not now or (new and scope not in known):
            yield scope, before, new


# ------------------------------------------------------------------------------------------------------------- annotations


def key_of(scope: str) -> str:
    """Return the annotation of the Lease that holds a scope's state: `stopgap.dev/storm`, `storm.stopgap.dev/shop`."""
    return NAMESPACE_KEY + scope if scope else CLUSTER_KEY


def is_key(key: str) -> bool:
    """Whether an annotation of the Lease holds a state."""
    return key == CLUSTER_KEY or key.startswith(NAMESPACE_KEY)


def written(breakers: Breakers) -> dict[str, str]:
    """Return the annotations that hold these states."""
    return {key_of(one.scope): f"{one.stage} since {exact(one.since)}{'' if one.told else _UNTOLD}" for one in breakers.values()}


def read(annotations: Mapping[str, str], now: datetime) -> tuple[dict[str, Breaker], tuple[str, ...]]:
    """Return the states that annotations hold, and the keys of those that hold none: these cool down from now on, to be safe."""
    breakers, malformed = {}, []
    for key, text in annotations.items():
        if not is_key(key):
            continue
        scope = key.removeprefix(NAMESPACE_KEY) if key != CLUSTER_KEY else CLUSTER
        found = _read(scope, text, now)
        if found is None:
            malformed.append(key)
        breakers[scope] = found or Breaker(scope, Stage.COOLING_DOWN, now, told=True)
    return breakers, tuple(malformed)


def _read(scope: str, text: str, now: datetime) -> Breaker | None:
    found = _STATE.fullmatch(text)
    try:
        since = datetime.fromisoformat(found[2]) if found else None
    except ValueError:
        return None
    if found is None or since is None or since.tzinfo is None:
        return None
    # A time to come, by a clock that was set back or by hand, must not hold everything up for ever.
    return Breaker(scope, Stage(found[1]), min(since, now), told=not found[3])


# ------------------------------------------------------------------------------------------------------------------- words


def opening(breakers: Iterable[Breaker], config: StormBreaker) -> str:
    """Say what people have to know about a storm."""
    # The cluster, whose scope has the empty name, comes first.
    ordered = sorted(breakers, key=lambda one: one.scope)
    where = "; ".join(f"{one.count} workloads are ill in {named(one.scope)}" for one in ordered[:MOST_NAMED])
    where += f"; and many in {len(ordered) - MOST_NAMED} namespaces more" if len(ordered) > MOST_NAMED else ""
    return (
        f"{where}. So many at once are hardly bad releases: nothing new is done there, until fewer than {config.percent} % or "
        f"{config.min_unhealthy} have been ill for {spell(config.cooldown)}. Incidents are opened and told as ever. "
        "Look for what the workloads share (nodes, registry, network, a service), and whether Stopgap sees well"
    )


def closing(scopes: Iterable[str]) -> str:
    """Say that it is over."""
    ordered = sorted(scopes)
    more = f" and {len(ordered) - MOST_NAMED} namespaces more" if len(ordered) > MOST_NAMED else ""
    return f"actions are allowed again in {', '.join(named(one) for one in ordered[:MOST_NAMED])}{more}"


def named(scope: str) -> str:
    """Name a scope for a person."""
    return f"namespace {scope}" if scope else "the whole cluster"
