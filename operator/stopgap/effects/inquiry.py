"""Looks into incidents, once each, beside everything else: what fails, what its logs say, what changed, and what others have in common.

Told by effects/writing.py when an incident is written, which is after the act. What is found is taken into the next status that is written;
nothing waits for it, and no decision is made from it.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from stopgap.api import Incident
from stopgap.api.incident import IncidentStatus
from stopgap.core import evidence, relations
from stopgap.core.case import Case, Decision
from stopgap.core.evidence import Found
from stopgap.core.failing import Scene, scene
from stopgap.core.relations import Traits
from stopgap.effects.lookups import Lookups
from stopgap.effects.queue import WorkQueue
from stopgap.model.refs import Target

AT_ONCE: Final = 4
"""Incidents that are looked into at once."""
MOST_COMPARED: Final = 50
"""Incidents that are compared with one for each thing that it may share with them: the latest."""
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """An incident that was written by this copy and is not over."""

    uid: str
    traits: Traits
    scene: Scene | None
    """What is to be looked into; None: it is done, or was done by an earlier copy."""
    found: Found | None = None


class Inquiries:
    """Keeps what was found until it is stored. `soon` asks for another look at a workload, which need not be at once."""

    def __init__(self, lookups: Lookups, *, soon: Callable[[Target], None]) -> None:
        self._lookups = lookups
        self._soon = soon
        self._queue: WorkQueue[Target] = WorkQueue(namespace=lambda target: target.namespace, on_error=_failed, concurrency=AT_ONCE)
        self._open: dict[Target, _Open] = {}
        self._sharing: defaultdict[tuple[str, str], OrderedDict[Target, Traits]] = defaultdict(OrderedDict)

    async def run(self) -> None:
        """Look into what there is to look into, for ever."""
        await self._queue.run(self._look)

    def forget(self) -> None:
        """Forget everything: another copy leads now."""
        self._open.clear()
        self._sharing.clear()

    def joined(self, case: Case, decision: Decision) -> Decision:
        """Add what was found out to the status that is written, and begin to look where nobody has. Waits for nothing."""
        target, incident, status = case.seen.target, case.incident, decision.status
        one = self._open.get(target)
        if one is not None and (incident is None or incident.metadata.uid != one.uid):
            self._drop(target)
            one = None
        if incident is None or status is None:
            return decision
        if one is None and not decision.closed and case.seen.workload is not None:
            one = self._begin(case, incident, status)
        if one is None:
            return decision
        status = relations.related(status, one.traits, self._near(one.traits))
        if one.found is not None:
            status = evidence.taken_in(status, one.found)
        if case.status.evidence:
            one.found = None
        if decision.closed:
            self._drop(target)
        return replace(decision, status=status)

    def _begin(self, case: Case, incident: Incident, status: IncidentStatus) -> _Open:
        target, where = case.seen.target, scene(case, status)
        traits = _traits(incident, where)
        one = self._open[target] = _Open(incident.metadata.uid or "", traits, None if status.evidence else where)
        for thing in traits.things():
            self._sharing[thing][target] = traits
        if one.scene is not None:
            urgency = int(status.severity[1:]) if status.severity else WorkQueue.USUAL_PRIORITY
            # Not from here: what is written now, the outcome of an action above all, is sent first.
            asyncio.get_running_loop().call_soon(self._queue.add, target, urgency)
        return one

    def _drop(self, target: Target) -> None:
        for thing in self._open.pop(target).traits.things():
            self._sharing[thing].pop(target, None)
            if not self._sharing[thing]:
                del self._sharing[thing]

    def _near(self, traits: Traits) -> Iterator[Traits]:
        """Yield the latest incidents that share anything, each at least once."""
        for thing in traits.things():
            yield from islice(reversed(self._sharing[thing].values()), MOST_COMPARED)

    async def _look(self, target: Target) -> None:
        one = self._open.get(target)
        if one is None or one.scene is None:
            return
        one.found = evidence.told(one.scene, await self._lookups.answers(one.scene))
        one.scene = None
        self._soon(target)


def _traits(incident: Incident, where: Scene) -> Traits:
    nodes = {pod.node for pod in where.pods}
    images = frozenset(one.image for pod in where.pods[:1] for one in pod.containers if one.name == where.container)
    node = nodes.pop() if len(nodes) == 1 else ""
    return Traits(incident.metadata.namespace or "", incident.metadata.name, where.onset, node, images - {""})


def _failed(target: Target, error: Exception) -> None:
    log.error("an incident could not be looked into", extra={"target": str(target), "error": str(error)}, exc_info=error)
