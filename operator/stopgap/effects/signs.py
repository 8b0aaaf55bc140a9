"""Nodes and events, as far as they are told when an incident is looked into: their shapes, and how they become facts."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from stopgap.core.evidence import NodeTrouble, Warned
from stopgap.effects.wire import Condition, Wire

_OURS: Final = "stopgap.dev/operator"
_PRESSURES: Final = frozenset({"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"})


class NodeSpec(Wire):
    """Spec of a node."""

    unschedulable: bool = False


class NodeStatus(Wire):
    """Status of a node."""

    conditions: list[Condition] = msgspec.field(default_factory=list)


class Node(Wire):
    """v1 Node."""

    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class Regarding(Wire):
    """What an event is about."""

    kind: str = ""
    name: str = ""


class Series(Wire):
    """How often it was said again."""

    count: int = 0
    last_observed_time: datetime | None = None


class Event(Wire):
    """events.k8s.io/v1 Event. Most are still written by the older interface, and then their figures stand under `deprecated`."""

    regarding: Regarding = msgspec.field(default_factory=Regarding)
    reason: str = ""
    note: str = ""
    reporting_controller: str = ""
    event_time: datetime | None = None
    series: Series | None = None
    deprecated_count: int = 0
    deprecated_last_timestamp: datetime | None = None


class Events(Wire):
    """A list of them."""

    items: list[Event]


def troubles(name: str, node: Node) -> Iterator[NodeTrouble]:
    """Yield what a node itself says is wrong with it."""
    for one in node.status.conditions:
        if one.type == "Ready" and one.status != "True":
            yield NodeTrouble(name, f"not ready ({one.reason})", one.last_transition_time)
        elif one.type in _PRESSURES and one.status == "True":
            yield NodeTrouble(name, one.type, one.last_transition_time)
    if node.spec.unschedulable:
        yield NodeTrouble(name, "cordoned", None)


def warnings(events: Events, now: datetime) -> Iterator[Warned]:
    """Yield what others than Stopgap warn of."""
    for one in events.items:
        if one.reporting_controller != _OURS:
            series = one.series or Series()
            last = series.last_observed_time or one.deprecated_last_timestamp or one.event_time or now
            about = f"{one.regarding.kind.lower()}/{one.regarding.name}"
            yield Warned(one.reason, one.note, about, series.count or one.deprecated_count or 1, last)
