"""Puts a case together from the index and the records. Copies; never waits."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from stopgap.api import Incident, Remediation
from stopgap.api.clusterpolicy import Policy
from stopgap.api.config import ConfigSpec
from stopgap.api.health import WorkloadHealthStatus
from stopgap.api.remediation import RemediationSpec
from stopgap.core import alerts, limits
from stopgap.core.case import Case, Lent, Spent
from stopgap.core.storm import unverified
from stopgap.effects.census import Headcount
from stopgap.effects.index import Index
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.records import Records, target_of
from stopgap.effects.rosters import Rosters
from stopgap.effects.storm import StormKeeper
from stopgap.model.observation import Live
from stopgap.model.query import Sample
from stopgap.model.refs import Target
from stopgap.model.workload import Neighbour, Workload


class Observer:
    """Knows where everything is that a decision is made from."""

    def __init__(  # noqa: PLR0913 - where everything is
        self,
        index: Index,
        records: Records,
        *,
        storm: StormKeeper,
        headcount: Headcount,
        rosters: Rosters,
        namespaces: Namespaces,
        samples: Callable[[Target, Policy | None], Mapping[str, tuple[Sample, ...]]],
        synced: Callable[[Target], bool],
        leading: Callable[[], bool],
    ) -> None:
        self._index = index
        self._records = records
        self._storm = storm
        self._headcount = headcount
        self._rosters = rosters
        self._namespaces = namespaces
        self._samples = samples
        self._synced = synced
        self._leading = leading
        self._ill: dict[Target, datetime] = {}
        self._reserved: set[Spent] = set()
        self.spendings = 0
        """Changes whenever an action is counted against the budgets."""

    def case(self, target: Target, live: Live | None = None) -> Case:
        """Return the case of one workload now."""
        seen = self._index.observe(target, synced=self._synced(target))
        neighbours = tuple(Neighbour(key, at) for key, at in self._ill.items() if key != target)
        work, config = seen.workload, self._records.config
        health = self._records.health(work.uid) if work else None
        incidents = self._records.incidents(target)
        main = handled(incidents)
        named = main.spec.policy_ref if main else None
        uid = (main.status.target_uid if main and main.status else "") or (work.uid if work else "")
        policy = self._rosters.deciding(target, work.labels, named=named) if work else None
        return Case(
            seen=replace(seen, live=live, neighbours=neighbours, samples=self._samples(target, policy), alerts=alerts.told(incidents)),
            policy=policy,
            config=None if self._records.config_trouble else (config.spec if config else ConfigSpec()),
            config_trouble=self._records.config_trouble,
            config_paused=limits.pause_mark(config.metadata.annotations) if config else "",
            namespace_paused=self._namespaces.paused(target.namespace),
            incident=main,
            others=tuple(one for one in incidents if one is not main),
            health=(health.status if health else None) or WorkloadHealthStatus(),
            remediations=self._records.remediations(uid) if uid else (),
            left=self._records.lending.left(target, uid, work.uid if work else ""),
            lost=self._records.lending.lost(target),
            spent=self._spent(),
            leading=self._leading(),
            storm=self._storm.breakers(target.namespace),
            unverified=self._unverified(work),
        )

    def _unverified(self, work: Workload | None) -> int:
        """Count the other workloads with an action that is not proved. What was deleted proves nothing any more."""
        there = self._index.workload_uids()
        out = {uid for uid in unverified(self._records.unended(), self._index.now()) if uid in there}
        out |= {one.target_uid for one in self._reserved}
        return len(out - {work.uid if work else ""})

    def _spent(self) -> tuple[Spent, ...]:
        """Every action once: what was sent, what this copy is about to send, and what a crash may have kept from being written down."""
        sent = (*self._records.spent(), *self._reserved)
        perhaps = tuple(limits.perhaps_spent(self._records.unended(), self._index.now()))
        if not perhaps:
            return sent  # mostly, and this is asked at every look
        known, reserved = {one.remediation for one in sent}, {one.target_uid for one in self._reserved}
        return (*sent, *(one for one in perhaps if one.remediation not in known and one.target_uid not in reserved))

    @contextmanager
    def reserved(self, work: Workload, spec: RemediationSpec) -> Iterator[None]:
        """Count an action against every budget from the decision on, until what became of it is known."""
        self.spendings += 1
        spent = Spent(f"reserved-{self.spendings}", self._index.now(), work.namespace, work.uid, spec.policy_ref.uid)
        self._reserved.add(spent)
        try:
            yield
        finally:
            self._reserved.discard(spent)

    def charge(self, done: Remediation) -> None:
        """Count an action that was sent from now on, before the reservation ends and whether or not its record can be written."""
        self.spendings += 1
        self._records.charge(done)

    def found(self, target: Target, lent: Lent) -> None:
        """Forget what a lost record had left, once it is settled."""
        self._records.lending.found(target, lent.remediation_uid)

    def incidents(self, like: Incident) -> list[Incident]:
        """Return the open incidents of the same workload, as they are stored."""
        return self._records.incidents(target_of(like))

    def note_onset(self, target: Target, since: datetime | None, *, told: bool) -> None:
        """Remember since when a workload is ill, for the others; None: it is not. `told`: there is an incident of it, or will be."""
        self._headcount.note(target, firing=since is not None and told)
        if since is None:
            self._ill.pop(target, None)
        else:
            self._ill[target] = since

    def note_written(self, target: Target) -> None:
        """Count a workload anew after its records were written."""
        self._headcount.look_at(target)


def handled(incidents: list[Incident]) -> Incident | None:
    """Pick the incident that is handled: the oldest that is not the duplicate of one that is still open."""
    names = {one.metadata.name for one in incidents}
    return next((one for one in incidents if not (one.status and one.status.duplicate_of in names)), None)
