"""StatefulSets, their ControllerRevisions and their pods: the shapes that are read, and how they become facts."""

import sys
from datetime import timedelta

import msgspec
from msgspec import field

from stopgap.effects import facts, wire
from stopgap.effects.wire import BarrierTemplate, Meta, PodObject, SmallMeta, Wire
from stopgap.model.stateful import ON_DELETE, StatefulSet, key
from stopgap.model.template import packed
from stopgap.model.workload import Pod, Revision

PODS = {"labelSelector": "statefulset.kubernetes.io/pod-name"}
"""Every pod of a StatefulSet has this label, and no other pod."""


class RollingUpdate(Wire):
    """Limits of a rolling update."""

    partition: int = 0
    max_unavailable: int | str | None = None


class UpdateStrategy(Wire):
    """How a StatefulSet replaces pods."""

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


class RevisedSpec(Wire):
    """What a ControllerRevision changes in the spec."""

    template: BarrierTemplate = field(default_factory=BarrierTemplate)


class Revised(Wire):
    """The patch that a ControllerRevision holds."""

    spec: RevisedSpec = field(default_factory=RevisedSpec)


class ControllerRevision(Wire):
    """apps/v1 ControllerRevision."""

    metadata: SmallMeta
    revision: int = 0
    data: Revised = field(default_factory=Revised)


class PodLabels(Wire):
    """The labels of a StatefulSet's pod that are read."""

    revision: str = field(default="", name="controller-revision-hash")


class StatefulPodMeta(SmallMeta):
    """`metadata` of a StatefulSet's pod."""

    labels: PodLabels = field(default_factory=PodLabels)


class StatefulPod(PodObject):
    """v1 Pod of a StatefulSet."""

    metadata: StatefulPodMeta


def workload(seen: StatefulSetObject) -> StatefulSet:
    """Turn a StatefulSet into facts. Its times are added where the state before is known (`StatefulSet.following`)."""
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


def revision(seen: ControllerRevision) -> Revision | None:
    """Turn a ControllerRevision into facts; None when no StatefulSet controls it. How many pods it has, the StatefulSet tells."""
    meta = seen.metadata
    owner = wire.controller_of(meta.owner_references)
    if owner is None or owner.kind != "StatefulSet":
        return None
    return Revision(
        uid=key(owner.uid, meta.name),
        name=meta.name,
        owner=sys.intern(owner.uid),
        hash=meta.name,
        number=seen.revision,
        created=meta.creation_timestamp,
        wanted=0,
        replicas=0,
        ready=0,
        available=0,
        forbids_rollback=seen.data.spec.template.metadata.annotations.rollback == "Forbidden",
        replica_failure=None,
    )


def pod(seen: StatefulPod) -> Pod | None:
    """Turn a pod into facts; None when it is well, or no StatefulSet controls it."""
    owner = wire.controller_of(seen.metadata.owner_references)
    if owner is None or owner.kind != "StatefulSet" or facts.is_well(seen):
        return None
    return facts.pod(seen, sys.intern(key(owner.uid, seen.metadata.labels.revision)))
