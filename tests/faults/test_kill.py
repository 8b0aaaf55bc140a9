"""An operator that is killed at any point of an action leaves a record from which the next one finishes it: one effective write."""

import time

import pytest
from tests.cluster.harness import wait_for
from tests.faults.proxy import At, Match
from tests.faults.scene import ACT, BAD, GOOD, Scene, stays

pytestmark = pytest.mark.cluster

SLOW_PROOF = {"healthyFor": "4s", "timeout": "60s"}

POINTS = [
    pytest.param(Match.create("incidents"), "request", id="before the incident"),
    pytest.param(Match.create("incidents"), "reply", id="after the incident"),
    pytest.param(Match.create("remediations"), "request", id="before the intent"),
    pytest.param(Match.create("remediations"), "reply", id="after the intent"),
    pytest.param(ACT, "request", id="before the patch"),
    pytest.param(ACT, "reply", id="after the patch"),
    pytest.param(Match.patch("remediations/status"), "request", id="before the record of the patch"),
]


@pytest.mark.parametrize(("match", "at"), POINTS)
def test_killed_at(scene: Scene, match: Match, at: At) -> None:
    first = scene.operator()
    scene.healthy()
    held = scene.proxy.hold(match, at=at)
    scene.shop.release(BAD)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    scene.undone_once()


def test_the_patch_of_a_killed_operator_that_arrives_after_its_successor_has_acted_is_void(scene: Scene) -> None:
    first = scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT)
    scene.shop.release(BAD)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()

    scene.operator()
    scene.remediation("Verifying", "Succeeded")
    held.release()
    wait_for("the late patch is answered", lambda: held.request.answered)
    assert held.request.answered == 422
    scene.undone_once()


def test_killed_while_verifying_the_proof_goes_on_where_it_was(scene: Scene) -> None:
    first = scene.operator()
    scene.healthy(verification=SLOW_PROOF)
    scene.shop.release(BAD)
    before = wait_for(
        "the proof has begun",
        lambda: next((one for one in scene.shop.items("remediations") if one.get("status", {}).get("healthySince")), None),
    )
    first.kill()
    assert before is not None
    assert before["status"]["state"] == "Verifying"

    scene.operator()
    after = scene.undone_once()
    assert after["spec"]["verifyUntil"] == before["spec"]["verifyUntil"]
    assert after["status"]["executedAt"] == before["status"]["executedAt"]
    assert after["status"]["healthySince"] == before["status"]["healthySince"]


def test_told_to_end_while_verifying_it_ends_in_time_and_the_next_one_finishes(scene: Scene) -> None:
    first = scene.operator()
    scene.healthy(verification=SLOW_PROOF)
    scene.shop.release(BAD)
    scene.remediation("Verifying")
    began = time.monotonic()
    first.stop()
    assert time.monotonic() - began < 30
    assert first.process is not None
    assert first.process.returncode == 0
    assert scene.remediation("Verifying")

    scene.operator()
    scene.undone_once()


def test_when_the_leader_is_killed_the_standby_handles_the_next_bad_release(scene: Scene) -> None:
    leader = scene.operator("a")
    wait_for("a leads", lambda: scene.leader() == "a")
    scene.operator("b")
    scene.healthy()
    assert scene.leader() == "a"
    leader.kill()
    began = time.monotonic()
    scene.shop.release(BAD)
    wait_for("the release is undone", lambda: scene.shop.image() == GOOD, seconds=15)
    assert time.monotonic() - began < 15
    assert scene.leader() == "b"
    scene.undone_once()


def test_a_pod_in_permanent_back_off_keeps_its_incident_open_across_a_restart(scene: Scene) -> None:
    first = scene.operator()
    scene.healthy(mode="Observe", triggers=[{"name": "crash", "crashLoop": {"exits": 3, "within": "6s"}}])
    scene.shop.release(BAD)
    before = scene.shop.incident(phase="Triaged")

    def in_long_back_off() -> bool:
        containers = [status for pod in scene.shop.items("pods") for status in pod["status"].get("containerStatuses", ())]
        return any(one["restartCount"] >= 11 and one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" for one in containers)

    wait_for("the exits are further apart than the window", in_long_back_off)
    first.kill()
    assert scene.shop.items("remediations") == []

    scene.operator()
    wait_for("the new one leads", lambda: scene.leader() == "operator")

    def open_still() -> bool:
        return [(one["metadata"]["uid"], one["status"]["phase"]) for one in scene.shop.items("incidents")] == [
            (before["metadata"]["uid"], "Triaged")
        ]

    stays("the incident is open, and the only one", open_still, seconds=6)
    scene.wrote_the_spec(0)

    scene.shop.policy(triggers=[{"name": "crash", "crashLoop": {"exits": 3, "within": "6s"}}])
    scene.undone_once(held_back=("ObserveOnly",))
