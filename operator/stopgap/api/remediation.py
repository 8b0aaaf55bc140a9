"""Remediation: one intended action, written before it is done, and the record of how it ended."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Bounds
from pydantic import StringConstraints

from stopgap.api.incident import Count, IncidentFinding, SuspectedChange
from stopgap.api.ladder import RevertOn
from stopgap.api.suspension import PlannedSuspension, SuspensionStatus
from stopgap.model.base import ApiModel, Column, Digest, Kind, Message, Name, Rule, StepName, Uid, Word
from stopgap.model.change import Field
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


class PlannedScaler(ApiModel):
    """The autoscaler that is written in place of the workload."""

    kind: Literal["HorizontalPodAutoscaler", "ScaledObject"]
    name: Name
    uid: Uid


class PlannedRevert(ApiModel):
    """How and when it is put back. It is kept here, so that it happens even when the policy is gone."""

    on: RevertOn | None = None
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
    """The ReplicaSet whose template is put back."""
    replica_set: Annotated[str, StringConstraints(max_length=253)] = ""
    restarted_at: Word = ""
    """The time that a restart writes into the template."""
    scaler: PlannedScaler | None = None
    """The autoscaler that is written in place of the workload."""
    before: Count | None = None
    """The number that is replaced, and that is put back; absent: the field was not set."""
    ours: Count | None = None
    """The number that is written."""
    revert: PlannedRevert | None = None
    """When it is put back; absent: what is done stays."""
    suspends: PlannedSuspension | None = None
    """The GitOps owner that is paused before it, and what is put back there."""


class RemediationSpec(ApiModel):
    """What is intended. It does not change."""

    incident_ref: ObjectRef
    target_ref: TargetUidRef
    policy_ref: PolicyUidRef
    step: StepName
    attempt: Annotated[int, Bounds(ge=1, le=1000)] = 1
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
    request_id: Annotated[str, StringConstraints(max_length=63), Bounds(alias="requestID")] = ""
    """The order that it carries out, where a person gave one."""
    finding: IncidentFinding | None = None
    """What it was decided for."""
    suspected_change: SuspectedChange | None = None
    """The change that was held responsible."""


class RevertState(StrEnum):
    """How far the restore of something temporary is."""

    NOT_NEEDED = "NotNeeded"
    """Nothing is to be put back any more: somebody changed the value since, or the workload is gone."""
    PENDING = "Pending"
    """It will be put back."""
    HELD = "Held"
    """It is due, and a signal fires: it stays until that is quiet."""
    DONE = "Done"
    """It was put back."""
    FAILED = "Failed"
    """It could not be put back. A person does it, and says so: `kubectl annotate rem NAME stopgap.dev/revert=abandon`."""

    @property
    def open(self) -> bool:
        """Whether something is left to put back."""
        return self in {RevertState.PENDING, RevertState.HELD, RevertState.FAILED}


class RevertStatus(ApiModel):
    """How the restore went."""

    state: RevertState
    due_at: Time | None = None
    """When it is due; empty where an event decides."""
    ended_at: Time | None = None
    message: Message = ""


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
    tries: Annotated[int, Bounds(ge=0, le=100)] = 0
    revert: RevertStatus | None = None
    """How the restore went, where there is something to put back."""
    suspension: SuspensionStatus | None = None
    """How far the pause of the GitOps owner is, where one was paused."""
    conditions: Annotated[Conditions, Bounds(max_length=8)] = ()


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
        Column("REVERT", ".status.revert.state"),
        Column("OWNER", ".status.suspension.state", priority=1),
        Column("AGE", ".metadata.creationTimestamp", "date"),
        Column("MESSAGE", ".status.message", priority=1),
    )
    kind: Literal["Remediation"] = "Remediation"
    spec: RemediationSpec
    status: RemediationStatus | None = None

    @property
    def owes_fields(self) -> bool:
        """Whether it is over, was written, and the ownership of what it wrote was not given up yet."""
        status = self.status
        return self.state.ended and status is not None and status.executed_at is not None and not status.fields_returned

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

    @property
    def owes_restore(self) -> bool:
        """Whether something that it changed is left to put back."""
        return self.status is not None and self.status.revert is not None and self.status.revert.state.open

    @property
    def owes_resume(self) -> bool:
        """Whether a GitOps owner that it paused is left to resume."""
        return self.status is not None and self.status.suspension is not None and self.status.suspension.state.open
