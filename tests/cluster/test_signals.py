"""Each signal on real pods: what it is called, what is blamed for it, and whether the release is undone."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.cluster.harness import Shop, wait_for
from tests.cluster.reading import condition, finding, wait_for_reason, wait_for_restarts

pytestmark = pytest.mark.cluster

GOOD = "shop/api:1.0"
PULL = [{"name": "pull", "imagePull": {"for": "1s"}}]
STUCK = [{"name": "stuck", "rolloutStuck": {"after": "3s"}}]


def at_work(shop: Shop, triggers: list[dict[str, Any]] | None = None, **deployment: Any) -> None:
    """Bring up the good release under a policy with these triggers, and wait until it is known to be good."""
    spec: dict[str, Any] = {"triggers": triggers} if triggers else {}
    shop.policy(**spec)
    shop.deploy(GOOD, **deployment)
    shop.settle()


def undone(shop: Shop) -> dict[str, Any]:
    """Wait until the release was undone by one write and this was proven; return the incident."""
    incident = shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    return incident


def untouched(shop: Shop) -> None:
    """Judge that nothing was intended, and nothing written to the workload."""
    assert shop.items("remediations") == []
    assert shop.deployment_writes() == ([], [])


@pytest.mark.parametrize(
    ("word", "types", "says"),
    [
        ("pull-notfound", {"ErrImagePull", "ImagePullBackOff"}, "not found"),
        ("pull-invalidname", {"InvalidImageName"}, "couldn't parse image name"),
        ("configerror", {"CreateContainerConfigError"}, 'configmap "missing" not found'),
    ],
    ids=["an image that does not exist", "a name that is none", "a configuration that names what is missing"],
)
def test_a_release_that_cannot_start_is_undone_and_called_by_its_name(shop: Shop, word: str, types: set[str], says: str) -> None:
    at_work(shop, PULL)
    shop.release(f"shop/api:2.0-{word}")
    found = finding(undone(shop), "pull")
    assert found["type"] in types
    assert f"for shop/api:2.0-{word}" in found["message"]
    assert says in found["message"]


@pytest.mark.parametrize(
    ("word", "says"),
    [("pull-unauthorized", "401 Unauthorized"), ("pull-ratelimited", "429 Too Many Requests"), ("pull-timeout", "i/o timeout")],
    ids=["not logged in", "rate limited", "no answer"],
)
def test_a_registry_that_refuses_or_is_silent_is_not_the_release_s_fault(shop: Shop, word: str, says: str) -> None:
    at_work(shop, PULL)
    shop.release(f"shop/api:2.0-{word}")
    refusals = shop.refusals(reason="RegistryUnavailable")
    assert says in refusals["RegistryUnavailable"]
    assert f"shop/api:2.0-{word}" in refusals["RegistryUnavailable"]
    assert finding(shop.incident(), "pull")["type"] in {"ErrImagePull", "ImagePullBackOff"}
    untouched(shop)


def test_a_release_that_needs_more_memory_than_its_limit_is_undone_as_out_of_memory(shop: Shop) -> None:
    at_work(shop)
    shop.release("shop/api:2.0-oom")
    incident = undone(shop)
    found = finding(incident, "crash")
    assert found["type"] == "OOMKilled"
    assert re.search(r"3 exits in \d+s of container app, last in api-\S+, out of memory; 1 of 1 started pods", found["message"])
    assert incident["spec"]["title"] == "OOMKilled in deployment api"


def test_an_init_container_that_crashes_is_named_as_one(shop: Shop) -> None:
    containers = {"containers": [{"name": "app", "image": GOOD}], "initContainers": [{"name": "migrate", "image": "shop/migrate:1.0"}]}
    at_work(shop, template={"spec": containers})
    shop.release("shop/api:2.0-initcrash")
    incident = undone(shop)
    found = finding(incident, "crash")
    assert found["type"] == "InitCrashLoop"
    assert re.search(r"3 exits in \d+s of init container migrate, last in api-\S+, code 1", found["message"])


def test_a_rollout_without_progress_is_undone_after_the_policy_s_time(shop: Shop) -> None:
    at_work(shop, STUCK)
    shop.release("shop/api:2.0-neverready")
    found = finding(undone(shop), "stuck")
    assert found["type"] == "RolloutStuck"
    assert re.fullmatch(r"no progress for [3-6]s: 1 of 3 replicas updated, 3 available", found["message"])


def test_without_a_time_of_its_own_the_deployment_s_deadline_decides_what_is_stuck(shop: Shop) -> None:
    at_work(shop, [{"name": "stuck", "rolloutStuck": {}}], progressDeadlineSeconds=6)
    shop.release("shop/api:2.0-neverready")
    incident = undone(shop)
    found = finding(incident, "stuck")
    assert re.fullmatch(r"no progress for ([6-9]|10)s: 1 of 3 replicas updated, 3 available", found["message"])
    changed, detected = incident["status"]["suspectedChange"]["changedAt"], incident["status"]["detectedAt"]
    assert datetime.fromisoformat(detected) - datetime.fromisoformat(changed) >= timedelta(seconds=5)


def test_a_release_after_which_too_few_replicas_are_available_is_undone(shop: Shop) -> None:
    at_work(
        shop,
        [{"name": "down", "unavailable": {"below": "80%", "for": "2s"}}],
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}},
    )
    shop.release("shop/api:2.0-neverready")
    found = finding(undone(shop), "down")
    assert found["type"] == "Unavailable"
    assert re.fullmatch(r"0 of 3 replicas available for [2-5]s", found["message"])


def test_pods_that_find_no_node_are_not_the_image_s_fault(shop: Shop) -> None:
    at_work(shop, STUCK)
    pinned = {"nodeSelector": {"disk": "none"}, "containers": [{"name": "app", "image": "shop/api:2.0"}]}
    shop.kubectl("patch", "deployment", "api", "-p", json.dumps({"spec": {"template": {"spec": pinned}}}))
    refusals = shop.refusals(reason="Unschedulable")
    assert re.search(r"1 pods find no node, such as api-\S+: 0/3 nodes are available", refusals["Unschedulable"])
    untouched(shop)


def test_a_quota_that_has_no_room_for_the_new_pods_is_not_the_release_s_fault(shop: Shop) -> None:
    at_work(shop, STUCK)
    shop.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few-pods"}, "spec": {"hard": {"pods": "3"}}})
    wait_for("the quota counts", lambda: shop.get("resourcequota", "few-pods").get("status", {}).get("used", {}).get("pods") == "3")
    shop.release("shop/api:2.0")
    refusals = shop.refusals(reason="QuotaExceeded")
    assert "exceeded quota: few-pods, requested: pods=1, used: pods=3, limited: pods=3" in refusals["QuotaExceeded"]
    assert "raise the quota or free some of it" in refusals["QuotaExceeded"]
    untouched(shop)


def test_pods_that_crash_after_a_mere_restart_are_not_blamed_on_a_release(shop: Shop) -> None:
    at_work(shop)
    shop.kubectl("rollout", "restart", "deployment/api")

    def restarted() -> list[str]:
        pods = [one for one in shop.items("pods") if "restartedAt" in str(one["metadata"].get("annotations", {}))]
        return [one["metadata"]["name"] for one in pods if "deletionTimestamp" not in one["metadata"]]

    wait_for("every pod is a new one", lambda: len(restarted()) == 3 == len(shop.items("pods")))
    shop.kubectl("annotate", "pod", *restarted(), "stopgap.dev/simulate=crash")
    refusals = shop.refusals(reason="ConfigOnlyChange")
    assert "differs from the one before in annotations only (a restart, or changed configuration)" in refusals["ConfigOnlyChange"]
    assert "look at the ConfigMaps and Secrets it reads" in refusals["ConfigOnlyChange"]
    untouched(shop)


def test_a_container_that_something_injected_is_not_the_release_s_fault(shop: Shop) -> None:
    at_work(shop)
    inject(shop, {"name": "mesh", "image": "mesh/proxy:1.0-crash"})
    try:
        shop.release("shop/api:2.0")
        refusals = shop.refusals(reason="InjectedContainer")
    finally:
        shop.plane.kubectl("delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", shop.name)
    assert re.search(
        r"exits in \d+s of injected container mesh, last in api-\S+, code 1; 1 of 1 started pods", refusals["InjectedContainer"]
    )
    untouched(shop)


def inject(shop: Shop, container: dict[str, str]) -> None:
    """Let admission add a container to every new pod of the shop, as a service mesh does, and wait until it works."""
    fields = ", ".join(f'{key}: "{value}"' for key, value in container.items())
    patch = f'[JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{{fields}}}}}]'
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    only_here = {"matchLabels": {"kubernetes.io/metadata.name": shop.name}}
    policy: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": shop.name},
        "spec": {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": only_here},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
        },
    }
    binding = {**policy, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": shop.name}}
    shop.apply(policy, binding)
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": {"containers": [{"name": "app", "image": GOOD}]}}

    def injected() -> bool:
        return "mesh/proxy" in shop.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(probe))

    wait_for("new pods are injected", injected)


def test_one_bad_pod_of_fifty_leaves_the_release_alone_and_half_of_them_do_not(shop: Shop) -> None:
    at_work(shop, replicas=50)
    shop.release("shop/api:2.0")
    shop.settle()
    pods = [one["metadata"]["name"] for one in shop.items("pods")]
    shop.kubectl("annotate", "pod", pods[0], "stopgap.dev/simulate=crash")
    wait_for_restarts(shop, 5)
    assert shop.items("incidents") == []
    assert shop.image() == "shop/api:2.0"

    shop.kubectl("annotate", "pod", *pods[1:25], "stopgap.dev/simulate=crash")
    incident = wait_for_reason(shop, "Triaged", "Triaged")
    assert "; 25 of 50 started pods" in condition(incident, "Triaged")["message"]
    assert finding(incident, "crash")["type"] == "CrashLoop"
