"""Who decides where policies of both kinds are about the same workload."""

from itertools import combinations
from typing import Any, Literal

import pytest
from tests.conftest import TARGET, make_cluster_policy, make_policy

from stopgap.api.clusterpolicy import ClusterRemediationPolicy, Policy, called
from stopgap.core.matching import deciding, fitting, matches, reference, selects
from stopgap.model.refs import PolicyRef

LABELS = {"app": "api", "tier": "web"}
LIVE = {"stage": "live", "kubernetes.io/metadata.name": "shop"}


def own(name: str = "web", **spec: Any) -> Policy:
    policy = make_policy(**spec)
    return policy.model_copy(update={"metadata": policy.metadata.model_copy(update={"name": name, "uid": name})})


BY_NAME, BY_LABEL = {"names": ["api"]}, {"selector": {"matchLabels": {"app": "api"}}}
RANKED = {
    "of the namespace by name": own("m", targets=BY_NAME),
    "of the namespace by name, later in the alphabet": own("n", targets=BY_NAME),
    "of the namespace by label": own("b", targets=BY_LABEL),
    "of the namespace by label, later in the alphabet": own("c", targets=BY_LABEL),
    "of the cluster by name": make_cluster_policy("k", targets=BY_NAME),
    "of the cluster by name, later in the alphabet": make_cluster_policy("l", targets=BY_NAME),
    "of the cluster by label": make_cluster_policy("a", targets=BY_LABEL),
    "of the cluster by label, later in the alphabet": make_cluster_policy("z", targets=BY_LABEL),
}
PAIRS = [pytest.param(RANKED[one], RANKED[two], id=f"{one} before {two}") for one, two in combinations(RANKED, 2)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_policies_one_decides_in_whatever_order_they_come(first: Policy, second: Policy) -> None:
    assert deciding([first, second], TARGET, LABELS, space=LIVE) is first
    assert deciding([second, first], TARGET, LABELS, space=LIVE) is first


def test_all_of_them_are_told_in_the_order_of_their_say() -> None:
    assert fitting(reversed(RANKED.values()), TARGET, LABELS, space=LIVE) == list(RANKED.values())


def test_a_bolder_mode_gives_no_say() -> None:
    careful, bold = own(mode="Observe"), make_cluster_policy(mode="Automatic")
    assert deciding([bold, careful], TARGET, LABELS, space=LIVE) is careful


def test_where_the_policy_of_the_namespace_cannot_work_the_cluster_policy_decides() -> None:
    broken, base = own(verification={"healthyFor": "1h", "timeout": "1m"}), make_cluster_policy()
    assert deciding([broken, base], TARGET, LABELS, space=LIVE) is base
    assert fitting([broken, base], TARGET, LABELS, space=LIVE) == [broken, base]


def test_a_cluster_policy_that_cannot_work_disturbs_no_other() -> None:
    broken = make_cluster_policy("a", verification={"healthyFor": "1h", "timeout": "1m"})
    working = make_cluster_policy("b")
    assert deciding([broken, working], TARGET, LABELS, space=LIVE) is working


@pytest.mark.parametrize(
    ("wanted", "space", "is_meant"),
    [
        pytest.param({"stage": "live"}, LIVE, True, id="by a label"),
        pytest.param({"stage": "live", "team": "a"}, LIVE, False, id="not by some of several labels"),
        pytest.param({"stage": "test"}, LIVE, False, id="not by another value"),
        pytest.param({"kubernetes.io/metadata.name": "shop"}, LIVE, True, id="by its own name"),
        pytest.param({"stage": "live"}, {}, False, id="not without labels"),
        pytest.param({"stage": "live"}, None, False, id="not while its labels are not known"),
    ],
)
def test_a_cluster_policy_is_about_the_namespaces_with_all_of_its_labels(
    wanted: dict[str, str], space: dict[str, str] | None, *, is_meant: bool
) -> None:
    policy = make_cluster_policy(namespaceSelector={"matchLabels": wanted})
    assert selects(policy, "shop", space) is is_meant
    assert matches(policy, TARGET, LABELS, space=space) is is_meant


def test_in_a_namespace_that_it_selects_it_is_about_its_targets_only() -> None:
    assert not matches(make_cluster_policy(targets={"names": ["other"]}), TARGET, LABELS, space=LIVE)


def test_a_selector_that_lost_its_labels_on_the_way_selects_nothing() -> None:
    policy = make_cluster_policy()
    empty = policy.spec.namespace_selector.model_copy(update={"match_labels": {}})
    policy = policy.model_copy(update={"spec": policy.spec.model_copy(update={"namespace_selector": empty})})
    assert not selects(policy, "shop", LIVE)


@pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}], ids=["no labels", "an empty map of labels"])
def test_a_selector_of_everything_is_refused(selector: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="matchLabels"):
        make_cluster_policy(namespaceSelector=selector)


@pytest.mark.parametrize("kind", ["RemediationPolicy", "ClusterRemediationPolicy"])
def test_an_incident_that_names_a_policy_names_its_kind_too(kind: Literal["RemediationPolicy", "ClusterRemediationPolicy"]) -> None:
    both = [own("base"), make_cluster_policy("base")]
    decided = deciding(both, TARGET, LABELS, space=LIVE, named=PolicyRef(kind=kind, name="base"))
    assert decided is not None
    assert decided.kind == kind


def test_the_records_keep_which_kind_decided() -> None:
    assert reference(make_policy()).kind == "RemediationPolicy"
    kept = reference(make_cluster_policy())
    assert (kept.kind, kept.name, kept.uid, kept.generation) == (ClusterRemediationPolicy.__name__, "base", "base-uid", 1)


def test_a_person_reads_which_kind_it_is() -> None:
    assert (called(make_policy()), called(make_cluster_policy())) == ("policy web", "cluster policy base")
