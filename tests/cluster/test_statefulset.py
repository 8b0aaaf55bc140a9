"""StatefulSets on a real API server with the real controller: seen, scaled, restarted and gone back with, by one guarded write each."""

import json
from typing import Any

import pytest
import yaml
from tests.cluster.harness import LAST_ACTION, USER, Shop, policy, wait_for
from tests.cluster.reading import finding, told, wait_for_remediation
from tests.cluster.test_admission import as_user, grant, incident, may
from tests.cluster.test_scaling import DOWN, MORE, RESTORE, allow, recover

pytestmark = pytest.mark.cluster

ABOUT = {"kinds": ["StatefulSet"], "selector": {"matchLabels": {"tier": "web"}}}
UNDO = {"name": "undo", "when": {"triggers": ["crash"]}, "rollback": {"minHealthyFor": "2s"}}
CRASH = {"name": "crash", "crashLoop": {"exits": 3}}
KICK = {"name": "kick", "when": {"triggers": ["down"]}, "restart": {}}


def stateful_set(shop: Shop, image: str = "shop/api:1.0", *, parallel: bool = True, **more: Any) -> None:
    """Apply a StatefulSet of three pods with the label `tier: web`."""
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "app", "image": image}]}}
    spec = {
        "replicas": 3,
        "serviceName": "api",
        "podManagementPolicy": "Parallel" if parallel else "OrderedReady",
        "selector": {"matchLabels": {"app": "api"}},
        "template": template,
        **more,
    }
    shop.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "api", "labels": {"tier": "web"}}, "spec": spec})


def prepare(shop: Shop, step: dict[str, Any], *, trigger: dict[str, Any] = DOWN, parallel: bool = True, **more: Any) -> None:
    """Bring up three healthy pods under a policy with this one step, allowed to do it."""
    allow(shop, "scale", "restart")
    shop.policy(targets=ABOUT, triggers=[trigger], steps=[step])
    stateful_set(shop, parallel=parallel, **more)
    wait_for("three are available", lambda: shop.get("statefulset", "api").get("status", {}).get("availableReplicas") == 3)


def fall_ill(shop: Shop, ordinal: int) -> str:
    """Make one pod crash, and return its name."""
    shop.kubectl("annotate", "pod", f"api-{ordinal}", "stopgap.dev/simulate=crash")
    return f"api-{ordinal}"


def replicas(shop: Shop) -> int:
    """Return the wanted replicas."""
    found: int = shop.get("statefulset", "api")["spec"]["replicas"]
    return found


def break_two(shop: Shop) -> None:
    """Release what crashes, and have a second pod made of it while the first one holds the rollout up."""
    before = shop.get("pod", "api-2")["metadata"]["uid"]
    shop.kubectl("set", "image", "statefulset/api", "app=shop/api:2.0-crash")
    wait_for("the first is replaced", lambda: before not in {one["metadata"]["uid"] for one in shop.items("pods")})
    recover(shop, "api-1")


def pods_deleted(shop: Shop) -> list[tuple[str, str]]:
    """Return the pods that Stopgap deleted, in order: name, and the UID that it insisted on."""
    return [
        (entry["objectRef"]["name"], entry["requestObject"]["preconditions"]["uid"])
        for entry in shop.writes()
        if (entry["verb"], entry["objectRef"]["resource"]) == ("delete", "pods")
    ]


def managers(shop: Shop, kind: str = "statefulset") -> list[str]:
    """Return who owns fields of it."""
    return [one["manager"] for one in shop.get(kind, "api")["metadata"]["managedFields"]]


def test_replicas_are_raised_while_too_few_are_available_and_put_back_before_the_incident_is_over(shop: Shop) -> None:
    prepare(shop, MORE)
    pod = fall_ill(shop, 0)
    wait_for("five are wanted", lambda: replicas(shop) == 5)
    raised = shop.get("statefulset", "api")["metadata"]["annotations"]
    (remediation,) = shop.items("remediations")
    assert remediation["spec"]["targetRef"]["kind"] == "StatefulSet"
    assert raised[LAST_ACTION] == remediation["metadata"]["uid"]
    assert json.loads(raised[RESTORE])["before"] == 3
    recover(shop, pod)
    resolved = shop.incident(phase="Resolved")

    after = shop.get("statefulset", "api")
    assert after["spec"]["replicas"] == 3
    assert RESTORE not in after["metadata"]["annotations"]
    assert told(resolved) == ["Detected", "Unavailable", "Executed", "Mitigated", "Restored", "Resolved"]
    spec, _ = shop.writes_to("statefulsets")
    assert len(spec) == 2
    assert shop.foreign_writes() == []
    wait_for("the fields are given back", lambda: "stopgap" not in managers(shop))


def test_a_release_that_crashes_is_gone_back_from_and_the_pods_that_hold_it_up_are_deleted_one_by_one(shop: Shop) -> None:
    prepare(shop, UNDO, trigger=CRASH, parallel=False, updateStrategy={"rollingUpdate": {"partition": 1}})
    shop.settle(kind="statefulset")
    healthy = shop.get("pod", "api-0")["metadata"]["uid"]
    break_two(shop)
    remediation = wait_for_remediation(shop, "Verifying")
    seen = shop.incident()
    assert finding(seen, "crash")["type"] == "CrashLoop"
    assert seen["status"]["suspectedChange"]["images"] == ["app: shop/api:1.0 → shop/api:2.0-crash"]
    assert remediation["spec"]["plan"]["summary"].startswith("roll back 2 → 1, last known healthy")
    assert "then deleted one at a time (OrderedReady)" in remediation["spec"]["plan"]["summary"]

    resolved = shop.incident(phase="Resolved")
    assert told(resolved) == ["Detected", "CrashLoop", "Executed", "PodDeleted", "PodDeleted", "Mitigated", "Resolved"]
    assert {one["spec"]["containers"][0]["image"] for one in shop.items("pods")} == {"shop/api:1.0"}
    assert shop.get("pod", "api-0")["metadata"]["uid"] == healthy
    (write,), _ = shop.writes_to("statefulsets")
    assert [one["path"] for one in write["requestObject"] if one["path"].startswith("/spec")] == ["/spec/template"]
    replaced = shop.items("remediations")[0]["status"]["replaced"]
    assert [(one["pod"], one["uid"]) for one in replaced] == pods_deleted(shop)
    assert [one["pod"] for one in replaced] == ["api-1", "api-2"]


def test_where_people_replace_the_pods_nothing_is_written_and_none_is_deleted(shop: Shop) -> None:
    prepare(shop, UNDO, trigger=CRASH, parallel=False, updateStrategy={"type": "OnDelete"})
    shop.settle(kind="statefulset")
    shop.kubectl("set", "image", "statefulset/api", "app=shop/api:2.0-crash")
    recover(shop, "api-2")
    refusals = shop.refusals(reason="NoRollingUpdate")
    assert "updateStrategy OnDelete" in refusals["NoRollingUpdate"]
    assert shop.writes_to("statefulsets") == ([], [])
    assert pods_deleted(shop) == []


def test_pods_that_wait_for_a_broken_one_are_neither_added_nor_restarted(shop: Shop) -> None:
    prepare(shop, MORE, parallel=False)
    pod = fall_ill(shop, 0)
    refusals = shop.refusals(reason="OrderedReady")
    assert f"kubectl delete pod {pod} -n {shop.name}" in refusals["OrderedReady"]
    assert shop.writes_to("statefulsets") == ([], [])


def test_every_pod_is_restarted_once_as_kubectl_does(shop: Shop) -> None:
    prepare(shop, KICK)
    before = {one["metadata"]["uid"] for one in shop.items("pods")}
    fall_ill(shop, 1)
    shop.incident(phase="Resolved")
    after = {one["metadata"]["uid"] for one in shop.items("pods")}
    assert not before & after
    template = shop.get("statefulset", "api")["spec"]["template"]["metadata"]
    assert list(template["annotations"]) == ["kubectl.kubernetes.io/restartedAt"]
    assert len(shop.writes_to("statefulsets")[0]) == 1


def test_the_minimum_of_an_autoscaler_is_raised_in_place_of_the_replicas(shop: Shop) -> None:
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "api"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
    shop.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"}, "spec": spec})
    prepare(shop, MORE)
    fall_ill(shop, 0)
    wait_for("the minimum is raised", lambda: shop.get("hpa", "api")["spec"]["minReplicas"] == 4)
    # Putting it back is the same as for a Deployment, and takes the autoscaler's own time.
    wait_for_remediation(shop, "Verifying")
    assert shop.writes_to("statefulsets") == ([], [])
    assert len(shop.writes_to("horizontalpodautoscalers")[0]) == 1


def test_what_admission_guards_on_deployments_it_guards_on_stateful_sets(shop: Shop) -> None:
    stateful_set(shop)
    allow(shop, "scale")
    shop.kubectl("create", "role", "deployer", "--verb=get,patch", "--resource=deployments.apps")
    for role, kind in (("stopgap-editor", "clusterrole"), ("deployer", "role")):
        grant(shop, "dora", role, kind=kind)
    may(shop, "dora", "patch", "deployments.apps")
    may(shop, "dora", "create", "incidents.stopgap.dev")
    may(shop, USER, "patch", "statefulsets.apps")

    def try_to(change: dict[str, Any]) -> str:
        return as_user(shop, USER, "patch", "statefulset", "api", "--type=merge", "-p", json.dumps(change), "--dry-run=server")

    assert "patched" in try_to({"spec": {"replicas": 2, "template": {"metadata": {"labels": {"a": "b"}}}}})
    assert "but template and replicas" in try_to({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}})
    assert "no labels" in try_to({"metadata": {"labels": {"tier": "db"}}})
    assert "no annotations" in try_to({"metadata": {"annotations": {"team": "x"}}})
    may(shop, USER, "delete", "pods")
    wait_for("its first pod is ready", lambda: shop.get("statefulset", "api").get("status", {}).get("readyReplicas"))
    assert "no pods but those of StatefulSets that are not ready" in as_user(shop, USER, "delete", "pod", "api-0", "--dry-run=server")
    of_a_set = incident(targetRef={"kind": "StatefulSet", "name": "api"})
    assert "dora may not patch statefulset api" in as_user(shop, "dora", "create", "-f", "-", stdin=of_a_set)
    assert "created" in as_user(shop, "dora", "create", "-f", "-", "--dry-run=server", stdin=incident())
    declared = yaml.safe_dump({**policy(), "spec": {**policy()["spec"], "targets": ABOUT}})
    assert "dora may not patch statefulsets" in as_user(shop, "dora", "create", "-f", "-", stdin=declared)
    stuck = {**policy()["spec"], "targets": ABOUT, "triggers": [{"name": "crash", "rolloutStuck": {}}], "steps": []}
    assert "say how long in rolloutStuck.after" in as_user(
        shop, "dora", "create", "-f", "-", stdin=yaml.safe_dump({**policy(), "spec": stuck})
    )
