"""RemediationPolicy: which workloads, which signals, which steps, under which guards."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from stopgap.api.freeze import FreezeWindows
from stopgap.api.ladder import Mode, Step
from stopgap.api.notify import Channels
from stopgap.api.trigger import Trigger
from stopgap.model.base import ApiModel, Column, Kind, Line, Name, Percent, Rule, StepName, Word
from stopgap.model.conditions import Conditions
from stopgap.model.duration import Duration, spell
from stopgap.model.refs import WorkloadKind
from stopgap.model.severity import Severity
from stopgap.model.time import Time

SHORTEST_WAIT: Final = timedelta(minutes=1)
TOO_SHORT: Final = f"a person gets at least {spell(SHORTEST_WAIT)} to approve (approvalTimeout)"
LabelValue = Annotated[str, StringConstraints(max_length=63)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=16)]


class PauseRequest(ApiModel):
    """One reason why nothing may act, by someone. While one holds, everything is observed and nothing is touched."""

    name: Word
    """Who asks."""
    reason: Line
    """Why; shown wherever an action is held back for it."""
    until: Time | None = None
    """When it ends by itself. Without it, it holds until it is removed."""

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or self.until > now


class Selector(ApiModel):
    """Labels of the workload itself, not of its pods. An empty selector would mean everything, and is refused."""

    match_labels: Annotated[Labels, Field(min_length=1)]
    """Every one of these labels must be on the workload, with this value."""


class Targets(ApiModel):
    """The workloads that a policy is about: in its own namespace, or in those that a ClusterRemediationPolicy selects."""

    cel: ClassVar = (
        Rule(
            "has(self.selector) != has(self.names)",
            "name the workloads either by selector or by names; exactly one of the two is needed",
        ),
    )
    kinds: Annotated[tuple[WorkloadKind, ...], Field(min_length=1, max_length=3)] = ("Deployment",)
    """Kinds of workloads. Where pods wait for each other (podManagementPolicy OrderedReady, the default of a StatefulSet), one that is not
    ready also holds up scaling and restarting; on the way back those of the bad revision are deleted, one at a time. A DaemonSet runs one
    pod on each node that fits, so that it is not scaled."""
    selector: Selector | None = None
    """By the workloads' own labels."""
    names: Annotated[tuple[Name, ...] | None, Field(min_length=1, max_length=100)] = None
    """By name."""


class SeverityRule(ApiModel):
    """One rule: every condition that is named must hold."""

    set: Severity
    """The severity that it gives."""
    triggers: Annotated[tuple[StepName, ...], Field(max_length=16)] = ()
    """Any of these triggers fires."""
    available_below: Percent | None = None
    """Fewer than this share of the wanted replicas is available."""


class SeverityRules(ApiModel):
    """How severe an incident is. A person's word on the Incident wins over it."""

    default: Severity = Severity.P3
    """When no rule holds."""
    rules: Annotated[tuple[SeverityRule, ...], Field(max_length=16)] = ()
    """The first that holds decides."""


def _is_time_enough(length: timedelta) -> timedelta:
    if length < SHORTEST_WAIT:
        raise ValueError(TOO_SHORT)
    return length


class MaxActions(ApiModel):
    """A budget: this many actions within a sliding window."""

    count: Annotated[int, Field(ge=1, le=1000)]
    """How many."""
    within: Duration
    """In how long."""


class Guards(ApiModel):
    """Limits of this policy. Each is kept across restarts."""

    cel: ClassVar = (
        Rule(
            f"!has(self.approvalTimeout) || duration(self.approvalTimeout) >= duration('{spell(SHORTEST_WAIT)}')",
            TOO_SHORT,
        ),
    )
    cooldown: Duration = timedelta(minutes=10)
    """After an action on a workload, no further incident acts on it for this long."""
    max_actions_per_incident: Annotated[int, Field(ge=1, le=20)] = 3
    """So many actions in one incident, then people."""
    max_actions: MaxActions = MaxActions(count=5, within=timedelta(hours=1))
    """So many actions under this policy in a sliding window."""
    approval_timeout: Annotated[Duration, AfterValidator(_is_time_enough)] = timedelta(minutes=15)
    """In mode Approve: an action that nobody approved by then is not taken, and not asked for again in this incident. At least 1m."""
    freeze_windows: FreezeWindows = ()
    """While one is open nothing new is done, however bad it gets. Any open one refuses, unless it lets the incident's severity through."""


class Verification(ApiModel):
    """What proves that an action helped."""

    healthy_for: Duration = timedelta(minutes=1)
    """Available and quiet for so long is success."""
    timeout: Duration = timedelta(minutes=10)
    """No success within this is failure."""


class Resolution(ApiModel):
    """When an incident is over."""

    after: Duration = timedelta(minutes=15)
    """Quiet for so long after the mitigation."""
    unknown_after: Duration = timedelta(hours=24)
    """If every signal is unknown for so long, people are called and decide."""


class GitOps(StrEnum):
    """What to do when a GitOps tool owns the workload."""

    BLOCK = "Block"
    """Refuse, and say what to revert in Git."""
    SUSPEND_OWNER = "SuspendOwner"
    """Pause an Argo CD Application, Flux Kustomization or HelmRelease first, then act. Everything that it deploys waits as well, until Git
    no longer holds the bad version or a person resumes it: no time resumes it. Needs the right to patch it, in its own namespace."""
    ACT = "Act"
    """Act all the same; the owner may undo it."""


class PolicySpec(ApiModel):
    """What is watched, what is done, and within which limits."""

    cel: ClassVar = (
        Rule(
            "self.steps.all(s, !has(s.when.triggers) || s.when.triggers.all(n, self.triggers.exists(t, t.name == n)))",
            "a step names a trigger that this policy does not have",
        ),
        Rule(
            "self.targets.kinds.all(k, k == 'Deployment') || self.triggers.all(t, !has(t.rolloutStuck) || has(t.rolloutStuck.after))",
            "only a Deployment has progressDeadlineSeconds; say how long in rolloutStuck.after",
        ),
        Rule(
            "self.targets.kinds.exists(k, k != 'DaemonSet') || self.steps.all(s, !has(s.scale))",
            "a DaemonSet runs one pod on each node that fits, so that it cannot be scaled",
        ),
    )
    targets: Targets
    """The workloads it is about."""
    mode: Mode = Mode.OBSERVE
    """Observe until the record shows that you would have wanted it to act, then Approve or Automatic."""
    pause_requests: Annotated[
        tuple[PauseRequest, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """While one holds, nothing acts."""
    severity: SeverityRules = SeverityRules()
    """How severe its incidents are."""
    triggers: Annotated[
        tuple[Trigger, ...],
        Field(
            min_length=1,
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    """The signals."""
    steps: Annotated[
        tuple[Step, ...],
        Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """What to do, in order. Without steps, incidents are opened and people act."""
    guards: Guards = Guards()
    """Limits."""
    verification: Verification = Verification()
    """What proves that it helped."""
    resolution: Resolution = Resolution()
    """When an incident is over."""
    git_ops: GitOps = GitOps.BLOCK
    """What to do when a GitOps tool owns the workload and would undo a change. SuspendOwner stops all that the tool deploys with it."""
    notify: Channels = ()
    """Who is told of its incidents, beside those whom the platform tells of all (RemediationConfig)."""


class TrustRecord(ApiModel):
    """What came of the incidents that are over and still kept: what a team needs to decide whether the policy may do more by itself."""

    would_have_acted: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Incidents in which nothing but the mode stood against an action."""
    recovered_alone: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Those of them that ended without any action of Stopgap."""
    acted: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Actions that were sent."""
    succeeded: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Those of them that were proved to help."""
    failed: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Those of them that did not help, or of which that cannot be told."""
    reverted: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Temporary ones that were put back."""


class PolicyStatus(ApiModel):
    """What Stopgap makes of the policy."""

    observed_generation: Annotated[int, Field(ge=0, le=2**53)] = 0
    matched_workloads: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Workloads that it is about, at the last look, also those that another policy decides (condition Overlapping)."""
    open_incidents: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Incidents that it decides and that are not over."""
    blocked_incidents: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Those of them in which an action is held back now. Each says in status.decision.refusals why."""
    recent_actions: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Actions that were sent under it in the last 7 days, for which actions are remembered."""
    record: TrustRecord = TrustRecord()
    """What came of its incidents that are over, for as long as they are kept (the platform's retention)."""
    conditions: Annotated[Conditions, Field(max_length=16)] = ()


POLICY_COLUMNS: Final = (
    Column("MODE", ".spec.mode"),
    Column("READY", '.status.conditions[?(@.type=="Ready")].status'),
    Column("MATCHED", ".status.matchedWorkloads", "integer"),
    Column("OPEN", ".status.openIncidents", "integer"),
    Column("ACTED", ".status.recentActions", "integer"),
    Column("BLOCKED", ".status.blockedIncidents", "integer"),
    Column("WHY", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    Column("AGE", ".metadata.creationTimestamp", "date"),
)


class RemediationPolicy(Kind):
    """Declares which workloads are watched, which signals count, what is done about them, and within which limits.

    Starts in mode Observe: incidents say what would have been done, and nothing is touched.
    """

    plural: ClassVar = "remediationpolicies"
    short: ClassVar = "rpol"
    columns: ClassVar = POLICY_COLUMNS
    kind: Literal["RemediationPolicy"] = "RemediationPolicy"
    spec: PolicySpec
    status: PolicyStatus | None = None
