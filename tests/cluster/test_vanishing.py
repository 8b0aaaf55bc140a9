"""What an incident rests on vanishes in mid-incident: workload, revision, policy, namespace. It ends in words, and nobody else notices."""

import json
from typing import Any

import pytest
from tests.cluster.cluster import KubectlError
from tests.cluster.harness import Operator, Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, BETTER = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.0"
SLOW_PROOF = {"healthyFor": "4s", "timeout": "60s"}


def held_back(shop: Shop) -> None:
    """Bring a bad release about, and an incident that may not act yet."""
    healthy(shop)
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause=not yet")
    shop.release(BAD)
    shop.refusals(reason="Paused")


def healthy(shop: Shop, **policy: Any) -> None:
    shop.policy(**policy)
    shop.deploy(GOOD)
    shop.settle()


def being_verified(shop: Shop) -> dict[str, Any]:
    """Bring an action about whose proof is under way."""
    healthy(shop, verification=SLOW_PROOF)
    shop.release(BAD)
    return remediation(shop, "Verifying")


def remediation(shop: Shop, state: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        return next((one for one in shop.items("remediations") if one.get("status", {}).get("state") == state), None)

    return wait_for(f"a remediation that is {state}", found) or {}


def condition(incident: dict[str, Any], kind: str) -> tuple[str, str, str]:
    found = next(one for one in incident["status"]["conditions"] if one["type"] == kind)
    return found["status"], found["reason"], found["message"]


# ------------------------------------------------------------------------------------------------------------- the workload


def test_a_workload_that_is_deleted_before_the_action_ends_the_incident(shop: Shop) -> None:
    held_back(shop)
    shop.kubectl("delete", "deployment", "api")
    over = shop.incident(phase="Resolved")
    assert condition(over, "Resolved") == ("True", "TargetGone", f"deployment/api in {shop.name} does not exist any more")
    assert shop.items("remediations") == []


def test_a_workload_that_is_deleted_during_the_proof_leaves_it_inconclusive(shop: Shop) -> None:
    being_verified(shop)
    shop.kubectl("delete", "deployment", "api")
    over = shop.incident(phase="Resolved")
    assert condition(over, "Resolved")[1] == "TargetGone"
    ended = remediation(shop, "Inconclusive")
    assert ended["status"]["message"] == f"deployment/api in {shop.name} does not exist any more"
    assert len(shop.deployment_writes()[0]) == 1


def test_a_workload_that_is_replaced_by_one_of_the_same_name_gets_an_incident_of_its_own(shop: Shop) -> None:
    held_back(shop)
    shop.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(bare(shop.get("deployment", "api"), BAD)))
    over = shop.incident(name="api-1", phase="Resolved")
    gone = f"deployment/api in {shop.name} was deleted, and another of the same name is there"
    assert condition(over, "Resolved") in {("True", "TargetGone", gone), ("True", "TargetGone", gone_for_a_moment(shop))}
    new = shop.incident(name="api-2", phase="Triaged")
    uid = shop.get("deployment", "api")["metadata"]["uid"]
    assert (new["status"]["targetUid"], over["status"]["targetUid"] == uid) == (uid, False)
    told = shop.refusals(reason="NoHealthyRevision")
    # What was healthy of the one before is not this one's.
    assert "there is no older revision" in told["NoHealthyRevision"]
    assert shop.deployment_writes() == ([], [])


def gone_for_a_moment(shop: Shop) -> str:
    """Return the other thing that may be said, if a look falls between the two."""
    return f"deployment/api in {shop.name} does not exist any more"


def bare(deployment: dict[str, Any], image: str) -> dict[str, Any]:
    """Return what a team would keep of a Deployment in Git."""
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
    metadata = {key: deployment["metadata"][key] for key in ("name", "labels")}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment["spec"]}


# ------------------------------------------------------------------------------------------------------------- the revision


def test_a_revision_whose_replicaset_is_gone_is_not_gone_back_to(shop: Shop) -> None:
    held_back(shop)
    old = next(one for one in shop.items("rs") if one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1")
    shop.kubectl("delete", "rs", old["metadata"]["name"])
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause-")
    told = shop.refusals(reason="NoHealthyRevision")
    assert told["NoHealthyRevision"] == "there is no older revision (first release, or revisionHistoryLimit removed it); fix forward"
    assert shop.deployment_writes() == ([], [])


def test_without_a_history_a_release_is_undone_while_it_rolls_out(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD, revisionHistoryLimit=0)
    shop.settle()
    shop.release(BAD)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD


def test_without_a_history_a_release_that_turns_bad_later_is_left_alone_with_the_reason(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD, revisionHistoryLimit=0)
    shop.settle()
    shop.release(BETTER)
    shop.settle()
    wait_for("the old revision is removed", lambda: len(shop.items("rs")) == 1)
    shop.kubectl("annotate", "pod", "--all", "stopgap.dev/simulate=crash")
    told = shop.refusals(reason="NoHealthyRevision")
    assert "revisionHistoryLimit removed it" in told["NoHealthyRevision"]
    assert shop.deployment_writes() == ([], [])


# ------------------------------------------------------------------------------------------------------------- the policy


def test_a_policy_that_is_deleted_before_the_action_is_told_and_a_new_one_takes_over(shop: Shop) -> None:
    held_back(shop)
    shop.kubectl("delete", "rpol", "web")
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause-")
    told = shop.refusals(reason="NoStepApplies")
    assert "no policy matches this workload" in told["NoStepApplies"]
    assert "close this incident by hand (spec.resolution)" in told["NoStepApplies"]
    assert condition(shop.incident(name="api-1"), "ActionAllowed")[:2] == ("False", "NoStepApplies")
    assert shop.deployment_writes() == ([], [])
    shop.policy("another")
    mitigated = shop.incident(name="api-1", phase="Mitigated")
    assert mitigated["status"]["policyRef"]["name"] == "another"
    assert shop.image() == GOOD


def test_a_policy_that_is_deleted_during_the_proof_leaves_it_inconclusive_and_people_are_called(shop: Shop) -> None:
    being_verified(shop)
    shop.kubectl("delete", "rpol", "web")
    escalated = shop.incident(phase="Escalated")
    why = "the policy is gone, so nothing proves that it helped"
    assert condition(escalated, "Escalated") == ("True", "Inconclusive", why)
    assert remediation(shop, "Inconclusive")["status"]["message"] == why
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    assert "stopgap" not in [one["manager"] for one in shop.get("deployment", "api")["metadata"]["managedFields"]]


def test_an_incident_where_no_policy_matches_says_so_and_a_person_closes_it(shop: Shop) -> None:
    shop.deploy(GOOD)
    shop.apply(
        {
            "apiVersion": "stopgap.dev/v1alpha1",
            "kind": "Incident",
            "metadata": {"name": "slow"},
            "spec": {"title": "api is slow", "targetRef": {"name": "api"}},
        }
    )
    assert "no policy matches this workload" in shop.refusals(reason="NoStepApplies")["NoStepApplies"]
    shop.kubectl("patch", "incident", "slow", "--type=merge", "-p", '{"spec": {"resolution": "Resolved"}}')
    assert condition(shop.incident(name="slow", phase="Resolved"), "Resolved")[:2] == ("True", "Resolved")


# ------------------------------------------------------------------------------------------------------------- the namespace


def test_a_namespace_that_is_deleted_in_mid_incident_goes_at_once_and_the_next_one_is_served(shop: Shop, operator: Operator) -> None:
    doomed = Shop(shop.plane, f"{shop.name}-doomed").create()
    healthy(shop)
    being_verified(doomed)
    shop.plane.kubectl("delete", "namespace", doomed.name, "--timeout=50s")
    with pytest.raises(KubectlError, match="not found"):
        shop.plane.get("namespace", doomed.name)
    shop.release(BAD)
    shop.incident(phase="Mitigated")
    # Whatever could not be written while it went was not tried over and over.
    assert len(complaints(operator, doomed.name)) < 20


def complaints(operator: Operator, about: str) -> list[str]:
    """Return the warnings of the operator's log that name this."""
    lines = (line for line in operator.log_file.read_text().splitlines() if line.startswith("{") and about in line)
    return [line for line in lines if json.loads(line)["severity"] == "warn"]
