"""The census by difference is the census by counting, whatever comes in which order."""

import sys
from types import FrameType
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import NOW, make_incident, make_policy, make_workload

from stopgap.api import Incident, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.core import matching, storm
from stopgap.core.storm import Census, Count
from stopgap.effects.census import Headcount
from stopgap.effects.index import Index
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.model.refs import Target
from stopgap.model.workload import Workload

NAMES, PLACES = ("a", "b", "c"), ("shop", "bank")
MITIGATED = {"type": "Mitigated", "status": "True", "reason": "Mitigated", "message": "", "lastTransitionTime": NOW}


class World:
    """An index, records and a headcount, connected as the runtime connects them."""

    def __init__(self) -> None:
        self.index = Index(lambda _: None, lambda: NOW, self._listed)
        self.records = Records(self._changed, self._policies_changed)
        self.namespaces = Namespaces(lambda _: None)
        self.rosters = Rosters(self.records, self.namespaces)
        self.headcount = Headcount(self.index, self.records, self.rosters)
        self.firing: set[Target] = set()
        self.version = 0

    def _listed(self, work: Workload, *, there: bool) -> None:
        self.headcount.listed(work, there=there)

    def _changed(self, target: Target) -> None:
        self.headcount.look_at(target)

    def _policies_changed(self, namespace: str) -> None:
        self.rosters.forget(namespace)
        self.headcount.policies_changed(namespace)

    def deploy(self, place: str, name: str, *, managed: bool = True) -> Target:
        labels = {"app": "api" if managed else "another"}
        work = make_workload(namespace=place, name=name, uid=f"{place}-{name}", labels=labels)
        self.index.put_workload(work)
        return work.target

    def delete(self, place: str, name: str) -> None:
        self.index.drop_workload(f"{place}-{name}")

    def policy(self, place: str, *, there: bool, app: str = "api") -> None:
        if not there:
            self.records.drop(RemediationPolicy, place, "web")
            return
        made = make_policy(targets={"selector": {"matchLabels": {"app": app}}})
        self._take(RemediationPolicy, made.model_dump(mode="json", by_alias=True, exclude_none=True), place, "web")

    def incident(self, place: str, name: str, *, there: bool, mitigated: bool = False) -> None:
        if not there:
            self.records.drop(Incident, place, f"{name}-1")
            return
        made = make_incident(name=f"{name}-1", status={"conditions": [MITIGATED]} if mitigated else {})
        body = made.model_dump(mode="json", by_alias=True, exclude_none=True)
        body["spec"]["targetRef"]["name"] = name
        self._take(Incident, body, place, f"{name}-1")
        # The reconciler says so after each of its writes.
        self.headcount.look_at(Target(place, "Deployment", name))

    def look(self, place: str, name: str, *, firing: bool) -> None:
        target = Target(place, "Deployment", name)
        (self.firing.add if firing else self.firing.discard)(target)
        self.headcount.note(target, firing=firing)

    def _take(self, kind: Any, body: dict[str, Any], place: str, name: str) -> None:
        self.version += 1
        meta = {"namespace": place, "name": name, "resourceVersion": str(self.version), "generation": self.version}
        self.records.take(kind, {**body, "metadata": {**body["metadata"], **meta}})

    def counted(self) -> Census:
        """Count everything, as if for the first time."""
        managed = [one for one in self.index.workloads() if self._policy_of(one)]
        ill = [one for one in managed if one.target in self.firing or any(map(storm.is_ill, self.records.incidents(one.target)))]
        where = {
            place: Count(sum(1 for one in managed if one.namespace == place), sum(1 for one in ill if one.namespace == place))
            for place in PLACES
        }
        return Census({place: count for place, count in where.items() if count.ill}, len(managed))

    def _policy_of(self, work: Workload) -> Policy | None:
        return matching.deciding(self.records.policies(work.namespace), work.target, work.labels)


some = (st.sampled_from(PLACES), st.sampled_from(NAMES))
steps: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("deploy"), *some, st.fixed_dictionaries({"managed": st.booleans()})),
    st.tuples(st.just("delete"), *some, st.just({})),
    st.tuples(st.just("incident"), *some, st.fixed_dictionaries({"there": st.booleans(), "mitigated": st.booleans()})),
    st.tuples(st.just("look"), *some, st.fixed_dictionaries({"firing": st.booleans()})),
)
policies = st.tuples(
    st.just("policy"), some[0], st.fixed_dictionaries({"there": st.booleans(), "app": st.sampled_from(["api", "another"])})
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(history=st.lists(st.one_of(steps, policies), max_size=40))
def test_counting_by_difference_is_counting(history: list[tuple[Any, ...]]) -> None:
    world = World()
    for place in PLACES:
        world.policy(place, there=True)
    for what, *where, how in history:
        getattr(world, what)(*where, **how)
        assert world.headcount.census() == world.counted()


def test_an_illness_counts_before_its_incident_is_written() -> None:
    world = World()
    world.policy("shop", there=True)
    world.deploy("shop", "a")
    world.look("shop", "a", firing=True)
    assert world.headcount.census() == Census({"shop": Count(1, 1)}, 1)


def test_an_open_incident_counts_after_a_restart_before_anything_was_looked_at() -> None:
    world = World()
    world.policy("shop", there=True)
    world.incident("shop", "a", there=True)
    world.deploy("shop", "a")
    assert world.headcount.census() == Census({"shop": Count(1, 1)}, 1)


def test_what_another_copy_wrote_counts_once_this_one_leads() -> None:
    world = World()
    world.policy("shop", there=True)
    target = world.deploy("shop", "a")
    world.incident("shop", "a", there=True)
    body = make_incident(name="a-1", status={"conditions": [MITIGATED]}).model_dump(mode="json", by_alias=True, exclude_none=True)
    body["spec"]["targetRef"]["name"] = "a"
    meta = {"namespace": "shop", "resourceVersion": "99", "generation": world.version}
    world.records.take(Incident, {**body, "metadata": {**body["metadata"], **meta}})
    assert world.headcount.census().namespaces
    world.headcount.recount({target})
    assert world.headcount.census() == Census({}, 1)


def test_nothing_is_counted_twice_or_for_nothing() -> None:
    world = World()
    world.policy("shop", there=True)
    world.deploy("shop", "a")
    world.headcount.census()
    world.index.put_workload(msgspec.structs.replace(make_workload(namespace="shop", name="a", uid="shop-a"), available_replicas=1))
    world.look("shop", "a", firing=False)
    world.policy("shop", there=True)
    assert not world.headcount.changed


def test_an_event_costs_the_same_among_many_workloads_as_among_few() -> None:
    few, many = World(), World()
    for world, size in ((few, 10), (many, 3000)):
        world.policy("shop", there=True)
        for number in range(size):
            world.deploy("shop", f"w{number}")
    assert many.headcount.census().managed == 3000
    assert _calls(many) == _calls(few)


def _calls(world: World) -> int:
    """Count the calls that some events take: unlike their time, it is the same on every machine."""
    counted = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        for turn in range(10):
            world.look("shop", "w1", firing=turn % 2 == 0)
            world.headcount.census()
    finally:
        sys.setprofile(None)
    return counted
