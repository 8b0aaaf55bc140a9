"""The samples of patches on a real API server: each object is changed by one write, and put back exactly by another."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.harness import LAST_ACTION, OWN_NAMESPACE, ROOT, Shop, config, wait_for
from tests.cluster.running import operator, shop

pytestmark = pytest.mark.cluster
__all__ = ["operator", "shop"]

SAMPLES = {
    one["metadata"]["name"]: one
    for one in yaml.safe_load_all((ROOT / "manifests" / "samples" / "patches.yaml").read_text(encoding="utf-8"))
}
SPECS: dict[str, Any] = {
    "destinationrules": {"host": "reviews", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}},
    "virtualservices": {"hosts": ["recommendations"], "http": [{"route": [{"destination": {"host": "recommendations", "subset": "v1"}}]}]},
    "featureflags": {"flagSpec": {"flags": {"new-checkout": {"state": "ENABLED", "variants": {"on": True}}}}},
    "scaledobjects": {"scaleTargetRef": {"name": "worker"}, "minReplicaCount": 1},
    "clusters": {"instances": 3, "storage": {"size": "1Gi"}},
    "rollouts": {"workloadRef": {"kind": "Deployment", "name": "frontend"}},
}
"""What is there before, of each kind that a sample changes; the NetworkPolicy is not there."""


@pytest.fixture(scope="module", autouse=True)
def _kinds(control_plane: Cluster) -> Iterator[None]:
    """Install the kinds of others, and take them away again: elsewhere they are not installed."""
    files = [word for name in ("patched", "scaledobjects") for word in ("-f", str(Path(__file__).parent / "crds" / f"{name}.yaml"))]
    control_plane.kubectl("apply", *files)
    control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    yield
    control_plane.kubectl("delete", "--wait=false", *files)


def changed_by(sample: dict[str, Any]) -> dict[str, Any]:
    """Return what the only step of a sample patches."""
    found: dict[str, Any] = sample["spec"]["steps"][0]["patch"]["objectRef"]
    return found


def grant(shop: Shop) -> None:
    """Let Stopgap patch the kinds of the samples."""
    refs = [changed_by(one) for one in SAMPLES.values()]
    resources = [part for one in refs for part in (one["resource"], f"{one['resource']}/status")]
    groups = sorted({one["apiVersion"].partition("/")[0] for one in refs})
    rule = {"apiGroups": groups, "resources": resources, "verbs": ["get", "create", "patch", "delete"]}
    shop.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "patches"}, "rules": [rule]})
    shop.kubectl("create", "rolebinding", "patches", "--role=patches", f"--serviceaccount={OWN_NAMESPACE}:stopgap")


def at_work(shop: Shop) -> None:
    """Bring up one workload for each sample, and what the sample changes, under the sample as it is but for its mode and its times."""
    grant(shop)
    for name, sample in SAMPLES.items():
        ref, (workload,) = changed_by(sample), sample["spec"]["targets"]["names"]
        if ref["resource"] in SPECS:
            meta = {"name": ref["name"], "annotations": {"owner": "team"}}
            shop.apply({"apiVersion": ref["apiVersion"], "kind": ref["kind"], "metadata": meta, "spec": SPECS[ref["resource"]]})
        spec = {**sample["spec"], "mode": "Automatic", "verification": {"healthyFor": "1s"}}
        shop.apply({**sample, "metadata": {"name": name}, "spec": spec})
        shop.deploy(name=workload, replicas=1)
    wait_for("they are well", lambda: all(one.get("status", {}).get("availableReplicas") == 1 for one in shop.items("deployments")))


def order(shop: Shop, sample: dict[str, Any]) -> None:
    """Order the sample's step, as a person may: nothing has to be ill for that."""
    (workload,), step = sample["spec"]["targets"]["names"], sample["spec"]["steps"][0]["name"]
    spec = {"title": "drill", "targetRef": {"name": workload}, "mitigate": {"step": step, "requestID": "1"}}
    shop.apply({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": {"name": f"drill-{workload}"}, "spec": spec})


def found(shop: Shop, sample: dict[str, Any]) -> dict[str, Any]:
    ref = changed_by(sample)
    return shop.get(f"{ref['resource']}.{ref['apiVersion'].partition('/')[0]}", ref["name"])


def test_every_sample_changes_its_object_by_one_write_and_puts_it_back_exactly(shop: Shop) -> None:
    with config(shop.plane, stormBreaker={"maxUnverifiedActions": 20}, budgets={"perNamespace": {"count": 20, "within": "1h"}}):
        at_work(shop)
        for sample in SAMPLES.values():
            order(shop, sample)
        done = wait_for("all are done", lambda: all_in(shop, {"Succeeded", "Inconclusive"}))
        changed = {name: found(shop, sample) for name, sample in SAMPLES.items()}

        assert changed["eject-bad-hosts"]["spec"]["trafficPolicy"]["outlierDetection"]["consecutive5xxErrors"] == 5
        assert changed["fail-fast"]["spec"]["http"][0]["fault"]["abort"]["httpStatus"] == 503
        assert changed["quarantine"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        flag = changed["flag-by-openfeature"]["spec"]["flagSpec"]["flags"]["new-checkout"]
        assert flag == {"state": "DISABLED", "variants": {"on": True}}
        assert changed["pause-keda"]["metadata"]["annotations"]["autoscaling.keda.sh/paused"] == "true"
        assert changed["more-read-replicas"]["spec"]["instances"] == 5
        assert changed["abort-canary"]["status"]["abort"] is True
        uids = {one["spec"]["targetRef"]["name"]: one["metadata"]["uid"] for one in done}
        for name, sample in SAMPLES.items():
            if name != "abort-canary":
                marks = changed[name]["metadata"]["annotations"]
                assert (
                    marks[LAST_ACTION]
                    == json.loads(marks["stopgap.dev/restore"])["remediationUID"]
                    == uids[sample["spec"]["targets"]["names"][0]]
                )

        shop.kubectl("delete", "rpol", "--all")
        shop.kubectl("annotate", "rem", "--all", "stopgap.dev/revert=now")
        wait_for("all are put back", lambda: all(one["status"]["revert"]["state"] == "Done" for one in shop.items("remediations")))
        put_back(shop)


def all_in(shop: Shop, states: set[str]) -> list[dict[str, Any]]:
    every = shop.items("remediations")
    there = len(every) == len(SAMPLES) and all(one.get("status", {}).get("state") in states for one in every)
    return every if there else []


def put_back(shop: Shop) -> None:
    """Judge that everything is as it was, by one write each way, and that nobody meets a conflict because of us."""
    for name, sample in SAMPLES.items():
        ref = changed_by(sample)
        writes = [one for one in shop.writes() if one["objectRef"]["resource"] == ref["resource"] and not _gives_back(one)]
        assert [one["verb"] for one in writes] == (["create", "delete"] if name == "quarantine" else ["patch", "patch"]), name
        if name == "quarantine":
            assert shop.items("networkpolicies") == []
            continue
        wait_for("the fields are given back", lambda: "stopgap" not in managers(found(shop, sample)))  # noqa: B023 - asked at once
        after = found(shop, sample)
        assert after["spec"] == SPECS[ref["resource"]]
        assert {"abort"} & after.get("status", {}).keys() == set()
        assert set(after["metadata"]["annotations"]) <= {"owner", LAST_ACTION}


def _gives_back(entry: dict[str, Any]) -> bool:
    return isinstance(entry["requestObject"], list)


def managers(body: dict[str, Any]) -> list[str]:
    """Return who owns fields of an object."""
    return [one["manager"] for one in body["metadata"]["managedFields"]]
