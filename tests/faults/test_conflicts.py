"""Whatever the network, a second copy or a person does to the one write: it takes effect once, or not at all."""

import time

import pytest
from tests.cluster.harness import wait_for
from tests.faults.proxy import At, Match
from tests.faults.scene import ACT, BAD, BETTER, Scene

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("at", ["request", "reply"])
def test_a_connection_that_is_reset_gives_one_write(scene: Scene, at: At) -> None:
    scene.operator()
    scene.healthy()
    lost = scene.proxy.reset(ACT, at=at)
    scene.shop.release(BAD)
    remediation = scene.undone_once()
    assert len(lost.caught) == 1
    assert remediation["status"]["tries"] == (2 if at == "request" else 1)


def test_a_gateway_that_gives_up_after_the_patch_was_committed_gives_one_write(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT, at="reply")
    scene.shop.release(BAD)
    held.wait()
    held.reply(504)
    scene.undone_once()
    assert held.request.answered == 200


def test_a_newer_release_between_decision_and_patch_stands(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT)
    scene.shop.release(BAD)
    held.wait()
    scene.shop.release(BETTER)
    held.release()
    remediation = scene.remediation("Superseded")
    assert held.request.answered == 422
    scene.shop.incident(phase="Resolved")
    assert [one["metadata"]["uid"] for one in scene.shop.items("remediations")] == [remediation["metadata"]["uid"]]
    assert "executedAt" not in remediation["status"]
    assert scene.shop.image() == BETTER
    scene.wrote_the_spec(0)


def test_a_pause_between_decision_and_patch_is_obeyed(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT)
    scene.shop.release(BAD)
    held.wait()
    scene.shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause=I am looking at it")
    held.release()
    remediation = scene.remediation("Refused")
    assert held.request.answered == 422
    assert "I am looking at it" in remediation["status"]["message"]
    assert "I am looking at it" in scene.shop.refusals(reason="Paused")["Paused"]
    assert scene.shop.image() == BAD
    scene.wrote_the_spec(0)


@pytest.mark.parametrize(
    ("edit", "answer", "tries"),
    [
        pytest.param(("label", "deployment", "api", "team=ana"), 200, 1, id="a label"),
        pytest.param(("annotate", "deployment", "api", "team=ana"), 422, 2, id="an annotation"),
        pytest.param(("scale", "deployment", "api", "--replicas=4"), 422, 2, id="the replicas"),
    ],
)
def test_an_edit_between_decision_and_patch_that_leaves_the_template_is_kept(
    scene: Scene, edit: tuple[str, ...], answer: int, tries: int
) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT)
    scene.shop.release(BAD)
    held.wait()
    scene.shop.kubectl(*edit)
    held.release()
    remediation = scene.undone_once()
    assert held.request.answered == answer
    assert remediation["status"]["tries"] == tries
    after = scene.shop.get("deployment", "api")
    assert "ana" in {**after["metadata"]["labels"], **after["metadata"]["annotations"]}.values() or after["spec"]["replicas"] == 4


def test_two_active_copies_make_one_effective_write(scene: Scene) -> None:
    scene.operator("a", "--no-lease")
    scene.operator("b", "--no-lease")
    scene.healthy()
    one, other = scene.proxy.hold(ACT), scene.proxy.hold(ACT)
    scene.shop.release(BAD)
    one.wait()
    other.wait()
    one.release()
    other.release()
    scene.undone_once()
    assert sorted([one.request.answered or 0, other.request.answered or 0]) == [200, 422]


def test_an_api_server_that_fails_for_seconds_in_the_hot_path_is_waited_for(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(Match.create("remediations"))
    scene.shop.release(BAD)
    held.wait()
    burst = scene.proxy.fail(Match(), 503, times=None)
    until = time.monotonic() + 5
    held.reply(503)
    wait_for("the burst is over", lambda: time.monotonic() > until)
    burst.cancel()
    assert burst.caught
    scene.undone_once()


def test_frozen_watches_bring_no_second_action(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    held = scene.proxy.hold(ACT)  # not the reply: nothing of what the write leads to may have been seen before the watches freeze
    scene.shop.release(BAD)
    held.wait()
    scene.proxy.freeze_watches()
    held.release()
    scene.remediation("Verifying")
    scene.shop.settle()
    # For all that the operator can see, the pods crash on.
    assert scene.remediation("Verifying")
    scene.wrote_the_spec(1)
    scene.proxy.thaw()
    scene.undone_once()


def test_what_happened_behind_frozen_watches_is_judged_once_they_thaw(scene: Scene) -> None:
    scene.operator()
    scene.healthy()
    scene.proxy.freeze_watches()
    scene.shop.release(BAD)

    def crashed() -> bool:
        statuses = [status for pod in scene.shop.items("pods") for status in pod["status"].get("containerStatuses", ())]
        return any(one["restartCount"] >= 5 for one in statuses)

    wait_for("the release has crashed often", crashed)
    assert scene.shop.items("incidents") == []
    scene.proxy.thaw()
    scene.undone_once()
