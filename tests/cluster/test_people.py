"""What people read and write: the update while it lasts, the review afterwards; on the real API server, judged by its audit log."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, BAD2 = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.1-crash"
REVIEW = {
    "rootCause": "the new image lacks its configuration",
    "impact": {"usersAffected": "nobody: the old pods served", "revenue": "none", "dataLoss": "none"},
    "actionItems": [{"title": "start the image once before it is released", "owner": "ana", "due": "2026-12-01"}],
    "completed": True,
}


def described(shop: Shop, name: str, *wanted: str) -> str:
    """Wait until `kubectl describe` shows all of it."""

    def shown() -> str:
        text = shop.kubectl("describe", "incident", name)
        return text if all(one in text for one in wanted) else ""

    return wait_for(f"describe shows {wanted}", shown, seconds=30)


def review(shop: Shop, name: str, **status: Any) -> dict[str, Any]:
    """Wait until the review's status has these fields."""

    def found() -> dict[str, Any] | None:
        one = next((one for one in shop.items("postmortems") if one["metadata"]["name"] == name), {})
        told = one.get("status", {})
        complete = {each["type"]: each["status"] for each in told.get("conditions", [])}.get("Complete")
        return told if told and {"complete": complete, **told}.items() >= status.items() else None

    result = wait_for(f"a review with {status}", found, seconds=30)
    assert result is not None
    return result


def own_writes(shop: Shop, resource: str) -> list[str]:
    """What Stopgap wrote of a resource here, in order."""
    writes = (one for one in shop.writes() if one["objectRef"]["resource"] == resource)
    return [f"{one['verb']} {one['objectRef'].get('subresource', '')}".strip() for one in writes]


def written_for_the_update(shop: Shop) -> list[tuple[str, bool]]:
    """Each status of an incident that was written: its update, and whether anything else in it had changed."""
    ours = ("update", "updatedAt", "nextUpdateDue", "communicationStatus")
    found, before = [], None
    for one in shop.writes():
        if (one["objectRef"]["resource"], one["objectRef"].get("subresource")) == ("incidents", "status"):
            status = one["requestObject"][1]["value"]
            rest = {name: value for name, value in status.items() if name not in ours}
            found.append((status["update"], rest != before))
            before = rest
    return found


def test_a_bad_release_is_told_of_while_it_lasts_and_reviewed_afterwards(shop: Shop) -> None:
    shop.policy(severity={"default": "P1"})
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    shop.incident(name="api-1")
    described(shop, "api-1", "## Incident Update", "**Status:** Identified", "**Severity:** P1", f"{GOOD} → {BAD}", "being verified")
    described(shop, "api-1", "**Status:** Mitigated", "The bleeding has stopped", "done, and it helped", "Next Update Due:")
    described(shop, "api-1", "**Status:** Resolved", "None: the incident is over.", "PostMortem api-1 was drafted")

    draft = review(shop, "api-1", complete="False")
    assert "**Severity:** P1" in draft["document"]
    assert "Executed: roll back 2 → 1" in draft["document"]
    assert "**Owed:** why it happened (spec.rootCause)" in draft["document"]
    assert draft["owed"][0] == "the root cause (spec.rootCause)"
    wait_for("it is closed", lambda: own_writes(shop, "incidents")[-1] == "patch", seconds=20)
    assert not [said for said, more in written_for_the_update(shop) if not more], "a status was written for the update alone"
    assert own_writes(shop, "postmortems")[:2] == ["create", "patch status"]

    for role in ("viewer", "editor"):
        shop.kubectl("create", "rolebinding", f"ana-{role}", f"--clusterrole=stopgap-{role}", "--user=ana")
    person = ("--as=ana", "--as-group=system:authenticated")
    wait_for("the right holds", lambda: "yes" in shop.kubectl("auth", "can-i", "patch", "postmortems.stopgap.dev", "--as=ana"))
    shop.kubectl("patch", "pm", "api-1", "--type=merge", "-p", json.dumps({"spec": REVIEW}), *person)
    done = review(shop, "api-1", complete="True")
    assert "| start the image once before it is released | ana | 2026-12-01 |" in done["document"]
    shop.incident(name="api-1", phase="Reviewed", seconds=20)
    assert own_writes(shop, "postmortems") == ["create", "patch status", "patch status"]

    shop.kubectl("delete", "incident", "api-1")
    shop.kubectl("patch", "pm", "api-1", "--type=merge", "-p", '{"spec":{"lessons":"tests come first"}}', *person)
    kept = review(shop, "api-1", observedGeneration=3, complete="True")
    assert kept["document"] == done["document"].replace("Nobody has written any down (spec.lessons).", "tests come first")
    assert "Mitigated: available and every signal quiet" in kept["document"]


def says(shop: Shop, name: str, **spec: Any) -> None:
    """A person changes an incident."""
    shop.kubectl("patch", "incident", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def told(shop: Shop, name: str, kind: str) -> str:
    """Wait until the timeline of an incident has an entry of this kind, and return what the last says."""

    def found() -> str:
        timeline = shop.incident(name=name).get("status", {}).get("timeline", [])
        return next((one["message"] for one in reversed(timeline) if one["type"] == kind), "")

    return wait_for(f"{name} tells {kind}", found, seconds=20)


def exits(shop: Shop, image: str) -> int:
    """How often containers of this image have ended so far."""
    listed = (each for one in shop.items("pods") for each in one.get("status", {}).get("containerStatuses", []))
    return sum(one["restartCount"] for one in listed if one["image"] == image)


def test_what_a_person_says_in_an_incident_is_honoured_and_told_and_an_order_is_carried_out_once(shop: Shop) -> None:
    shop.policy(mode="Observe")
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    shop.incident(name="api-1", phase="Triaged")
    says(shop, "api-1", severity="P1", acknowledgedBy="ana")
    assert told(shop, "api-1", "SeverityChanged") == "severity P3 → P1: a person says so (spec.severity)"
    says(shop, "api-1", acknowledgedBy="bo")
    wait_for("bo has it", lambda: told(shop, "api-1", "Acknowledged") == "bo has taken the incident over", seconds=20)

    says(shop, "api-1", resolution="FalseAlarm")
    shop.incident(name="api-1", phase="FalseAlarm")
    before = exits(shop, BAD)
    wait_for("it goes on crashing", lambda: exits(shop, BAD) >= before + 3, seconds=30)
    assert len(shop.items("incidents")) == 1, "the same signal stays quiet"

    shop.release(BAD2)
    shop.incident(name="api-2", phase="Triaged")
    says(shop, "api-2", mitigate={"step": "undo", "requestID": "1"})
    wait_for("it is rolled back", lambda: shop.image() == GOOD, seconds=20)
    assert told(shop, "api-2", "Ordered") == "a person ordered step undo (request 1)"
    for order in (None, {"step": "undo", "requestID": "1"}, {"step": "undo", "requestID": "2"}):
        says(shop, "api-2", mitigate=order)  # a copy from Git, and then another order
    wait_for("both are answered", lambda: shop.incident(name="api-2")["status"].get("handledRequests") == ["1", "2"], seconds=20)
    assert len(shop.deployment_writes()[0]) == 1


@pytest.fixture
def told_often(control_plane: Cluster, operator: Operator) -> Iterator[None]:  # noqa: ARG001 - it has installed the kinds
    """P4 incidents are to be told of every four seconds, and nobody is asked to take them."""
    config = {
        "apiVersion": "stopgap.dev/v1alpha1",
        "kind": "RemediationConfig",
        "metadata": {"name": "stopgap", "namespace": OWN_NAMESPACE},
        "spec": {"severityLevels": [{"name": "P4", "acknowledgeWithin": "1h", "updateEvery": "4s"}]},
    }
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(config))
    yield
    control_plane.kubectl("-n", OWN_NAMESPACE, "delete", "remediationconfig", "stopgap")


def test_an_update_that_is_due_costs_one_write_and_one_event_and_nothing_in_between(shop: Shop, told_often: None) -> None:  # noqa: ARG001
    spec = {"title": "Mails are late", "severity": "P4"}
    shop.apply({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "mails"}, "spec": spec})

    def reminders() -> list[str]:
        return [one["note"] for one in shop.get("events.events.k8s.io")["items"] if one["reason"] == "UpdateDue"]

    wait_for("people are reminded twice", lambda: len(reminders()) >= 2, seconds=30)
    shop.kubectl("patch", "incident", "mails", "--type=merge", "-p", '{"spec":{"resolution":"Resolved"}}')
    shop.incident(name="mails", phase="Resolved")
    wait_for("it is closed", lambda: own_writes(shop, "incidents")[-1:] == ["patch"], seconds=20)
    # The first look, each reminder, and the end; the label is no status.
    assert own_writes(shop, "incidents").count("patch status") == 1 + len(reminders()) + 1
    assert shop.items("postmortems") == []
