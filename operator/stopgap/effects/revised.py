"""Workloads whose revisions are ControllerRevisions, these, and their pods: the shapes that are read, and how they become facts."""

import sys
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import field

from stopgap.effects import facts, wire
from stopgap.effects.wire import BarrierTemplate, Meta, PodObject, SmallMeta, Wire
from stopgap.model.refs import WorkloadKind
from stopgap.model.revised import ON_DELETE, DaemonSet, Revised, StatefulSet, key
from stopgap.model.template import Template, packed
from stopgap.model.workload import Pod, Revision


class RollingUpdate(Wire):
    """Limits of a rolling update."""

    partition: int = 0
    max_unavailable: int | str | None = None


class UpdateStrategy(Wire):
    """How a StatefulSet or a DaemonSet replaces pods."""

    type: str = "RollingUpdate"
    rolling_update: RollingUpdate = field(default_factory=RollingUpdate)


class Ordinals(Wire):
    """How a StatefulSet numbers its pods."""

    start: int = 0


class StatefulSetSpec(Wire):
    """Spec of a StatefulSet."""

    template: msgspec.Raw
    replicas: int = 1
    pod_management_policy: str = "OrderedReady"
    update_strategy: UpdateStrategy = field(default_factory=UpdateStrategy)
    min_ready_seconds: int = 0
    ordinals: Ordinals = field(default_factory=Ordinals)


class StatefulSetStatus(Wire):
    """Status of a StatefulSet."""

    observed_generation: int = 0
    replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""


class StatefulSetObject(Wire):
    """apps/v1 StatefulSet."""

    metadata: Meta
    spec: StatefulSetSpec
    status: StatefulSetStatus = field(default_factory=StatefulSetStatus)


class DaemonSetSpec(Wire):
    """Spec of a DaemonSet."""

    template: msgspec.Raw
    update_strategy: UpdateStrategy = field(default_factory=UpdateStrategy)
    min_ready_seconds: int = 0


class DaemonSetStatus(Wire):
    """Status of a DaemonSet."""

    observed_generation: int = 0
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0


class DaemonSetObject(Wire):
    """apps/v1 DaemonSet."""

    metadata: Meta
    spec: DaemonSetSpec
    status: DaemonSetStatus = field(default_factory=DaemonSetStatus)


class RevisedSpec(Wire):
    """What a ControllerRevision changes in the spec."""

    template: BarrierTemplate = field(default_factory=BarrierTemplate)


class Patch(Wire):
    """The patch that a ControllerRevision holds."""

    spec: RevisedSpec = field(default_factory=RevisedSpec)


class ControllerRevision(Wire):
    """apps/v1 ControllerRevision."""

    metadata: SmallMeta
    revision: int = 0
    data: msgspec.Raw = msgspec.Raw(b"{}")
    """A patch of the workload, which puts the template back."""


class PodLabels(Wire):
    """The labels of such a workload's pod that are read."""

    revision: str = field(default="", name="controller-revision-hash")


class RevisedPodMeta(SmallMeta):
    """`metadata` of such a workload's pod."""

    labels: PodLabels = field(default_factory=PodLabels)


class RevisedPod(PodObject):
    """v1 Pod of such a workload."""

    metadata: RevisedPodMeta


def stateful_set(seen: StatefulSetObject) -> StatefulSet:
    """Turn a StatefulSet into facts. Its times are added where the state before is known (`Revised.following`)."""
    meta, spec, status = seen.metadata, seen.spec, seen.status
    rolling = spec.update_strategy.rolling_update
    return StatefulSet(
        **facts.identity(meta),
        kind="StatefulSet",
        replicas=spec.replicas,
        paused=False,
        strategy=sys.intern(spec.update_strategy.type),
        max_unavailable=rolling.max_unavailable or 1,
        min_ready=timedelta(seconds=spec.min_ready_seconds),
        progress_deadline=timedelta(minutes=10),
        template=packed(spec.template),
        observed_generation=status.observed_generation,
        current_replicas=status.replicas,
        updated_replicas=status.updated_replicas,
        ready_replicas=status.ready_replicas,
        available_replicas=status.available_replicas,
        available=None,
        progressing=None,
        replica_failure=None,
        update_revision=status.update_revision,
        current_revision=status.current_revision,
        replicas_of_current=status.current_replicas,
        partition=spec.replicas if spec.update_strategy.type == ON_DELETE else min(rolling.partition, spec.replicas),
        first_ordinal=spec.ordinals.start,
        ordered=spec.pod_management_policy != "Parallel",
    )


def daemon_set(seen: DaemonSetObject) -> DaemonSet:
    """Turn a DaemonSet into facts. Its times are added where the state before is known (`Revised.following`)."""
    meta, spec, status = seen.metadata, seen.spec, seen.status
    allowed = spec.update_strategy.rolling_update.max_unavailable
    return DaemonSet(
        **facts.identity(meta),
        kind="DaemonSet",
        replicas=status.desired_number_scheduled,
        paused=False,
        strategy=sys.intern(spec.update_strategy.type),
        max_unavailable=1 if allowed is None else allowed,
        min_ready=timedelta(seconds=spec.min_ready_seconds),
        progress_deadline=timedelta(minutes=10),
        template=packed(spec.template),
        observed_generation=status.observed_generation,
        current_replicas=status.current_number_scheduled,
        updated_replicas=status.updated_number_scheduled,
        ready_replicas=status.number_ready,
        available_replicas=status.number_available,
        available=None,
        progressing=None,
        replica_failure=None,
        digest=Template.read(bytes(spec.template)).digest,
    )


def folded(kind: str, raw: bytes) -> Revised | None:
    """Turn what a reply says about such a workload into facts; None: it is of another kind."""
    if kind == "statefulsets":
        return stateful_set(msgspec.json.decode(raw, type=StatefulSetObject))
    return daemon_set(msgspec.json.decode(raw, type=DaemonSetObject)) if kind == "daemonsets" else None


def revision(seen: ControllerRevision, kind: WorkloadKind) -> Revision | None:
    """Turn a ControllerRevision into facts; None when no workload of this kind controls it. How many pods it has, the workload tells."""
    meta = seen.metadata
    owner = wire.controller_of(meta.owner_references)
    if owner is None or owner.kind != kind:
        return None
    # The pods of a StatefulSet bear the whole name as a label, those of a DaemonSet the hash that ends it.
    daemon = kind == "DaemonSet"
    return Revision(
        uid=key(owner.uid, meta.name),
        name=meta.name,
        owner=sys.intern(owner.uid),
        hash=meta.name.rpartition("-")[2] if daemon else meta.name,
        number=seen.revision,
        created=meta.creation_timestamp,
        wanted=0,
        replicas=0,
        ready=0,
        available=0,
        forbids_rollback=msgspec.json.decode(seen.data, type=Patch).spec.template.metadata.annotations.rollback == "Forbidden",
        replica_failure=None,
        digest=template_of(seen.data).digest if daemon else "",
    )


class _Templated(msgspec.Struct):
    template: dict[str, Any]


class _Whole(msgspec.Struct):
    spec: _Templated


def template_of(data: bytes | msgspec.Raw) -> Template:
    """Read the template that a ControllerRevision puts back, from its `data`."""
    return Template.read(msgspec.json.decode(data, type=_Whole).spec.template)


def pod(seen: RevisedPod, kind: WorkloadKind) -> Pod | None:
    """Turn a pod into facts; None when it is well, or no workload of this kind controls it."""
    owner = wire.controller_of(seen.metadata.owner_references)
    if owner is None or owner.kind != kind or facts.is_well(seen):
        return None
    return facts.pod(seen, sys.intern(key(owner.uid, seen.metadata.labels.revision)))
