"""Remediation: one intended action, written before it is done, and the record of how it ended."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field as Bounds
from pydantic import StringConstraints

from stopgap.api.evidence import SuspectedChange
from stopgap.api.incident import IncidentFinding
from stopgap.api.jobstatus import JobStatus
from stopgap.api.plan import RemediationPlan
from stopgap.api.replacing import MOST_REPLACED, ReplacedPod
from stopgap.api.revert import RevertState, RevertStatus
from stopgap.api.suspension import SuspensionStatus
from stopgap.model.base import ApiModel, Column, Count, Digest, Kind, Message, Rule, StepName, Word
from stopgap.model.conditions import Conditions
from stopgap.model.refs import ObjectRef, PolicyUidRef, TargetUidRef
from stopgap.model.time import MicroTime, Time

ACT_WITHIN: Final = timedelta(minutes=1)
"""What was intended, or approved, and not carried out within this never is: what it was decided on is too old."""


class RemediationState(StrEnum):
    """How far an action is."""

    AWAITING_APPROVAL = "AwaitingApproval"
    """Intended, and not sent: it waits for a person. It holds nothing up, and is given up at spec.expiresAt."""
    PENDING = "Pending"
    """Intended, and perhaps sent: whoever finds it looks at the target before doing anything."""
    EXECUTING = "Executing"
    """One copy of Stopgap has taken it on, and perhaps sent what no test can guard. Whoever else finds it so never sends it again,
    unless that does no harm (`idempotent`)."""
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
    """Somebody else changed the target first, or what it was intended for is over; nothing was written."""
    REJECTED = "Rejected"
    """A person said no; nothing was written, and the step is not tried again in this incident."""
    EXPIRED = "Expired"
    """Nobody approved it in time; nothing was written, and the step is not tried again in this incident."""
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    """Whether it was written cannot be told; it is never repeated."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen under this Remediation."""
        return self is not RemediationState.AWAITING_APPROVAL and not self.out

    @property
    def out(self) -> bool:
        """Whether it may have been sent, and is not judged yet."""
        return self in {RemediationState.PENDING, RemediationState.EXECUTING, RemediationState.VERIFYING}


class Verdict(StrEnum):
    """What a person says to an action that waits."""

    APPROVED = "Approved"
    """Do it, if nothing stands against it now."""
    REJECTED = "Rejected"
    """Do not do it, nor ask for this step again in this incident."""


class Approval(ApiModel):
    """A person's word on an action that waits. It is given once and cannot be taken back."""

    decision: Verdict
    """Approved changes the workload within seconds, if no guard stands against it by then; Rejected ends it."""
    by: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Who says so: your own user name. The API server fills it in (Kubernetes 1.36 and later), and takes no other."""
    message: Message = ""
    """Why, for the record."""


class RemediationSpec(ApiModel):
    """What is intended. Nothing of it changes but that a person approves or rejects it, once."""

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
    """If it was not written by then, it never is. Where it waits for approval, this counts anew from status.approvedAt."""
    expires_at: Time | None = None
    """If it was not approved by then, it never is carried out; absent: it needs no approval."""
    approval: Approval | None = None
    """A person's word, where it waits for one (status.state AwaitingApproval)."""
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


class RemediationStatus(ApiModel):
    """How it went."""

    state: RemediationState = RemediationState.PENDING
    message: Message = ""
    approved_at: Time | None = None
    """When the approval was seen, and everything that could stand against the action was asked again."""
    approved_generation: Count = 0
    """Generation of the target at that time."""
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
    executor: Annotated[str, StringConstraints(max_length=128)] = ""
    """The copy of Stopgap that took it on, where it is done outside the workload."""
    details: Annotated[tuple[Annotated[str, StringConstraints(max_length=512)], ...], Bounds(max_length=50)] = ()
    """What was done outside the workload, one by one."""
    job: JobStatus | None = None
    """How the Job ended, where one was run."""
    revert: RevertStatus | None = None
    """How the restore went, where there is something to put back."""
    suspension: SuspensionStatus | None = None
    """How far the pause of the GitOps owner is, where one was paused."""
    replaced: Annotated[tuple[ReplacedPod, ...], Bounds(max_length=MOST_REPLACED)] = ()
    """Pods of the bad revision that were deleted one after the other, because all others waited for them; oldest first."""
    conditions: Annotated[Conditions, Bounds(max_length=8)] = ()


def _unchanged(field: str) -> str:
    """Return the CEL for a field that is neither changed nor added nor removed. Optional types would be shorter, and cost too much."""
    now, before = f"self.spec.{field}", f"oldSelf.spec.{field}"
    return f"has({now}) == has({before}) && (!has({now}) || {now} == {before})"


_FROZEN: Final = " && ".join(_unchanged(field.alias or name) for name, field in RemediationSpec.model_fields.items() if name != "approval")


class Remediation(Kind):
    """One action on one workload: intended first, then done at most once, then judged.

    Only Stopgap writes these; people approve or reject the one that waits, by spec.approval.
    """

    plural: ClassVar = "remediations"
    short: ClassVar = "rem"
    cel: ClassVar = (
        Rule(_FROZEN, "the intent of a Remediation does not change; only spec.approval can be given, once"),
        Rule(
            "!has(oldSelf.spec.approval) || (has(self.spec.approval) && self.spec.approval == oldSelf.spec.approval)",
            "an approval is given once, and neither changed nor taken back",
        ),
        Rule(
            "has(self.spec.approval) == has(oldSelf.spec.approval) || (has(oldSelf.status) && oldSelf.status.state == 'AwaitingApproval')",
            "only what waits can be approved or rejected (status.state AwaitingApproval)",
        ),
    )
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
        if self.status is None:
            return RemediationState.AWAITING_APPROVAL if self.spec.expires_at else RemediationState.PENDING
        return self.status.state

    @property
    def approved(self) -> bool:
        """Whether a person said yes to it."""
        return self.spec.approval is not None and self.spec.approval.decision is Verdict.APPROVED

    @property
    def write_until(self) -> datetime:
        """If it was not written by then, it never is."""
        return self.spec.not_after + self._waited

    @property
    def prove_until(self) -> datetime:
        """When the time for the proof ends."""
        return self.spec.verify_until + self._waited

    @property
    def decided_generation(self) -> int:
        """Generation of the target that was last decided on."""
        return (self.status.approved_generation if self.status else 0) or self.spec.generation

    @property
    def _waited(self) -> timedelta:
        """How long it waited for its approval."""
        approved_at = self.status.approved_at if self.status else None
        return approved_at - (self.spec.not_after - ACT_WITHIN) if approved_at else timedelta(0)

    @property
    def awaits_job(self) -> bool:
        """Whether it has a Job of which the end was not seen yet."""
        outside = self.spec.plan.outside
        return outside is not None and outside.job is not None and (self.status is None or self.status.job is None)

    @property
    def owes_restore(self) -> bool:
        """Whether something that it changed is left to put back."""
        return self.revert_state is not None and self.revert_state.open

    @property
    def revert_state(self) -> RevertState | None:
        """How far its restore is; None: there is none."""
        return self.status.revert.state if self.status and self.status.revert else None

    @property
    def unfinished(self) -> bool:
        """Whether it has not ended, or owes something: its restore, the ownership of fields, or the resumption of a GitOps owner."""
        return not self.state.ended or self.owes_fields or self.owes_restore or self.owes_resume

    @property
    def owes_resume(self) -> bool:
        """Whether a GitOps owner that it paused is left to resume."""
        return self.status is not None and self.status.suspension is not None and self.status.suspension.state.open
