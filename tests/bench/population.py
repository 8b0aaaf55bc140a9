"""A large healthy cluster, written straight into an API server without controllers: Deployments, each with 3 ReplicaSets and 3 pods."""

import asyncio
import time
from typing import Any

from tests.bench.api import MERGE_PATCH, Api
from tests.bench.world import deployment, policy

PER_NAMESPACE = 250
WRITERS = 24
REVISIONS, PODS = 3, 3


def namespace_of(number: int) -> str:
    """The namespace of the n-th Deployment."""
    return f"size-{number // PER_NAMESPACE:03}"


async def populate(api: Api, first: int, until: int) -> None:
    """Write the Deployments numbered from `first` to `until`, each namespace with a policy that is about all of them."""
    began, numbers = time.monotonic(), asyncio.Queue[int]()
    for number in range(first, until):
        if number % PER_NAMESPACE == 0:
            await _namespace(api, namespace_of(number))
        numbers.put_nowait(number)

    async def work() -> None:
        while not numbers.empty():
            await _workload(api, numbers.get_nowait())

    async def tell() -> None:
        while True:
            await asyncio.sleep(20)
            done = until - first - numbers.qsize()
            print(f"  {done} of {until - first} Deployments written in {time.monotonic() - began:.0f} s", flush=True)

    telling = asyncio.create_task(tell())
    await asyncio.gather(*(work() for _ in range(WRITERS)))
    telling.cancel()


async def _namespace(api: Api, name: str) -> None:
    await api.there("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # Nobody else makes it here, and pods need it.
    await api.there(
        f"/api/v1/namespaces/{name}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    )
    await api.there(f"/apis/stopgap.dev/v1alpha1/namespaces/{name}/remediationpolicies", policy(name))


async def _workload(api: Api, number: int) -> None:
    namespace, name = namespace_of(number), f"app-{number:05}"
    apps = f"/apis/apps/v1/namespaces/{namespace}"
    wanted = deployment(name, namespace)
    wanted["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(REVISIONS)}
    made = await api.ask("POST", f"{apps}/deployments", wanted)
    await _status(api, f"{apps}/deployments/{name}", _deployment_status(made["metadata"]["generation"]))
    for revision in range(1, REVISIONS + 1):
        current = revision == REVISIONS
        body = _replica_set(made, revision, replicas=PODS if current else 0)
        replica_set = await api.ask("POST", f"{apps}/replicasets", body)
        if current:
            counts = dict.fromkeys(("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"), PODS)
            await _status(api, f"{apps}/replicasets/{body['metadata']['name']}", {**counts, "observedGeneration": 1})
            await asyncio.gather(*(_pod(api, replica_set, ordinal) for ordinal in range(PODS)))


async def _status(api: Api, path: str, status: dict[str, Any]) -> None:
    await api.ask("PATCH", f"{path}/status", {"status": status}, MERGE_PATCH)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _deployment_status(generation: int) -> dict[str, Any]:
    reasons = {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "all is well", "lastTransitionTime": _now(), "lastUpdateTime": _now()}
        for kind, reason in reasons.items()
    ]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), PODS)
    return {**counts, "observedGeneration": generation, "conditions": conditions}


def _reference(kind: str, made: dict[str, Any]) -> dict[str, Any]:
    meta = made["metadata"]
    return {"apiVersion": "apps/v1", "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}


def _replica_set(made: dict[str, Any], revision: int, *, replicas: int) -> dict[str, Any]:
    name, hashed = made["metadata"]["name"], f"6f5d8b4c{revision}"
    labels = {"app": name, "pod-template-hash": hashed}
    template = {"metadata": {"labels": labels}, "spec": made["spec"]["template"]["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name}-{hashed}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": str(revision), "deployment.kubernetes.io/desired-replicas": str(PODS)},
            "ownerReferences": [_reference("Deployment", made)],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def _pod(api: Api, replica_set: dict[str, Any], ordinal: int) -> None:
    meta, template = replica_set["metadata"], replica_set["spec"]["template"]
    name = f"{meta['name']}-{ordinal}"
    pods = f"/api/v1/namespaces/{meta['namespace']}/pods"
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": meta["labels"], "ownerReferences": [_reference("ReplicaSet", replica_set)]},
        "spec": {**template["spec"], "nodeName": f"sim-{ordinal}"},
    }
    await api.ask("POST", pods, body)
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = {
        "name": "app",
        "image": template["spec"]["containers"][0]["image"],
        "imageID": "sim://bench/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "containerID": "sim://0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": _now()}},
        "lastState": {},
    }
    status = {
        "phase": "Running",
        "startTime": _now(),
        "hostIP": "10.0.0.1",
        "podIP": "10.1.0.1",
        "podIPs": [{"ip": "10.1.0.1"}],
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": _now()} for kind in kinds],
        "containerStatuses": [container],
    }
    await _status(api, f"{pods}/{name}", status)
