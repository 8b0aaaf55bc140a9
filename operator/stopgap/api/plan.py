"""The plan of a Remediation: the end state that is meant, and all that it takes to put it back."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from stopgap.api.ladder import RevertOn
from stopgap.api.suspension import PlannedSuspension
from stopgap.model.base import ApiModel, Count, Digest, Message, Name, Uid, Word
from stopgap.model.change import Field, Outside


class PlannedScaler(ApiModel):
    """The autoscaler that is written in place of the workload."""

    kind: Literal["HorizontalPodAutoscaler", "ScaledObject"]
    name: Name
    uid: Uid


class PlannedRevert(ApiModel):
    """How and when it is put back. It is kept here, so that it happens even when the policy is gone."""

    upon: RevertOn | None = None
    """What ends it; empty where it ends after a time."""
    after: Annotated[str, StringConstraints(max_length=32)] = ""
    """How long after it was done."""


class RemediationPlan(ApiModel):
    """The absolute end state, never a difference."""

    summary: Message
    field: Field = Field.TEMPLATE
    """The one field that is written."""
    from_revision: Count = 0
    to_revision: Count = 0
    from_digest: Digest = ""
    """Stopgap's digest of the template that is left."""
    to_digest: Digest = ""
    """Stopgap's digest of the template that is put back."""
    replica_set_uid: Uid = ""
    """The ReplicaSet whose template is put back; else the UID of the workload and the hash of the ControllerRevision."""
    replica_set: Annotated[str, StringConstraints(max_length=253)] = ""
    restarted_at: Word = ""
    """The time that a restart writes into the template."""
    scaler: PlannedScaler | None = None
    """The autoscaler that is written in place of the workload."""
    before: Count | None = None
    """The number that is replaced, and that is put back; absent: the field was not set."""
    ours: Count | None = None
    """The number that is written."""
    outside: Outside | None = None
    """What is done outside the workload, and how it is put back."""
    revert: PlannedRevert | None = None
    """When it is put back; absent: what is done stays."""
    suspends: PlannedSuspension | None = None
    """The GitOps owner that is paused before it, and what is put back there."""

    @property
    def outlives(self) -> bool:
        """Whether what it changes is still there when the workload is not."""
        return self.scaler is not None or self.outside is not None
