"""Incidents are looked into: after the act and never before it, and for people as for signals."""

from typing import Any

import pytest
import yaml
from tests.cluster.harness import KNOWN_GOOD_AFTER, OWN_NAMESPACE, ROOT, USER, Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, QUIETLY_BAD = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.0"
CONFIGURED = {
    "metadata": {"labels": {"app": "api"}, "annotations": {"stopgap.dev/lingers": "2s"}},
    "spec": {"containers": [{"name": "app", "image": GOOD}], "volumes": [{"name": "c", "configMap": {"name": "settings"}}]},
}
"""A template that needs a ConfigMap, and whose pods do not vanish before anybody could read what they wrote."""


def evidence(shop: Shop, name: str = "") -> dict[str, str]:
    """Wait until an incident was looked into, and return what was found by its source."""

    def found() -> dict[str, str]:
        return {one["source"]: one["message"] for one in shop.incident(name=name).get("status", {}).get("evidence", [])}

    return wait_for("the evidence", found, seconds=20)


def order_of(shop: Shop, *wanted: str) -> list[str]:
    """What Stopgap asked for here, in order, each resource at its first time."""
    asked = (
        f"{one['verb']} {one['objectRef']['resource']}{'/' + sub if (sub := one['objectRef'].get('subresource')) else ''}"
        for one in shop.plane.audit()
        if one.get("user", {}).get("username") == USER and one.get("objectRef", {}).get("namespace") == shop.name
    )
    return [one for one in dict.fromkeys(asked) if one in wanted]


def warning(about: dict[str, Any]) -> dict[str, Any]:
    """An event as a controller would post it about the workload."""
    meta = about["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "api.warned", "namespace": meta["namespace"]},
        "eventTime": "2026-11-23T10:00:00.000000Z",
        "reportingController": "example.com/controller",
        "reportingInstance": "one",
        "action": "Warn",
        "reason": "QuotaNearlyUsed",
        "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": meta["namespace"], "name": "api", "uid": meta["uid"]},
        "note": "token=hunter2 is not to be told",
        "type": "Warning",
    }


def test_a_crash_loop_is_mitigated_first_and_looked_into_beside_it(shop: Shop) -> None:
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-configmaps", "--clusterrole=stopgap-triage-configmaps", who)
    shop.kubectl("create", "configmap", "settings", "--from-literal=db=one")
    shop.policy(severity={"default": "P1"})
    shop.deploy(GOOD, template=CONFIGURED)
    shop.settle()
    shop.apply(warning(shop.get("deployment", "api")))
    shop.kubectl("patch", "configmap", "settings", "-p", '{"data":{"db":"two"}}', "--field-manager=ana")
    shop.deploy(GOOD, name="cart", replicas=1)
    shop.release(BAD)

    shop.incident(phase="Mitigated")
    found = evidence(shop)
    assert found["Container"].startswith("container app of revision 2 fails in ")
    assert "exit code 1" in found["Container"]
    assert "of the run before of" in found["Logs"]
    assert "'ERROR db: connection refused'" in found["Logs"]
    assert "QuotaNearlyUsed 1 times" in found["Events"]
    assert "hunter2" not in str(found)
    assert "on node sim-" in found["Nodes"] or "nodes: sim-" in found["Nodes"]
    assert f"2: app={BAD}; current at onset since" in found["Rollout"]
    assert f"1: app={GOOD}" in found["Rollout"]
    assert "configmap/settings was changed" in found["Changes"]
    assert "by ana" in found["Changes"]
    assert "deployment/cart rolled out revision 1" in found["Changes"]
    wanted = ("create remediations", "patch deployments", "get pods/log", "list events", "get nodes", "get configmaps")
    order = order_of(shop, *wanted)
    assert order[:2] == ["create remediations", "patch deployments"]
    assert {"get pods/log", "list events", "get configmaps"} <= set(order[2:])
    assert len(shop.deployment_writes()[0]) == 1


def test_what_a_person_reports_is_looked_into_and_a_recent_deploy_is_rolled_back(shop: Shop) -> None:
    """The sample, with shorter times: pods that are ready and answer with errors, so that no signal fires."""
    text = (ROOT / "manifests" / "samples" / "api-500s.yaml").read_text().replace("namespace: shop", f"namespace: {shop.name}")
    text = text.replace("minHealthyFor: 5m", f"minHealthyFor: {KNOWN_GOOD_AFTER}s").replace("within: 1m", "within: 1s, interval: 1s")
    policy, incident = yaml.safe_load_all(text)
    shop.apply({**policy, "spec": {**policy["spec"], "verification": {"healthyFor": "1s", "timeout": "60s"}}})
    shop.deploy(GOOD)
    shop.settle()
    shop.release(QUIETLY_BAD)
    shop.settle()
    shop.apply(incident)

    wait_for("it is rolled back", lambda: shop.image() == GOOD, seconds=20)
    found = evidence(shop, "api-500s")
    assert "no container fails" in found["Pods"]
    assert "'ERROR db: connection refused'" in found["Logs"]
    assert f"2: app={QUIETLY_BAD}; current at onset" in found["Rollout"]
    told = shop.incident(name="api-500s", phase="Escalated", seconds=30)["status"]
    assert told["suspectedChange"]["images"] == [f"app: {GOOD} → {QUIETLY_BAD}"]
    assert told["suspectedChange"]["by"] == "kubectl-set"
    assert "judge by hand" in str(told["conditions"])
    assert "(when it was reported)" in told["update"]

    shop.kubectl("patch", "incident", "api-500s", "--type=merge", "-p", '{"spec":{"resolution":"Resolved","acknowledgedBy":"ana"}}')
    closed = shop.incident(name="api-500s", phase="Resolved", seconds=20)["status"]
    assert [one["type"] for one in closed["timeline"]][-1] == "Resolved"
    assert len(shop.deployment_writes()[0]) == 1
