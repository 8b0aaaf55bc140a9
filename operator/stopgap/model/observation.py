"""Everything a decision may know about one workload, gathered into one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stopgap.model.alert import Alert
from stopgap.model.database import Listing, Wanted
from stopgap.model.merging import Json
from stopgap.model.patch import ObjectAt
from stopgap.model.query import Sample, Silence
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.template import Template
from stopgap.model.workload import Exit, Level, Neighbour, Pod, Revision, State, Stint, Workload


@dataclass(frozen=True, slots=True)
class Scaler:
    """What scales a workload in place of its own `replicas`."""

    kind: str
    """HorizontalPodAutoscaler or ScaledObject."""
    name: str
    uid: str
    minimum: int | None
    """None: not set."""
    maximum: int

    def __str__(self) -> str:
        """Read as kubectl would be asked."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that the API server allows or not, in the namespace of the workload."""

    verb: str
    group: str
    resource: str
    """With its subresource, where that is meant: `rollouts/status`."""
    name: str = ""
    """Empty: any object of that kind."""
    platform: bool = False
    """In Stopgap's own namespace instead."""

    def __str__(self) -> str:
        """Read as kubectl would be asked: `get secrets/unleash`, `create jobs.batch`."""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{f'/{self.name}' if self.name else ''}"


@dataclass(frozen=True, slots=True)
class Pausable:
    """A GitOps owner of the workload that could be paused."""

    api_version: str
    kind: str
    """Application, Kustomization or HelmRelease."""
    namespace: str
    name: str
    uid: str
    before: str
    """What a pause would replace, as JSON."""
    parent: str
    """What would undo a pause, or empty."""
    may_patch: bool
    """Whether the API server says that we may patch it."""


@dataclass(frozen=True, slots=True)
class Live:
    """What was read from the API server beside opening the incident: never older than the incident's first write."""

    templates: Mapping[str, Template]
    """Template of each ReplicaSet that was asked for, by its UID; absent = the ReplicaSet is gone."""
    namespace_annotations: Mapping[str, str]
    missing: tuple[str, ...] = ()
    """Objects that a template needs and that do not exist, as `configmap/settings`."""
    owner: str = ""
    """The reconciling owner in one sentence with what to do there, or empty."""
    drifting_owner: str = ""
    """An owner that does not reconcile by itself, in one sentence, or empty."""
    pausable: Pausable | None = None
    """The reconciling owner's own object; None: there is none, or it could not be read."""
    may_patch: bool = True
    """Whether the API server says that we may patch the target."""
    scaler: Scaler | None = None
    """What scales the workload, where that was asked for; None: nothing does."""
    scaler_known: bool = False
    """Whether it was asked for."""
    may_patch_scaler: bool = True
    """Whether the API server says that we may patch what scales the workload."""
    rights: Mapping[Right, bool] = field(default_factory=dict)
    """Whether the API server allows what an action outside the workload needs, as far as it was asked."""
    listings: Mapping[Wanted, Listing | Silence] = field(default_factory=dict)
    """Queries of databases that an action could end, as far as they were asked for; or why they are not known."""
    objects: Mapping[ObjectAt, Json | Silence | None] = field(default_factory=dict)
    """Other objects that were asked for, or why they are not known; None: it is not there, or may not be read."""
    disruption_floor: int = 0
    """Pods that PodDisruptionBudgets need, where that was asked for."""
    replica_sets: frozenset[str] = frozenset()
    """UIDs of the ReplicaSets that were asked for, there or not."""
    policy_current: bool = True
    """Whether the policy still exists with the generation that was decided on."""
    config_readable: bool = True
    confirmed: bool = True
    """Whether policy, config and namespace were read too. If not, that is done beside the intent, before anything is written."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The facts about one workload at one moment. Copied from the index without waiting for anything."""

    now: datetime
    target: Target
    synced: bool
    """Whether every watch has had its first complete list: before that, absence proves nothing."""
    workload: Workload | None
    template: Template | None = None
    """The workload's present template."""
    revisions: tuple[Revision, ...] = ()
    """Newest first, by revision number."""
    pods: tuple[Pod, ...] = ()
    """Only those that are not simply well."""
    exits: tuple[tuple[str, Exit], ...] = ()
    """The ledger: (ReplicaSet UID, exit), oldest first."""
    levels: tuple[Level, ...] = ()
    """Availability since it was last complete, oldest first; empty while every wanted replica is available."""
    neighbours: tuple[Neighbour, ...] = ()
    current_since: datetime | None = None
    """When the newest template became the wanted one, as far as it is known."""
    stints: tuple[Stint, ...] = ()
    """Revisions that were seen healthy before the newest one, and that the record may not hold yet."""
    changed_under_watch: bool = False
    """Whether a rollout of this workload was seen: only then is there something worth recording."""
    number_is_stale: bool = False
    """Whether the revision number that the workload bears was given to another template than the present one."""
    samples: Mapping[str, tuple[Sample, ...]] = field(default_factory=dict)
    """What polled signals said of late, by trigger of the policy that decides; oldest first."""
    live: Live | None = None
    alerts: tuple[Alert, ...] = ()
    """What alerting systems have told about it, as it is kept in its open incidents."""

    @property
    def newest(self) -> Revision | None:
        """The revision of the workload's present template, once its controller has made or chosen it."""
        work = self.workload
        if work is None or work.observed_generation < work.generation or self.number_is_stale:
            return None
        return next((one for one in self.revisions if work.runs(one)), None)

    def pods_of(self, revision: Revision) -> tuple[Pod, ...]:
        """Return the troubled pods of one revision."""
        return tuple(pod for pod in self.pods if pod.owner == revision.uid)

    def started_pods(self, revision: Revision) -> int:
        """Count the pods of a revision in which anything has been started: healthy ones are known by their number only."""
        # The ReplicaSet does not count pods that are leaving, so neither do we.
        staying = [pod for pod in self.pods_of(revision) if not pod.leaving]
        troubled = sum(1 for pod in staying if _has_started(pod))
        idle = len(staying) - troubled
        return max(revision.replicas - idle, troubled)


def _has_started(pod: Pod) -> bool:
    return any(one.ready or one.running_since or one.restarts or one.ended or one.last_ended for one in pod.containers)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one trigger of a policy says about a workload."""

    trigger: str
    type: Reason
    state: State
    message: str
    since: datetime | None = None
    revision: str = ""
    """UID of the ReplicaSet whose pods show it, or empty."""
    nodes: frozenset[str] = field(default_factory=frozenset)
    cause: Reason | None = None
    """A cause class that the detector itself can see, such as RegistryUnavailable."""
    look_again: timedelta | None = None
    """When waiting alone will change the answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to act, for a person: what, on what, and what to do."""

    reason: Reason
    message: str
    until: datetime | None = None
