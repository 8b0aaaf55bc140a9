"""Builders for the pure tests. They build only states that can occur: a Deployment with its ReplicaSets, counts that fit, and a record."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationPolicy
from stopgap.api.config import ConfigSpec
from stopgap.api.health import KnownGood, WorkloadHealthStatus
from stopgap.core.case import Case, Spent
from stopgap.model.observation import Live, Observation
from stopgap.model.refs import Target
from stopgap.model.template import Template, packed
from stopgap.model.workload import Container, End, Exit, Flag, Pod, Revision, Workload

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
TARGET = Target("shop", "Deployment", "api")
UID = "d-uid"
GOOD_IMAGE, BAD_IMAGE = "shop/api:1.9", "shop/api:2.0-crash"


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def make_template(image: str = BAD_IMAGE, *, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": {"app": "api"}}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": image}], **spec}}


GOOD, BAD = Template.read(make_template(GOOD_IMAGE)), Template.read(make_template(BAD_IMAGE))


def make_workload(*, template: Template = BAD, **changes: Any) -> Workload:
    """A Deployment of 3 replicas in the middle of rolling out revision 2: three old pods serve, one new one was added."""
    fields: dict[str, Any] = {
        "namespace": "shop",
        "kind": "Deployment",
        "name": "api",
        "uid": UID,
        "version": 100,
        "generation": 4,
        "labels": {"app": "api"},
        "annotations": {"deployment.kubernetes.io/revision": "2"},
        "controller": "",
        "changed_by": "kubectl-set",
        "created": ago(days=9),
        "deleting": False,
        "replicas": 3,
        "paused": False,
        "strategy": "RollingUpdate",
        "max_unavailable": "25%",
        "min_ready": timedelta(0),
        "progress_deadline": timedelta(minutes=10),
        "template": packed(msgspec.json.encode(template.body)),
        "observed_generation": 4,
        "current_replicas": 4,
        "updated_replicas": 1,
        "ready_replicas": 3,
        "available_replicas": 3,
        "available": Flag(True, "MinimumReplicasAvailable", "", ago(days=9), None),
        "progressing": Flag(True, "ReplicaSetUpdated", "", ago(minutes=2), ago(minutes=2)),
        "replica_failure": None,
    }
    return Workload(**{**fields, **changes})


def make_revision(number: int, **changes: Any) -> Revision:
    fields: dict[str, Any] = {
        "uid": f"rs-{number}",
        "name": f"api-{number}",
        "owner": UID,
        "hash": f"h{number}",
        "number": number,
        "created": ago(days=9) + timedelta(hours=number),
        "wanted": 0,
        "replicas": 0,
        "ready": 0,
        "available": 0,
        "forbids_rollback": False,
        "replica_failure": None,
    }
    return Revision(**{**fields, **changes})


OLD = make_revision(1, wanted=3, replicas=3, ready=3, available=3)
NEW = make_revision(2, wanted=1, replicas=1, created=ago(minutes=2))


def make_container(**changes: Any) -> Container:
    fields: dict[str, Any] = {
        "name": "app",
        "image": BAD_IMAGE,
        "image_id": "",
        "init": False,
        "ready": False,
        "restarts": 0,
        "waiting": "",
        "waiting_message": "",
        "waiting_since": None,
        "running_since": None,
        "ended": None,
        "last_ended": None,
    }
    return Container(**{**fields, **changes})


def make_pod(name: str = "p1", *, owner: str = "rs-2", containers: Iterable[Container] | None = None, **changes: Any) -> Pod:
    fields: dict[str, Any] = {
        "uid": f"{name}-uid",
        "name": name,
        "owner": owner,
        "node": "node-1",
        "phase": "Running",
        "created": ago(minutes=2),
        "started": ago(minutes=2),
        "leaving": False,
        "ready": False,
        "ready_since": None,
        "unschedulable": "",
        "containers": tuple(containers) if containers is not None else (crashing_container(),),
    }
    return Pod(**{**fields, **changes})


def crashing_container(restarts: int = 3, **changes: Any) -> Container:
    end = End(1, "Error", ago(seconds=12), ago(seconds=10))
    return make_container(restarts=restarts, waiting="CrashLoopBackOff", last_ended=end, **changes)


def make_exits(count: int = 3, *, pod: str = "p1", owner: str = "rs-2", **changes: Any) -> tuple[tuple[str, Exit], ...]:
    fields: dict[str, Any] = {
        "pod_uid": f"{pod}-uid",
        "pod": pod,
        "node": "node-1",
        "container": "app",
        "init": False,
        "code": 1,
        "reason": "Error",
    }
    made = (Exit(ordinal=number + 1, at=ago(seconds=10 * (count - number)), **{**fields, **changes}) for number in range(count))
    return tuple((owner, one) for one in made)


def make_live(**changes: Any) -> Live:
    """What live reads of a harmless case say."""
    asked = frozenset(f"rs-{number}" for number in range(10))
    fields: dict[str, Any] = {"templates": {"rs-1": GOOD, "rs-2": BAD}, "namespace_annotations": {}, "replica_sets": asked}
    return Live(**{**fields, **changes})


def make_seen(**changes: Any) -> Observation:
    """The typical bad release: the only new pod exits for the third time, three old ones are well."""
    fields: dict[str, Any] = {
        "now": NOW,
        "target": TARGET,
        "synced": True,
        "workload": make_workload(),
        "template": BAD,
        "revisions": (NEW, OLD),
        "pods": (make_pod(),),
        "exits": make_exits(),
        "current_since": ago(minutes=2),
        "changed_under_watch": True,
    }
    fields |= changes
    if "template" not in changes and fields["workload"] is not None:
        fields["template"] = Template.unpacked(fields["workload"].template)
    return Observation(**fields)


def make_policy(**spec: Any) -> RemediationPolicy:
    """An Automatic policy that rolls a crash loop back."""
    body: dict[str, Any] = {
        "targets": {"selector": {"matchLabels": {"app": "api"}}},
        "mode": "Automatic",
        "triggers": [{"name": "crash", "crashLoop": {}}],
        "steps": [{"name": "undo", "when": {"triggers": ["crash"]}, "rollback": {}}],
    }
    metadata = {"name": "web", "namespace": "shop", "uid": "policy-uid", "generation": 1, "annotations": spec.pop("annotations", {})}
    return RemediationPolicy.model_validate({"metadata": metadata, "spec": {**body, **spec}})


def make_cluster_policy(name: str = "base", **spec: Any) -> ClusterRemediationPolicy:
    """The same for every namespace with the label `stage: live`."""
    selector = spec.pop("namespaceSelector", {"matchLabels": {"stage": "live"}})
    like = make_policy(**spec)
    metadata = {"name": name, "uid": f"{name}-uid", "generation": 1, "annotations": like.metadata.annotations}
    body = {**like.spec.model_dump(by_alias=True, exclude_none=True), "namespaceSelector": selector}
    return ClusterRemediationPolicy.model_validate({"metadata": metadata, "spec": body})


def make_good(number: int = 1, *, template: Template = GOOD, **changes: Any) -> KnownGood:
    fields: dict[str, Any] = {
        "replica_set_uid": f"rs-{number}",
        "digest": template.digest,
        "revision": number,
        "healthy_since": ago(days=3),
        "recorded_at": ago(days=2),
        "healthy_for": timedelta(days=1),
    }
    return KnownGood(**{**fields, **changes})


def make_health(**changes: Any) -> WorkloadHealthStatus:
    return WorkloadHealthStatus(**{"known_good": (make_good(),), **changes})


def make_incident(*, name: str = "api-1", status: dict[str, Any] | None = None, **spec: Any) -> Incident:
    body = {
        "title": "CrashLoop in deployment api",
        "targetRef": {"kind": "Deployment", "name": "api"},
        "source": {"type": "Workload", "name": "crash", "fingerprint": "f"},
        **spec,
    }
    metadata = {"name": name, "namespace": "shop", "uid": f"{name}-uid", "resourceVersion": "1", "generation": 1}
    return Incident.model_validate({"metadata": metadata, "spec": body, **({"status": status} if status else {})})


def make_remediation(
    *, incident: str = "api-1", name: str = "api-d-uid-g4-1", status: dict[str, Any] | None = None, **spec: Any
) -> Remediation:
    """An intended rollback from BAD to GOOD; with `status` it was executed."""
    body: dict[str, Any] = {
        "incidentRef": {"name": incident, "uid": f"{incident}-uid"},
        "targetRef": {"name": "api", "uid": UID},
        "policyRef": {"name": "web", "uid": "policy-uid", "generation": 1},
        "step": "undo",
        "action": "Rollback",
        "plan": {
            "summary": "roll back 2 → 1",
            "fromRevision": 2,
            "toRevision": 1,
            "fromDigest": BAD.digest,
            "toDigest": GOOD.digest,
            "replicaSetUid": "rs-1",
            "replicaSet": "api-1",
        },
        "generation": 4,
        "notAfter": NOW + timedelta(minutes=1),
        "healthyFor": "1m",
        "verifyUntil": NOW + timedelta(minutes=10),
        **spec,
    }
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"{name}-uid",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-23T09:59:00Z",
    }
    return Remediation.model_validate({"metadata": metadata, "spec": body, **({"status": status} if status else {})})


def executed(at: datetime = NOW, **status: Any) -> dict[str, Any]:
    return {"state": "Verifying", "executedAt": at, "writtenDigest": GOOD.digest, **status}


def make_waiting(said: str = "", **spec: Any) -> Remediation:
    """The same rollback, waiting for a person for fifteen minutes from now; with `said` that person has answered."""
    answer = {"approval": {"decision": said, "by": "ana", "message": "go"}} if said else {}
    finding = {"trigger": "crash", "type": "CrashLoop", "state": "Firing"}
    body = {"expiresAt": NOW + timedelta(minutes=15), "finding": finding, **answer, **spec}
    return make_remediation(status={"state": "AwaitingApproval"}, **body)


def make_spent(at: datetime, **changes: Any) -> Spent:
    fields: dict[str, Any] = {"remediation": "other", "at": at, "namespace": "shop", "target_uid": UID, "policy_uid": "policy-uid"}
    return Spent(**{**fields, **changes})


def make_case(*, live: bool = True, **changes: Any) -> Case:
    """A case in which the rollback is due and nothing stands against it."""
    fields: dict[str, Any] = {
        "seen": make_seen(live=make_live() if live else None),
        "policy": make_policy(),
        "config": ConfigSpec(),
        "incident": make_incident(),
        "health": make_health(),
    }
    return Case(**{**fields, **changes})


def after_rollback(case: Case, **changes: Any) -> Case:
    """The same case once the older template is rolled out again as revision 3 and everything is well."""
    work = make_workload(
        template=GOOD,
        generation=5,
        observed_generation=5,
        annotations={"deployment.kubernetes.io/revision": "3", "stopgap.dev/last-action": "api-d-uid-g4-1-uid"},
        current_replicas=3,
        updated_replicas=3,
        progressing=Flag(True, "NewReplicaSetAvailable", "", NOW, NOW),
    )
    revisions = (make_revision(3, uid="rs-1", name="api-1", wanted=3, replicas=3, ready=3, available=3), make_revision(2))
    seen = make_seen(**{"workload": work, "revisions": revisions, "pods": (), "exits": make_exits(), "current_since": NOW, **changes})
    return replace(case, seen=seen, remediations=(make_remediation(status=executed()),))


@pytest.fixture
def case() -> Case:
    return make_case()
