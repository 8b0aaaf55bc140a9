"""What is over for long enough is removed from the real API server, and nothing else."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.harness import Operator, Shop

from stopgap.api import Incident, RemediationConfig
from stopgap.effects.connection import connect
from stopgap.effects.kube import Kube
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.records import Records
from stopgap.effects.retention import Retention

pytestmark = pytest.mark.cluster

OLD, YOUNG = timedelta(hours=721), timedelta(hours=719)


def ago(length: timedelta) -> str:
    return f"{datetime.now(UTC) - length:%Y-%m-%dT%H:%M:%SZ}"  # noqa: TID251 - the test's own clock, against hours


def incident(shop: Shop, name: str, *, closed: bool, resolved: timedelta | None, reviewed: str = "") -> None:
    labels = {"stopgap.dev/closed": "true"} if closed else {}
    meta = {"name": name, "labels": labels}
    shop.apply({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": meta, "spec": {"title": "it was"}})
    if resolved is not None:
        told = {"type": "Reviewed", "status": reviewed, "reason": "ReviewOwed", "message": "", "lastTransitionTime": ago(resolved)}
        patch = {"status": {"phase": "Resolved", "resolvedAt": ago(resolved), "conditions": [told] if reviewed else []}}
        shop.kubectl("patch", "incident", name, "--subresource=status", "--type=merge", "-p", json.dumps(patch))


def remediation(shop: Shop, name: str, incident_ref: dict[str, str] | None = None, **status: Any) -> None:
    spec = {
        "incidentRef": incident_ref or {"name": "gone"},
        "targetRef": {"name": "api", "uid": "u"},
        "policyRef": {"name": "web"},
        "step": "undo",
        "action": "Rollback",
        "plan": {"summary": "roll back 2 → 1"},
        "generation": 1,
        "notAfter": ago(OLD),
        "verifyUntil": ago(OLD),
    }
    shop.apply({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Remediation", "metadata": {"name": name}, "spec": spec})
    shop.kubectl("patch", "remediation", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


@pytest.fixture
async def retention(
    control_plane: Cluster,
    operator: Operator,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[Retention, Records]]:
    # It has installed the kinds. Running, it would settle what a Remediation of no workload still owes, and sweep as well.
    operator.stop()
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    async with Kube(await connect()) as kube:
        await kube.warm(1)
        records = Records(lambda _: None, lambda _: None)
        own = OwnLists(kube, records, (), "stopgap-system")
        yield Retention(kube, own, records, ready=lambda: True, now=kube.clock.now, swept=kube.warm), records


async def test_only_what_is_over_for_long_enough_and_owes_nothing_is_removed(shop: Shop, retention: tuple[Retention, Records]) -> None:
    incident(shop, "old", closed=True, resolved=OLD)
    incident(shop, "owes-its-review", closed=True, resolved=OLD, reviewed="False")
    incident(shop, "was-reviewed", closed=True, resolved=OLD, reviewed="True")
    incident(shop, "young", closed=True, resolved=YOUNG)
    incident(shop, "open", closed=False, resolved=None)
    over: dict[str, Any] = {"state": "Succeeded", "executedAt": ago(OLD), "endedAt": ago(OLD)}
    remediation(shop, "old", **over, fieldsReturned=True)
    remediation(shop, "young", **{**over, "endedAt": ago(YOUNG)}, fieldsReturned=True)
    remediation(shop, "owes-its-fields", **over)
    remediation(shop, "owes-its-resume", **over, fieldsReturned=True, suspension={"state": "Held"})
    remediation(shop, "owes-its-restore", **over, fieldsReturned=True, revert={"state": "Failed"})
    remediation(shop, "was-put-back", **over, fieldsReturned=True, revert={"state": "Done"})
    still = shop.get("incident", "open")
    retention[1].take(Incident, still)
    remediation(shop, "of-the-open-one", {"name": "open", "uid": still["metadata"]["uid"]}, **over, fieldsReturned=True)
    assert await retention[0].sweep() == 4
    assert {one["metadata"]["name"] for one in shop.items("incidents")} == {"young", "open", "owes-its-review"}
    assert {one["metadata"]["name"] for one in shop.items("remediations")} == {
        "young",
        "of-the-open-one",
        "owes-its-fields",
        "owes-its-restore",
        "owes-its-resume",
    }
    assert await retention[0].sweep() == 0


async def test_with_a_config_that_cannot_be_understood_nothing_is_removed(shop: Shop, retention: tuple[Retention, Records]) -> None:
    sweeper, records = retention
    incident(shop, "old", closed=True, resolved=OLD)
    body = {"metadata": {"name": "stopgap", "namespace": "stopgap-system", "resourceVersion": "1"}, "spec": {"maxMode": "Wild"}}
    records.take(RemediationConfig, body)
    assert await sweeper.sweep() == 0
    assert [one["metadata"]["name"] for one in shop.items("incidents")] == ["old"]
