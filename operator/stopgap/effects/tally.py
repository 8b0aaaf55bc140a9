"""Counts, one after the other, what a policy's status tells: workloads, namespaces, incidents and actions. Used by effects/policies.py."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from stopgap.api import Incident
from stopgap.api.clusterpolicy import Policy, called
from stopgap.core.case import Spent
from stopgap.core.standing import Overlap, Standing, Unread, held_back
from stopgap.model.refs import Target


class Tally:
    """One count of everything, by the UID of the policy."""

    def __init__(self) -> None:
        self._matched: Counter[str | None] = Counter()
        self._selected: Counter[str | None] = Counter()
        self._namespaces = 0
        self._open: Counter[str] = Counter()
        self._blocked: Counter[str] = Counter()
        self._acted: Counter[str] = Counter()
        self._unread: dict[str | None, Unread] = {}
        self._examples: dict[str | None, Target] = {}
        self._deciders: dict[str | None, Counter[str]] = defaultdict(Counter)

    def workload(self, target: Target, fitting: Iterable[Policy], decider: Policy | None) -> None:
        """Count a workload for every policy that is about it."""
        name = called(decider) if decider else ""
        for one in fitting:
            uid = one.metadata.uid
            self._matched[uid] += 1
            if decider is not None and one is not decider:
                self._deciders[uid][name] += 1
                # The first in order, so that the example does not change while the facts do not.
                self._examples[uid] = min(target, self._examples.get(uid, target))

    def unread(self, target: Target, decider: Policy, why: str) -> None:
        """Count a workload of which the policy that decides cannot read a signal."""
        uid = decider.metadata.uid
        before = self._unread.get(uid, Unread())
        first = before.example is None or target < before.example
        example, told = (target, why) if first else (before.example, before.why)
        self._unread[uid] = Unread(before.workloads + 1, example, told)

    def namespace(self, selecting: Iterable[Policy]) -> None:
        """Count a namespace for every cluster policy that selects it."""
        self._namespaces += 1
        self._selected.update(one.metadata.uid for one in selecting)

    def incident(self, incident: Incident) -> None:
        """Count an open incident for the policy that decides it."""
        ref = incident.status.policy_ref if incident.status else None
        if ref is not None:
            self._open[ref.uid] += 1
            self._blocked[ref.uid] += held_back(incident)

    def action(self, spent: Spent) -> None:
        """Count an action for the policy under which it was sent."""
        self._acted[spent.policy_uid] += 1

    def of(self, policy: Policy) -> Standing:
        """Return what was counted for a policy."""
        uid = policy.metadata.uid
        deciders = self._deciders.get(uid, Counter())
        return Standing(
            matched=self._matched[uid],
            overlap=Overlap(deciders.total(), self._examples.get(uid), deciders),
            unread=self._unread.get(uid, Unread()),
            namespaces=(self._selected[uid], self._namespaces),
            open_incidents=self._open[uid or ""],
            blocked_incidents=self._blocked[uid or ""],
            recent_actions=self._acted[uid or ""],
        )
