"""Which policies may be about a workload, found without holding every policy against it. What decides is said in core/matching.py."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from stopgap.api.clusterpolicy import Policy
from stopgap.core import matching
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.records import CLUSTER, Records
from stopgap.model.refs import PolicyRef, Target


class _Roster:
    """Policies arranged by something that each asks for: a name, or the one of its labels that the fewest others ask for."""

    __slots__ = ("_by_label", "_by_name", "policies")

    def __init__(self, policies: Iterable[Policy]) -> None:
        self.policies = tuple(policies)
        self._by_name: dict[str, list[Policy]] = defaultdict(list)
        self._by_label: dict[tuple[str, str], list[Policy]] = defaultdict(list)
        asked = Counter(pair for one in self.policies for pair in _labels(one))
        for one in self.policies:
            for name in set(one.spec.targets.names or ()):
                self._by_name[name].append(one)
            if pairs := _labels(one):
                self._by_label[min(pairs, key=lambda pair: (asked[pair], pair))].append(one)

    def candidates(self, name: str, labels: Mapping[str, str]) -> Iterator[Policy]:
        """Yield, once each, at least the policies that are about a workload."""
        yield from self._by_name.get(name, ())
        for pair in labels.items():
            yield from self._by_label.get(pair, ())


def _labels(policy: Policy) -> list[tuple[str, str]]:
    targets = policy.spec.targets
    return list(targets.selector.match_labels.items()) if targets.names is None and targets.selector else []


class Rosters:
    """The policies of each namespace, its own and the cluster's that select it, arranged once until one or a label changes."""

    def __init__(self, records: Records, namespaces: Namespaces) -> None:
        self.version = 0
        """Changes whenever a policy, the config or a namespace does."""
        self._records = records
        self._namespaces = namespaces
        self._own: dict[str, _Roster] = {}
        self._selecting: dict[str, _Roster] = {}
        # Most namespaces are selected by the same few policies as others are.
        self._shared: dict[tuple[str, ...], _Roster] = {}

    def deciding(self, target: Target, labels: Mapping[str, str], *, named: PolicyRef | None = None) -> Policy | None:
        """Return the policy that decides about a workload; where an incident names one, that one or none."""
        space = self._namespaces.labels(target.namespace)
        return matching.deciding(self._candidates(target, labels), target, labels, space=space, named=named)

    def fitting(self, target: Target, labels: Mapping[str, str]) -> list[Policy]:
        """Return every policy that is about a workload, the one with the first say first."""
        return matching.fitting(self._candidates(target, labels), target, labels, space=self._namespaces.labels(target.namespace))

    def selecting(self, namespace: str) -> tuple[Policy, ...]:
        """Return the cluster policies that select a namespace."""
        return self._selecting_roster(namespace).policies

    def forget(self, namespace: str) -> None:
        """Arrange anew: what is about this namespace changed, or what is about all of them (no namespace named)."""
        self.version += 1
        if namespace:
            self._own.pop(namespace, None)
            self._selecting.pop(namespace, None)
            return
        for each in (self._own, self._selecting, self._shared):
            each.clear()

    def _candidates(self, target: Target, labels: Mapping[str, str]) -> Iterator[Policy]:
        yield from self._own_roster(target.namespace).candidates(target.name, labels)
        yield from self._selecting_roster(target.namespace).candidates(target.name, labels)

    def _own_roster(self, namespace: str) -> _Roster:
        found = self._own.get(namespace)
        if found is None:
            policies = self._records.policies(namespace)
            found = self._own[namespace] = _Roster(policies) if policies else _NOBODY
        return found

    def _selecting_roster(self, namespace: str) -> _Roster:
        found = self._selecting.get(namespace)
        if found is None:
            space = self._namespaces.labels(namespace)
            policies = [one for one in self._records.policies(CLUSTER) if matching.selects(one, namespace, space)]
            names = tuple(one.metadata.name for one in policies)
            found = self._selecting[namespace] = self._shared.get(names) or self._shared.setdefault(names, _Roster(policies))
        return found


_NOBODY = _Roster(())
