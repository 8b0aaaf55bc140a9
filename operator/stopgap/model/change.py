"""What Stopgap may do to a workload: plain values, carried out by one module (effects/execute.py)."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from stopgap.model.observation import Scaler
from stopgap.model.template import Template
from stopgap.model.workload import Revision


class Field(StrEnum):
    """The one field that an action writes."""

    TEMPLATE = "Template"
    """`/spec/template` of the workload."""
    REPLICAS = "Replicas"
    """`/spec/replicas` of the workload."""
    MIN_REPLICAS = "MinReplicas"
    """`/spec/minReplicas` of the HorizontalPodAutoscaler that scales the workload."""
    MIN_REPLICA_COUNT = "MinReplicaCount"
    """`/spec/minReplicaCount` of the KEDA ScaledObject that scales the workload."""


@dataclass(frozen=True, slots=True)
class Good:
    """A revision that was known to be healthy, as WorkloadHealth remembers it."""

    replica_set: str
    digest: str
    healthy_for: timedelta


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered about a workload, in the words of the actions."""

    good: tuple[Good, ...] = ()
    denied: frozenset[str] = frozenset()
    """Digests of templates that are not gone back to."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What an action would do, as far as it can be told without reading anything live."""

    summary: str
    back_to: Revision | None = None
    """The ReplicaSet whose template is put back."""
    scaler: bool = False
    """Whether the autoscaler of the workload has to be read before anything can be planned."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An absolute end state for a target, in words, digests and numbers: what is stored before anything is done."""

    action: str
    summary: str
    field: Field
    from_revision: int = 0
    to_revision: int = 0
    from_digest: str = ""
    to_digest: str = ""
    replica_set: str = ""
    """UID of the ReplicaSet whose template is put back."""
    replica_set_name: str = ""
    restarted_at: str = ""
    """What a restart writes into the template."""
    scaler: Scaler | None = None
    """The autoscaler that is written instead of the workload."""
    before: int | None = None
    """The number that is replaced; None: the field was not set."""
    ours: int | None = None
    """The number that is written."""


@dataclass(frozen=True, slots=True)
class ReplaceTemplate:
    """Write a pod template into a workload, only if it is still the same object at the same generation."""

    template: Template


@dataclass(frozen=True, slots=True)
class SetNumber:
    """Write a number into one field of the workload or of its autoscaler, only if it is still what it was."""

    field: Field
    before: int | None
    after: int | None
    """None: the field is removed again."""


Change = ReplaceTemplate | SetNumber
