"""An action that waits for a person: approved, rejected, overtaken; and who may say what, on the real API server."""

import json
from typing import Any

import pytest
from tests.cluster.cluster import KubectlError
from tests.cluster.harness import Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, FIXED = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.1"


def waiting(shop: Shop, **spec: Any) -> dict[str, Any]:
    """Have a release fail in mode Approve, and wait until the action waits."""
    shop.deploy(GOOD)
    shop.settle()
    shop.policy(mode="Approve", **spec)
    shop.release(BAD)
    told = shop.refusals(reason="ApprovalPending")
    found = state(shop, "AwaitingApproval")
    assert f"kubectl -n {shop.name} patch rem {found['metadata']['name']} --type=merge" in told["ApprovalPending"]
    return found


def state(shop: Shop, wanted: str, *, seconds: float = 60) -> dict[str, Any]:
    """Wait for the first remediation to be in a state."""

    def found() -> dict[str, Any] | None:
        listed = shop.items("remediations")
        return listed[0] if listed and listed[0].get("status", {}).get("state") == wanted else None

    result = wait_for(f"a remediation in state {wanted}", found, seconds=seconds)
    assert result is not None
    return result


def say(shop: Shop, name: str, decision: str, *, user: str = "", **more: str) -> str:
    """Approve or reject; return what was said, refused or not."""
    body = json.dumps({"spec": {"approval": {"decision": decision, **more}}})
    who = (f"--as={user}", "--as-group=system:authenticated") if user else ()
    try:
        return shop.kubectl("patch", "rem", name, "--type=merge", "-p", body, *who)
    except KubectlError as error:
        return str(error)


def approver(shop: Shop, user: str) -> str:
    shop.kubectl("create", "rolebinding", f"{user}-approves", "--clusterrole=stopgap-approver", f"--user={user}")
    wait_for("the right holds", lambda: "yes" in shop.kubectl("auth", "can-i", "approve", "remediations.stopgap.dev", f"--as={user}"))
    return user


def timeline(shop: Shop, reason: str) -> list[dict[str, str]]:
    return [one for one in shop.incident()["status"]["timeline"] if one["type"] == reason]


def test_what_is_approved_is_done_once_and_proved_and_the_approver_is_named(shop: Shop) -> None:
    name = waiting(shop)["metadata"]["name"]
    assert shop.image() == BAD
    assert shop.deployment_writes() == ([], [])
    ana = approver(shop, "ana")
    assert "spec.approval.by must be you" in say(shop, name, "Approved", user=ana, by="ben")
    assert "may not approve" in as_editor(shop, name)
    assert "patched" in say(shop, name, "Approved", user=ana)
    done = state(shop, "Succeeded")
    assert done["spec"]["approval"]["by"] == "ana"
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    assert [one["actor"] for one in timeline(shop, "Approved")] == ["ana"]
    assert "given once" in say(shop, name, "Rejected", user=ana)
    with pytest.raises(KubectlError, match="does not change"):
        shop.kubectl("patch", "rem", name, "--type=merge", "-p", '{"spec":{"step":"other"}}')


def as_editor(shop: Shop, name: str) -> str:
    """Approve as somebody who may patch remediations and lacks the verb."""
    shop.kubectl("create", "role", "patcher", "--verb=get,patch", "--resource=remediations.stopgap.dev")
    shop.kubectl("create", "rolebinding", "patcher", "--role=patcher", "--user=eve")
    wait_for("the right holds", lambda: "yes" in shop.kubectl("auth", "can-i", "patch", "remediations.stopgap.dev", "--as=eve"))
    return say(shop, name, "Approved", user="eve")


def test_what_is_rejected_is_never_done_nor_asked_for_again(shop: Shop) -> None:
    name = waiting(shop)["metadata"]["name"]
    assert "patched" in say(shop, name, "Rejected", user=approver(shop, "ana"), message="we fix it forward")
    state(shop, "Rejected")
    wait_for("it is told", lambda: timeline(shop, "ApprovalRejected"))
    assert timeline(shop, "ApprovalRejected")[0]["actor"] == "ana"
    assert "tried in this incident already: undo (Rejected)" in shop.refusals(reason="NoStepApplies")["NoStepApplies"]
    assert len(shop.items("remediations")) == 1
    assert shop.deployment_writes() == ([], [])


def test_a_new_release_overtakes_what_waits(shop: Shop) -> None:
    name = waiting(shop)["metadata"]["name"]
    shop.release(FIXED)
    state(shop, "Superseded")
    assert "only what waits can be approved" in say(shop, name, "Approved")
    assert shop.image() == FIXED
    assert shop.deployment_writes() == ([], [])
