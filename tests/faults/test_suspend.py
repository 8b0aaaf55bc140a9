"""An operator that is killed around the pause of a GitOps owner: it is paused once, resumed once, and acted for once."""

from typing import Any

import pytest
from tests.cluster import gitops
from tests.cluster.harness import wait_for
from tests.faults.proxy import At, Match
from tests.faults.scene import ACT, BAD, GOOD, Scene

pytestmark = pytest.mark.cluster

SELF_HEAL = {"prune": True, "selfHeal": True}
PAUSE = Match.patch("applications")


def owned(scene: Scene) -> None:
    """Bring up a workload that an Argo CD application syncs by itself, and that Stopgap may pause."""
    shop = scene.shop
    gitops.install_tools(scene.plane)
    account = "--serviceaccount=stopgap-system:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-suspend-owner", "--clusterrole=stopgap-action-suspend-owner", account)
    scene.shop.policy(gitOps="SuspendOwner", verification={"healthyFor": "1s", "timeout": "60s"}, resolution={"after": "1s"})
    shop.deploy(GOOD)
    gitops.application(shop, automated=SELF_HEAL)
    shop.settle()


def automated(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = scene.shop.get("application", "web")["spec"]["syncPolicy"]["automated"]
    return found


def owner_writes(scene: Scene) -> int:
    """Count what was written to the application, whoever sent it."""
    return sum(one["objectRef"]["resource"] == "applications" for one in scene.shop.writes())


def suspension(scene: Scene) -> str:
    state: str = scene.shop.items("remediations")[0].get("status", {}).get("suspension", {}).get("state", "")
    return state


def undone_once(scene: Scene) -> None:
    """Judge that the release was undone by one write, after one pause that is still owed."""
    incident = scene.shop.incident(phase="Resolved")
    assert [one["metadata"]["name"] for one in scene.shop.items("incidents")] == [incident["metadata"]["name"]]
    assert len(scene.shop.items("remediations")) == 1
    assert scene.shop.image() == GOOD
    assert len(scene.shop.deployment_writes()[0]) == 1
    assert owner_writes(scene) == 1
    assert automated(scene) == {**SELF_HEAL, "enabled": False}
    assert suspension(scene) == "Suspended"


def git_is_fixed(scene: Scene) -> None:
    """Play Argo CD, which finds in Git what is live. By itself a leader looks every 30 s; a person's annotation makes it look now."""
    gitops.compared(scene.shop, api="Synced")
    scene.shop.kubectl("annotate", "remediations", "--all", "team=looks")


@pytest.mark.parametrize(
    ("match", "at"),
    [
        pytest.param(PAUSE, "request", id="before the pause"),
        pytest.param(PAUSE, "reply", id="after the pause"),
        pytest.param(ACT, "request", id="between the pause and the act"),
        pytest.param(ACT, "reply", id="after the act"),
    ],
)
def test_killed(scene: Scene, match: Match, at: At) -> None:
    first = scene.operator()
    owned(scene)
    held = scene.proxy.hold(match, at=at)
    scene.shop.release(BAD)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    undone_once(scene)


def test_the_pause_of_a_killed_operator_that_arrives_after_its_successor_has_acted_is_void(scene: Scene) -> None:
    first = scene.operator()
    owned(scene)
    held = scene.proxy.hold(PAUSE)
    scene.shop.release(BAD)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()

    scene.operator()
    scene.remediation("Verifying", "Succeeded")
    held.release()
    wait_for("the late pause is answered", lambda: held.request.answered)
    assert held.request.answered == 422
    undone_once(scene)


def test_killed_between_the_act_and_the_resume_the_next_one_resumes_once(scene: Scene) -> None:
    first = scene.operator()
    owned(scene)
    scene.shop.release(BAD)
    undone_once(scene)
    first.kill()
    git_is_fixed(scene)

    scene.operator()
    wait_for("it is resumed", lambda: suspension(scene) == "Resumed", seconds=90)
    assert automated(scene) == SELF_HEAL
    assert owner_writes(scene) == 2
    assert len(scene.shop.deployment_writes()[0]) == 1


def test_killed_while_resuming_the_next_one_finds_that_it_is_done(scene: Scene) -> None:
    first = scene.operator()
    owned(scene)
    scene.shop.release(BAD)
    undone_once(scene)
    held = scene.proxy.hold(PAUSE, at="reply")
    git_is_fixed(scene)
    held.wait(60)
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()
    assert automated(scene) == SELF_HEAL

    scene.operator()
    wait_for("it is known to be resumed", lambda: suspension(scene) == "Resumed", seconds=90)
    assert owner_writes(scene) == 2
