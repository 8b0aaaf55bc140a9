"""An operator that is killed while an action waits for a person: the wait goes on as it was, and what is approved is done once."""

from typing import Any

import pytest
from tests.faults.proxy import At, Match
from tests.faults.scene import ACT, BAD, Scene

pytestmark = pytest.mark.cluster

POINTS = [
    pytest.param(Match.patch("remediations/status"), "request", id="before the approval is recorded"),
    pytest.param(Match.patch("remediations/status"), "reply", id="after the approval is recorded"),
    pytest.param(ACT, "request", id="before the patch"),
    pytest.param(ACT, "reply", id="after the patch"),
]
TOLD = ("ApprovalPending", "Approved")


def asked(scene: Scene) -> dict[str, Any]:
    """Have a release fail in mode Approve, and wait until the action waits."""
    scene.healthy(mode="Approve")
    scene.shop.release(BAD)
    found = scene.remediation("AwaitingApproval")
    scene.shop.refusals(reason="ApprovalPending")
    return found


def approve(scene: Scene, one: dict[str, Any]) -> None:
    patch = '{"spec":{"approval":{"decision":"Approved"}}}'
    scene.shop.kubectl("patch", "rem", one["metadata"]["name"], "--type=merge", "-p", patch)


def test_killed_while_it_waits_it_waits_on_with_the_same_expiry(scene: Scene) -> None:
    first = scene.operator()
    one = asked(scene)
    first.kill()
    scene.operator()
    approve(scene, one)
    done = scene.undone_once(held_back=TOLD)
    assert done["metadata"]["uid"] == one["metadata"]["uid"]
    assert done["spec"]["expiresAt"] == one["spec"]["expiresAt"]


def test_what_was_approved_while_no_operator_ran_is_done_once_after_the_restart(scene: Scene) -> None:
    first = scene.operator()
    one = asked(scene)
    first.kill()
    approve(scene, one)
    scene.wrote_the_spec(0)
    scene.operator()
    assert scene.undone_once(held_back=TOLD)["metadata"]["uid"] == one["metadata"]["uid"]


@pytest.mark.parametrize(("match", "at"), POINTS)
def test_killed_when_it_was_approved(scene: Scene, match: Match, at: At) -> None:
    first = scene.operator()
    one = asked(scene)
    held = scene.proxy.hold(match, at=at)
    approve(scene, one)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    scene.undone_once(held_back=TOLD)
