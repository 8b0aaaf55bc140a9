"""Incident: facts in the spec, the whole story in the status."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from stopgap.api.communication import CommunicationStatus, Update
from stopgap.api.evidence import Evidence, Related, SuspectedChange
from stopgap.api.ladder import Source
from stopgap.api.notify import MOST_CHANNELS, Told
from stopgap.api.phase import Phase
from stopgap.model.alert import AlertState
from stopgap.model.base import ApiModel, Column, Count, Digest, Kind, Line, Message, Name, Rule, StepName, Uid, Word
from stopgap.model.conditions import Conditions
from stopgap.model.reasons import Reason
from stopgap.model.refs import PolicyRef, PolicyUidRef, TargetRef
from stopgap.model.severity import Severity
from stopgap.model.time import MicroTime, Time
from stopgap.model.workload import State

CLOSED_LABEL = "stopgap.dev/closed"
UNTOLD_LABEL = "stopgap.dev/untold"
"""On an Incident that is over, while somebody outside the cluster has still to be told so."""
TARGET_UID_LABEL = "stopgap.dev/target-uid"


class Closing(StrEnum):
    """How a person closes an incident."""

    RESOLVED = "Resolved"
    """It is over."""
    FALSE_ALARM = "FalseAlarm"
    """There was none."""


class IncidentSource(ApiModel):
    """Where an incident came from."""

    type: Source = Source.MANUAL
    """Who opened it: a person, Stopgap's own watch, or an alerting system."""
    name: Annotated[str, StringConstraints(max_length=253)] = ""
    """Its name there: the trigger, or the alert."""
    fingerprint: Annotated[str, StringConstraints(max_length=128)] = ""
    """What makes it the same incident when it is reported again."""


class Mitigate(ApiModel):
    """A person orders one step of the policy, once, now. Its `when` and mode do not matter; the guards and spec.maxMode of the platform do.

    It is answered in status.handledRequests and the timeline. One that was refused is ordered again under another requestID.
    """

    step: StepName
    """A step of the policy that decides about the target."""
    request_id: Annotated[str, StringConstraints(min_length=1, max_length=63), Field(alias="requestID")]
    """Names this order. The same one again, as from a copy of the manifest in Git, does nothing."""


class IncidentSpec(ApiModel):
    """Facts about an incident. Everything but the title is optional."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """One line that says what is wrong."""
    description: Annotated[str, StringConstraints(max_length=4096)] = ""
    """What is known so far."""
    severity: Severity | None = None
    """A person's word; it wins over the policy's rules and may change at any time."""
    target_ref: TargetRef | None = None
    """The workload that is ill. Without one, this is a record only."""
    policy_ref: PolicyRef | None = None
    """The policy that decides; by default the one that matches the target."""
    started_at: Time | None = None
    """When the trouble began, as far as it is known."""
    source: IncidentSource = IncidentSource()
    """Where it came from."""
    impact: Annotated[str, StringConstraints(max_length=1024)] = ""
    """Who is affected, and how."""
    acknowledged_by: Word | None = None
    """Who has taken it. Stops no automation."""
    mitigate: Mitigate | None = None
    """Orders one step of the policy, once."""
    resolution: Closing | None = None
    """A person closes it; this is final."""


class IncidentFinding(ApiModel):
    """What one trigger says."""

    trigger: StepName
    type: Word
    """The name of the trouble."""
    state: State
    """Firing, Quiet or Unknown."""
    since: Time | None = None
    """Since when, where that is known."""
    message: Message = ""
    unknown_because: Line = ""
    """While it cannot be told: why."""

    @property
    def fired(self) -> bool:
        """Whether this was trouble once, and not only a signal that could not be read."""
        return self.type != Reason.SignalUnknown


class IncidentAlert(ApiModel):
    """An alert about this incident, as its sender last told it."""

    fingerprint: Annotated[str, StringConstraints(max_length=128)]
    """What makes it the same alert when it is told again."""
    name: Line
    """The label alertname."""
    state: AlertState
    """Firing, or Resolved: what the sender last said."""
    since: MicroTime
    """When it began to fire."""
    last_received_at: Time
    """When it was last told. Repeats move it only now and then."""
    ended_at: MicroTime | None = None
    summary: Line = ""
    """The annotation summary, or description."""
    labels: Annotated[dict[str, Annotated[str, StringConstraints(max_length=128)]], Field(max_length=32)] = Field(default_factory=dict)


class IncidentRefusal(ApiModel):
    """One reason that stands against the action."""

    reason: Word
    message: Message = ""
    until: Time | None = None
    """When it ends by itself."""


class PassedStep(ApiModel):
    """A step that was passed over."""

    step: StepName
    reason: Word
    message: Message = ""


class IncidentDecision(ApiModel):
    """What would be done now, and what stands against it."""

    step: Annotated[str, StringConstraints(max_length=30)] = ""
    allowed: bool = False
    """Whether nothing stands against it."""
    message: Message = ""
    refusals: Annotated[tuple[IncidentRefusal, ...], Field(max_length=32)] = ()
    """All reasons that hold, not only the first."""
    next_allowed_time: Time | None = None
    """When the last of these reasons ends by itself; empty where one of them waits for somebody."""
    passed: Annotated[tuple[PassedStep, ...], Field(max_length=8)] = ()
    """Earlier steps that are meant for this and were passed over, because waiting would not change the reason."""


class IncidentRemediation(ApiModel):
    """An action of this incident."""

    name: Name
    step: StepName
    action: Word
    state: Word
    summary: Line = ""
    """What it does."""
    executed_at: Time | None = None
    """When the change was written; empty while it was not."""
    revert: Word = ""
    """How far the restore of something temporary is."""


class TimelineEntry(ApiModel):
    """One line of the story."""

    time: Time
    type: Word
    actor: Word = "stopgap"
    message: Annotated[str, StringConstraints(max_length=512)] = ""


class WouldHave(ApiModel):
    """What would have been done, had the mode allowed it: nothing else stood against it."""

    step: StepName
    message: Message = ""
    time: Time


class IncidentStatus(ApiModel):
    """The whole story."""

    phase: Phase | None = None
    """Derived from the conditions, for people."""
    severity: Severity | None = None
    """The severity in force."""
    communication_status: CommunicationStatus | None = None
    """How it stands, in the four words of a status page."""
    update: Update = ""
    """How it stands, in Markdown, for those who wait: to be passed on as it is. It says as of when it is true."""
    updated_at: Time | None = None
    """As of when the update is true: it is written anew when it would say something else, and when the next one is due."""
    next_update_due: Time | None = None
    """When those who wait are to hear again, by its severity, though nothing has changed; people are reminded then."""
    reminded_at: Time | None = None
    """When people were last reminded of that."""
    policy_ref: PolicyUidRef | None = None
    """The policy that decided."""
    started_at: Time | None = None
    detected_at: Time | None = None
    acknowledge_by: Time | None = None
    """By when somebody is to take it, by its severity; people are called again after it."""
    acknowledged_at: Time | None = None
    mitigated_at: Time | None = None
    quiet_since: MicroTime | None = None
    """Since when every signal has been quiet; empty while one is not."""
    unknown_since: MicroTime | None = None
    """Since when every signal has been unknown; empty while one is not."""
    resolved_at: Time | None = None
    recurrence_of: Annotated[str, StringConstraints(max_length=253)] = ""
    """The last incident in which this very release was undone."""
    duplicate_of: Annotated[str, StringConstraints(max_length=253)] = ""
    """The incident of the same workload that is handled instead of this one."""
    target_uid: Uid = ""
    digest: Digest = ""
    """Stopgap's digest of the template that was current at onset."""
    revision: Count = 0
    """The revision that was current at onset."""
    findings: Annotated[tuple[IncidentFinding, ...], Field(max_length=16)] = ()
    alerts: Annotated[tuple[IncidentAlert, ...], Field(max_length=32)] = ()
    """What alerting systems say. Those that no trigger of the policy asks for keep the incident open, and nothing more."""
    truncated_alerts: Count = 0
    """How many alerts are not listed, at most at one time: left out by the sender (its max_alerts), or for want of room here."""
    suspected_change: SuspectedChange | None = None
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=12)] = ()
    """What was found when it was looked into, once, soon after it began: the state of then."""
    related_incidents: Related = ()
    """Open incidents that share its namespace and onset, its node or its image; in another namespace as `namespace/name`."""
    common_cause: Message = ""
    """What more than two of them share, and so a suspected cause of them all."""
    decision: IncidentDecision | None = None
    would_have: WouldHave | None = None
    """What would first have been done, and when, in a mode that allows it."""
    remediations: Annotated[tuple[IncidentRemediation, ...], Field(max_length=20)] = ()
    handled_requests: Annotated[tuple[Annotated[str, StringConstraints(max_length=63)], ...], Field(max_length=20)] = ()
    """Orders (spec.mitigate) that were carried out or refused."""
    timeline: Annotated[tuple[TimelineEntry, ...], Field(max_length=100)] = ()
    """The first 20 and the last 80 entries."""
    folded_entries: Count = 0
    """How many entries between them were left out."""
    notifications: Annotated[tuple[Told, ...], Field(max_length=2 * MOST_CHANNELS)] = ()
    """What was told to whom outside the cluster. Written together with something else where that comes soon, so it may be seconds late."""
    conditions: Annotated[Conditions, Field(max_length=16)] = ()


class Incident(Kind):
    """Something is wrong with a workload: what was seen, what was concluded, what was done or refused and why, and how it ended."""

    plural: ClassVar = "incidents"
    short: ClassVar = "inc"
    cel: ClassVar = (
        Rule(
            "!has(oldSelf.spec.resolution) || (has(self.spec.resolution) && self.spec.resolution == oldSelf.spec.resolution)",
            "a resolution is final; open a new Incident",
        ),
        Rule(
            "has(self.spec.targetRef) == has(oldSelf.spec.targetRef) && "
            "(!has(self.spec.targetRef) || self.spec.targetRef == oldSelf.spec.targetRef)",
            "the target of an Incident does not change; open another Incident",
        ),
    )
    columns: ClassVar = (
        Column("SEV", ".status.severity"),
        Column("PHASE", ".status.phase"),
        Column("TARGET", ".spec.targetRef.name"),
        Column("CAUSE", ".status.findings[0].type"),
        Column("ACTION", ".status.remediations[-1:].state"),
        Column("WHY", '.status.conditions[?(@.type=="ActionAllowed")].reason'),
        Column("AGE", ".metadata.creationTimestamp", "date"),
        Column("POLICY", ".status.policyRef.name", priority=1),
        Column("REMEDIATION", ".status.remediations[-1:].name", priority=1),
        Column("MITIGATED", ".status.mitigatedAt", "date", priority=1),
        Column("NEXT-UPDATE", ".status.nextUpdateDue", priority=1),
    )
    kind: Literal["Incident"] = "Incident"
    spec: IncidentSpec
    status: IncidentStatus | None = None
