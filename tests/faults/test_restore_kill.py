"""An operator that is killed around what is temporary: raised once and put back once, whoever finishes it."""

import json
from typing import Any

import pytest
from tests.cluster.harness import OWN_NAMESPACE, wait_for
from tests.faults.proxy import At, Match
from tests.faults.scene import GOOD, Scene, state_of

pytestmark = pytest.mark.cluster

RESTORE = "stopgap.dev/restore"
POLICY: dict[str, Any] = {
    "triggers": [{"name": "down", "unavailable": {"below": "90%", "for": "1s"}}],
    "steps": [{"name": "more", "when": {"triggers": ["down"]}, "scale": {"by": "2", "max": 10}}],
}
WRITE = Match.patch("deployments", body="/spec/replicas")
"""The raise, and the restore after it."""
RECORD = Match.patch("remediations/status")


def at_work(scene: Scene) -> str:
    """Bring up three pods, let Stopgap scale them, and make one of them crash; return it."""
    shop = scene.shop
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-scale", "--clusterrole=stopgap-action-scale", who)
    shop.policy(**POLICY)
    shop.deploy(GOOD)
    shop.settle()
    pod: str = shop.items("pods")[0]["metadata"]["name"]
    return pod


def fall_ill(scene: Scene, pod: str) -> None:
    scene.shop.kubectl("annotate", "pod", pod, "stopgap.dev/simulate=crash")


def recover(scene: Scene, pod: str) -> None:
    """Take the ill pod away; its successor is well."""
    scene.shop.kubectl("delete", "pod", pod, "--wait=false", "--grace-period=0", "--force")


def raised_and_put_back_once(scene: Scene) -> None:
    """Judge that the incident ended with three replicas again, by two writes, and with a record that says so."""
    shop = scene.shop
    incident = shop.incident(phase="Resolved")
    (remediation,) = shop.items("remediations")
    assert remediation["status"]["state"] == "Succeeded"
    assert remediation["status"]["revert"]["state"] == "Done"
    told = [entry["type"] for entry in incident["status"]["timeline"]]
    assert told == ["Detected", "Unavailable", "Executed", "Mitigated", "Restored", "Resolved"], told
    after = shop.get("deployment", "api")
    assert after["spec"]["replicas"] == 3
    assert RESTORE not in after["metadata"]["annotations"]
    spec, _ = shop.deployment_writes()
    values = [
        next(one["value"] for one in entry["requestObject"] if one["path"] == "/spec/replicas" and one["op"] != "test") for entry in spec
    ]
    assert values == [5, 3]
    assert shop.foreign_writes() == []


@pytest.mark.parametrize(
    ("match", "at"),
    [
        pytest.param(WRITE, "request", id="before the raise"),
        pytest.param(WRITE, "reply", id="after the raise"),
        pytest.param(RECORD, "request", id="before the record of the raise"),
    ],
)
def test_killed_while_raising(scene: Scene, match: Match, at: At) -> None:
    first = scene.operator()
    pod = at_work(scene)
    held = scene.proxy.hold(match, at=at)
    fall_ill(scene, pod)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    scene.remediation("Verifying", "Succeeded")
    recover(scene, pod)
    raised_and_put_back_once(scene)


@pytest.mark.parametrize(
    ("match", "at"),
    [
        pytest.param(WRITE, "request", id="before the restore"),
        pytest.param(WRITE, "reply", id="after the restore"),
        pytest.param(Match.patch("remediations/status", body='"Done"'), "request", id="before the record of the restore"),
    ],
)
def test_killed_while_putting_back(scene: Scene, match: Match, at: At) -> None:
    first = scene.operator()
    pod = at_work(scene)
    fall_ill(scene, pod)
    scene.remediation("Verifying")
    mark = json.loads(scene.shop.get("deployment", "api")["metadata"]["annotations"][RESTORE])
    assert (mark["before"], mark["ours"]) == (3, 5)
    held = scene.proxy.hold(match, at=at)
    recover(scene, pod)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    wait_for("it has ended", lambda: all(state_of(one) == "Succeeded" for one in scene.shop.items("remediations")))
    raised_and_put_back_once(scene)
