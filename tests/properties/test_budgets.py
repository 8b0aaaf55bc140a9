"""Budgets hold over every sliding window: whatever crashes when, in whichever order, and whatever the operator's own clock does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW, make_policy, make_remediation
from tests.unit.effects.test_census import World

from stopgap.api import Remediation, RemediationConfig, WorkloadHealth
from stopgap.api.remediation import RemediationSpec
from stopgap.core import limits
from stopgap.core.situation import Situation
from stopgap.effects import clock
from stopgap.effects.census import Headcount
from stopgap.effects.clock import ServerClock
from stopgap.effects.index import Index
from stopgap.effects.observe import Observer
from stopgap.effects.rosters import Rosters
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

PLACES, NAMES = ("shop", "bank"), ("a", "b", "c")
MINUTE = timedelta(minutes=1)
PER_TARGET, PER_NAMESPACE, CLUSTER, PER_POLICY = (2, 10 * MINUTE), (3, 15 * MINUTE), (5, 30 * MINUTE), (4, 20 * MINUTE)
GRAIN = timedelta(seconds=2)
"""Times of the API server are whole seconds, and so is what a look at the target tells after a crash."""
POLICY = make_policy(guards={"maxActions": {"count": 4, "within": "20m"}})
CONFIG = {
    "perTarget": {"count": 2, "within": "10m"},
    "perNamespace": {"count": 3, "within": "15m"},
    "cluster": {"count": 5, "within": "30m"},
}


@dataclass
class Server:
    """What the API server has stored, its own time, and when a change really took effect."""

    now: datetime = NOW
    version: int = 1
    remediations: dict[str, dict[str, Any]] = field(default_factory=dict)
    healths: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When, in which namespace, on which workload (UID)."""
    sent_under: dict[str, datetime] = field(default_factory=dict)

    def store(self, kept: dict[str, dict[str, Any]], key: str, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        kept[key] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return kept[key]


class Process(World):
    """One run of the operator: it knows what is stored, and its own monotonic clock, which begins anywhere."""

    def __init__(self, server: Server, began: float) -> None:
        super().__init__()
        self.server, self.began, self.since = server, began, server.now
        self.clock = ServerClock()
        self.hear()
        self.index = Index(lambda _: None, self.clock.now, self._listed)
        self.rosters = Rosters(self.records, self.namespaces)
        self.headcount = Headcount(self.index, self.records, self.rosters)
        self.observer = Observer(
            self.index,
            self.records,
            storm=SimpleNamespace(breakers=lambda _: ()),  # type: ignore[arg-type]  # no storm
            headcount=self.headcount,
            rosters=self.rosters,
            namespaces=self.namespaces,
            samples=lambda _target, _policy: {},
            synced=lambda _: True,
            leading=lambda: True,
        )
        with self.own_clock():
            for place in PLACES:
                for name in NAMES:
                    self.deploy(place, name)
        config = {"metadata": {"name": "stopgap", "namespace": "stopgap-system", "resourceVersion": "1"}, "spec": {"budgets": CONFIG}}
        self.records.take(RemediationConfig, config)
        for body in server.remediations.values():
            self.records.take(Remediation, body)
        for body in server.healths.values():
            self.records.take(WorkloadHealth, body)

    def monotonic(self) -> float:
        return self.began + (self.server.now - self.since).total_seconds()

    def hear(self) -> None:
        """A reply of the API server came."""
        with self.own_clock():
            self.clock.heard(format_datetime(self.server.now, usegmt=True), sent=self.monotonic() - 0.01, received=self.monotonic())

    @contextmanager
    def own_clock(self) -> Iterator[None]:
        with patch.object(clock, "time", SimpleNamespace(monotonic=self.monotonic)):
            yield

    def may_act(self, target: Target) -> bool:
        case = self.observer.case(target)
        situation = Situation(case, POLICY, POLICY.spec.steps[0], (), Refusal(Reason.Superseded, ""))
        return case.active is None and limits.rate_limited(situation) is None

    # Each of these is one write of its own, and the process may die after it.

    def intend(self, target: Target) -> Remediation:
        name = f"{target.name}-{self.server.version}"
        until = self.clock.now() + MINUTE
        made = make_remediation(name=name, targetRef={"name": target.name, "uid": uid(target)}, notAfter=until, verifyUntil=until)
        body = made.model_dump(mode="json", by_alias=True, exclude_none=True)
        body["metadata"]["namespace"] = target.namespace
        stored = self.server.store(self.server.remediations, f"{target.namespace}/{name}", body)
        self.records.take(Remediation, stored)
        self.hear()
        return Remediation.model_validate(stored)

    def send(self, one: Remediation) -> datetime | None:
        """As effects/execute.py does: what comes too late is not sent any more."""
        if self.clock.now() > one.write_until:
            return None
        self.server.sent.append((self.server.now, one.metadata.namespace or "", one.spec.target_ref.uid))
        self.server.sent_under[one.metadata.uid or ""] = self.server.now
        self.hear()
        return self.clock.now()

    def settle(self, one: Remediation, at: datetime | None) -> Remediation:
        status = {"state": "Succeeded", "executedAt": at.isoformat()} if at else {"state": "Superseded"}
        key = f"{one.metadata.namespace}/{one.metadata.name}"
        stored = self.server.store(self.server.remediations, key, {**self.server.remediations[key], "status": status})
        self.records.take(Remediation, stored)
        return Remediation.model_validate(stored)

    def remember(self, one: Remediation) -> None:
        """Write the memory of the workload, which counts on when the record is deleted."""
        where, work = one.metadata.namespace or "", one.spec.target_ref
        assert one.status is not None
        assert one.status.executed_at is not None
        before = self.server.healths.get(work.uid, {"status": {"lastActions": []}})["status"]["lastActions"]
        charge = {"remediation": one.metadata.uid, "policyUid": "policy-uid", "at": one.status.executed_at.isoformat()}
        spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": work.name, "uid": work.uid}}
        body = {"metadata": {"name": work.name, "namespace": where}, "spec": spec, "status": {"lastActions": [*before, charge]}}
        self.records.take(WorkloadHealth, self.server.store(self.server.healths, work.uid, body))


def uid(target: Target) -> str:
    return f"{target.namespace}-{target.name}"


class Run:
    """A server, and one process after the other."""

    def __init__(self) -> None:
        self.server = Server()
        self.process = Process(self.server, 0.0)

    def wait(self, seconds: int) -> None:
        self.server.now += timedelta(seconds=seconds)
        self.process.hear()

    def sleep(self, seconds: int) -> None:
        """The machine is suspended: its monotonic clock stands still, and nothing is heard before it decides again."""
        self.server.now += timedelta(seconds=seconds)
        self.process.since += timedelta(seconds=seconds)

    def restart(self, began: float) -> None:
        self.process = Process(self.server, began)

    def act(self, target: Target, dies_after: str, meanwhile: Target | None = None) -> None:
        """Act where the budgets allow it. With `meanwhile`, another worker acts before this one has written its intent."""
        process = self.process
        with process.own_clock():
            if not process.may_act(target):
                return
            work = process.index.workload(target)
            assert work is not None
            with process.observer.reserved(work, RemediationSpec.model_validate(make_remediation().spec.model_dump())):
                if meanwhile is not None and meanwhile != target:
                    self.act(meanwhile, "nothing")
                one = process.intend(target)
                if dies_after == "intent":
                    self.restart(5.0)
                    return
                at = process.send(one)
                if dies_after == "send":
                    self.restart(5.0)
                    return
                done = process.settle(one, at)
                process.observer.charge(done)
            if dies_after == "record":
                self.restart(5.0)
                return
            if at is not None:
                process.remember(done)

    def finish(self) -> None:
        """Look at what was intended before a crash, and say what became of it."""
        with self.process.own_clock():
            for one in tuple(self.process.records.unended()):
                at = self.server.sent_under.get(one.metadata.uid or "")
                done = self.process.settle(one, at.replace(microsecond=0) if at else None)
                if at:
                    self.process.remember(done)

    def forget(self, target: Target) -> None:
        """A person deletes the records of a workload's actions of which its memory tells."""
        told = {
            one["remediation"] for one in self.server.healths.get(uid(target), {"status": {"lastActions": ()}})["status"]["lastActions"]
        }
        for key, body in tuple(self.server.remediations.items()):
            if body["metadata"]["uid"] in told and body["metadata"]["namespace"] == target.namespace:
                del self.server.remediations[key]
                self.process.records.drop(Remediation, target.namespace, body["metadata"]["name"])


targets = st.builds(Target, st.sampled_from(PLACES), st.just("Deployment"), st.sampled_from(NAMES))
deaths = st.sampled_from(["nothing", "nothing", "nothing", "intent", "send", "record"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("act"), targets, deaths, st.none() | targets),
        st.tuples(st.just("act"), targets, deaths, st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0, 1, 20, 61, 200, 400, 900])),
        st.tuples(st.just("sleep"), st.sampled_from([61, 900, 4000])),
        st.tuples(st.just("restart"), st.sampled_from([0.0, 1e6, 3.5])),
        st.tuples(st.just("finish")),
        st.tuples(st.just("forget"), targets),
    ),
    min_size=8,
    max_size=40,
)


PHASES = [Phase.explicit, Phase.generate, Phase.shrink]


def most_in_a_window(times: list[datetime], within: timedelta) -> int:
    return max((sum(1 for one in times if first <= one < first + within - GRAIN) for first in times), default=0)


def in_the_shop(*names: str, dies_after: str) -> list[tuple[Any, ...]]:
    return [("act", Target("shop", "Deployment", name), dies_after, None) for name in names]


@settings(phases=PHASES, derandomize=True, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
@example(steps=[*in_the_shop("a", "b", "c", dies_after="send"), *in_the_shop("a", "b", "c", dies_after="nothing")])
@example(steps=[*in_the_shop("a", "a", dies_after="nothing"), ("wait", 590), *in_the_shop("a", dies_after="nothing")])
def test_no_window_holds_more_actions_than_its_budget(steps: list[tuple[Any, ...]]) -> None:
    run = Run()
    for name, *arguments in steps:
        getattr(run, name)(*arguments)
    sent = run.server.sent
    for place in PLACES:
        assert most_in_a_window([at for at, where, _ in sent if where == place], PER_NAMESPACE[1]) <= PER_NAMESPACE[0]
        for name in NAMES:
            assert most_in_a_window([at for at, _, work in sent if work == f"{place}-{name}"], PER_TARGET[1]) <= PER_TARGET[0]
    assert most_in_a_window([at for at, _, _ in sent], CLUSTER[1]) <= CLUSTER[0]
    assert most_in_a_window([at for at, _, _ in sent], PER_POLICY[1]) <= PER_POLICY[0]


def test_the_budgets_are_used_up_where_nothing_goes_wrong() -> None:
    run = Run()
    for place in PLACES:
        for name in NAMES:
            run.act(Target(place, "Deployment", name), "nothing")
            run.wait(200)
    assert [work for _, _, work in run.server.sent] == ["shop-a", "shop-b", "shop-c", "bank-a"]
