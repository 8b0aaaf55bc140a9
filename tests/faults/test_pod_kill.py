"""An operator that is killed, or left without an answer, when it deletes pods that hold the way back up: each goes once, and no other."""

import pytest
from tests.cluster.reading import told
from tests.cluster.test_statefulset import ABOUT, CRASH, UNDO, break_two, pods_deleted, stateful_set
from tests.faults.proxy import Match
from tests.faults.scene import Scene

pytestmark = pytest.mark.cluster


def test_killed_before_the_first_pod_is_deleted_and_without_an_answer_for_the_second(scene: Scene) -> None:
    shop, first = scene.shop, scene.operator()
    shop.policy(targets=ABOUT, triggers=[CRASH], steps=[UNDO])
    stateful_set(shop, parallel=False)
    shop.settle(kind="statefulset")
    held = scene.proxy.hold(Match.delete("pods"))
    unanswered = scene.proxy.reset(Match.delete("pods", "api-2"), at="reply")
    break_two(shop)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    resolved = shop.incident(phase="Resolved")
    assert told(resolved) == ["Detected", "CrashLoop", "Executed", "PodDeleted", "PodDeleted", "Mitigated", "Resolved"]
    (remediation,) = shop.items("remediations")
    assert [(one["pod"], one["uid"]) for one in remediation["status"]["replaced"]] == pods_deleted(shop)
    assert [name for name, _ in pods_deleted(shop)] == ["api-1", "api-2"]
    assert len(unanswered.caught) == 1
    assert len(shop.writes_to("statefulsets")[0]) == 1
