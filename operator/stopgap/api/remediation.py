"""Remediation: one intended action, written before it is done, and the record of how it ended."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from stopgap.api.incident import Count, IncidentFinding, SuspectedChange
from stopgap.model.base import ApiModel, Column, Digest, Kind, Message, Rule, StepName, Uid, Word
from stopgap.model.conditions import Conditions
from stopgap.model.refs import ObjectRef, PolicyUidRef, TargetUidRef
from stopgap.model.time import MicroTime, Time


class RemediationState(StrEnum):
    """How far an action is."""

    PENDING = "Pending"
    """Intended, and perhaps sent: whoever finds it looks at the target before doing anything."""
    VERIFYING = "Verifying"
    """Written; whether it helps is being watched. Nothing more is written until that is known, but the fields are given back."""
    SUCCEEDED = "Succeeded"
    """It helped."""
    FAILED = "Failed"
    """It did not help."""
    INCONCLUSIVE = "Inconclusive"
    """Whether it helped cannot be told; people decide."""
    REFUSED = "Refused"
    """A reason against it appeared after it was intended; nothing was written."""
    SUPERSEDED = "Superseded"
    """Somebody else changed the target first; nothing was written."""
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    """Whether it was written cannot be told; it is never repeated."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen under this Remediation."""
        return self not in {RemediationState.PENDING, RemediationState.VERIFYING}


class RemediationPlan(ApiModel):
    """The absolute end state, never a difference."""

    summary: Message
    from_revision: Count = 0
    to_revision: Count = 0
    from_digest: Digest
    """Stopgap's digest of the template that is left."""
    to_digest: Digest
    """Stopgap's digest of the template that is put back."""
    replica_set_uid: Uid
    """The ReplicaSet whose template is put back."""
    replica_set: Annotated[str, StringConstraints(max_length=253)]


class RemediationSpec(ApiModel):
    """What is intended. It does not change."""

    incident_ref: ObjectRef
    target_ref: TargetUidRef
    policy_ref: PolicyUidRef
    step: StepName
    attempt: Annotated[int, Field(ge=1, le=1000)] = 1
    action: Word
    plan: RemediationPlan
    generation: Count
    """Generation of the target that was decided on."""
    not_after: Time
    """If it was not written by then, it never is."""
    healthy_for: Annotated[str, StringConstraints(max_length=32)] = "1m"
    """What the policy asked for as proof: quiet and available for so long."""
    verify_until: Time
    """What the policy allowed for the proof: this is the end of it."""
    requested_by: Annotated[str, StringConstraints(max_length=256)] = "stopgap"
    finding: IncidentFinding | None = None
    """What it was decided for."""
    suspected_change: SuspectedChange | None = None
    """The change that was held responsible."""


class RemediationStatus(ApiModel):
    """How it went."""

    state: RemediationState = RemediationState.PENDING
    message: Message = ""
    executed_at: MicroTime | None = None
    """When the API server took the change (its clock)."""
    healthy_since: MicroTime | None = None
    """Since when the proof has been holding."""
    ended_at: Time | None = None
    written_digest: Digest = ""
    """Digest of the template as the API server stored it; differs from the plan when admission changed it."""
    fields_returned: bool = False
    """Whether the ownership of the written fields was given up again."""
    tries: Annotated[int, Field(ge=0, le=100)] = 0
    conditions: Annotated[Conditions, Field(max_length=8)] = ()


class Remediation(Kind):
    """One action on one workload: intended first, then done at most once, then judged. Only Stopgap writes these."""

    plural: ClassVar = "remediations"
    short: ClassVar = "rem"
    cel: ClassVar = (Rule("self.spec == oldSelf.spec", "the intent of a Remediation does not change"),)
    columns: ClassVar = (
        Column("INCIDENT", ".spec.incidentRef.name"),
        Column("TARGET", ".spec.targetRef.name"),
        Column("STEP", ".spec.step"),
        Column("PLAN", ".spec.plan.summary"),
        Column("STATE", ".status.state"),
        Column("AGE", ".metadata.creationTimestamp", "date"),
        Column("MESSAGE", ".status.message", priority=1),
    )
    kind: Literal["Remediation"] = "Remediation"
    spec: RemediationSpec
    status: RemediationStatus | None = None

    @property
    def put_there(self) -> frozenset[str]:
        """Digests of the template that this action made the present one: as planned, and as admission left it. None while unwritten."""
        if self.status is None or self.status.executed_at is None:
            return frozenset()
        return frozenset({self.spec.plan.to_digest, self.status.written_digest} - {""})

    @property
    def state(self) -> RemediationState:
        """The state; an object without status was only intended."""
        return self.status.state if self.status else RemediationState.PENDING
