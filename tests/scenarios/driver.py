"""A small cluster of one Deployment: makes observations, and applies what `decide` says to the records, as the effects would."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import (
    BAD,
    GOOD,
    NOW,
    TARGET,
    UID,
    make_case,
    make_good,
    make_health,
    make_live,
    make_policy,
    make_template,
    make_workload,
)

from stopgap.api import Incident, Remediation, RemediationPolicy
from stopgap.api.health import WorkloadHealthStatus
from stopgap.api.remediation import Approval, RemediationState, RemediationStatus
from stopgap.core import objecting
from stopgap.core.case import Case, Decision, Notice, Spent
from stopgap.core.decide import decide
from stopgap.core.storm import Breaker
from stopgap.model.conditions import Truth, condition
from stopgap.model.observation import Observation
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Container, End, Exit, Flag, Level, Pod, Revision

REPLICAS = 3
BAD2 = Template.read(make_template("shop/api:2.1-crash"))
NEXT = Template.read(make_template("shop/api:3.0"))


@dataclass
class Cluster:
    """One Deployment, its revisions and its pods, as facts; and a clock that only the test moves."""

    template: Template
    now: datetime = NOW
    generation: int = 3
    number: int = 1
    ill: frozenset[str] = frozenset({BAD.digest, BAD2.digest})
    """Digests whose pods exit every ten seconds."""
    since: datetime = NOW - timedelta(days=3)
    history: dict[str, int] = field(default_factory=dict)
    """Revision number by digest."""
    kept: dict[str, Template] = field(default_factory=dict)
    exits: tuple[tuple[str, Exit], ...] = ()
    mark: str = ""
    by: str = "kubectl-set"

    def __post_init__(self) -> None:
        self._take_up(self.template)

    def apply(self, template: Template, *, by: str = "kubectl-set", mark: str = "") -> None:
        """Write another template, as a person or Stopgap would; the controller takes it up at once."""
        self.generation, self.template, self.since, self.by = self.generation + 1, template, self.now, by
        self.mark = mark or self.mark
        self._take_up(template)

    def _take_up(self, template: Template) -> None:
        self.number = max(self.history.values(), default=0) + 1
        self.history[template.digest], self.kept[template.digest] = self.number, template

    def pass_time(self, length: timedelta) -> None:
        """Let time go by, with an exit of both new pods every ten seconds where the template is ill."""
        end = self.now + length
        while self.now < end:
            self.now = min(self.now + timedelta(seconds=10), end)
            if self.template.digest in self.ill:
                self.exits += tuple(self._exits())

    def _exits(self) -> Iterator[tuple[str, Exit]]:
        owner = uid_of(self.template)
        for pod in (f"{owner}-a", f"{owner}-b"):
            ordinal = sum(1 for _, one in self.exits if one.pod == pod) + 1
            yield owner, Exit(f"{pod}-uid", pod, f"node-{pod[-1]}", "app", False, ordinal, self.now, 1, "Error")

    @property
    def is_ill(self) -> bool:
        return self.template.digest in self.ill

    def seen(self, *, live: bool = False, synced: bool = True) -> Observation:
        """Observe it. An ill newest revision has two pods beside three old ones; a good one is rolled out at once."""
        revisions = tuple(sorted((self._revision(one) for one in self.kept.values()), key=lambda one: -one.number))
        reads = make_live(templates={uid_of(one): one for one in self.kept.values()}) if live else None
        return Observation(
            now=self.now,
            target=TARGET,
            synced=synced,
            workload=self._workload(),
            template=self.template,
            revisions=revisions,
            pods=tuple(self._pods()),
            exits=self.exits,
            levels=(Level(self.since, 3, 3),) if self.is_ill else (),
            current_since=self.since,
            changed_under_watch=len(self.history) > 1,
            live=reads,
        )

    def _workload(self) -> Any:
        return make_workload(
            template=self.template,
            generation=self.generation,
            observed_generation=self.generation,
            annotations={"deployment.kubernetes.io/revision": str(self.number), "stopgap.dev/last-action": self.mark},
            changed_by=self.by,
            current_replicas=REPLICAS + 2 if self.is_ill else REPLICAS,
            updated_replicas=2 if self.is_ill else REPLICAS,
            progressing=Flag(True, "ReplicaSetUpdated", "", self.since, self.since),
        )

    def _revision(self, template: Template) -> Revision:
        newest = template.digest == self.template.digest
        serving = self._serving() == template.digest
        count = (2 if self.is_ill else REPLICAS) if newest else (REPLICAS if serving else 0)
        ready = 0 if newest and self.is_ill else count
        number, uid = self.history[template.digest], uid_of(template)
        return Revision(uid, f"api-{uid}", UID, uid, number, NOW - timedelta(days=3), count, count, ready, ready, False, None)

    def _serving(self) -> str:
        """The last good revision keeps its pods while an ill one is being rolled out."""
        good = [digest for digest in self.history if digest not in self.ill]
        return max(good, key=lambda one: self.history[one], default="") if self.is_ill else self.template.digest

    def _pods(self) -> Iterator[Pod]:
        if not self.is_ill:
            return
        owner = uid_of(self.template)
        for name in (f"{owner}-a", f"{owner}-b"):
            ends = [one for _, one in self.exits if one.pod == name]
            last = End(1, "Error", None, ends[-1].at) if ends else None
            running = None if ends else self.since
            one = Container("app", "", "", False, False, len(ends), "CrashLoopBackOff" if ends else "", "", None, running, None, last)
            yield Pod(f"{name}-uid", name, owner, f"node-{name[-1]}", "Running", self.since, self.since, False, False, None, "", (one,))


def uid_of(template: Template) -> str:
    return f"rs-{template.digest[:6]}"


def good(template: Template, revision: int = 1) -> Any:
    return make_good(revision, template=template, replica_set_uid=uid_of(template))


@dataclass
class Operator:
    """Holds the records, looks, decides, and applies the decision. A crash forgets nothing but what was not written."""

    cluster: Cluster
    policy: RemediationPolicy | None = field(default_factory=make_policy)
    incident: Incident | None = None
    health: WorkloadHealthStatus = field(default_factory=make_health)
    remediations: tuple[Remediation, ...] = ()
    closed: list[Incident] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    writes: int = 0
    written: list[Remediation] = field(default_factory=list)
    storm: tuple[Breaker, ...] = ()
    unverified: int = 0
    """Actions out on other workloads."""

    def case(self, *, live: bool = False) -> Case:
        spent = tuple(
            Spent(one.metadata.uid or "", one.status.executed_at, "shop", UID, one.spec.policy_ref.uid)
            for one in self.remediations
            if one.status and one.status.executed_at
        )
        return replace(
            make_case(),
            seen=self.cluster.seen(live=live),
            policy=self.policy,
            incident=self.incident,
            health=self.health,
            remediations=self.remediations,
            spent=spent,
            storm=self.storm,
            unverified=self.unverified,
        )

    def look(self) -> Decision:
        """One whole look: decide, open and read live where asked, record the intent, act, record the outcome."""
        decision = decide(self.case())
        if decision.opening or decision.reads:
            if decision.opening:
                self.open(decision)
            decision = decide(self.case(live=True))
        if decision.intent and not decision.reads:
            self.record(decision)
            self.intend(decision)
            self.execute()
            decision = decide(self.case())
        elif decision.approved:
            self.record(decision)
            self._replace(*decision.approved)
            self.execute()
            decision = decide(self.case())
        elif decision.resume:
            self.execute()
            decision = decide(self.case())
        self.record(decision)
        return decision

    def open(self, decision: Decision) -> None:
        opening = decision.opening
        if opening is None:
            return
        number = self.health.incidents + 1
        body = {
            "metadata": {"name": f"api-{number}", "namespace": "shop", "uid": f"api-{number}-uid", "generation": 1},
            "spec": {
                "title": opening.title,
                "targetRef": {"kind": "Deployment", "name": "api"},
                "startedAt": opening.started_at,
                "source": {"type": "Workload", "name": opening.trigger, "fingerprint": opening.fingerprint},
            },
        }
        self.incident = Incident.model_validate(body)

    def intend(self, decision: Decision) -> None:
        """Write the intent ahead of the act; the name is keyed by the generation, so that a second one collides."""
        if decision.intent is None:
            return
        for sequence in range(1, 20):
            name = f"api-d-uid-g{decision.intent.spec.generation}-{sequence}"
            found = next((one for one in self.remediations if one.metadata.name == name), None)
            if found is None:
                break
            same = (found.spec.incident_ref, found.spec.plan.to_digest) == (
                decision.intent.spec.incident_ref,
                decision.intent.spec.plan.to_digest,
            )
            if same and not found.state.ended:
                return
        metadata = {"name": name, "namespace": "shop", "uid": f"{name}-uid", "creationTimestamp": "2026-11-23T09:59:00Z"}
        made = Remediation.model_validate({"metadata": metadata, "spec": decision.intent.spec.model_dump()})
        self.remediations = (*self.remediations, made)

    def execute(self) -> None:
        """Carry the pending intent out with its preconditions: generation, and not already done."""
        pending = next((one for one in self.remediations if one.state is RemediationState.PENDING), None)
        if pending is None:
            return
        plan, cluster = pending.spec.plan, self.cluster
        against = objecting.objection(self.case(live=True), pending)
        if cluster.mark != pending.metadata.uid:
            if cluster.generation != pending.decided_generation or cluster.now > pending.write_until:
                self._settle(pending, RemediationState.SUPERSEDED, Reason.Superseded)
                return
            if against:
                self._settle(pending, RemediationState.REFUSED, against.reason)
                return
            template = next(one for one in cluster.kept.values() if one.digest == plan.to_digest)
            cluster.apply(template, by="stopgap", mark=pending.metadata.uid or "")
            self.writes += 1
            self.written.append(pending)
        done = {"state": RemediationState.VERIFYING, "executed_at": cluster.since, "written_digest": plan.to_digest}
        self._replace(pending, (pending.status or RemediationStatus()).model_copy(update=done))

    def answer(self, decision: str, by: str = "ana") -> None:
        """A person answers what waits."""
        approval = Approval.model_validate({"decision": decision, "by": by})
        self.remediations = tuple(
            one.model_copy(update={"spec": one.spec.model_copy(update={"approval": approval})})
            if one.state is RemediationState.AWAITING_APPROVAL
            else one
            for one in self.remediations
        )

    def _settle(self, one: Remediation, state: RemediationState, reason: Reason) -> None:
        settled = condition("Succeeded", Truth.FALSE, reason, "it was not written", self.cluster.now)
        self._replace(one, RemediationStatus(state=state, ended_at=self.cluster.now, conditions=(settled,)))

    def _replace(self, one: Remediation, status: RemediationStatus) -> None:
        new = one.model_copy(update={"status": status})
        self.remediations = tuple(new if each.metadata.uid == one.metadata.uid else each for each in self.remediations)

    def record(self, decision: Decision) -> None:
        """Store the statuses."""
        if decision.remediation:
            self._replace(*decision.remediation)
        if decision.health is not None:
            self.health = decision.health
        if self.incident is not None and decision.status is not None:
            self.incident = self.incident.model_copy(update={"status": decision.status})
        self.notices += decision.notices
        if decision.closed and self.incident is not None:
            self.closed.append(self.incident)
            self.incident = None

    def live_through(self, length: timedelta, *, every: timedelta = timedelta(seconds=10)) -> None:
        """Let time pass, looking at every so often."""
        end = self.cluster.now + length
        while self.cluster.now < end:
            self.cluster.pass_time(min(every, end - self.cluster.now))
            self.look()


def of(incident: Incident | None) -> list[str]:
    """The timeline of an incident as its types, in order."""
    assert incident is not None
    assert incident.status is not None
    return [one.type for one in incident.status.timeline]


def start(*goods: Template, template: Template = GOOD) -> Operator:
    """A workload that has run well, with a record that says so."""
    known = tuple(good(one) for one in goods)
    return Operator(Cluster(template), health=make_health(known_good=known))
