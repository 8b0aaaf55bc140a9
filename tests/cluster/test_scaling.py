"""What is temporary on a real API server: raised by one guarded write, put back by another, and nothing of it is left behind."""

import json
from typing import Any

import pytest
from tests.cluster.harness import LAST_ACTION, OWN_NAMESPACE, Shop, wait_for
from tests.cluster.reading import condition, told, wait_for_reason, wait_for_restarts

pytestmark = pytest.mark.cluster

RESTORE = "stopgap.dev/restore"
ILL = "stopgap.dev/simulate=crash"
DOWN = {"name": "down", "unavailable": {"below": "90%", "for": "1s"}}
MORE: dict[str, Any] = {"name": "more", "when": {"triggers": ["down"]}, "scale": {"by": "2", "max": 10}}


def allow(shop: Shop, *actions: str) -> None:
    """Grant further actions, as the namespace's owner does."""
    for action in actions:
        who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
        shop.kubectl("create", "rolebinding", f"stopgap-{action}", f"--clusterrole=stopgap-action-{action}", who)


def prepare(shop: Shop, *steps: dict[str, Any], **policy: Any) -> None:
    """Bring up three healthy pods under a policy that scales, allowed to."""
    allow(shop, "scale", "restart")
    shop.policy(**{"triggers": [DOWN], "steps": list(steps or (MORE,)), **policy})
    shop.deploy()
    shop.settle()


def fall_ill(shop: Shop) -> str:
    """Make one pod crash, and return its name."""
    pod: str = shop.items("pods")[0]["metadata"]["name"]
    shop.kubectl("annotate", "pod", pod, ILL)
    return pod


def recover(shop: Shop, pod: str) -> None:
    """Take the ill pod away; its successor is well."""
    shop.kubectl("delete", "pod", pod, "--ignore-not-found", "--wait=false", "--grace-period=0", "--force")


def replicas(shop: Shop) -> int:
    """Return the wanted replicas."""
    found: int = shop.get("deployment", "api")["spec"]["replicas"]
    return found


def revert(shop: Shop, *states: str, seconds: float = 60) -> dict[str, Any]:
    """Wait for the newest remediation's restore to be in one of these states."""

    def found() -> dict[str, Any] | None:
        last = next(reversed(shop.items("remediations")), None)
        return last if last and last.get("status", {}).get("revert", {}).get("state") in states else None

    return wait_for(f"a restore that is {' or '.join(states)}", found, seconds=seconds) or {}


def test_replicas_are_raised_while_too_few_are_available_and_put_back_before_the_incident_is_over(shop: Shop) -> None:
    prepare(shop)
    pod = fall_ill(shop)
    raised = wait_for("five are wanted", lambda: shop.get("deployment", "api") if replicas(shop) == 5 else None)
    assert raised is not None
    (remediation,) = shop.items("remediations")
    uid = remediation["metadata"]["uid"]
    assert raised["metadata"]["annotations"][LAST_ACTION] == uid
    said = json.loads(raised["metadata"]["annotations"][RESTORE])
    assert said == {"field": "Replicas", "before": 3, "ours": 5, "remediationUID": uid}
    recover(shop, pod)
    resolved = shop.incident(phase="Resolved")

    after = shop.get("deployment", "api")
    assert after["spec"]["replicas"] == 3
    assert RESTORE not in after["metadata"]["annotations"]
    done = revert(shop, "Done")
    assert done["status"]["state"] == "Succeeded"
    assert "put back 5 → 3" in done["status"]["revert"]["message"]
    told = [entry["type"] for entry in resolved["status"]["timeline"]]
    assert told == ["Detected", "Unavailable", "Executed", "Mitigated", "Restored", "Resolved"]
    spec, _ = shop.deployment_writes()
    assert len(spec) == 2
    assert shop.foreign_writes() == []
    wait_for("the fields are given back", lambda: "stopgap" not in managers(shop, "deployment"))
    assert "Done" in shop.kubectl("get", "rem")


def managers(shop: Shop, kind: str) -> list[str]:
    """Return who owns fields of an object."""
    return [one["manager"] for one in shop.get(kind, "api")["metadata"]["managedFields"]]


def test_a_rollback_that_is_refused_is_passed_over_and_the_next_step_helps(shop: Shop) -> None:
    undo = {"name": "undo", "when": {"triggers": ["down"], "changedWithin": "1s"}, "rollback": {}, "onFailure": "Next"}
    prepare(shop, undo, MORE)
    pod = fall_ill(shop)
    wait_for("five are wanted", lambda: replicas(shop) == 5)
    decision = shop.incident()["status"]["decision"]
    assert decision["step"] == "more"
    assert [one["step"] for one in decision["passed"]] == ["undo"]
    recover(shop, pod)
    shop.incident(phase="Resolved")
    assert replicas(shop) == 3


def test_the_minimum_of_an_autoscaler_is_raised_in_one_write_and_put_back_also_where_it_wants_fewer(shop: Shop) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4}
    shop.apply({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "api"}, "spec": spec})
    prepare(shop)
    pod = fall_ill(shop)
    raised = wait_for(
        "the minimum is raised", lambda: shop.get("hpa", "api") if shop.get("hpa", "api")["spec"]["minReplicas"] == 4 else None
    )
    assert raised is not None
    assert json.loads(raised["metadata"]["annotations"][RESTORE])["before"] == 2
    # So an autoscaler writes what its metrics ask for. The real one heeds its floor from its next round on; Stopgap writes nothing.
    shop.kubectl("scale", "deployment/api", "--replicas=2")
    recover(shop, pod)
    shop.incident(phase="Resolved")
    assert replicas(shop) == 4
    after = shop.get("hpa", "api")
    assert (after["spec"]["minReplicas"], after["spec"]["maxReplicas"]) == (2, 4)
    assert RESTORE not in after["metadata"]["annotations"]
    assert shop.deployment_writes()[0] == []
    writes = [one for one in shop.writes() if one["objectRef"]["resource"] == "horizontalpodautoscalers"]
    touching = [one for one in writes if any(each["path"].startswith("/spec") and each["op"] != "test" for each in one["requestObject"])]
    assert len(touching) == 2
    wait_for("the fields are given back", lambda: "stopgap" not in managers(shop, "hpa"))


def test_replicas_for_which_a_quota_leaves_no_room_are_no_success_and_at_the_end_of_the_ladder_people_are_called_once(shop: Shop) -> None:
    undo = {"name": "undo", "when": {"triggers": ["down"], "changedWithin": "1s"}, "rollback": {}, "onFailure": "Next"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "4"}}}
    prepare(shop, undo, {**MORE, "onFailure": "Next"}, verification={"healthyFor": "1s", "timeout": "6s"})
    shop.apply(quota)
    fall_ill(shop)
    incident = wait_for_reason(shop, "Escalated", "LadderExhausted")
    (remediation,) = shop.items("remediations")
    assert remediation["status"]["state"] == "Failed"
    assert "quota" in remediation["status"]["message"]
    why = condition(incident, "Escalated")["message"]
    assert why.startswith("no step is left. Tried: more (scale 3 → 5 replicas): Failed, ")
    assert remediation["status"]["message"] in why
    assert "; undo: not tried, " in why
    wait_for_restarts(shop, 8)
    after = shop.incident()
    assert told(after).count("NoCapacity") == told(after).count("Escalated") == 1
    assert (
        len([one for one in shop.items("events.events.k8s.io") if one["reason"] == "Escalated" and one["regarding"]["kind"] == "Incident"])
        == 1
    )
    assert len(shop.deployment_writes()[0]) == 1


def test_every_pod_is_restarted_once_as_kubectl_does(shop: Shop) -> None:
    prepare(shop, {"name": "kick", "when": {"triggers": ["down"]}, "restart": {}})
    before = {one["metadata"]["uid"] for one in shop.items("pods")}
    fall_ill(shop)
    shop.incident(phase="Resolved")
    after = {one["metadata"]["uid"] for one in shop.items("pods") if not one["metadata"].get("deletionTimestamp")}
    assert not before & after
    template = shop.get("deployment", "api")["spec"]["template"]["metadata"]
    assert list(template["annotations"]) == ["kubectl.kubernetes.io/restartedAt"]
    assert len(shop.deployment_writes()[0]) == 1


def test_a_value_that_a_person_has_changed_is_left_and_only_the_mark_is_taken_away(shop: Shop) -> None:
    prepare(shop)
    pod = fall_ill(shop)
    wait_for("five are wanted", lambda: replicas(shop) == 5)
    recover(shop, pod)
    shop.incident(phase="Mitigated")
    shop.kubectl("scale", "deployment/api", "--replicas=6")
    done = revert(shop, "NotNeeded")
    assert "somebody set it to 6" in done["status"]["revert"]["message"]
    after = shop.get("deployment", "api")
    assert after["spec"]["replicas"] == 6
    assert RESTORE not in after["metadata"]["annotations"]
    assert len(shop.deployment_writes()[0]) == 1


def test_the_record_and_the_incident_are_lost_and_still_it_is_put_back(shop: Shop) -> None:
    prepare(shop, {**MORE, "revert": {"upon": "Manual"}})
    pod = fall_ill(shop)
    wait_for("five are wanted", lambda: replicas(shop) == 5)
    recover(shop, pod)
    shop.incident(phase="Resolved")
    assert replicas(shop) == 5
    shop.kubectl("delete", "rem,inc", "--all")
    shop.kubectl("label", "deployment", "api", "looked=at")
    wait_for("it is put back", lambda: replicas(shop) == 3)
    assert RESTORE not in shop.get("deployment", "api")["metadata"]["annotations"]
    wait_for("the fields are given back", lambda: "stopgap" not in managers(shop, "deployment"))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        pytest.param({"scale": {"max": 5}}, "exactly one of the two", id="neither to nor by"),
        pytest.param({"scale": {"to": 3, "by": "2", "max": 5}}, "exactly one of the two", id="both to and by"),
        pytest.param({"scale": {"to": 6, "max": 5}}, "above scale.max", id="to above max"),
        pytest.param({"scale": {"to": 0, "max": 5}}, "min: 0", id="to zero by accident"),
        pytest.param({"scale": {"by": "2", "max": 5}, "restart": {}}, "exactly one action", id="two actions"),
        pytest.param({"restart": {}, "revert": {"upon": "Manual"}}, "only what is temporary", id="a restart that is reverted"),
        pytest.param({"scale": {"by": "2", "max": 5}, "revert": {}}, "either upon what", id="reverted on nothing"),
        pytest.param(
            {"scale": {"by": "2", "max": 5}, "revert": {"upon": "Manual", "after": "5m"}}, "either upon what", id="reverted on two things"
        ),
    ],
)
def test_the_api_server_refuses_a_step_that_makes_no_sense(shop: Shop, step: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=says):
        shop.policy(triggers=[DOWN], steps=[{"name": "only", "when": {"triggers": ["down"]}, **step}])
