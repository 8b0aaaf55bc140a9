"""Builders for the pure tests of StatefulSets: objects as an API server (1.36) sends them, and an index that has taken them in."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago, make_workload

from stopgap.effects import revised
from stopgap.effects.index import Index
from stopgap.effects.sinks import ControllerRevisionSink, RevisedPodSink, StatefulSetSink
from stopgap.model.refs import Target
from stopgap.model.revised import StatefulSet

UID = "0fd3a1b2-5f5e-4a57-a896-42353c26ca85"
DB = Target("shop", "StatefulSet", "db")
GOOD, BAD = "db-6c5f9d7b8d", "db-7d9f8c6b5f"
"""Names of the ControllerRevisions."""
Body = dict[str, Any]


def when(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def template(image: str) -> Body:
    container = {
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "name": "app",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    spec = {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "terminationGracePeriodSeconds": 30}
    return {"metadata": {"labels": {"app": "db"}}, "spec": spec}


def stateful_set(image: str = BAD_IMAGE, *, version: int = 100, status: Body | None = None, **spec: Any) -> Body:
    """Three pods; by default db-2 was replaced by the bad revision, and the other two serve."""
    strategy = {"rollingUpdate": {"partition": 0}, "type": "RollingUpdate"}
    meta = {
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kubernetes.io/change-cause": "db 2.0"},
        "creationTimestamp": when(ago(days=9)),
        "generation": 2,
        "labels": {"tier": "web"},
        "managedFields": [
            {"manager": "pipeline", "operation": "Apply", "time": when(ago(days=9)), "fieldsV1": {"f:spec": {}}},
            {"manager": "kubectl-set", "operation": "Update", "time": when(ago(minutes=2)), "fieldsV1": {"f:spec": {}}},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "time": when(NOW), "fieldsV1": {}},
        ],
        "name": "db",
        "namespace": "shop",
        "resourceVersion": str(version),
        "uid": UID,
    }
    told = {
        "availableReplicas": 2,
        "collisionCount": 0,
        "currentReplicas": 2,
        "currentRevision": GOOD,
        "observedGeneration": 2,
        "readyReplicas": 2,
        "replicas": 3,
        "updateRevision": BAD,
        "updatedReplicas": 1,
        **(status or {}),
    }
    body = {
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "podManagementPolicy": "OrderedReady",
        "replicas": 3,
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "db"}},
        "serviceName": "db",
        "template": template(image),
        "updateStrategy": strategy,
        **spec,
    }
    return {"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": meta, "spec": body, "status": told}


SETTLED: Body = {
    "availableReplicas": 3,
    "readyReplicas": 3,
    "currentReplicas": 3,
    "updatedReplicas": 3,
    "currentRevision": GOOD,
    "updateRevision": GOOD,
    "observedGeneration": 1,
}


def settled(**changes: Any) -> Body:
    """The same before the release: every pod of the good revision serves."""
    body = stateful_set(GOOD_IMAGE, version=90, status=SETTLED, **changes)
    return {**body, "metadata": {**body["metadata"], "generation": 1}}


def controller_revision(name: str, image: str, number: int, *, kind: str = "StatefulSet", **metadata: Any) -> Body:
    meta = {
        "creationTimestamp": when(ago(days=9) if name == GOOD else ago(minutes=2)),
        "labels": {"app": "db", "controller.kubernetes.io/hash": name.rpartition("-")[2]},
        "name": name,
        "namespace": "shop",
        "ownerReferences": [
            {"apiVersion": "apps/v1", "blockOwnerDeletion": True, "controller": True, "kind": kind, "name": "db", "uid": UID}
        ],
        "resourceVersion": "42",
        "uid": f"uid-of-{name}",
        **metadata,
    }
    data = {"spec": {"template": {"$patch": "replace", **template(image)}}}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": data, "revision": number}


def pod(ordinal: int, revision: str, *, restarts: int = 0, ready: bool = True, owner: str = "StatefulSet") -> Body:
    name = f"db-{ordinal}"
    ended = {"exitCode": 1, "reason": "Error", "startedAt": when(ago(seconds=12)), "finishedAt": when(ago(seconds=10)), "containerID": "x"}
    state = {"running": {"startedAt": when(ago(minutes=9))}} if ready else {"waiting": {"reason": "CrashLoopBackOff"}}
    status = {
        "phase": "Running",
        "startTime": when(ago(minutes=2)),
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": when(ago(minutes=2))},
            {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": when(ago(minutes=1))},
        ],
        "containerStatuses": [
            {
                "name": "app",
                "image": BAD_IMAGE,
                "imageID": "sim://x",
                "ready": ready,
                "restartCount": restarts,
                "state": state,
                "lastState": {"terminated": ended} if restarts else {},
            }
        ],
    }
    labels = {
        "app": "db",
        "apps.kubernetes.io/pod-index": str(ordinal),
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": name,
    }
    meta = {
        "creationTimestamp": when(ago(minutes=2)),
        "generateName": "db-",
        "labels": labels,
        "name": name,
        "namespace": "shop",
        "ownerReferences": [
            {"apiVersion": "apps/v1", "blockOwnerDeletion": True, "controller": True, "kind": owner, "name": "db", "uid": UID}
        ],
        "resourceVersion": "77",
        "uid": f"uid-of-{name}-{revision}",
    }
    return {"metadata": meta, "spec": {"nodeName": "node-1"}, "status": status}


def make_stateful(**changes: Any) -> StatefulSet:
    """The workload of the pure tests as a StatefulSet: three old pods serve, one of revision 2 was made."""
    fields = {
        **msgspec.structs.asdict(make_workload()),
        "kind": "StatefulSet",
        "update_revision": "api-2",
        "current_revision": "api-1",
        "replicas_of_current": 3,
        "partition": 0,
        "first_ordinal": 0,
        "ordered": True,
    }
    return StatefulSet(**{**fields, **changes})


class Taken:
    """An index, and the sinks that fill it from bytes."""

    def __init__(self, now: Callable[[], datetime] = lambda: NOW) -> None:
        self.told: list[Target] = []
        self.index = Index(self.told.append, now, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
        self.sets, self.revisions = StatefulSetSink(self.index), ControllerRevisionSink(self.index, "StatefulSet")
        self.pods = RevisedPodSink(self.index, "StatefulSet")

    def take(self, *bodies: Body) -> "Taken":
        """Take in objects, each by what it is."""
        for body in bodies:
            raw = json.dumps(body).encode()
            if body.get("kind") == "StatefulSet":
                self.sets.put(msgspec.json.decode(raw, type=revised.StatefulSetObject))
            elif body.get("kind") == "ControllerRevision":
                self.revisions.put(msgspec.json.decode(raw, type=revised.ControllerRevision))
            else:
                self.pods.put(msgspec.json.decode(raw, type=revised.RevisedPod))
        return self


def released(now: Callable[[], datetime] = lambda: NOW + timedelta(seconds=5)) -> Taken:
    """A bad release seen from the beginning: it was well for long, db-2 was replaced, and exits for the third time."""
    clock = [ago(days=1)]
    taken = Taken(lambda: clock[0])
    taken.take(controller_revision(GOOD, GOOD_IMAGE, 1), settled())
    clock[0] = ago(minutes=2)
    taken.take(controller_revision(BAD, BAD_IMAGE, 2), stateful_set(), pod(2, BAD, ready=False, restarts=3))
    clock[0] = now()
    return taken
