"""The shapes of foreign objects: typed Structs with only the needed fields, so that decoding skips the rest without building it."""

from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct, field

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REVISION: Final = "deployment.kubernetes.io/revision"
_ROLLBACK: Final = "stopgap.dev/rollback"


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


class PauseAnnotations(Wire):
    """The annotations of a namespace that are read."""

    pause: str | None = field(default=None, name="stopgap.dev/pause")


class NamespaceMeta(Wire):
    """`metadata` of a namespace."""

    name: str
    uid: str
    resource_version: str
    labels: dict[str, str] = {}
    annotations: PauseAnnotations = field(default_factory=PauseAnnotations)


class Namespace(Wire):
    """v1 Namespace."""

    metadata: NamespaceMeta


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
