"""What the operator would decide about recorded objects: its own index, records, live reads and decision, without a cluster.

The operator that is meant has just started: it sees these objects for the first time, in the state that they are in, and time does not
pass. So it knows no signal that has to be asked for (prometheus, httpProbe: Unknown), and nothing that only a watch could have seen.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationConfig, RemediationPolicy, WorkloadHealth
from stopgap.api.incident import IncidentDecision
from stopgap.cli.recording import Body, Recording
from stopgap.core import attribution, choosing, knowngood
from stopgap.core.case import Case, Decision
from stopgap.core.decide import decide
from stopgap.effects import wire
from stopgap.effects.census import Headcount
from stopgap.effects.databases import Databases
from stopgap.effects.errors import KubeError
from stopgap.effects.firstsight import FirstSight
from stopgap.effects.index import Index
from stopgap.effects.live import LiveReads
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.observe import Observer
from stopgap.effects.opening import Opener
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.revised import ControllerRevision, RevisedPod
from stopgap.effects.rights import Rights
from stopgap.effects.rosters import Rosters
from stopgap.effects.secrets import Secrets
from stopgap.effects.sinks import ControllerRevisionSink, DeploymentSink, PodSink, ReplicaSetSink, RevisedPodSink
from stopgap.effects.storm import StormKeeper
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.watches import REVISED
from stopgap.model.query import Silence
from stopgap.model.refs import Target
from stopgap.settings import DEFAULT_NAMESPACE

OWN: Final = (RemediationConfig, ClusterRemediationPolicy, RemediationPolicy, WorkloadHealth, Remediation, Incident)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would be decided about one workload."""

    case: Case
    decision: Decision

    @property
    def told(self) -> IncidentDecision | None:
        """What the incident would say."""
        return self.decision.status.decision if self.decision.status else None


@dataclass
class Replay:
    """An operator's memory of recorded objects, at one moment."""

    recording: Recording
    now: datetime
    held_for: timedelta = timedelta(0)
    """For so long everything has been as it was recorded."""
    own_namespace: str = DEFAULT_NAMESPACE
    argocd_namespace: str = "argocd"
    rights: Rights | None = None
    _clock: datetime = field(init=False)

    def __post_init__(self) -> None:
        """Take in everything."""
        self._clock = self.now - self.held_for
        self._headcount: Headcount
        self.index = Index(lambda _: None, lambda: self._clock, lambda work, *, there: self._headcount.listed(work, there=there))
        self.records = Records(self._changed, self._policies_changed)
        self.namespaces = Namespaces(lambda _: None)
        self.rosters = Rosters(self.records, self.namespaces)
        self._headcount = Headcount(self.index, self.records, self.rosters)
        kube = self.recording
        live = LiveReads(
            kube,
            self.records,
            self.rights or Rights(kube, self.own_namespace),
            databases=Databases(Secrets(kube, self.own_namespace), _nowhere),
            own_namespace=self.own_namespace,
            argocd_namespace=self.argocd_namespace,
        )
        self._live, self._first_sight = live, FirstSight(kube, self.index, live)
        telemetry = Telemetry(CollectorRegistry())
        self._take_in()
        self._observer = self._observing(telemetry)
        self._opener = Opener(self._observer, live, Recorder(self.recording, self.records, "simulate"), telemetry)
        self._clock = self.now

    def _changed(self, target: Target) -> None:
        self._headcount.look_at(target)

    def _policies_changed(self, namespace: str) -> None:
        self.rosters.forget(namespace)
        self._headcount.policies_changed(namespace)

    def _observing(self, telemetry: Telemetry) -> Observer:
        storm = StormKeeper(
            self._headcount,
            self.records,
            self._lease(),
            telemetry=telemetry,
            ready=lambda: True,
            now=lambda: self._clock,
            changed=lambda _: None,
        )
        return Observer(
            self.index,
            self.records,
            storm=storm,
            headcount=self._headcount,
            rosters=self.rosters,
            namespaces=self.namespaces,
            samples=lambda _target, _policy: {},
            synced=lambda _: True,
            leading=lambda: True,
        )

    def _lease(self) -> dict[str, str]:
        """Return where storms are remembered."""
        wanted = (self.own_namespace, "stopgap")
        leases = (one["metadata"] for one in self.recording.of("Lease"))
        return next((dict(one.get("annotations") or {}) for one in leases if (one.get("namespace"), one["name"]) == wanted), {})

    def _take_in(self) -> None:
        for kind in OWN:
            for body in self.recording.of(kind.__name__):
                self.records.take(kind, body)
        index = self.index
        sinks: tuple[tuple[str, Any, type[Any]], ...] = (
            ("Namespace", self.namespaces, wire.Namespace),
            ("Deployment", DeploymentSink(index), wire.Deployment),
            ("ReplicaSet", ReplicaSetSink(index), wire.ReplicaSet),
            ("Pod", PodSink(index), wire.PodObject),
        )
        for name, sink, shape in sinks:
            _put(sink, shape, self.recording.of(name))
        for of in REVISED:
            _put(of.sink(index), of.decode, self.recording.of(of.kind))
            _put(ControllerRevisionSink(index, of.kind), ControllerRevision, self.recording.of("ControllerRevision"))
            # As the operator's watch selects them: told of any other pod, that sink would have it forgotten.
            _put(RevisedPodSink(index, of.kind), RevisedPod, (one for one in self.recording.of("Pod") if _controller(one) == of.kind))

    # -------------------------------------------------------------------------------------------------------- decisions

    def targets(self) -> Iterator[Target]:
        """Yield the workloads that a policy is about, in order."""
        for work in sorted(self.index.workloads(), key=lambda one: one.target):
            if self.rosters.fitting(work.target, work.labels):
                yield work.target

    async def verdicts(self, targets: Iterable[Target]) -> list[Verdict]:
        """Decide about workloads. Twice, for what is ill elsewhere at the same time counts, in whichever order it is looked at."""
        chosen = list(targets)
        for target in chosen:
            await self.verdict(target)
        return [await self.verdict(target) for target in chosen]

    async def verdict(self, target: Target) -> Verdict:
        """Look at one workload as the operator does, and stop before anything would be written."""
        case = self._observer.case(target)
        if await self._first_sight.look(case):
            case = self._observer.case(target)
        decision = decide(case)
        told = decision.opening is not None or case.incident is not None
        self._observer.note_onset(target, attribution.ill_since(case, decision.findings), told=told)
        if decision.opening or decision.reads:
            case, decision = await self._opened(case, decision)
        self._observer.note_written(target)
        return Verdict(case, decision)

    async def _opened(self, case: Case, decision: Decision) -> tuple[Case, Decision]:
        case, decision = await self._opener.open(case, decision)
        live = case.seen.live
        if live is None or live.confirmed:
            return case, decision
        # The operator asks for the rest beside recording its intent.
        case = replace(case, seen=replace(case.seen, live=await self._live.confirm(case, live)))
        return case, decide(case)

    async def asked(self, target: Target) -> list[tuple[str, choosing.Choice]]:
        """Say what each step of the policy would do if a person ordered it now, and what stands against it."""
        case = (await self.verdict(target)).case
        found: list[tuple[str, choosing.Choice]] = []
        for step in case.policy.spec.steps if case.policy else ():
            choice = choosing.asked(case, step.name)
            if choice.reads:
                try:
                    live = await self._live.read(case, choice.reads)
                except KubeError:
                    live = None  # something that it needs cannot be read, so that less is known
                choice = choosing.asked(replace(case, seen=replace(case.seen, live=live)), step.name) if live else choice
            found.append((step.name, choice))
        return found


def _put(sink: Any, shape: type[Any], bodies: Iterable[Body]) -> None:
    for body in bodies:
        sink.put(msgspec.json.decode(msgspec.json.encode(body), type=shape))


def _controller(body: Body) -> str:
    """Return the kind of what controls an object, or nothing."""
    return next((str(one["kind"]) for one in body["metadata"].get("ownerReferences") or () if one.get("controller")), "")


async def _nowhere(_host: str, _scope: str) -> Silence:
    return Silence("a recording has no database to look into", theirs=False)


def known_good(case: Case) -> list[tuple[int, str, dict[str, Any]]]:
    """Return the revisions that are known to have been healthy, the newest first: number, ReplicaSet, and the record."""
    names = {one.uid: one.name for one in case.seen.revisions}
    goods = knowngood.with_stints(case).known_good
    return [(one.revision, names.get(one.replica_set_uid, "(gone)"), one.model_dump(mode="json", by_alias=True)) for one in reversed(goods)]
