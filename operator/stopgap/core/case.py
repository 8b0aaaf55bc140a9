"""Everything a decision is made from, in one value, and what comes out of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from stopgap.api.clusterpolicy import Policy
from stopgap.api.config import ConfigSpec
from stopgap.api.health import WorkloadHealthStatus
from stopgap.api.incident import Incident, IncidentStatus
from stopgap.api.plan import PlannedScaler
from stopgap.api.remediation import Remediation, RemediationSpec, RemediationState, RemediationStatus
from stopgap.api.replacing import ReplacedPod
from stopgap.core.storm import Breaker
from stopgap.model.change import Field
from stopgap.model.database import Wanted
from stopgap.model.observation import Finding, Live, Observation, Refusal, Right
from stopgap.model.patch import ObjectAt
from stopgap.model.reasons import Reason

IDLE_LOOK: Final = timedelta(seconds=30)
"""How often an open incident is looked at without any event."""


@dataclass(frozen=True, slots=True)
class Spent:
    """One action that was really sent: what budgets and cooldowns are counted from."""

    remediation: str
    """UID."""
    at: datetime
    namespace: str
    target_uid: str
    policy_uid: str


@dataclass(frozen=True, slots=True)
class Lent:
    """A number that was changed for a while, in one field of the workload or of its autoscaler."""

    field: Field
    scaler: PlannedScaler | None
    before: int | None
    """What is put back; None: the field is removed again."""
    ours: int | None
    """What Stopgap wrote; anything else there now is somebody else's."""
    remediation_uid: str
    remediation: Remediation | None = None
    """Its record; None where that is lost and the mark on the object is all that is left."""
    abandoned: bool = False
    """A person takes care of the value; only the mark is taken away."""


@dataclass(frozen=True, slots=True)
class Case:
    """One workload's case: the facts and the records."""

    seen: Observation
    policy: Policy | None
    """The policy that decides; None when none matches or the one that does is not Ready."""
    config: ConfigSpec | None = field(default_factory=ConfigSpec)
    """None: it exists and cannot be understood, or was not read for too long. Then everything is paused."""
    config_trouble: str = ""
    """Why it cannot be understood."""
    config_paused: str = ""
    """The pause annotation on the config object."""
    namespace_paused: str = ""
    """The pause annotation on the namespace, where namespaces are watched."""
    incident: Incident | None = None
    """The open incident of this workload that is handled."""
    others: tuple[Incident, ...] = ()
    """Further open incidents of this workload, not yet marked as duplicates of it."""
    health: WorkloadHealthStatus = field(default_factory=WorkloadHealthStatus)
    remediations: tuple[Remediation, ...] = ()
    """Of this very workload (by UID), oldest first."""
    left: tuple[Remediation, ...] = ()
    """Of earlier workloads of this name, those that have not ended or owe something, oldest first."""
    lost: tuple[Lent, ...] = ()
    """What was lent to autoscalers of the workload under records that are gone, as far as that was heard of."""
    spent: tuple[Spent, ...] = ()
    """Everywhere, oldest first."""
    leading: bool = True
    storm: tuple[Breaker, ...] = ()
    """The breakers of the namespace and of the cluster, where they are not closed."""
    unverified: int = 0
    """Other workloads on which an action is out and not proved yet, anywhere."""

    @property
    def now(self) -> datetime:
        """The API server's time."""
        return self.seen.now

    @property
    def status(self) -> IncidentStatus:
        """The open incident's status, empty where there is none."""
        return (self.incident.status if self.incident else None) or IncidentStatus()

    def of_incident(self) -> tuple[Remediation, ...]:
        """Return the remediations of the open incident, oldest first."""
        uid = self.incident.metadata.uid if self.incident else None
        return tuple(one for one in self.remediations if uid and one.spec.incident_ref.uid == uid)

    def acts(self) -> tuple[Remediation, ...]:
        """Return the remediations that count now: those of the open incident, and the one that is out, whoever deleted its incident."""
        own, active = self.of_incident(), self.active
        return own if active is None or active in own else (*own, active)

    @property
    def active(self) -> Remediation | None:
        """The remediation of this workload that is out: perhaps sent, and not judged yet."""
        return next((one for one in reversed(self.remediations) if one.state.out), None)

    @property
    def waiting(self) -> Remediation | None:
        """The remediation of this workload that waits for a person."""
        return next((one for one in reversed(self.remediations) if one.state is RemediationState.AWAITING_APPROVAL), None)


@dataclass(frozen=True, slots=True)
class Notice:
    """One Kubernetes Event to post: distinct reasons, one for each transition, never one for each look."""

    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """An incident to be opened."""

    title: str
    trigger: str
    fingerprint: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Reads:
    """What has to be read live before anything is done. Empty: nothing."""

    live: bool = False
    replica_sets: frozenset[str] = frozenset()
    """UIDs of ReplicaSets whose templates are needed."""
    scaler: bool = False
    """What scales the workload, and what limits scaling it."""
    objects: frozenset[ObjectAt] = frozenset()
    """Other objects of the namespace."""
    needs: frozenset[Right] = frozenset()
    """Rights that the API server is asked about."""
    lists: frozenset[Wanted] = frozenset()
    """Queries of databases that an action could end."""

    def __bool__(self) -> bool:
        """Whether anything is to be read."""
        return self.live

    def covered_by(self, live: Live) -> bool:
        """Whether all of it was read."""
        known = self.replica_sets <= live.replica_sets | live.templates.keys() and (live.scaler_known or not self.scaler)
        asked = self.needs <= live.rights.keys() and self.objects <= live.objects.keys() and self.lists <= live.listings.keys()
        return known and asked

    def beside(self, live: Live) -> "Reads":
        """Read it together with what was read so far."""
        return Reads(
            live=True,
            replica_sets=self.replica_sets | live.replica_sets,
            scaler=self.scaler or live.scaler_known,
            objects=self.objects | live.objects.keys(),
            needs=self.needs | live.rights.keys(),
            lists=self.lists | live.listings.keys(),
        )


NOTHING: Final = Reads()


@dataclass(frozen=True, slots=True)
class Intent:
    """A remediation to be recorded and then carried out."""

    spec: RemediationSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a case. Statuses are whole and absolute; what equals the stored one is not written."""

    findings: tuple[Finding, ...] = ()
    opening: Opening | None = None
    status: IncidentStatus | None = None
    closed: bool = False
    """The incident is over: label it, so that it is no longer watched."""
    duplicates: tuple[tuple[Incident, IncidentStatus], ...] = ()
    """Other open incidents of the workload, and what they are told."""
    reads: Reads = NOTHING
    """What has to be read live before anything is done."""
    refusals: tuple[Refusal, ...] = ()
    intent: Intent | None = None
    approved: tuple[Remediation, RemediationStatus] | None = None
    """What a person approved, and nothing stands against: the status to be stored before it is carried out."""
    resume: Remediation | None = None
    """An intent that may or may not have been carried out: look, then finish it or give it up."""
    restore: Lent | None = None
    """Something temporary whose time has come: it is put back where it is still ours."""
    paused: Remediation | None = None
    """One whose GitOps owner is suspended: look at that, and resume it if it may be."""
    remediation: tuple[Remediation, RemediationStatus] | None = None
    replace: tuple[Remediation, ReplacedPod] | None = None
    """A pod that is to be deleted and made anew, once that it is meant is written down."""
    running: Remediation | None = None
    """One whose Job has not ended, as far as is known: look at it."""
    health: WorkloadHealthStatus | None = None
    notices: tuple[Notice, ...] = ()
    look_again: timedelta | None = None


def soonest(times: Iterable[timedelta | None]) -> timedelta | None:
    """Return the shortest of the durations that are there, at least a tenth of a second."""
    given = [one for one in times if one is not None]
    return max(min(given), timedelta(milliseconds=100)) if given else None
