"""After the act, people and their tools do something else: Stopgap notices, says who, never fights, and leaves no record half written."""

import json
import time
from typing import Any

import pytest
from tests.cluster.cluster import KubectlError
from tests.cluster.harness import Shop, wait_for
from tests.cluster.reading import condition, health, told, wait_for_reason, wait_for_remediation, wait_for_restarts

pytestmark = pytest.mark.cluster

GOOD, BAD, BAD2, BETTER = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.1-crash", "shop/api:3.0"
LONG = {"healthyFor": "30s", "timeout": "90s"}
"""A proof that takes so long that the tests come in between."""


def undone(shop: Shop, **spec: Any) -> dict[str, Any]:
    """Let a bad release be undone, and return the remediation, which is still to be proven."""
    shop.policy(**spec)
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    remediation = wait_for_remediation(shop, "Verifying", "Succeeded")
    assert shop.image() == GOOD
    return remediation


def mitigated(shop: Shop, **spec: Any) -> None:
    """Let a bad release be undone and proven, in an incident that stays open."""
    undone(shop, resolution={"after": "5m"}, **spec)
    shop.incident(phase="Mitigated")


def open_incident(shop: Shop, *names: str, **spec: Any) -> None:
    """Open an incident as a person does; several names: several people in the same second."""
    shop.apply(*({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": {"name": name}, "spec": spec} for name in names))


def order(shop: Shop, incident: str, **spec: Any) -> None:
    """Change an incident's spec as a person does."""
    shop.kubectl("patch", "incident", incident, "--type=merge", "-p", json.dumps({"spec": spec}))


def closed(shop: Shop, name: str) -> dict[str, Any]:
    """Wait until an incident carries the label of those that are over, and return it."""

    def found() -> dict[str, Any] | None:
        one = shop.get("incident", name)
        return one if one["metadata"]["labels"].get("stopgap.dev/closed") == "true" else None

    return wait_for(f"incident {name} is closed", found) or {}


def names(shop: Shop) -> list[str]:
    """Return the names of all incidents."""
    return sorted(one["metadata"]["name"] for one in shop.items("incidents"))


TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}


# ------------------------------------------------------------------------------------------------------ somebody deploys again


@pytest.mark.parametrize("when", ["while it is proven", "after it was proven"])
def test_whoever_puts_the_bad_template_back_is_named_and_not_fought(shop: Shop, when: str) -> None:
    if when == "while it is proven":
        undone(shop, verification=LONG)
    else:
        mitigated(shop)
    shop.release(BAD)
    incident = wait_for_reason(shop, "Escalated", "Contested")
    says = "kubectl-set put the bad template back; Stopgap does not fight. Find out who deploys it, and stop that first"
    assert condition(incident, "Contested")["status"] == "True"
    assert condition(incident, "Contested")["message"] == says
    assert condition(incident, "Escalated")["message"] == says
    wait_for_restarts(shop, 6)
    assert shop.image() == BAD
    assert len(shop.deployment_writes()[0]) == 1
    incident = shop.incident(name="api-1", phase="Escalated")
    assert names(shop) == ["api-1"]
    assert told(incident).count("Escalated") == 1
    (remediation,) = shop.items("remediations")
    assert remediation["status"]["state"] == ("Failed" if when == "while it is proven" else "Succeeded")


def test_a_newer_good_release_during_the_proof_stands_and_ends_the_incident(shop: Shop) -> None:
    undone(shop, verification={"healthyFor": "8s", "timeout": "60s"})
    shop.release(BETTER)
    remediation = wait_for_remediation(shop, "Inconclusive")
    assert remediation["status"]["message"] == "kubectl-set rolled out another template; it is judged afresh"
    assert condition(remediation, "Succeeded")["reason"] == "SupersededByRevision"
    incident = shop.incident(phase="Resolved")
    assert told(incident) == ["Detected", "CrashLoop", "Executed", "SupersededByRevision", "SupersededByRevision", "Resolved"]
    assert condition(incident, "Mitigated")["reason"] == "SupersededByRevision"
    assert condition(incident, "Escalated") == {}
    assert shop.image() == BETTER
    assert len(shop.deployment_writes()[0]) == 1
    wait_for("the fields are given back", lambda: shop.items("remediations")[0]["status"].get("fieldsReturned"))


def test_another_bad_release_after_the_mitigation_is_an_incident_of_its_own(shop: Shop) -> None:
    mitigated(shop)
    shop.release(BAD2)
    second = shop.incident(name="api-2", phase="Mitigated")
    first = closed(shop, "api-1")
    resolved = condition(first, "Resolved")
    assert (resolved["status"], resolved["reason"]) == ("True", "SupersededByRevision")
    assert resolved["message"] == "another revision fails now; that is an incident of its own"
    assert second["status"]["suspectedChange"]["images"] == [f"app: {GOOD} → {BAD2}"]
    assert second["status"]["decision"]["message"].startswith("roll back 4 → 3, last known healthy at ")
    assert names(shop) == ["api-1", "api-2"]
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 2


# ---------------------------------------------------------------------------------------------------- it was not the release


def test_when_the_old_template_fails_in_the_same_way_the_release_is_pardoned(shop: Shop) -> None:
    remediation = undone(shop, verification=LONG)
    wait_for("the release is denied", lambda: health(shop).get("denied"))
    assert [one["digest"] for one in health(shop)["denied"]] == [remediation["spec"]["plan"]["fromDigest"]]
    shop.kubectl("annotate", "pod", "--all", "stopgap.dev/simulate=crash")
    incident = wait_for_reason(shop, "Escalated", "NotTheRelease")
    message = condition(incident, "Escalated")["message"]
    assert message.startswith("the older revision fails in the same way (")
    assert "of container app, last in api-" in message
    assert message.endswith("), so the release was not to blame; look for what else changed")
    assert wait_for_remediation(shop, "Failed")["status"]["message"] == message
    wait_for("the release is pardoned", lambda: "denied" not in health(shop))
    wait_for_restarts(shop, 6)
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    assert names(shop) == ["api-1"]


# ------------------------------------------------------------------------------------------------------------ people decide


def test_an_incident_that_a_person_closes_stays_closed_until_the_template_changes(shop: Shop) -> None:
    shop.policy(mode="Observe")
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    shop.refusals(reason="ObserveOnly")
    order(shop, "api-1", acknowledgedBy="ana")
    assert condition(wait_for_reason(shop, "Acknowledged", "Acknowledged"), "Acknowledged")["message"] == "ana has taken it"
    order(shop, "api-1", resolution="Resolved")
    incident = closed(shop, "api-1")
    assert incident["status"]["phase"] == "Resolved"
    assert condition(incident, "Resolved")["message"] == "ana closed it"
    assert incident["status"]["timeline"][-1]["actor"] == "ana"
    with pytest.raises(KubectlError, match="a resolution is final; open a new Incident"):
        order(shop, "api-1", resolution="FalseAlarm")
    (pod,) = [one for one in shop.items("pods") if BAD in str(one["spec"])]
    seen = pod["status"]["containerStatuses"][0]["restartCount"]
    wait_for_restarts(shop, seen + 3)
    assert names(shop) == ["api-1"]

    shop.release(BAD2)
    assert "api-2" in shop.incident(name="api-2")["metadata"]["name"]
    assert shop.deployment_writes() == ([], [])


def test_a_false_alarm_pardons_the_release(shop: Shop) -> None:
    mitigated(shop)
    wait_for("the release is denied", lambda: health(shop).get("denied"))
    order(shop, "api-1", resolution="FalseAlarm")
    incident = closed(shop, "api-1")
    assert incident["status"]["phase"] == "FalseAlarm"
    assert (condition(incident, "Resolved")["reason"], condition(incident, "Resolved")["message"]) == (
        "FalseAlarm",
        "a person says that it was a false alarm",
    )
    assert "denied" not in health(shop)


def test_an_incident_without_a_workload_is_a_record_that_people_close(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    open_incident(shop, "phones", title="The phones are down", severity="P1")
    incident = wait_for_reason(shop, "ActionAllowed", "NoStepApplies", name="phones")
    assert condition(incident, "ActionAllowed")["message"].endswith("it names no workload (spec.targetRef), so it is a record only")
    assert incident["status"]["severity"] == "P1"
    order(shop, "phones", resolution="Resolved")
    assert condition(closed(shop, "phones"), "Resolved")["message"] == "a person closed it"
    assert shop.items("remediations") == []
    assert shop.deployment_writes() == ([], [])


def test_a_person_s_incident_is_not_acted_on_where_no_step_is_meant_for_people_s(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BETTER)
    open_incident(shop, "slow", title="The api is slow", targetRef=TARGET)
    incident = wait_for_reason(shop, "ActionAllowed", "NoStepApplies", name="slow")
    message = condition(incident, "ActionAllowed")["message"]
    assert "no signal of policy web fires, and no step of it is meant for what a person reports" in message
    assert incident["status"]["policyRef"]["name"] == "web"
    assert shop.image() == BETTER
    assert shop.deployment_writes() == ([], [])


def test_of_two_incidents_that_people_open_in_the_same_second_one_acts_and_the_other_says_that_the_target_is_busy(shop: Shop) -> None:
    undo = {"name": "undo", "when": {"changedWithin": "30m", "sources": ["Manual"]}, "rollback": {"minHealthyFor": "2s"}}
    shop.policy(steps=[undo])
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BETTER)
    shop.settle()
    open_incident(shop, "slow", "slow-too", title="The api is slow", targetRef=TARGET)
    remediation = wait_for_remediation(shop, "Inconclusive")
    assert remediation["spec"]["incidentRef"]["name"] == "slow"
    assert remediation["spec"]["plan"]["summary"].startswith("roll back 2 → 1, last known healthy at ")
    assert remediation["status"]["message"] == "no signal ever fired, so none can prove that it helped; judge by hand"
    incident = wait_for_reason(shop, "Escalated", "Inconclusive", name="slow")
    assert condition(incident, "Mitigated")["status"] == "False"
    other = wait_for_reason(shop, "ActionAllowed", "Duplicate", name="slow-too")
    assert other["status"]["duplicateOf"] == "slow"
    assert "TargetBusy" in told(other)
    assert len(shop.items("remediations")) == 1
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1


def test_a_second_incident_of_the_same_workload_says_which_one_is_handled_and_a_step_is_done_where_a_person_orders_it(shop: Shop) -> None:
    shop.policy(mode="Observe", resolution={"after": "5m"})
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    shop.refusals(reason="ObserveOnly")
    open_incident(shop, "me-too", title="The api is down", targetRef=TARGET)
    second = wait_for_reason(shop, "ActionAllowed", "Duplicate", name="me-too")
    assert second["status"]["duplicateOf"] == "api-1"
    assert condition(second, "ActionAllowed")["message"] == "nothing is done: incident api-1 of the same workload is handled"
    order(shop, "api-1", mitigate={"step": "undo", "requestID": "1"})
    handled = shop.incident(name="api-1", phase="Mitigated")
    (remediation,) = shop.items("remediations")
    assert (remediation["spec"]["incidentRef"]["name"], remediation["spec"]["requestID"]) == ("api-1", "1")
    assert told(handled).count("Ordered") == 1
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    order(shop, "api-1", resolution="Resolved")
    over = closed(shop, "me-too")
    assert condition(over, "Resolved")["message"] == "incident api-1, of which this is a duplicate, is over"
    assert names(shop) == ["api-1", "me-too"]
    closed(shop, "api-1")
    shop.policy(mode="Observe", resolution={"after": "4m"})  # a new spec is answered at once, with all figures
    record = wait_for(
        "what came of it is counted", lambda: shop.get("rpol", "web")["status"]["record"]["acted"] and shop.get("rpol", "web")
    )
    assert {key: count for key, count in record["status"]["record"].items() if count} == {"wouldHaveActed": 1, "acted": 1, "succeeded": 1}


def test_an_incident_that_is_deleted_during_the_proof_leaves_nothing_behind(shop: Shop) -> None:
    undone(shop, verification={"healthyFor": "8s", "timeout": "60s"})
    began = time.monotonic()
    shop.kubectl("delete", "incident", "api-1", "--timeout=10s")
    assert time.monotonic() - began < 10
    remediation = wait_for_remediation(shop, "Succeeded")
    assert remediation["status"]["message"] == "available and every signal quiet for 8s"
    wait_for("the fields are given back", lambda: shop.items("remediations")[0]["status"].get("fieldsReturned"))
    assert "stopgap" not in [one["manager"] for one in shop.get("deployment", "api")["metadata"]["managedFields"]]
    assert names(shop) == []
    spec, metadata = shop.deployment_writes()
    assert (len(spec), len(metadata)) == (1, 1)
    shop.deploy(BETTER)
    shop.settle()
