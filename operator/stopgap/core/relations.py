"""Which open incidents have something in common, and what may be behind more than two of them. Asked by effects/inquiry.py."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stopgap.api.incident import IncidentStatus

MOST: Final = 10
AT_ONCE: Final = timedelta(minutes=1)
"""What begins within this time in one namespace began together."""
TOGETHER: Final = timedelta(minutes=10)
"""What begins within this time on one node, or with one image, may have one cause: pods fail one after another."""
SHARED_BY: Final = 3
"""So many incidents, with this one, make what they share a suspect."""

_ADVICE: Final = {
    "node": "at least three incidents that began within 10m have all their failing pods on node {}: look at that node first",
    "image": "at least three incidents that began within 10m run image {}: look at what is in it, and at what it needs",
    "namespace": (
        "at least three incidents began in namespace {} within one minute: look at what its workloads share, "
        "such as a quota, a network policy, a database or a credential"
    ),
}
"""By what is shared, the nearest cause first. Without figures that grow, so that an incident is not written anew for each that joins."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What of an open incident may be that of others too."""

    namespace: str
    name: str
    onset: datetime
    node: str = ""
    """Where all of its failing pods are, or empty."""
    images: frozenset[str] = frozenset()
    """Of what fails."""

    def things(self) -> frozenset[tuple[str, str]]:
        """Return each as kind and name."""
        node = (("node", self.node),) if self.node else ()
        return frozenset((("namespace", self.namespace), *node, *(("image", one) for one in self.images)))


def related(status: IncidentStatus, own: Traits, others: Iterable[Traits]) -> IncidentStatus:
    """Return the status with the incidents that it has something in common with. One that is named stays named: it may have ended first."""
    shared = {one: frozenset(_shared(own, one)) for one in others if (one.namespace, one.name) != (own.namespace, own.name)}
    found = sorted((one for one in shared if shared[one]), key=lambda one: (abs(one.onset - own.onset), one.namespace, one.name))
    named = dict.fromkeys((*status.related_incidents, *(_called(one, own) for one in found)))
    cause = status.common_cause or _cause(own, shared)
    return status.model_copy(update={"related_incidents": tuple(named)[:MOST], "common_cause": cause})


def _called(one: Traits, own: Traits) -> str:
    return one.name if one.namespace == own.namespace else f"{one.namespace}/{one.name}"


def _shared(own: Traits, other: Traits) -> Iterator[tuple[str, str]]:
    apart = abs(own.onset - other.onset)
    for kind, name in own.things() & other.things():
        # An image that fails in one place today fails in another tomorrow; a node and a namespace have many incidents in their time.
        if kind == "image" or apart <= (AT_ONCE if kind == "namespace" else TOGETHER):
            yield kind, name


def _cause(own: Traits, shared: dict[Traits, frozenset[tuple[str, str]]]) -> str:
    """Say what more than two of them share that began together; of several such things the nearest to the pods."""
    close = [things for one, things in shared.items() if abs(one.onset - own.onset) <= TOGETHER]
    for kind, advice in _ADVICE.items():
        for _, name in sorted(one for one in own.things() if one[0] == kind):
            if sum((kind, name) in things for things in close) >= SHARED_BY - 1:
                return advice.format(name)
    return ""
