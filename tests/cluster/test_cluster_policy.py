"""A cluster policy acts where a namespace is labelled for it, and nowhere else; a namespace's own policy decides before it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.harness import OWN_NAMESPACE, ROOT, Operator, Shop, cluster_policy, wait_for

from stopgap.codegen.rbac import render_rbac

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
Declare = Callable[..., dict[str, str]]


@pytest.fixture
def declare(control_plane: Cluster, shop: Shop) -> Iterator[Declare]:
    """Declare a cluster policy for a label that only this test's namespaces carry, and take it away afterwards."""
    mine = {"stopgap-test": shop.name}
    name = f"base-{shop.name}"

    def apply(**spec: Any) -> dict[str, str]:
        control_plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(cluster_policy(name, mine, **spec)))
        return mine

    yield apply
    control_plane.kubectl("delete", "crpol", name, "--ignore-not-found")


@pytest.fixture
def next_door(control_plane: Cluster, shop: Shop) -> Iterator[Shop]:
    """Another namespace, whose owner allows the action too."""
    made = Shop(control_plane, f"{shop.name}-next").create()
    yield made
    made.leave()


def label(shop: Shop, labels: dict[str, str]) -> None:
    shop.plane.kubectl("label", "namespace", shop.name, *(f"{key}={value}" for key, value in labels.items()))


def status_of(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = shop.plane.get("crpol", f"base-{shop.name}").get("status", {})
    return found


def conditions_of(shop: Shop) -> dict[str, dict[str, str]]:
    return {one["type"]: one for one in status_of(shop).get("conditions", [])}


def test_it_rolls_back_where_the_namespace_is_labelled_and_touches_nothing_next_door(shop: Shop, next_door: Shop, declare: Declare) -> None:
    label(shop, declare())
    for each in (shop, next_door):
        each.deploy(GOOD)
    for each in (shop, next_door):
        each.settle()
        each.release(BAD)
    resolved = shop.incident(phase="Resolved")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    policy = shop.plane.get("crpol", f"base-{shop.name}")
    wanted = {"kind": "ClusterRemediationPolicy", "name": policy["metadata"]["name"], "uid": policy["metadata"]["uid"], "generation": 1}
    assert resolved["status"]["policyRef"] == wanted
    (remediation,) = shop.items("remediations")
    assert remediation["spec"]["policyRef"] == wanted
    assert next_door.items("incidents") == []
    assert next_door.image() == BAD
    assert list(next_door.writes()) == []


def test_a_policy_of_the_namespace_in_observe_decides_before_a_cluster_policy_in_automatic(shop: Shop, declare: Declare) -> None:
    label(shop, declare())
    shop.deploy(GOOD)
    shop.deploy(GOOD, name="desk")
    shop.settle()
    shop.policy(mode="Observe", targets={"names": ["api"]})
    wait_for("it says that it overlaps", lambda: conditions_of(shop).get("Overlapping", {}).get("status") == "True")
    overlapping = conditions_of(shop)["Overlapping"]
    assert overlapping["message"] == f"policy web decides about 1 of its 2 workloads instead, such as deployment/api in {shop.name}"
    assert status_of(shop)["matchedWorkloads"] == 2
    shop.release(BAD)
    assert list(shop.refusals(reason="ObserveOnly")) == ["ObserveOnly"]
    assert shop.incident(phase="Triaged")["status"]["policyRef"]["kind"] == "RemediationPolicy"
    assert shop.deployment_writes() == ([], [])
    shop.kubectl("delete", "rpol", "web")
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    (remediation,) = shop.items("remediations")
    assert remediation["spec"]["policyRef"]["kind"] == "ClusterRemediationPolicy"
    wait_for("it overlaps no more", lambda: conditions_of(shop)["Overlapping"]["status"] == "False")


def test_a_namespace_that_is_labelled_later_is_meant_from_then_on(shop: Shop, declare: Declare) -> None:
    mine = declare()
    wait_for("it is judged", lambda: "Ready" in conditions_of(shop))
    ready = conditions_of(shop)["Ready"]
    assert ready["status"] == "True"
    assert ready["message"] == "Automatic: it is about 0 workloads; no namespace has the labels of spec.namespaceSelector"
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    wait_for("it has crashed often", lambda: any(restarts(pod) >= 3 for pod in shop.items("pods")))
    assert shop.items("incidents") == []
    label(shop, mine)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD


def restarts(pod: dict[str, Any]) -> int:
    return max((int(one["restartCount"]) for one in pod["status"].get("containerStatuses", [])), default=0)


def test_a_pause_of_the_namespace_holds_it_back_and_its_end_lets_it_act(shop: Shop, declare: Declare) -> None:
    label(shop, declare())
    shop.deploy(GOOD)
    shop.settle()
    shop.plane.kubectl("annotate", "namespace", shop.name, "stopgap.dev/pause=db upgrade")
    shop.release(BAD)
    assert "db upgrade" in shop.refusals(reason="Paused")["Paused"]
    shop.plane.kubectl("annotate", "namespace", shop.name, "stopgap.dev/pause-")
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("selector", [None, {}, {"matchLabels": {}}], ids=["no selector", "an empty one", "no label in it"])
def test_the_api_server_refuses_a_selector_that_would_mean_everything(control_plane: Cluster, selector: dict[str, Any] | None) -> None:
    body = cluster_policy("everything", {})
    body["spec"]["namespaceSelector"] = selector
    with pytest.raises(KubectlError, match="namespaceSelector"):
        control_plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))


@pytest.mark.usefixtures("operator")
def test_the_sample_is_taken_as_it_is(control_plane: Cluster) -> None:
    sample = ROOT / "manifests" / "samples" / "cluster-policy.yaml"
    assert "base serverside-applied" in control_plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", sample
    )


def install_inside(plane: Cluster, namespace: str, own: str) -> None:
    """Install as `render_rbac` says for one namespace, under names that the installation for the whole cluster does not use."""
    role = f"stopgap-{own}"
    text = render_rbac([namespace]).replace(OWN_NAMESPACE, own)
    found = [one for one in yaml.safe_load_all(text) if one["metadata"]["name"] in {own, "stopgap", "stopgap-watch"}]
    for one in found:
        if one["kind"] == "ClusterRole":
            one["metadata"]["name"] = role
        elif one.get("roleRef", {}).get("kind") == "ClusterRole":
            one["roleRef"]["name"] = role
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(found))


def admit(plane: Cluster, own: str = OWN_NAMESPACE) -> None:
    """Have the admission policies take the ServiceAccount of this namespace for Stopgap's."""
    for path in sorted((ROOT / "manifests" / "admission").glob("*.yaml")):
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=path.read_text().replace(OWN_NAMESPACE, own))


def test_an_installation_for_one_namespace_ignores_it_with_rights_in_that_namespace_only(
    control_plane: Cluster, shop: Shop, declare: Declare, operator: Operator, tmp_path: Path
) -> None:
    own = f"{shop.name}-own"
    label(shop, declare())
    install_inside(control_plane, shop.name, own)
    operator.stop()
    admit(control_plane, own)
    arguments = ("--namespace", shop.name)
    alone = Operator(control_plane, tmp_path, arguments=arguments, own_namespace=own, name="inside").start()
    try:
        shop.deploy(GOOD)
        shop.settle()
        shop.policy("web", mode="Observe", targets={"names": ["another"]})
        shop.release(BAD)
        wait_for("it has crashed often", lambda: any(restarts(pod) >= 3 for pod in shop.items("pods")))
        assert shop.items("incidents") == []
        shop.policy("web", mode="Observe")
        assert "ObserveOnly" in shop.refusals(reason="ObserveOnly")
    finally:
        alone.stop()
        admit(control_plane)
        operator.start()
    lines = [json.loads(line) for line in alone.log_file.read_text().splitlines() if line.startswith("{")]
    said = [line["message"] for line in lines if "ClusterRemediationPolicies" in line["message"]]
    assert said == ["ClusterRemediationPolicies are ignored: this copy is for some namespaces only"]
    assert not [line for line in lines if "forbidden" in str(line).lower()]
    assert alone.errors() == []
