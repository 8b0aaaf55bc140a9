"""The detectors on a StatefulSet: what they are told by its status and its pods is enough for the same words."""

from datetime import datetime, timedelta
from typing import Any

from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago
from tests.stateful import BAD, DB, GOOD, SETTLED, Body, Taken, controller_revision, pod, released, settled, stateful_set

from stopgap.detectors import CrashLoop, Detector, ImagePull, RolloutStuck, Unavailable
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

PULLING: Body = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image: {BAD_IMAGE}: not found"}}


def judge(detector: Detector, taken: Taken) -> Finding:
    seen = taken.index.observe(DB, synced=True)
    return detector.judge(seen, "it", after=None, quiet_for=timedelta(seconds=10))


def seen_at(now: datetime, *steps: tuple[datetime, tuple[Body, ...]]) -> Taken:
    """An index that took in each step at its time."""
    clock = [now]
    taken = Taken(lambda: clock[0]).take(controller_revision(GOOD, GOOD_IMAGE, 1), controller_revision(BAD, BAD_IMAGE, 2))
    for at, bodies in steps:
        clock[0] = at
        taken.take(*bodies)
    clock[0] = now
    return taken


def test_a_crash_loop_of_the_newest_revision_fires() -> None:
    finding = judge(CrashLoop(), released())
    assert (finding.type, finding.state) == (Reason.CrashLoop, State.FIRING)
    assert "3 exits" in finding.message
    assert "db-2" in finding.message
    assert "1 of 1 started pods" in finding.message


def test_a_crash_loop_of_an_older_revision_is_none_of_the_release() -> None:
    taken = seen_at(NOW, (ago(minutes=1), (stateful_set(), pod(0, GOOD, ready=False, restarts=9))))
    assert judge(CrashLoop(), taken).state is State.QUIET


def test_an_image_that_is_not_there_fires() -> None:
    waiting: dict[str, Any] = pod(2, BAD, ready=False)
    waiting["status"]["containerStatuses"][0]["state"] = PULLING
    finding = judge(ImagePull(), seen_at(NOW, (ago(minutes=1), (stateful_set(), waiting))))
    assert (finding.type, finding.state, finding.cause) == (Reason.ImagePullBackOff, State.FIRING, None)


def test_lost_availability_fires_after_its_time() -> None:
    ill = settled()
    ill["status"] |= {"availableReplicas": 1, "readyReplicas": 1}
    detector = Unavailable(below="80%", for_=timedelta(minutes=1))
    assert judge(detector, seen_at(NOW, (ago(seconds=30), (ill,)))).state is State.UNKNOWN
    finding = judge(detector, seen_at(NOW, (ago(seconds=61), (ill,))))
    assert (finding.state, finding.message) == (State.FIRING, "1 of 3 replicas available for 1m1s")


def test_a_rollout_that_stands_still_fires_after_the_time_that_the_policy_says() -> None:
    taken = seen_at(NOW, (ago(hours=1), (settled(),)), (ago(minutes=3), (stateful_set(),)))
    assert judge(RolloutStuck(after=timedelta(minutes=2)), taken).state is State.FIRING
    assert judge(RolloutStuck(after=timedelta(minutes=4)), taken).state is State.QUIET


def test_each_new_pod_is_progress() -> None:
    steps = [(ago(minutes=3), (stateful_set(),)), (ago(minutes=1), (stateful_set(status={"updatedReplicas": 2, "currentReplicas": 1}),))]
    assert judge(RolloutStuck(after=timedelta(minutes=2)), seen_at(NOW, *steps)).state is State.QUIET


def test_a_rollout_that_a_partition_or_people_hold_is_not_stuck() -> None:
    by_hand = stateful_set(updateStrategy={"type": "OnDelete"})
    kept = stateful_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    for body in (by_hand, kept):
        assert judge(RolloutStuck(after=timedelta(minutes=2)), seen_at(NOW, (ago(minutes=9), (body,)))).message == "no rollout is waiting"


def test_what_is_lost_after_a_finished_rollout_is_not_a_stuck_rollout() -> None:
    lost = settled()
    lost["status"] |= {**SETTLED, "availableReplicas": 0, "readyReplicas": 0}
    assert judge(RolloutStuck(after=timedelta(minutes=2)), seen_at(NOW, (ago(minutes=9), (lost,)))).message == "no rollout is waiting"
