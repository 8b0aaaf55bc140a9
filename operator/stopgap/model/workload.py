"""Facts about workloads, as the watch index holds them: flat, small and immutable.

msgspec Structs rather than dataclasses, because an index of a large cluster holds tens of thousands of them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from msgspec import Struct

from stopgap.model.refs import Target, WorkloadKind

RESTART_OF_A_CRASH_LOOP = "CrashLoopBackOff"
_FINISHED = "NewReplicaSetAvailable"


class Flag(Struct, frozen=True, gc=False):
    """One condition of a foreign object: whether it holds, why, and since when."""

    holds: bool | None
    reason: str
    message: str
    since: datetime | None
    updated: datetime | None


class Workload(Struct, frozen=True, gc=False):
    """A Deployment, or what is the same about StatefulSets and DaemonSets (model/revised.py).

    Counts are pods; `template` is the packed JSON of `.spec.template`, parsed only in trouble.
    """

    namespace: str
    kind: WorkloadKind
    name: str
    uid: str
    version: int
    """Its resourceVersion: versions of one resource can be compared as numbers (KEP-5504)."""
    generation: int
    labels: dict[str, str]
    annotations: dict[str, str]
    """Only those that Stopgap reads: pause, last action, revision, change cause and the marks of owners."""
    controller: str
    """`Kind/name` of the controlling owner, or empty."""
    changed_by: str
    """The field manager that last wrote anything but status."""
    created: datetime
    deleting: bool
    replicas: int
    paused: bool
    strategy: str
    max_unavailable: int | str
    min_ready: timedelta
    progress_deadline: timedelta
    template: bytes
    observed_generation: int
    current_replicas: int
    updated_replicas: int
    ready_replicas: int
    available_replicas: int
    available: Flag | None
    progressing: Flag | None
    replica_failure: Flag | None

    @property
    def target(self) -> Target:
        """The key of this workload."""
        return Target(self.namespace, self.kind, self.name)

    @property
    def revision(self) -> int:
        """The revision number that the Deployment controller last gave, 0 while it gave none."""
        number = self.annotations.get("deployment.kubernetes.io/revision", "")
        return int(number) if number.isdigit() else 0

    @property
    def revision_mark(self) -> str:
        """What its controller last called the revision of the present template."""
        return self.annotations.get("deployment.kubernetes.io/revision", "")

    def runs(self, revision: "Revision") -> bool:
        """Whether a revision is the one of the present template, as its controller last said."""
        return revision.number == self.revision

    @property
    def least_available(self) -> int:
        """How many replicas must be available for the rollout strategy to call it available (rounding as Kubernetes does: down)."""
        allowed = self.max_unavailable
        if isinstance(allowed, str):
            allowed = self.replicas * int(allowed.rstrip("%") or 0) // 100 if allowed.endswith("%") else 0
        return max(self.replicas - allowed, 0)

    @property
    def rolled_out(self) -> bool:
        """Whether the newest template is what runs: observed, every replica updated, none of another revision left."""
        return (
            self.observed_generation >= self.generation
            and self.updated_replicas >= self.replicas
            and self.current_replicas <= self.updated_replicas
        )

    @property
    def held_back(self) -> bool:
        """Whether pods of an older revision are kept on purpose."""
        return False

    @property
    def finished(self) -> bool:
        """Whether the rollout of the newest template was complete once."""
        return self.progressing is not None and self.progressing.reason == _FINISHED and self.rolled_out

    def following(self, before: "Workload | None", now: datetime) -> Self:  # noqa: ARG002 - what other kinds need
        """Return the same with what its status does not tell; a Deployment's tells everything."""
        return self

    def counted(self, revisions: tuple["Revision", ...], pods: Mapping[str, Mapping[str, "Pod"]]) -> tuple["Revision", ...]:  # noqa: ARG002 - what other kinds need
        """Return revisions (newest first) with their number of pods, by the troubled `pods` of each; a ReplicaSet tells that itself."""
        return revisions


class Revision(Struct, frozen=True, gc=False):
    """A ReplicaSet of a Deployment, or a ControllerRevision of a StatefulSet or a DaemonSet."""

    uid: str
    """Of a ControllerRevision: the key of model/revised.py."""
    name: str
    owner: str
    """UID of the workload."""
    hash: str
    """Label of its pods: `pod-template-hash`, or `controller-revision-hash`."""
    number: int
    created: datetime
    wanted: int
    replicas: int
    ready: int
    available: int
    forbids_rollback: bool
    """The template is annotated `stopgap.dev/rollback: Forbidden`: nothing rolls back over it."""
    replica_failure: Flag | None
    digest: str = ""
    """Our name for its template, where nothing else tells which revision is the present one: of DaemonSets."""


class End(Struct, frozen=True, gc=False):
    """How a container's process ended."""

    code: int
    reason: str
    started: datetime | None
    finished: datetime | None


class Container(Struct, frozen=True, gc=False):
    """One container of a pod, init or not."""

    name: str
    image: str
    image_id: str
    init: bool
    ready: bool
    restarts: int
    waiting: str
    """Reason it waits for, or empty."""
    waiting_message: str
    waiting_since: datetime | None
    """When Stopgap first saw it wait in the present way: a container status carries no such time."""
    running_since: datetime | None
    ended: End | None
    last_ended: End | None


class Pod(Struct, frozen=True, gc=False):
    """A pod that is not simply well: something in it waits, ended, restarted or is not ready."""

    uid: str
    name: str
    owner: str
    """UID of the ReplicaSet."""
    node: str
    phase: str
    created: datetime
    started: datetime | None
    """When the kubelet took it."""
    leaving: bool
    """It is being deleted, or an eviction or preemption is announced: its exits say nothing about the release."""
    ready: bool
    ready_since: datetime | None
    unschedulable: str
    """The scheduler's message, or empty."""
    containers: tuple[Container, ...]


class Exit(Struct, frozen=True, gc=False):
    """One end of a container's process. The ledger knows each by (pod, container, ordinal) and so counts none twice."""

    pod_uid: str
    pod: str
    node: str
    container: str
    init: bool
    ordinal: int
    at: datetime
    code: int
    reason: str


class Level(Struct, frozen=True, gc=False):
    """How many replicas were available and how many were wanted, from a moment on."""

    at: datetime
    available: int
    wanted: int


class Stint(Struct, frozen=True, gc=False):
    """A time during which one revision was the current one and healthy."""

    replica_set: str
    """UID."""
    digest: str
    revision: int
    since: datetime
    until: datetime
    images: dict[str, str]
    image_ids: dict[str, str]


class Neighbour(Struct, frozen=True, gc=False):
    """Another workload that is ill: where, and since when."""

    target: Target
    since: datetime


class State(StrEnum):
    """What a detector says."""

    FIRING = "Firing"
    """The trouble is there now."""
    QUIET = "Quiet"
    """The detector looked and found nothing."""
    UNKNOWN = "Unknown"
    """It could not tell. Never fires and never counts as healthy."""
