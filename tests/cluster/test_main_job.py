"""A bad release is undone, proven and written down: the operator as a process against a real API server, judged by its audit log."""

import pytest
from tests.cluster.harness import LAST_ACTION, Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, BAD2 = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.1-crash"


def test_a_release_that_crashes_is_rolled_back_with_exactly_one_write(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    before = shop.get("deployment", "api")

    shop.release(BAD)
    mitigated = shop.incident(phase="Mitigated")
    resolved = shop.incident(phase="Resolved")

    after = shop.get("deployment", "api")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    moving = {LAST_ACTION, "deployment.kubernetes.io/revision"}
    kept = {key: value for key, value in after["metadata"]["annotations"].items() if key not in moving}
    assert kept == {key: value for key, value in before["metadata"]["annotations"].items() if key not in moving}
    spec, metadata = shop.deployment_writes()
    assert len(spec) == 1
    assert len(metadata) <= 1
    assert shop.foreign_writes() == []
    told = [entry["type"] for entry in resolved["status"]["timeline"]]
    assert told == ["Detected", "CrashLoop", "Executed", "Mitigated", "Resolved"]
    assert mitigated["status"]["suspectedChange"]["images"] == [f"app: {GOOD} → {BAD}"]
    (remediation,) = shop.items("remediations")
    assert remediation["status"]["state"] == "Succeeded"
    assert remediation["metadata"]["uid"] == after["metadata"]["annotations"][LAST_ACTION]


def test_the_intent_is_stored_before_the_write(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    shop.incident(phase="Mitigated")
    order = [
        entry["objectRef"]["resource"]
        for entry in shop.writes()
        if entry["verb"] == "create" or entry["objectRef"]["resource"] == "deployments"
    ]
    wanted = [one for one in order if one in {"incidents", "remediations", "deployments"}]
    assert wanted[:3] == ["incidents", "remediations", "deployments"]


def test_after_a_second_bad_release_it_returns_to_the_healthy_one_and_not_to_the_first_bad_one(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause=wait for the second release")
    shop.release(BAD)
    shop.refusals(reason="Paused")
    shop.release(BAD2)
    wait_for("the second bad release has a pod", lambda: any(BAD2 in str(one["spec"]) for one in shop.items("pods")))
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause-")
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1


def test_where_no_revision_was_ever_healthy_it_refuses_and_says_so(shop: Shop) -> None:
    shop.policy()
    shop.deploy(BAD)
    shop.incident()
    shop.release(BAD2)
    refusals = shop.refusals(reason="NoHealthyRevision")
    assert "known to have been healthy" in refusals["NoHealthyRevision"] or "no older revision" in refusals["NoHealthyRevision"]
    assert shop.deployment_writes() == ([], [])


def test_when_the_old_pods_fail_too_the_release_is_not_blamed(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    shop.kubectl("annotate", "pod", "--all", "stopgap.dev/simulate=crash")
    wait_for("the old pods are ill", lambda: shop.get("deployment", "api")["status"].get("readyReplicas", 0) == 0)
    shop.release(BAD)
    refusals = shop.refusals(reason="NotAttributable")
    assert "older revisions are ill too" in refusals["NotAttributable"]
    assert shop.deployment_writes() == ([], [])


@pytest.mark.parametrize("min_ready", [0, 5], ids=["ready counts at once", "ready counts after 5 s"])
def test_pods_that_turn_ready_between_their_exits_are_caught_by_the_exits(shop: Shop, min_ready: int) -> None:
    shop.policy()
    shop.deploy(GOOD, minReadySeconds=min_ready)
    shop.settle()
    shop.release("shop/api:2.0-flap")
    shop.incident(phase="Mitigated", seconds=90)
    assert shop.image() == GOOD


def test_one_bad_pod_of_many_does_not_undo_the_release(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD, replicas=10)
    shop.settle()
    shop.release("shop/api:2.0")
    shop.settle()
    pod = shop.items("pods")[0]["metadata"]["name"]
    shop.kubectl("annotate", "pod", pod, "stopgap.dev/simulate=crash")
    wait_for("it has crashed often", lambda: shop.get("pod", pod)["status"]["containerStatuses"][0]["restartCount"] >= 5)
    assert shop.items("incidents") == []
    assert shop.image() == "shop/api:2.0"


def test_in_observe_mode_the_incident_says_what_would_be_done_and_nothing_is_touched(shop: Shop) -> None:
    shop.policy(mode="Observe")
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    assert list(shop.refusals(reason="ObserveOnly")) == ["ObserveOnly"]
    incident = shop.incident(phase="Triaged")
    assert incident["status"]["decision"]["message"].startswith("roll back 2 → 1")
    assert shop.items("remediations") == []
    assert shop.deployment_writes() == ([], [])


def test_the_next_server_side_apply_by_the_team_meets_no_conflict(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    shop.deploy(BAD)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    managers = [one["manager"] for one in shop.get("deployment", "api")["metadata"]["managedFields"]]
    assert "stopgap" not in managers
    shop.deploy("shop/api:3.0")
    shop.settle()
    assert shop.image() == "shop/api:3.0"
