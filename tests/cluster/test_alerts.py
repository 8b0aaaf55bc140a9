"""Alerts begin incidents: posted as Alertmanager posts them, to the operator as a process, stored on a real API server, and acted on."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.alertmanager import Alertmanager, installed
from tests.cluster.cluster import Cluster
from tests.cluster.harness import OWN_NAMESPACE, ROOT, Operator, Shop, free_port, install, wait_for
from tests.cluster.reading import finding, told

pytestmark = pytest.mark.cluster

GOOD, NEXT = "shop/api:1.0", "shop/api:2.0"
TOKEN = "0123456789abcdef-platform"  # noqa: S105 - of this test alone
PAGED: dict[str, Any] = {
    "triggers": [
        {"name": "crash", "crashLoop": {}},
        {"name": "paged", "alert": {"matchLabels": {"alertname": "ApiHigh5xx"}}},
    ],
    "steps": [{"name": "undo", "when": {"triggers": ["paged"], "sources": ["Alert"]}, "rollback": {"minHealthyFor": "2s"}}],
}


@dataclass
class Sender:
    """Posts as Alertmanager does: again, until it is told 2xx."""

    port: int
    token: str = TOKEN

    def post(self, *alerts: dict[str, Any], **changes: Any) -> tuple[int, dict[str, Any]]:
        """Post one group; status 0: nobody listens."""
        body = {"version": "4", "groupKey": "g", "truncatedAlerts": 0, "alerts": list(alerts), **changes}
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/alerts", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - of our own making
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, {}

    def until_stored(self, *alerts: dict[str, Any]) -> None:
        """Post until it is stored. Nothing but success, or "come again", is ever answered."""
        deadline = time.monotonic() + 60
        while (status := self.post(*alerts)[0]) != 200:
            if status not in {0, 503} or time.monotonic() > deadline:
                raise AssertionError(f"answered {status}")
            time.sleep(0.2)


def alert(name: str, shop: Shop, *, state: str = "firing", starts: str = "", **labels: str) -> dict[str, Any]:
    """One alert about something in a namespace."""
    starts = starts or now()
    return {
        "status": state,
        "labels": {"alertname": name, "namespace": shop.name, **labels},
        "annotations": {"summary": f"{name} says so"},
        "startsAt": starts,
        "endsAt": now() if state == "resolved" else "0001-01-01T00:00:00Z",
        "fingerprint": f"{name}-{labels.get('deployment', '')}",
    }


def now() -> str:
    return datetime.now(UTC).isoformat()  # noqa: TID251 - a sender's own clock


def listed(shop: Shop) -> list[str]:
    """Return the names of all alerts in all incidents."""
    return sorted(entry["name"] for one in shop.items("incidents") for entry in one.get("status", {}).get("alerts", ()))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mounted") / "tokens"
    file.write_text(f"bearer {TOKEN}\n")
    return file


@pytest.fixture(scope="module")
def operator(control_plane: Cluster, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    install(control_plane)
    running = Operator(control_plane, tmp_path_factory.mktemp("operator"), environment=listening(tokens)).start()
    yield running
    running.stop()


def listening(tokens: Path) -> dict[str, str]:
    return {"STOPGAP_ALERTS_PORT": str(free_port()), "STOPGAP_ALERTS_TOKENS": str(tokens)}


def leader(operator: Operator) -> str:
    holder: str = operator.plane.get("lease", "stopgap", "-n", OWN_NAMESPACE)["spec"]["holderIdentity"]
    return holder


def sender_to(operator: Operator) -> Sender:
    return Sender(int(operator.environment["STOPGAP_ALERTS_PORT"]))


@pytest.fixture
def sender(operator: Operator) -> Sender:
    return sender_to(operator)


@pytest.fixture
def bound(sender: Sender, shop: Shop, tokens: Path) -> Sender:
    """A sender that may speak of this namespace only."""
    token = f"0123456789abcdef-{shop.name}"
    tokens.write_text(f"{tokens.read_text()}bearer {token} {shop.name}\n")
    return Sender(sender.port, token)


@pytest.fixture
def standby(operator: Operator, tokens: Path, tmp_path: Path) -> Iterator[Operator]:
    """A second copy, which does not lead."""
    running = Operator(operator.plane, tmp_path, environment=listening(tokens), name="standby").start()
    yield running
    running.stop()


def test_an_alert_told_to_the_standby_has_the_leader_roll_back_and_its_end_ends_the_incident(shop: Shop, standby: Operator) -> None:
    sender = sender_to(standby)
    shop.policy(**PAGED)
    shop.deploy(GOOD)
    shop.settle()
    shop.release(NEXT)
    shop.settle()
    firing = alert("ApiHigh5xx", shop, deployment="api")

    began = time.monotonic()
    assert sender.post(firing)[0] == 200
    wait_for("the release is undone", lambda: shop.image() == GOOD, seconds=10)
    assert time.monotonic() - began < 3
    (one,) = shop.items("incidents")
    assert one["spec"]["source"] == {"type": "Alert", "name": "ApiHigh5xx", "fingerprint": "ApiHigh5xx-api"}
    assert one["spec"]["targetRef"]["name"] == "api"

    # It is not proved while the alert fires, however well the pods are.
    wait_for("it is rolled out", lambda: shop.get("deployment", "api")["status"].get("availableReplicas") == 3)
    assert shop.items("remediations")[0]["status"]["state"] == "Verifying"
    assert sender.post({**firing, "status": "resolved", "endsAt": now()})[0] == 200
    resolved = shop.incident(phase="Resolved")
    assert finding(resolved, "paged")["state"] == "Quiet"
    assert [entry["state"] for entry in resolved["status"]["alerts"]] == ["Resolved"]
    assert [one for one in told(resolved) if one != "AlertFiring"] == ["Detected", "Executed", "AlertResolved", "Mitigated", "Resolved"]
    assert len(shop.deployment_writes()[0]) == 1
    assert leader(standby) == "operator"

    # A replay of what is over opens nothing, and undoes nothing.
    assert sender.post(firing) == (200, {"alerts": 1, "writes": 0})
    assert len(shop.items("incidents")) == 1


def test_the_same_three_alerts_many_times_at_once_are_one_incident_and_four_writes(shop: Shop, sender: Sender) -> None:
    shop.deploy(GOOD)
    shop.settle()
    firing = [alert(f"Often{number}", shop, deployment="api") for number in range(3)]
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda number: sender.post(firing[number % 3]), range(300)))
    assert {status for status, _ in answers} == {200}
    assert len(shop.items("incidents")) == 1
    assert listed(shop) == ["Often0", "Often1", "Often2"]
    assert sum(body["writes"] for _, body in answers) == 4
    assert [entry["verb"] for entry in shop.writes() if entry["objectRef"]["resource"] == "incidents"].count("create") == 1
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert sender.post(firing[0]) == (200, {"alerts": 1, "writes": 0})
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.05


def test_killed_in_the_middle_of_sixty_groups_it_loses_none_and_doubles_none(shop: Shop, bound: Sender, operator: Operator) -> None:
    shop.deploy(GOOD)
    shop.settle()
    about_api = [alert(f"Api{number}", shop, deployment="api") for number in range(10)]
    records = [alert(f"Record{number}", shop) for number in range(50)]
    some_are_stored, taken = threading.Event(), []

    def deliver(group: dict[str, Any]) -> None:
        for _ in range(3):
            bound.until_stored(group)
            taken.append(group)
            if len(taken) > 50:
                some_are_stored.set()

    with ThreadPoolExecutor(8) as threads:
        delivered = [threads.submit(deliver, group) for group in (*about_api, *records)]
        some_are_stored.wait(30)
        operator.kill()
        acknowledged, stored = {group["labels"]["alertname"] for group in taken}, set(listed(shop))
        operator.start()
        for one in delivered:
            one.result()
    assert 5 < len(acknowledged) < 60
    assert acknowledged <= stored
    incidents = shop.items("incidents")
    assert listed(shop) == sorted(group["labels"]["alertname"] for group in (*about_api, *records))
    assert len(incidents) == 51
    assert len([one for one in incidents if "targetRef" in one["spec"]]) == 1


@pytest.mark.parametrize("label", ["../kube-system", "kube-system", "kube-system/../x"])
def test_who_is_bound_to_a_namespace_reaches_no_other_by_any_label(shop: Shop, bound: Sender, label: str) -> None:
    hostile = alert("Hostile", shop, deployment="coredns", pod="../../secrets/x", service="..")
    hostile["labels"]["namespace"] = label
    assert bound.post(hostile)[0] == 200
    one = shop.incident()
    assert "targetRef" not in one["spec"]
    assert "which its sender may not" in one["spec"]["description"]
    wait_for("it is told as a record", lambda: shop.items("incidents")[0].get("status", {}).get("decision", {}).get("refusals"))
    assert bound.post(version="3")[0] == 422
    assert Sender(bound.port, "wrong-wrong-wrong-wrong").post(hostile)[0] == 401


def test_a_real_alertmanager_comes_again_until_it_is_stored_repeats_itself_in_vain_and_tells_the_end(
    shop: Shop, sender: Sender, operator: Operator, tmp_path: Path
) -> None:
    shop.deploy(GOOD)
    shop.settle()
    labels = {"alertname": "Real", "namespace": shop.name, "deployment": "api", "severity": "critical"}
    with Alertmanager(tmp_path, f"http://127.0.0.1:{sender.port}/alerts", TOKEN).running() as alertmanager:
        operator.kill()
        alertmanager.tell(labels)
        wait_for("its first try finds nobody", lambda: alertmanager.count("alertmanager_notification_requests_failed_total") > 0)
        operator.start()
        one = wait_for("it is told again", lambda: shop.items("incidents") and shop.incident().get("status", {}).get("alerts"))
        assert [(entry["name"], entry["state"], entry["summary"]) for entry in one] == [("Real", "Firing", "told by Prometheus")]
        wait_for("it was looked into, which is written last", lambda: shop.incident().get("status", {}).get("evidence"))
        version = shop.incident()["metadata"]["resourceVersion"]
        again = alertmanager.count("alertmanager_notifications_total")
        wait_for("it repeats itself", lambda: alertmanager.count("alertmanager_notifications_total") > again)
        assert shop.incident()["metadata"]["resourceVersion"] == version

        alertmanager.tell(labels, ends=now())
        wait_for("its end is told", lambda: shop.incident()["status"]["alerts"][0]["state"] == "Resolved")
    assert len(shop.items("incidents")) == 1


def test_alertmanager_understands_the_sample_configuration() -> None:
    installed()
    subprocess.run(["amtool", "check-config", str(ROOT / "manifests/samples/alertmanager/alertmanager.yml")], check=True, timeout=30)
