"""DaemonSets as the API server sends them: what becomes of them in the index, and what is decided then."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago, make_case, make_health, make_live, make_policy
from tests.stateful import BAD, GOOD, UID, Body, controller_revision, pod, stateful_set, template

from stopgap.core import knowngood
from stopgap.core.case import Case
from stopgap.core.choosing import choose, intent
from stopgap.core.decide import judge
from stopgap.effects import revised
from stopgap.effects.index import Index
from stopgap.effects.revised import ControllerRevision, DaemonSetObject, RevisedPod
from stopgap.effects.sinks import ControllerRevisionSink, DaemonSetSink, RevisedPodSink
from stopgap.model.observation import Observation
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.revised import DaemonSet, key
from stopgap.model.template import Template

AGENT = Target("shop", "DaemonSet", "db")
WELL: Body = {"numberReady": 3, "numberAvailable": 3, "updatedNumberScheduled": 3, "observedGeneration": 1}


def daemon_set(image: str = BAD_IMAGE, *, generation: int = 2, strategy: Body | None = None, **status: Any) -> Body:
    """On three nodes; by default the pod on one was replaced by the bad revision, and the other two serve."""
    like = stateful_set(image)
    there = {
        "currentNumberScheduled": 3,
        "desiredNumberScheduled": 3,
        "numberAvailable": 2,
        "numberMisscheduled": 0,
        "numberReady": 2,
        "numberUnavailable": 1,
        "observedGeneration": 2,
        "updatedNumberScheduled": 1,
    }
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    spec = {"selector": like["spec"]["selector"], "template": template(image), "updateStrategy": strategy or rolling}
    meta = {**like["metadata"], "generation": generation}
    return {"kind": "DaemonSet", "metadata": meta, "spec": spec, "status": {**there, **status}}


def older() -> Body:
    """The same before the release."""
    return daemon_set(GOOD_IMAGE, generation=1, **WELL)


def revisions() -> tuple[Body, Body]:
    kind = {"kind": "DaemonSet"}
    return controller_revision(GOOD, GOOD_IMAGE, 1, **kind), controller_revision(BAD, BAD_IMAGE, 2, **kind)


def its_pod(revision: str, **state: Any) -> Body:
    """A pod of it, with the hash alone on its label."""
    made = pod(2, revision, owner="DaemonSet", **state)
    labels = {"app": "db", "controller-revision-hash": revision.rpartition("-")[2], "pod-template-generation": "2"}
    return {**made, "metadata": {**made["metadata"], "name": "db-x7k2p", "labels": labels}}


class Taken:
    """An index, and the sinks that fill it from bytes."""

    def __init__(self, at: datetime = NOW) -> None:
        self.now = at
        self.index = Index(lambda _target: None, lambda: self.now, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
        self.sets, self.pods = DaemonSetSink(self.index), RevisedPodSink(self.index, "DaemonSet")
        self.revisions = ControllerRevisionSink(self.index, "DaemonSet")

    def take(self, *bodies: Body) -> "Taken":
        """Take in objects, each by what it is."""
        for body in bodies:
            raw, kind = json.dumps(body).encode(), body.get("kind")
            if kind == "DaemonSet":
                self.sets.put(msgspec.json.decode(raw, type=DaemonSetObject))
            elif kind == "ControllerRevision":
                self.revisions.put(msgspec.json.decode(raw, type=ControllerRevision))
            else:
                self.pods.put(msgspec.json.decode(raw, type=RevisedPod))
        return self

    @property
    def work(self) -> DaemonSet:
        """The DaemonSet."""
        work = self.index.workload(AGENT)
        assert isinstance(work, DaemonSet)
        return work

    @property
    def seen(self) -> Observation:
        """What there is to see."""
        return self.index.observe(AGENT, synced=True)


def released() -> Taken:
    """A bad release seen from the beginning: it was well for long, one pod was replaced and exits for the third time."""
    taken = Taken(ago(days=1)).take(revisions()[0], older())
    taken.now = ago(minutes=2)
    taken.take(revisions()[1], daemon_set(), its_pod(BAD, ready=False, restarts=3))
    taken.now = NOW + timedelta(seconds=5)
    return taken


def test_the_nodes_that_fit_are_its_replicas() -> None:
    work = Taken().take(daemon_set()).work
    assert (work.replicas, work.current_replicas, work.updated_replicas, work.available_replicas) == (3, 3, 1, 2)
    assert (work.kind, work.strategy, work.max_unavailable, work.least_available) == ("DaemonSet", "RollingUpdate", 1, 2)


@pytest.mark.parametrize(("allowed", "least"), [(0, 3), (2, 1), ("34%", 1), ("100%", 0)], ids=str)
def test_a_share_that_may_be_missing_is_rounded_up_as_its_controller_does(allowed: int | str, least: int) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": allowed}}
    assert Taken().take(daemon_set(strategy=strategy)).work.least_available == least


def test_the_newest_revision_is_the_one_with_the_present_template_once_it_is_there() -> None:
    taken = Taken().take(revisions()[0], older())
    assert taken.seen.newest is not None
    taken.take(daemon_set())
    assert taken.seen.newest is None
    taken.take(revisions()[1])
    newest = taken.seen.newest
    assert newest is not None
    assert (newest.uid, newest.number, newest.hash) == (key(UID, BAD), 2, BAD.rpartition("-")[2])
    again = controller_revision(GOOD, GOOD_IMAGE, 3, kind="DaemonSet")
    taken.take(daemon_set(GOOD_IMAGE, generation=3, observedGeneration=3), again)
    assert taken.seen.newest is not None
    assert taken.seen.newest.uid == key(UID, GOOD)


def test_the_pods_that_are_not_updated_are_counted_to_the_revision_before() -> None:
    counts = {one.number: (one.replicas, one.ready) for one in released().seen.revisions}
    assert counts == {2: (1, 0), 1: (2, 2)}


def test_a_node_that_joins_after_the_rollout_was_complete_begins_no_other() -> None:
    taken = Taken().take(revisions()[0], older())
    assert taken.work.finished
    for ready in (2, 3):
        taken.take(daemon_set(GOOD_IMAGE, generation=1, **{**WELL, "desiredNumberScheduled": 4, "numberReady": ready}))
        assert not taken.work.rolled_out
        assert taken.work.finished
    assert not taken.take(daemon_set()).work.finished


def test_pods_that_people_replace_are_kept_on_purpose() -> None:
    work = Taken().take(daemon_set(strategy={"type": "OnDelete"}, numberAvailable=3)).work
    assert (work.held_back, work.rolled_out, work.finished) == (True, True, False)


def test_what_belongs_to_others_is_left_alone() -> None:
    taken = Taken().take(controller_revision(GOOD, GOOD_IMAGE, 1), pod(2, BAD, ready=False))
    assert not taken.index.revision_uids()
    assert not taken.index.pod_uids()


def test_the_template_is_read_from_the_patch_of_a_controller_revision() -> None:
    data = json.dumps(revisions()[1]["data"]).encode()
    assert revised.template_of(data).digest == Template.read(template(BAD_IMAGE)).digest


def a_case(seen: Observation, **policy: Any) -> Case:
    live = make_live(templates={key(UID, GOOD): Template.read(template(GOOD_IMAGE))}, replica_sets=frozenset({key(UID, GOOD)}))
    about = {"targets": {"kinds": ["DaemonSet"], "names": ["db"]}, **policy}
    return make_case(seen=replace(seen, live=live), policy=make_policy(**about), health=make_health(known_good=()))


def test_a_release_that_broke_is_gone_back_from_with_what_the_watches_alone_have_told() -> None:
    case = a_case(released().seen)
    found = judge(case)
    choice = choose(case, found)
    assert choice.refused == ()
    assert choice.summary.startswith("roll back 2 → 1, last known healthy at")
    meant = intent(case, choice, found)
    assert meant is not None
    assert (meant.spec.target_ref.kind, meant.spec.plan.replica_set) == ("DaemonSet", GOOD)


def test_it_is_known_good_since_it_is_available_on_every_node() -> None:
    taken = Taken(ago(minutes=20)).take(revisions()[0], older())
    taken.now = NOW
    assert knowngood.healthy_since(taken.seen) == ago(minutes=20)


@pytest.mark.parametrize(
    ("strategy", "steps", "reason"),
    [
        pytest.param(None, [{"name": "more", "when": {}, "scale": {"by": "2", "max": 9}}], Reason.NotScalable, id="it has no number"),
        pytest.param({"type": "OnDelete"}, None, Reason.NoRollingUpdate, id="people replace its pods"),
    ],
)
def test_what_cannot_be_done_to_it_is_refused_in_words(strategy: Body | None, steps: list[Body] | None, reason: Reason) -> None:
    seen = released().take(daemon_set(strategy=strategy)).seen
    case = a_case(seen, **({"steps": steps} if steps else {}))
    refusals = {one.reason: one.message for one in choose(case, judge(case)).refused}
    assert reason in refusals
    assert "daemonset/db in shop" in refusals[reason]
