"""One running copy of Stopgap: its watches, its queue, its Lease and its servers, in one TaskGroup. Started by handlers/process.py."""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry

from stopgap.api import Incident, Remediation, RemediationConfig, WorkloadHealth
from stopgap.api.incident import CLOSED_LABEL, TARGET_UID_LABEL
from stopgap.core.storm import CLUSTER
from stopgap.effects import wire
from stopgap.effects.census import Headcount
from stopgap.effects.connection import Connection
from stopgap.effects.doers import executor
from stopgap.effects.errors import KubeError
from stopgap.effects.firstsight import FirstSight
from stopgap.effects.housekeeping import Housekeeping
from stopgap.effects.index import Index
from stopgap.effects.inquiry import Inquiries
from stopgap.effects.intake import receiver
from stopgap.effects.kube import Kube
from stopgap.effects.lease import Lease
from stopgap.effects.leftovers import Leftovers
from stopgap.effects.live import LiveReads
from stopgap.effects.lookups import Lookups
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.notifications import Notifications
from stopgap.effects.observe import Observer
from stopgap.effects.own import OwnObject, OwnSink
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.policies import PolicyKeeper
from stopgap.effects.polling import Polling
from stopgap.effects.queue import WorkQueue
from stopgap.effects.reconcile import Reconciler
from stopgap.effects.record import Recorder
from stopgap.effects.records import KEPT, Records, target_of
from stopgap.effects.retention import Retention
from stopgap.effects.reviews import Reviews
from stopgap.effects.rights import Rights
from stopgap.effects.rosters import Rosters
from stopgap.effects.secrets import Secrets
from stopgap.effects.servers import Servers
from stopgap.effects.sinks import DeploymentSink, PodSink, ReplicaSetSink
from stopgap.effects.storm import StormKeeper
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.telling import Teller
from stopgap.effects.trust import TrustKeeper
from stopgap.effects.watches import LaterWatches, Watches
from stopgap.effects.writing import Afterwards
from stopgap.model.base import Kind
from stopgap.model.refs import Target
from stopgap.settings import Settings

log = logging.getLogger(__name__)
SOON, USUALLY = 1, 3


class Runtime:
    """Everything that runs beside Kopf."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry)
        self.kube = Kube(connection, on_request=self.telemetry.requested)
        self._now = self.kube.clock.now
        self.index = Index(self._workload_changed, self._now, lambda work, *, there: self.headcount.listed(work, there=there))
        self.records = Records(self._add_soon, self._policies_changed)
        self.namespaces = Namespaces(self._namespace_changed)
        self._rosters = Rosters(self.records, self.namespaces)
        self.queue: WorkQueue[Target] = WorkQueue(namespace=lambda target: target.namespace, on_error=self.telemetry.failed)
        own, lead, soon = settings.own_namespace, self.leading, self._add_soon
        self.lease = Lease(self.kube, namespace=own, name="stopgap", identity=settings.identity, won=self._won, lost=self._lost)
        self.polling = Polling(self.kube, self.index, self.records, self._rosters, own_namespace=own, leading=lead, soon=soon)
        self.headcount: Headcount = Headcount(self.index, self.records, self._rosters)
        self.recorder = Recorder(self.kube, self.records, settings.identity)
        ready, marks, moved = lambda: self.leading() and self.synced(), self.lease.annotations, self._storm_changed
        self.storm = StormKeeper(self.headcount, self.records, marks, telemetry=self.telemetry, ready=ready, now=self._now, changed=moved)
        self._own = OwnLists(self.kube, self.records, settings.namespaces, settings.own_namespace)
        self._leftovers = Leftovers(
            self.kube, self._own, self.records, told=self.recorder, telemetry=self.telemetry, leading=self.leading, found=self._add_soon
        )
        self._trust = TrustKeeper(self.kube, self._own)
        self.reviews = Reviews(self.kube, self.recorder, leading=self.leading, now=self._now)
        teller, later = Teller(Secrets(self.kube, settings.own_namespace), self.polling.egress.send), self.queue.add_after
        self._notifications = Notifications(
            self.records, self.recorder, self._own, teller, counts=self.telemetry, leading=self.leading, soon=later, now=self._now
        )
        self._reconcile = self._reconciler()
        rosters, spaces, trust, told, signals = self._rosters, self.namespaces, self._trust, self.recorder, self.polling.sampler
        self._keeper = PolicyKeeper(
            self.index, self.records, rosters=rosters, namespaces=spaces, trust=trust, recorder=told, signals=signals, now=self._now
        )
        self.alerts = receiver(settings, self.kube, self.index, self.records, told, counts=self.telemetry, ready=self.not_ready_because)
        self._servers = Servers(settings, self.registry, ready=self.not_ready_because, alerts=self.alerts)
        self._retention = Retention(self.kube, self._own, self.records, ready=self.leading, now=self._now, swept=self._trust.read)
        self._watches = Watches(self.kube, self._spawn)
        self._later = LaterWatches(self.kube, self._spawn, self.index, self._own.paths)
        # Set once our custom resource definitions are there, and once workloads are to be watched.
        self.kinds, self._wanted = asyncio.Event(), asyncio.Event()
        self._own_synced = self._started = False
        self._group: asyncio.TaskGroup | None = None

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            self.index,
            self.records,
            own=self._own,
            policies=self._keeper,
            storm=self.storm,
            recorder=self.recorder,
            telemetry=self.telemetry,
            leading=self.leading,
            counts_are_true=lambda: self.synced() or not self._wanted.is_set(),
            heard_again=self._heard_again,
            now=self._now,
            own_namespace=self.settings.own_namespace,
        )

    def _reconciler(self) -> Reconciler:
        """Connect what one look at a workload needs."""
        own, asked, lead, argocd = self.settings.own_namespace, self.polling.sampler.samples, self.leading, self.settings.argocd_namespace
        rights, databases = Rights(self.kube, own), self.polling.databases
        live = LiveReads(self.kube, self.records, rights, databases=databases, own_namespace=own, argocd_namespace=argocd)
        index, kept, storm, count, rosters, spaces = self.index, self.records, self.storm, self.headcount, self._rosters, self.namespaces
        observer = Observer(
            index, kept, storm=storm, headcount=count, rosters=rosters, namespaces=spaces, samples=asked, synced=self._knows, leading=lead
        )
        lookups = Lookups(self.kube, index, live, everywhere=not self.settings.namespaces, now=self._now)
        looking = Inquiries(lookups, soon=lambda target: self.queue.add_after(target, 1, USUALLY))
        self._afterwards = Afterwards(self._trust, self.reviews, looking, self._notifications)
        return Reconciler(
            observer=observer,
            live=live,
            recorder=self.recorder,
            executor=executor(self.kube, self.index, rights, self.recorder, self.polling, leading=lead),
            first_sight=FirstSight(self.kube, self.index, live),
            telemetry=self.telemetry,
            afterwards=self._afterwards,
            leading=lead,
            now=self._now,
        )

    # ------------------------------------------------------------------------------------------------------- questions

    def leading(self) -> bool:
        """Whether this copy may act now."""
        return not self.settings.lease or self.lease.leading()

    def synced(self) -> bool:
        """Whether everything was listed and is being heard of, so that absence and quiet mean something."""
        return self._own_synced and self._started and self._watches.synced()

    def _knows(self, target: Target) -> bool:
        return self.synced() and self._later.synced_for(target)

    def not_ready_because(self) -> str:
        """Say why this copy is not ready, or nothing. A warm standby is ready."""
        if not self.kinds.is_set():
            return self._own.waits_for
        if troubles := self._watches.troubles() + self._later.troubles():
            return "; ".join(troubles)
        if not self._own_synced:
            return "its own objects have not been read yet"
        if (self.records.namespaces_with_policies() or self.alerts) and not (self.synced() and self._later.settled()):
            return "the workloads have not been listed yet"
        return ""

    # ------------------------------------------------------------------------------------------------------------ life

    async def run(self) -> None:
        """Run until cancelled. An unexpected end of any part ends all of it: half an operator is worse than none."""
        await self.kube.open()
        try:
            async with self._servers, asyncio.TaskGroup() as group:
                self._group = group
                await self._own.wait_for_kinds()
                self.kinds.set()
                await self.kube.warm(4)
                if self.settings.lease:
                    self._spawn(self.lease.run(), "lease")
                await self._read_own_kinds()
                self._follow(Incident, selector=f"{CLOSED_LABEL}!=true,{TARGET_UID_LABEL}")
                # The config too: it is in our own namespace, wherever the incidents are, and we may read it there only.
                for kind in (Remediation, WorkloadHealth, RemediationConfig):
                    self._follow(kind)
                self._spawn(self._watch_when_wanted(), "watches")
                self._spawn(self._later.run(self._heard_again), "later-watches")
                self._spawn(self.queue.run(self._reconcile), "queue")
                self._spawn(self.polling.run(), "polling")
                self._spawn(self._housekeeping().run(), "housekeeping")
                self._spawn(self._retention.run(), "retention")
                self._spawn(self._leftovers.run(), "leftovers")
                self._spawn(self._afterwards.run(), "afterwards")
        finally:
            await self.kube.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._group is None:
            raise RuntimeError("the runtime is not running")
        self._group.create_task(work, name=f"stopgap-{name}")

    async def _read_own_kinds(self) -> None:
        """List each own kind once before the first decision: an unseen config must not look like an absent one."""
        await asyncio.gather(*(self._own.read(kind) for kind in KEPT))
        self._own_synced = True
        for target in self.records.unfinished():
            self._want(target)
        self._policies_changed("")

    def _follow(self, kind: type[Kind], *, selector: str = "") -> None:
        """Watch what Kopf does not: what Stopgap itself writes, and in numbers."""
        params = {"labelSelector": selector} if selector else {}
        self._watches.open(self._own.paths_of(kind), OwnObject, OwnSink(kind, self.records), params)

    async def _watch_when_wanted(self) -> None:
        """Start the workload watches when the first policy exists, and only where one can be."""
        await self._wanted.wait()
        self._watches.open(self._own.paths("apps/v1", "deployments"), wire.Deployment, DeploymentSink(self.index))
        self._watches.open(self._own.paths("apps/v1", "replicasets"), wire.ReplicaSet, ReplicaSetSink(self.index))
        self._watches.open(self._own.paths("v1", "pods"), wire.PodObject, PodSink(self.index))
        if not self.settings.namespaces:
            self._watches.open(self._own.paths("v1", "namespaces"), wire.Namespace, self.namespaces)
        self._started = True
        await self._watches.listed()
        self.telemetry.synced.set(1)
        with suppress(KubeError):  # the watches have kept for themselves the connections that were open
            await self.kube.warm()
        log.info("synced", extra={"workloads": len(self.index.workload_uids()), "pods_in_trouble": len(self.index.pod_uids())})
        # Namespaces that came after their workloads are counted once, now, and not one by one.
        self._heard_again()

    def _heard_again(self) -> None:
        """Make up for what was not looked at while a watch was in trouble: one that goes on where it was sends nothing anew."""
        self.headcount.policies_changed("")
        self._look_at(self._worth_a_look())

    # ------------------------------------------------------------------------------------------------------ what changed

    def _workload_changed(self, target: Target) -> None:
        if not self.synced():
            return
        work = self.index.workload(target)
        if work is None or self._rosters.deciding(target, work.labels) or self.records.incidents(target) or self.index.lent(target):
            self.queue.add(target, SOON)

    def _add_soon(self, target: Target) -> None:
        self.headcount.look_at(target)
        self._want(target)
        self.queue.add(target, SOON)

    def _want(self, target: Target) -> None:
        """Watch workloads of this kind, also where no policy is left: one has an open incident, or owes something."""
        self._wanted.set()
        self._later.want(target)

    def _policies_changed(self, namespace: str) -> None:
        """Look again at everything that a changed policy or config may allow or forbid."""
        self._keeper.changed()
        self._rosters.forget(namespace)
        self._later.policies_changed(self.records.policies(namespace))
        self.headcount.policies_changed(namespace)
        # What is to be put back wants its workload watched, also where neither a policy nor an incident is left; an alert may be about any.
        if self.records.namespaces_with_policies() or self.records.unreadable_policies or self.records.unfinished() or self.alerts:
            self._wanted.set()
        if self.synced():
            self._look_at(target for target in self._worth_a_look() if not namespace or target.namespace == namespace)

    def _namespace_changed(self, namespace: str) -> None:
        """Look again at what is in a namespace that was labelled, paused or let go. Figures in policies have time for their minute."""
        self._rosters.forget(namespace)
        if self.synced():
            self.headcount.policies_changed(namespace)
            self._look_at(target for target in self._worth_a_look() if target.namespace == namespace)

    def _storm_changed(self, scope: str) -> None:
        """Look again at what a storm holds back, so that its incidents say so, or act, without waiting for their turn."""
        open_ones = (target_of(one) for one in self.records.open_incidents())
        self._look_at([target for target in open_ones if scope in {CLUSTER, target.namespace}])

    def _worth_a_look(self) -> Iterable[Target]:
        return {*self.index.troubled(), *(target_of(one) for one in self.records.open_incidents()), *self.records.unfinished()}

    def _look_at(self, targets: Iterable[Target]) -> None:
        for target in targets:
            self.queue.add(target, USUALLY)

    def _won(self) -> None:
        log.info("leading")
        self._leftovers.begin()
        self.headcount.recount({target_of(one) for one in self.records.open_incidents()})
        self._look_at(self._worth_a_look())

    def _lost(self) -> None:
        log.warning("not leading any more; the holder of the Lease acts")
        self.storm.forget()
        self._afterwards.forget()
