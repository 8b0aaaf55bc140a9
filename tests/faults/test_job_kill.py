"""A Job that a step runs is made once, whoever finishes what a killed operator began, and its end and last lines are in the record."""

import pytest
from tests.cluster.reading import told
from tests.cluster.test_scaling import DOWN, allow
from tests.faults.proxy import Match
from tests.faults.scene import GOOD, Scene
from tests.faults.test_restore_kill import fall_ill, recover

pytestmark = pytest.mark.cluster

TEMPLATE = "spec: {serviceAccountName: fixer, containers: [{name: fix, image: 'shop/fix:1.0'}]}"
RUN = {"name": "fix", "when": {"triggers": ["down"]}, "job": {"template": TEMPLATE, "deadline": "30s"}}


def test_killed_after_the_job_was_made(scene: Scene) -> None:
    shop, first = scene.shop, scene.operator()
    allow(shop, "job")
    shop.kubectl("create", "serviceaccount", "fixer")
    shop.policy(triggers=[DOWN], steps=[RUN])
    shop.deploy(GOOD)
    shop.settle()
    held = scene.proxy.hold(Match.create("jobs"), at="reply")
    pod: str = shop.items("pods")[0]["metadata"]["name"]
    fall_ill(scene, pod)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    remediation = scene.remediation("Verifying")
    recover(scene, pod)
    resolved = shop.incident(phase="Resolved")
    (job,) = shop.items("jobs")
    assert job["metadata"]["name"] == f"stopgap-{remediation['metadata']['uid']}"
    pod_spec = job["spec"]["template"]["spec"]
    assert (pod_spec["serviceAccountName"], job["spec"]["ttlSecondsAfterFinished"]) == ("fixer", 3600)
    told_it = {one["name"]: one["value"] for one in pod_spec["containers"][0]["env"]}
    assert told_it["STOPGAP_INCIDENT"] == resolved["metadata"]["name"]
    (done,) = shop.items("remediations")
    assert done["status"]["state"] == "Succeeded"
    ended = done["status"]["job"]
    assert (ended["state"], ended["name"]) == ("Complete", job["metadata"]["name"])
    assert ended["log"]
    assert told(resolved) == ["Detected", "Unavailable", "Executed", "JobEnded", "Mitigated", "Resolved"]
    assert shop.foreign_writes() == ["jobs"]
