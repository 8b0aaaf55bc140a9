"""What always holds of who decides: one or none, the same in whatever order, and the same with the index as without it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import make_cluster_policy, make_policy

from stopgap.api import ClusterRemediationPolicy, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.core.matching import deciding, fault, fitting, matches, precedence
from stopgap.effects import wire
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.model.refs import Target

SPACES = {"shop": {"stage": "live"}, "desk": {"stage": "live", "team": "a"}, "lab": {}}
some_labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), max_size=2)
asked_labels = st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), min_size=1, max_size=2)
targets = st.one_of(
    st.lists(st.sampled_from(["api", "web", "job"]), min_size=1, max_size=3).map(lambda names: {"names": names}),
    asked_labels.map(lambda labels: {"selector": {"matchLabels": labels}}),
)
health = st.sampled_from([{"healthyFor": "1m", "timeout": "10m"}, {"healthyFor": "1h", "timeout": "1m"}])


def named(policy: Policy, name: str, namespace: str | None) -> Policy:
    meta = {"name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "resource_version": "1"}
    return policy.model_copy(update={"metadata": policy.metadata.model_copy(update=meta)})


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    spec: dict[str, Any] = {"targets": draw(targets), "verification": draw(health)}
    name = draw(st.sampled_from("uvwxyz"))
    if draw(st.booleans()):
        return named(make_policy(**spec), name, draw(st.sampled_from(sorted(SPACES))))
    wanted = draw(st.sampled_from([{"stage": "live"}, {"team": "a"}, {"stage": "live", "team": "a"}, {"nobody": "has"}]))
    return named(make_cluster_policy(namespaceSelector={"matchLabels": wanted}, **spec), name, None)


sets = st.lists(policies(), max_size=8, unique_by=lambda one: (one.kind, one.metadata.namespace, one.metadata.name))
workloads = st.builds(Target, st.sampled_from(sorted(SPACES)), st.just("Deployment"), st.sampled_from(["api", "web", "job"]))


@given(sets, workloads, some_labels, st.randoms())
def test_exactly_one_of_those_that_can_decides(declared: list[Policy], target: Target, labels: dict[str, str], chance: Any) -> None:
    space = SPACES[target.namespace]
    able = [one for one in declared if matches(one, target, labels, space=space) and fault(one) is None]
    decided = deciding(declared, target, labels, space=space)
    assert (decided is None) == (not able)
    assert [one for one in able if one is decided] == ([decided] if able else [])
    assert all(decided is one or precedence(one) > precedence(decided) for one in able if decided)
    if any(isinstance(one, RemediationPolicy) for one in able):
        assert isinstance(decided, RemediationPolicy)
    shuffled = list(declared)
    chance.shuffle(shuffled)
    assert deciding(shuffled, target, labels, space=space) is decided


@given(sets, workloads, some_labels)
def test_the_index_of_policies_finds_what_holding_every_policy_against_the_workload_would_find(
    declared: list[Policy], target: Target, labels: dict[str, str]
) -> None:
    rosters = arranged(declared)
    space = SPACES[target.namespace]
    assert names(rosters.fitting(target, labels)) == names(fitting(declared, target, labels, space=space))
    one, other = rosters.deciding(target, labels), deciding(declared, target, labels, space=space)
    assert names([one] if one else []) == names([other] if other else [])


def arranged(declared: list[Policy]) -> Rosters:
    records = Records(lambda _: None, lambda _: None)
    namespaces = Namespaces(lambda _: None)
    for name, labels in SPACES.items():
        namespaces.put(wire.Namespace(wire.NamespaceMeta(name, f"{name}-uid", "1", labels)))
    for one in declared:
        kind = ClusterRemediationPolicy if isinstance(one, ClusterRemediationPolicy) else RemediationPolicy
        records.take(kind, one.model_dump(mode="json", by_alias=True, exclude_none=True))
    return Rosters(records, namespaces)


def names(found: list[Policy]) -> list[tuple[str, str | None]]:
    return [(one.metadata.name, one.metadata.namespace) for one in found]
