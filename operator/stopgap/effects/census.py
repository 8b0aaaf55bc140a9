"""Counts the workloads that a policy is about, and the ill ones among them.

By difference: an event costs among ten thousand workloads what it costs among ten.
"""

from collections import Counter

from stopgap.core import storm
from stopgap.core.storm import Census, Count
from stopgap.effects.index import Index
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.model.refs import Target
from stopgap.model.workload import Workload


class Headcount:
    """Ill is what fires at its last look and has an incident or is about to get one, and what has an incident that is not mitigated.

    The first counts an illness before it is written down; the second is known after a restart before anything was looked at.
    """

    def __init__(self, index: Index, records: Records, rosters: Rosters) -> None:
        self._index = index
        self._records = records
        self._rosters = rosters
        self._managed: set[str] = set()
        self._policies: dict[str, tuple[object, ...]] = {}
        self._firing: set[Target] = set()
        self._ill: set[Target] = set()
        self._managed_in: Counter[str] = Counter()
        self._ill_in: Counter[str] = Counter()
        self.changed = True
        """Whether the census differs from the one that was asked for last."""

    def census(self) -> Census:
        """Return the count as it is now."""
        self.changed = False
        where = {name: Count(self._managed_in[name], ill) for name, ill in self._ill_in.items() if ill}
        return Census(where, self._managed_in.total())

    def listed(self, work: Workload, *, there: bool) -> None:
        """Take in a workload that is new, labelled anew or gone."""
        managed = there and self._rosters.deciding(work.target, work.labels) is not None
        if managed == (work.uid in self._managed):
            return
        (self._managed.add if managed else self._managed.discard)(work.uid)
        self._managed_in[work.namespace] += 1 if managed else -1
        self.changed = True
        self.look_at(work.target)

    def policies_changed(self, namespace: str) -> None:
        """Take in changed policies of one namespace, or of any: only where they really changed are workloads gone through."""
        places = {namespace} if namespace else {*self._policies, *(work.namespace for work in self._index.workloads())}
        changed = {one for one in places if self._policies.get(one) != self._declared(one)}
        if not changed:
            return
        self._policies |= {one: self._declared(one) for one in changed}
        for work in list(self._index.workloads()):
            if work.namespace in changed:
                self.listed(work, there=True)

    def _declared(self, namespace: str) -> tuple[object, ...]:
        policies = (*self._records.policies(namespace), *self._rosters.selecting(namespace))
        return tuple((one.metadata.uid, one.metadata.generation) for one in policies)

    def note(self, target: Target, *, firing: bool) -> None:
        """Take in what a look has found."""
        (self._firing.add if firing else self._firing.discard)(target)
        self.look_at(target)

    def look_at(self, target: Target) -> None:
        """Count one workload anew, by its incidents and its last look."""
        work = self._index.workload(target)
        ill = work is not None and work.uid in self._managed and (target in self._firing or self._has_an_incident(target))
        if ill == (target in self._ill):
            return
        (self._ill.add if ill else self._ill.discard)(target)
        self._ill_in[target.namespace] += 1 if ill else -1
        self.changed = True

    def _has_an_incident(self, target: Target) -> bool:
        return any(storm.is_ill(one) for one in self._records.incidents(target))

    def recount(self, targets: set[Target]) -> None:
        """Count these anew, and everything that counts as ill: what another copy wrote is heard of without a word to us."""
        for target in targets | self._ill:
            self.look_at(target)
        self.changed = True
