"""What the bench needs in the cluster: Stopgap as it is installed, a namespace for each contender, and workloads to break."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.bench.api import JSON_PATCH, Api
from tests.bench.children import CHECKOUT
from tests.cluster.cluster import Cluster

GOOD, BAD = "bench/app:1.0", "bench/app:2.0-crash"
OWN_NAMESPACE = "stopgap-system"
USER = f"system:serviceaccount:{OWN_NAMESPACE}:stopgap"
STOPGAP, FLOOR, RECORDS, AGAIN, NAIVE, WEBHOOK = "stopgap", "floor", "floor+records", "floor again", "kubectl undo", "webhook"
NAMESPACES = {
    STOPGAP: "bench-stopgap",
    FLOOR: "bench-floor",
    RECORDS: "bench-records",
    AGAIN: "bench-again",
    NAIVE: "bench-naive",
    WEBHOOK: "bench-webhook",
}
PLENTY = {"count": 1000, "within": "1h"}


def policy(namespace: str) -> dict[str, Any]:
    """A policy that acts at once and as often as the bench wants; the thresholds are the defaults."""
    return {
        "apiVersion": "stopgap.dev/v1alpha1",
        "kind": "RemediationPolicy",
        "metadata": {"name": "bench", "namespace": namespace},
        "spec": {
            "targets": {"selector": {"matchLabels": {"stopgap-bench": "true"}}},
            "mode": "Automatic",
            "triggers": [{"name": "crash", "crashLoop": {"exits": 3, "within": "5m"}}],
            "steps": [{"name": "undo", "when": {"triggers": ["crash"]}, "rollback": {"minHealthyFor": "1s"}}],
            "guards": {"cooldown": "1s", "maxActions": PLENTY},
            "verification": {"healthyFor": "1s", "timeout": "1m"},
            "resolution": {"after": "1s"},
        },
    }


def _config(limits: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "stopgap.dev/v1alpha1",
        "kind": "RemediationConfig",
        "metadata": {"name": "stopgap", "namespace": OWN_NAMESPACE},
        "spec": {"budgets": {"perTarget": PLENTY, "perNamespace": PLENTY, "cluster": PLENTY}, **limits},
    }


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _binding(namespace: str, role: str, kind: str, account: str, of: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": f"bench-{role}-{of}", **({"namespace": namespace} if kind == "RoleBinding" else {})},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": of}],
    }


def install(cluster: Cluster, **limits: Any) -> None:
    """Install Stopgap's kinds and roles, as its users do, and raise the budgets, and what `limits` says of the RemediationConfig."""
    cluster.kubectl("apply", "-f", CHECKOUT / "crds")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", CHECKOUT / "crds")
    cluster.kubectl("apply", "-f", CHECKOUT / "manifests" / "rbac.yaml", "-f", CHECKOUT / "manifests" / "admission")
    # The second floor writes the same records, which nobody but Stopgap may: here it counts as Stopgap too.
    ours, theirs = f"!= '{USER}'", f"system:serviceaccount:{NAMESPACES[RECORDS]}:floor"
    written = (CHECKOUT / "manifests" / "admission" / "records.yaml").read_text()
    if ours not in written:
        raise RuntimeError("the admission policy of the records does not name Stopgap's ServiceAccount as the bench expects")
    cluster.kubectl("apply", "-f", "-", stdin=written.replace(ours, f"{ours} && request.userInfo.username != '{theirs}'"))
    _apply(cluster, [_config(limits)])


def furnish(cluster: Cluster, decides: dict[str, Any]) -> None:
    """Make the contenders' namespaces, and the policy that decides.

    The floors run as ServiceAccounts too, so that tokens and roles cost all of them the same.
    """
    wanted: list[dict[str, Any]] = [_namespace(name) for name in NAMESPACES.values()]
    wanted.append(_binding(NAMESPACES[STOPGAP], "stopgap-action-rollback", "RoleBinding", "stopgap", OWN_NAMESPACE))
    for name in (FLOOR, RECORDS, AGAIN, WEBHOOK):
        space = NAMESPACES[name]
        wanted.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "floor", "namespace": space}})
        wanted += [_binding(space, role, "RoleBinding", "floor", space) for role in ("stopgap", "stopgap-action-rollback")]
    _apply(cluster, [*wanted, decides])


def _apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def account(cluster: Cluster, contender: str) -> Path:
    """Write the kubeconfig that a contender runs with."""
    space, name = (OWN_NAMESPACE, "stopgap") if contender == STOPGAP else (NAMESPACES[contender], "floor")
    return cluster.service_account_kubeconfig(space, name, cluster.directory / f"{space}.bench-kubeconfig")


def deployment(name: str, namespace: str, deadline: int = 600) -> dict[str, Any]:
    """A small Deployment of an ordinary shape."""
    container = {
        "name": "app",
        "image": GOOD,
        "ports": [{"containerPort": 8080}],
        "env": [{"name": f"SETTING_{number}", "value": f"value of setting {number}"} for number in range(6)],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"stopgap-bench": "true"}},
        "spec": {
            "replicas": 3,
            "progressDeadlineSeconds": deadline,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


class Workloads:
    """The Deployments of the bench: made healthy, broken, waited for, removed."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def make(self, names: list[tuple[str, str]], deadline: int = 600, every: float = 0.0) -> None:
        """Make Deployments (namespace, name), one every so many seconds, and wait until all are healthy, and have been for a while."""
        for namespace, name in names:
            await self._api.ask("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(name, namespace, deadline))
            await asyncio.sleep(every)
        for namespace, name in names:
            await self.healthy(namespace, name)
        # Times of conditions are whole seconds, and one second of health is what the policy asks for.
        await asyncio.sleep(3)

    async def healthy(self, namespace: str, name: str, seconds: float = 60.0) -> None:
        """Wait until a Deployment is rolled out."""
        async with asyncio.timeout(seconds):
            while True:
                seen = await self._api.ask("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
                status, generation = seen.get("status", {}), seen["metadata"]["generation"]
                counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
                if status.get("observedGeneration") == generation and counts == [3, 3, 3]:
                    return
                await asyncio.sleep(0.2)

    async def break_it(self, namespace: str, name: str) -> None:
        """Release the bad image."""
        await self.release(namespace, name, BAD)

    async def release(self, namespace: str, name: str, image: str) -> None:
        """Release an image."""
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        await self._api.ask("PATCH", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", patch, JSON_PATCH)

    async def closed(self, namespace: str, name: str, seconds: float = 60.0) -> None:
        """Wait until Stopgap has closed the incident of a Deployment, so that nothing of it disturbs the next measurement."""
        async with asyncio.timeout(seconds):
            while True:
                seen = await self._api.ask("GET", f"/apis/stopgap.dev/v1alpha1/namespaces/{namespace}/incidents/{name}-1")
                if seen["metadata"].get("labels", {}).get("stopgap.dev/closed") == "true":
                    return
                await asyncio.sleep(0.3)

    async def remove(self, namespace: str, name: str) -> None:
        """Delete a Deployment with all that hangs on it."""
        await self._api.ask("DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
