"""What is lent to an autoscaler is put back although what it was lent for, or its record, is deleted meanwhile: by exactly one write."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.cluster.gitops import install_tools, kustomization
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, wait_for

pytestmark = pytest.mark.cluster

RESTORE = "stopgap.dev/restore"
MORE = {"name": "more", "when": {"triggers": ["down"]}, "scale": {"by": "2", "max": 10}}
DOWN = {"name": "down", "unavailable": {"below": "90%", "for": "1s"}}


@dataclass(frozen=True)
class Scaler:
    """A kind of autoscaler."""

    api_version: str
    kind: str
    least: str
    most: str

    @property
    def plural(self) -> str:
        return f"{self.kind.lower()}s"

    def body(self) -> dict[str, Any]:
        """Return one that wants at least two and at most four."""
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
        spec = {"scaleTargetRef": target, self.least: 2, self.most: 4}
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": "api"}, "spec": spec}


HPA = Scaler("autoscaling/v2", "HorizontalPodAutoscaler", "minReplicas", "maxReplicas")
KEDA = Scaler("keda.sh/v1alpha1", "ScaledObject", "minReplicaCount", "maxReplicaCount")


def raise_minimum(shop: Shop, scaler: Scaler = HPA, **policy: Any) -> str:
    """Have the minimum of an autoscaler raised from two to four because a pod is ill; return that pod."""
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-scale", "--clusterrole=stopgap-action-scale", who)
    shop.apply(scaler.body())
    shop.policy(**{"triggers": [DOWN], "steps": [MORE], **policy})
    shop.deploy()
    shop.settle()
    pod: str = shop.items("pods")[0]["metadata"]["name"]
    shop.kubectl("annotate", "pod", pod, "stopgap.dev/simulate=crash")
    wait_for("the minimum is raised", lambda: minimum(shop, scaler) == 4)
    return pod


def recover(shop: Shop, pod: str) -> None:
    """Take the ill pod away; its successor is well."""
    shop.kubectl("delete", "pod", pod, "--wait=false", "--grace-period=0", "--force")


def minimum(shop: Shop, scaler: Scaler = HPA) -> Any:
    """Return the minimum as it is now."""
    return shop.get(scaler.plural, "api")["spec"].get(scaler.least)


def put_back(shop: Shop, scaler: Scaler = HPA, *, seconds: float = 30) -> None:
    """See the minimum put back by exactly one write, and nothing of it left behind."""
    wait_for("the minimum is put back", lambda: minimum(shop, scaler) == 2, seconds=seconds)
    wait_for("the fields are given back", lambda: "stopgap" not in {one["manager"] for one in metadata(shop, scaler)["managedFields"]})
    assert RESTORE not in metadata(shop, scaler).get("annotations", {})
    writes = [one["requestObject"] for one in shop.writes() if one["objectRef"]["resource"] == scaler.plural]
    touching = [each for each in writes if any(op["path"].startswith("/spec") and op["op"] != "test" for op in each)]
    assert len(touching) == 2, "raised once, and put back once"


def metadata(shop: Shop, scaler: Scaler) -> dict[str, Any]:
    found: dict[str, Any] = shop.get(scaler.plural, "api")["metadata"]
    return found


def record(shop: Shop) -> dict[str, Any]:
    """Return the status of the one remediation, once its restore is over."""

    def settled() -> dict[str, Any] | None:
        (one,) = shop.items("remediations")
        status: dict[str, Any] = one["status"]
        return status if status["revert"]["state"] == "Done" else None

    return wait_for("the record says that it is put back", settled) or {}


@pytest.mark.parametrize("scaler", [HPA, KEDA], ids=lambda scaler: scaler.kind)
def test_the_workload_is_deleted_during_the_proof(shop: Shop, scaler: Scaler) -> None:
    install_tools(shop.plane)
    raise_minimum(shop, scaler)
    shop.kubectl("delete", "deployment", "api")
    put_back(shop, scaler)
    assert record(shop)["state"] == "Inconclusive"
    assert shop.incident(phase="Resolved")["status"]["conditions"]


def test_the_workload_is_deleted_and_made_anew(shop: Shop) -> None:
    pod = raise_minimum(shop, resolution={"after": "10m"})
    recover(shop, pod)
    shop.incident(phase="Mitigated")
    shop.kubectl("delete", "deployment", "api")
    shop.deploy()
    put_back(shop)
    assert record(shop)["state"] == "Succeeded"


def test_the_remediation_is_deleted(shop: Shop) -> None:
    pod = raise_minimum(shop)
    shop.kubectl("delete", "remediations", "--all")
    recover(shop, pod)
    put_back(shop)
    shop.incident(phase="Resolved")
    assert shop.items("remediations") == []


def test_every_record_is_deleted_while_nobody_looks(shop: Shop, operator: Operator) -> None:
    recover(shop, raise_minimum(shop))
    operator.kill()
    shop.kubectl("delete", "remediations,incidents,remediationpolicies", "--all")
    operator.start()
    put_back(shop)


def test_the_policy_is_deleted_and_a_person_closes_the_incident(shop: Shop) -> None:
    pod = raise_minimum(shop, resolution={"after": "10m"})
    recover(shop, pod)
    name = shop.incident(phase="Mitigated")["metadata"]["name"]
    shop.kubectl("delete", "remediationpolicies", "web")
    shop.kubectl("patch", "incident", name, "--type=merge", "-p", '{"spec": {"resolution": "Resolved"}}')
    put_back(shop, seconds=15)
    assert record(shop)["state"] == "Succeeded"


def test_the_workload_is_deleted_while_its_owner_is_suspended_and_a_person_resumes_that(shop: Shop) -> None:
    install_tools(shop.plane)
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-suspend-owner", "--clusterrole=stopgap-action-suspend-owner", who)
    shop.policy(gitOps="SuspendOwner")
    shop.deploy()
    kustomization(shop)
    shop.settle()
    shop.release("shop/api:2.0-crash")
    shop.incident(phase="Mitigated")
    shop.kubectl("delete", "deployment", "api")
    told = wait_for("people are called", lambda: suspension(shop, "Held")) or {}
    assert told["message"].startswith(f"deployment/api in {shop.name}, for which it was suspended, was deleted, and it still is suspended")
    assert shop.get("kustomization", "apps")["spec"]["suspend"] is True
    (event,) = [one for one in shop.items("events") if one["reason"] == "TargetGone" and one["involvedObject"]["kind"] == "Remediation"]
    assert event["message"] == f"Flux Kustomization apps in {shop.name}: {told['message']}"
    shop.kubectl("annotate", "remediations", "--all", "stopgap.dev/revert=now")
    wait_for("it is resumed", lambda: suspension(shop, "Resumed"))
    assert shop.get("kustomization", "apps")["spec"]["suspend"] is False


def suspension(shop: Shop, state: str) -> dict[str, Any] | None:
    """Return how far the pause of the owner is, where it is in this state."""
    (one,) = shop.items("remediations")
    found: dict[str, Any] = one["status"].get("suspension", {})
    return found if found.get("state") == state else None
