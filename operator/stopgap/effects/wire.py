"""What is read of foreign objects, and how it becomes facts.

Typed Structs with only the needed fields: decoding skips everything else without building it. Nothing of a page's bytes is kept.
"""

import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct, field

from stopgap.model.workload import Container, End, Flag, Pod, Revision, Workload

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REVISION: Final = "deployment.kubernetes.io/revision"
_ROLLBACK: Final = "stopgap.dev/rollback"
_READ_ANNOTATIONS: Final = frozenset(
    {
        _REVISION,
        "stopgap.dev/pause",
        "stopgap.dev/last-action",
        "kubernetes.io/change-cause",
        "argocd.argoproj.io/tracking-id",
        "meta.helm.sh/release-name",
        "meta.helm.sh/release-namespace",
        "kustomize.toolkit.fluxcd.io/reconcile",
    }
)


class Wire(Struct, rename="camel", gc=False):
    """A piece of a foreign object."""


class OwnerReference(Wire):
    """Who owns an object."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ManagedFields(Wire):
    """Who wrote when; what was written is not decoded."""

    manager: str = ""
    subresource: str = ""
    time: str = ""


class Meta(Wire):
    """The part of `metadata` that is read."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""
    generation: int = 0
    creation_timestamp: datetime = _EPOCH
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    managed_fields: list[ManagedFields] = []


class SmallMeta(Wire):
    """`metadata` of objects that come by the ten thousand."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""
    creation_timestamp: datetime = _EPOCH
    deletion_timestamp: str | None = None
    owner_references: list[OwnerReference] = []


class Condition(Wire):
    """A condition of a Deployment, a ReplicaSet or a pod."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None


class RollingUpdate(Wire):
    """Limits of a rolling update."""

    max_unavailable: int | str = 0


class Strategy(Wire):
    """How a Deployment replaces pods."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(Wire):
    """Spec of a Deployment."""

    template: msgspec.Raw
    replicas: int = 1
    paused: bool = False
    strategy: Strategy = field(default_factory=Strategy)
    min_ready_seconds: int = 0
    progress_deadline_seconds: int = 600


class DeploymentStatus(Wire):
    """Status of a Deployment."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: list[Condition] = []


class Deployment(Wire):
    """apps/v1 Deployment."""

    metadata: Meta
    spec: DeploymentSpec
    status: DeploymentStatus = field(default_factory=DeploymentStatus)


class RevisionAnnotations(Wire):
    """The annotations of a ReplicaSet that are read."""

    revision: str = field(default="", name=_REVISION)


class HashLabels(Wire):
    """The labels of a ReplicaSet that are read."""

    hash: str = field(default="", name="pod-template-hash")


class ReplicaSetMeta(SmallMeta):
    """`metadata` of a ReplicaSet."""

    annotations: RevisionAnnotations = field(default_factory=RevisionAnnotations)
    labels: HashLabels = field(default_factory=HashLabels)


class BarrierAnnotations(Wire):
    """The annotations of a pod template that are read in the index."""

    rollback: str = field(default="", name=_ROLLBACK)


class BarrierMeta(Wire):
    """`metadata` of a pod template."""

    annotations: BarrierAnnotations = field(default_factory=BarrierAnnotations)


class BarrierTemplate(Wire):
    """A pod template, of which the index needs one annotation."""

    metadata: BarrierMeta = field(default_factory=BarrierMeta)


class ReplicaSetSpec(Wire):
    """Spec of a ReplicaSet."""

    replicas: int = 1
    template: BarrierTemplate = field(default_factory=BarrierTemplate)


class ReplicaSetStatus(Wire):
    """Status of a ReplicaSet."""

    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: list[Condition] = []


class ReplicaSet(Wire):
    """apps/v1 ReplicaSet."""

    metadata: ReplicaSetMeta
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = field(default_factory=ReplicaSetStatus)


class Ended(Wire):
    """`state.terminated`."""

    exit_code: int = 0
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Waiting(Wire):
    """`state.waiting`."""

    reason: str = ""
    message: str = ""


class Running(Wire):
    """`state.running`."""

    started_at: datetime | None = None


class ContainerState(Wire):
    """`state` and `lastState`."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Ended | None = None


class ContainerStatus(Wire):
    """Status of one container."""

    name: str
    image: str = ""
    image_id: str = field(default="", name="imageID")
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = field(default_factory=ContainerState)
    last_state: ContainerState = field(default_factory=ContainerState)


class PodSpec(Wire):
    """Spec of a pod."""

    node_name: str = ""


class PodStatus(Wire):
    """Status of a pod."""

    phase: str = ""
    start_time: datetime | None = None
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class PodObject(Wire):
    """v1 Pod."""

    metadata: SmallMeta
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


def controller_of(references: list[OwnerReference]) -> OwnerReference | None:
    """Return the controlling owner."""
    return next((one for one in references if one.controller), None)


def _flag(conditions: list[Condition], kind: str) -> Flag | None:
    found = next((one for one in conditions if one.type == kind), None)
    if found is None:
        return None
    holds = {"True": True, "False": False}.get(found.status)
    return Flag(holds, sys.intern(found.reason), found.message, found.last_transition_time, found.last_update_time)


def _changed_by(managed: list[ManagedFields]) -> str:
    entries = [one for one in managed if not one.subresource and one.manager != "stopgap"]
    return sys.intern(max(entries, key=lambda one: one.time).manager) if entries else ""


def workload(wire: Deployment) -> Workload:
    """Turn a Deployment into facts."""
    meta, spec, status = wire.metadata, wire.spec, wire.status
    rolling = spec.strategy.rolling_update
    owner = controller_of(meta.owner_references)
    return Workload(
        namespace=sys.intern(meta.namespace),
        kind="Deployment",
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        labels={sys.intern(key): sys.intern(value) for key, value in meta.labels.items()},
        annotations={sys.intern(key): value for key, value in meta.annotations.items() if key in _READ_ANNOTATIONS},
        controller=f"{owner.kind}/{owner.name}" if owner else "",
        changed_by=_changed_by(meta.managed_fields),
        created=meta.creation_timestamp,
        deleting=meta.deletion_timestamp is not None,
        replicas=spec.replicas,
        paused=spec.paused,
        strategy=sys.intern(spec.strategy.type),
        max_unavailable=rolling.max_unavailable if rolling else ("100%" if spec.strategy.type == "Recreate" else 0),
        min_ready=timedelta(seconds=spec.min_ready_seconds),
        progress_deadline=timedelta(seconds=spec.progress_deadline_seconds),
        template=bytes(spec.template),
        observed_generation=status.observed_generation,
        current_replicas=status.replicas,
        updated_replicas=status.updated_replicas,
        ready_replicas=status.ready_replicas,
        available_replicas=status.available_replicas,
        available=_flag(status.conditions, "Available"),
        progressing=_flag(status.conditions, "Progressing"),
        replica_failure=_flag(status.conditions, "ReplicaFailure"),
    )


def revision(wire: ReplicaSet) -> Revision | None:
    """Turn a ReplicaSet into facts; None when no Deployment controls it."""
    meta = wire.metadata
    owner = controller_of(meta.owner_references)
    if owner is None or owner.kind != "Deployment":
        return None
    number = meta.annotations.revision
    return Revision(
        uid=meta.uid,
        name=meta.name,
        owner=owner.uid,
        hash=meta.labels.hash,
        number=int(number) if number.isdigit() else 0,
        created=meta.creation_timestamp,
        wanted=wire.spec.replicas,
        replicas=wire.status.replicas,
        ready=wire.status.ready_replicas,
        available=wire.status.available_replicas,
        forbids_rollback=wire.spec.template.metadata.annotations.rollback == "Forbidden",
        replica_failure=_flag(wire.status.conditions, "ReplicaFailure"),
    )


def is_well(wire: PodObject) -> bool:
    """Whether there is nothing to remember about a pod: ready, never restarted, and staying."""
    status = wire.status
    if wire.metadata.deletion_timestamp is not None or status.phase != "Running":
        return False
    # Not the containers' readiness alone: readiness gates and a lost node make a pod unready whose containers are all ready.
    if not any(one.type == "Ready" and one.status == "True" for one in status.conditions):
        return False
    return all(one.ready and one.restart_count == 0 for one in status.container_statuses) and all(
        one.restart_count == 0 for one in status.init_container_statuses
    )


def pod(wire: PodObject, owner: str) -> Pod:
    """Turn a pod into facts."""
    meta, status = wire.metadata, wire.status
    ready, scheduled = _flag(status.conditions, "Ready"), _flag(status.conditions, "PodScheduled")
    disrupted = _flag(status.conditions, "DisruptionTarget")
    unplaced = scheduled is not None and scheduled.holds is False and scheduled.reason == "Unschedulable"
    return Pod(
        uid=meta.uid,
        name=meta.name,
        owner=owner,
        node=sys.intern(wire.spec.node_name),
        phase=sys.intern(status.phase),
        created=meta.creation_timestamp,
        started=status.start_time,
        leaving=meta.deletion_timestamp is not None or bool(disrupted and disrupted.holds),
        ready=bool(ready and ready.holds),
        ready_since=ready.since if ready and ready.holds else None,
        unschedulable=scheduled.message if unplaced and scheduled else "",
        containers=(
            *(_container(one, init=True) for one in status.init_container_statuses),
            *(_container(one, init=False) for one in status.container_statuses),
        ),
    )


def _container(wire: ContainerStatus, *, init: bool) -> Container:
    waiting, running = wire.state.waiting, wire.state.running
    return Container(
        name=sys.intern(wire.name),
        image=sys.intern(wire.image),
        image_id=wire.image_id,
        init=init,
        ready=wire.ready,
        restarts=wire.restart_count,
        waiting=sys.intern(waiting.reason) if waiting else "",
        waiting_message=waiting.message[:512] if waiting else "",
        waiting_since=None,
        running_since=running.started_at if running else None,
        ended=_end(wire.state.terminated),
        last_ended=_end(wire.last_state.terminated),
    )


def _end(ended: Ended | None) -> End | None:
    return End(ended.exit_code, sys.intern(ended.reason), ended.started_at, ended.finished_at) if ended else None
