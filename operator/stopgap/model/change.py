"""What Stopgap may do to a workload: plain values, carried out by one module (effects/execute.py)."""

from dataclasses import dataclass

from stopgap.model.refs import Target
from stopgap.model.template import Template


@dataclass(frozen=True, slots=True)
class Plan:
    """An absolute end state for a target, in words and in digests: what is stored before anything is done."""

    action: str
    summary: str
    from_revision: int
    to_revision: int
    from_digest: str
    to_digest: str
    replica_set: str
    """UID of the ReplicaSet whose template is put back."""
    replica_set_name: str


@dataclass(frozen=True, slots=True)
class ReplaceTemplate:
    """Write a pod template into a Deployment, only if it is still the same object at the same generation."""

    target: Target
    uid: str
    generation: int
    template: Template


Change = ReplaceTemplate
