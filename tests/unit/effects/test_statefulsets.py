"""StatefulSets as the API server sends them: what becomes of them in the index."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago, make_pod, make_revision, make_workload
from tests.stateful import (
    BAD,
    DB,
    GOOD,
    SETTLED,
    UID,
    Body,
    Taken,
    controller_revision,
    pod,
    released,
    settled,
    stateful_set,
    template,
)

from stopgap.effects import facts, wire
from stopgap.effects.sinks import DeploymentSink, PodSink, ReplicaSetSink
from stopgap.model.observation import Observation
from stopgap.model.revised import StatefulSet, is_key, key
from stopgap.model.template import Template

PARTITION = {"rollingUpdate": {"partition": 2}, "type": "RollingUpdate"}
REVISIONS = (controller_revision(GOOD, GOOD_IMAGE, 1), controller_revision(BAD, BAD_IMAGE, 2))


def the_set(body: Body) -> StatefulSet:
    work = Taken().take(body).index.workload(DB)
    assert isinstance(work, StatefulSet)
    return work


def seen(*bodies: Body) -> Observation:
    return Taken().take(*REVISIONS, *bodies).index.observe(DB, synced=True)


def test_what_a_deployment_has_too_is_read_the_same_way() -> None:
    work = the_set(stateful_set())
    assert (work.target, work.uid, work.version, work.generation) == (DB, UID, 100, 2)
    assert (work.replicas, work.current_replicas, work.updated_replicas, work.ready_replicas, work.available_replicas) == (3, 3, 1, 2, 2)
    assert (work.labels, work.annotations) == ({"tier": "web"}, {"kubernetes.io/change-cause": "db 2.0"})
    assert (work.changed_by, work.controller, work.least_available) == ("kubectl-set", "", 2)


def test_the_newest_revision_is_the_one_that_the_status_names() -> None:
    found = seen(stateful_set())
    assert found.newest is not None
    assert (found.newest.name, found.newest.number, found.newest.uid) == (BAD, 2, key(UID, BAD))
    assert (found.newest.replicas, found.newest.ready) == (1, 1)
    older = next(one for one in found.revisions if one.name == GOOD)
    assert (older.number, older.replicas, older.ready) == (1, 2, 2)


def test_nothing_is_the_newest_before_the_controller_has_looked() -> None:
    body = stateful_set(status={"observedGeneration": 1, "updateRevision": GOOD})
    assert seen(body).newest is None


def test_a_troubled_pod_belongs_to_the_revision_on_its_label_and_counts_as_unready_there() -> None:
    found = seen(stateful_set(), pod(2, BAD, ready=False, restarts=3), pod(0, GOOD))
    assert [one.name for one in found.pods] == ["db-2"]
    assert found.newest is not None
    assert [one.name for one in found.pods_of(found.newest)] == ["db-2"]
    assert (found.newest.replicas, found.newest.ready) == (1, 0)
    assert {owner for owner, _ in found.exits} == {found.newest.uid}


def test_pods_that_the_status_does_not_count_yet_are_counted() -> None:
    body = stateful_set(status={"updatedReplicas": 0})
    found = seen(body, pod(2, BAD, ready=False)).newest
    assert found is not None
    assert (found.replicas, found.ready) == (1, 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=["the set first", "the pod first", "the revision first"])
def test_the_order_in_which_the_watches_tell_it_does_not_matter(order: tuple[int, int, int]) -> None:
    told = (stateful_set(), controller_revision(BAD, BAD_IMAGE, 2), pod(2, BAD, ready=False, restarts=3))
    taken = Taken().take(*(told[one] for one in order))
    assert [one.name for one in taken.index.observe(DB, synced=True).pods] == ["db-2"]
    assert DB in taken.told


def test_a_pod_that_got_well_or_went_away_is_forgotten() -> None:
    taken = Taken().take(*REVISIONS, stateful_set(), pod(2, BAD, ready=False))
    assert set(taken.pods.known()) == set(taken.index.pod_uids()) != set()
    taken.take(pod(2, BAD))
    assert set(taken.pods.known()) == set(taken.index.pod_uids()) == set()


def test_a_daemon_sets_revisions_and_other_owners_pods_are_left_alone() -> None:
    taken = Taken().take(controller_revision("agent-1", GOOD_IMAGE, 1, kind="DaemonSet"), pod(1, BAD, ready=False, owner="Foo"))
    assert not taken.index.revision_uids()
    assert not taken.index.pod_uids()


def test_the_template_of_a_controller_revision_has_the_digest_that_the_stateful_set_had() -> None:
    held = controller_revision(BAD, BAD_IMAGE, 2)["data"]["spec"]["template"]
    digest = Template.read(held).digest
    assert digest == Template.read(json.dumps(template(BAD_IMAGE)).encode()).digest
    assert "$patch" not in Template.read(held).body


def test_a_barrier_in_a_controller_revision_is_seen() -> None:
    body = controller_revision(BAD, BAD_IMAGE, 2)
    body["data"]["spec"]["template"]["metadata"]["annotations"] = {"stopgap.dev/rollback": "Forbidden"}
    (found,) = Taken().take(body, stateful_set()).index.observe(DB, synced=True).revisions
    assert found.forbids_rollback


@pytest.mark.parametrize(
    ("body", "out", "kept"),
    [
        pytest.param(stateful_set(), False, False, id="in the middle"),
        pytest.param(settled(), True, False, id="settled"),
        pytest.param(stateful_set(status={**SETTLED, "observedGeneration": 1}), False, False, id="a change that nobody has looked at"),
        pytest.param(stateful_set(status={"updatedReplicas": 3, "currentReplicas": 0}), True, False, id="every pod is new"),
        pytest.param(
            stateful_set(GOOD_IMAGE, status={"updateRevision": GOOD, "updatedReplicas": 2}), False, False, id="put back, a bad pod is left"
        ),
        pytest.param(
            stateful_set(GOOD_IMAGE, replicas=5, status={**SETTLED, "observedGeneration": 2, "updatedReplicas": 4, "replicas": 4}),
            True,
            False,
            id="growing is no rollout",
        ),
        pytest.param(stateful_set(updateStrategy=PARTITION), True, True, id="a partition that keeps two"),
        pytest.param(
            stateful_set(updateStrategy=PARTITION, status={"updatedReplicas": 0, "currentReplicas": 3}),
            False,
            True,
            id="a partition, and nothing done yet",
        ),
        pytest.param(stateful_set(updateStrategy={"type": "OnDelete"}), True, True, id="pods are replaced by hand"),
    ],
)
def test_a_rollout_is_over_when_no_pod_is_old_but_those_that_are_kept_on_purpose(body: Body, out: bool, kept: bool) -> None:  # noqa: FBT001 - a table
    work = the_set(body)
    assert (work.rolled_out, work.held_back) == (out, kept)


def test_it_is_available_since_it_was_first_seen_so_and_moves_when_its_pods_do() -> None:
    now = [ago(minutes=9)]
    taken = Taken(lambda: now[0])

    def flags(body: Body, later: float) -> tuple[Any, ...]:
        now[0] += timedelta(minutes=later)
        work = taken.take(body).index.workload(DB)
        assert work is not None
        assert work.available is not None
        assert work.progressing is not None
        return work.available.holds, work.available.since, work.progressing.updated

    assert flags(settled(), 0) == (True, ago(minutes=9), ago(minutes=9))
    ill = stateful_set(status={"availableReplicas": 1, "readyReplicas": 1})
    assert flags(ill, 1) == (False, ago(minutes=8), ago(minutes=8))
    assert flags(ill, 1) == (False, ago(minutes=8), ago(minutes=8))
    assert flags(stateful_set(status={"availableReplicas": 2, "readyReplicas": 2}), 1) == (True, ago(minutes=6), ago(minutes=6))
    assert flags(stateful_set(status={"availableReplicas": 3, "readyReplicas": 3}), 2) == (True, ago(minutes=6), ago(minutes=4))


def test_the_revision_that_a_release_leaves_is_remembered_as_healthy() -> None:
    found = released().index.observe(DB, synced=True)
    (stint,) = found.stints
    assert (stint.replica_set, stint.revision, stint.since, stint.until) == (key(UID, GOOD), 1, ago(days=1), ago(minutes=2))
    assert stint.digest == Template.read(template(GOOD_IMAGE)).digest
    assert found.current_since == ago(minutes=2)
    assert found.changed_under_watch


def test_the_deployments_watches_forget_nothing_of_a_stateful_set() -> None:
    taken = Taken().take(*REVISIONS, stateful_set(), pod(2, BAD, ready=False))
    index = taken.index
    index.put_workload(make_workload())
    index.put_revision(make_revision(1))
    index.put_pod(make_pod(owner="rs-1"))
    assert list(DeploymentSink(index).known()) == [make_workload().uid]
    assert list(ReplicaSetSink(index).known()) == ["rs-1"]
    assert list(taken.sets.known()) == [UID]
    assert set(taken.revisions.known()) == {f"uid-of-{GOOD}", f"uid-of-{BAD}"}
    PodSink(index).put(msgspec.json.decode(json.dumps(pod(2, BAD, ready=False)).encode(), type=wire.PodObject))
    PodSink(index).put(msgspec.json.decode(json.dumps(pod(1, BAD, ready=False)).encode(), type=wire.PodObject))
    assert [one.name for one in index.observe(DB, synced=True).pods] == ["db-2"]


def test_a_controller_revision_that_is_made_anew_under_its_name_is_not_lost_with_the_old_one() -> None:
    taken = Taken().take(*REVISIONS, stateful_set(), controller_revision(GOOD, GOOD_IMAGE, 3, uid="another"))
    taken.revisions.forget(f"uid-of-{GOOD}")
    assert {one.name for one in taken.index.observe(DB, synced=True).revisions} == {GOOD, BAD}
    taken.revisions.forget("another")
    assert {one.name for one in taken.index.observe(DB, synced=True).revisions} == {BAD}


def test_when_a_stateful_set_goes_everything_about_it_goes() -> None:
    taken = Taken().take(*REVISIONS, stateful_set(), pod(2, BAD, ready=False))
    taken.sets.forget(UID)
    assert not taken.index.revision_uids()
    assert not taken.index.pod_uids()
    assert taken.index.observe(DB, synced=True).workload is None


def test_no_uid_of_the_api_server_looks_like_a_key_of_ours() -> None:
    assert is_key(key(UID, GOOD))
    assert not is_key(UID)
    assert len(key(UID, "x" * 223 + "-6c5f9d7b8d")) < 64


def test_deployments_are_read_as_before() -> None:
    meta = {"name": "api", "uid": "u", "resourceVersion": "7", "namespace": "shop", "generation": 3}
    read = facts.workload(msgspec.convert({"metadata": meta, "spec": {"template": msgspec.Raw(b"{}")}}, wire.Deployment))
    assert (read.target.kind, read.version, read.generation, read.held_back) == ("Deployment", 7, 3, False)
    assert read.following(None, NOW) is read
