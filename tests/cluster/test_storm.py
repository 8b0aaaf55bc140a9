"""Fifty of a hundred workloads turn bad at once: at most three actions, then none, and one call for people. Judged by the audit log."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.harness import KNOWN_GOOD_AFTER, OWN_NAMESPACE, Operator, Shop, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD, FIXED = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:3.0"
MANY = 50
NAMESPACES = "storm-ill", "storm-well"
QUIET_WINDOW = timedelta(seconds=20)
MANY_ACTIONS = {"count": 1000, "within": "1h"}


@pytest.fixture(scope="module")
def calm_after(control_plane: Cluster, operator: Operator) -> Iterator[None]:
    """A short quiet window, and budgets that are not what holds back."""
    spec = {
        "stormBreaker": {"cooldown": f"{QUIET_WINDOW.seconds}s"},
        "budgets": {"perTarget": MANY_ACTIONS, "perNamespace": MANY_ACTIONS, "cluster": MANY_ACTIONS},
    }
    meta = {"name": "stopgap", "namespace": OWN_NAMESPACE}
    body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationConfig", "metadata": meta, "spec": spec}
    control_plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))
    yield
    for name in NAMESPACES:
        Shop(control_plane, name).leave()
    control_plane.kubectl("delete", "remediationconfig", "stopgap", "-n", OWN_NAMESPACE)
    # What Kopf tries again by itself while the CRDs are new is no error of ours.
    assert [one for one in operator.errors() if "will retry" not in one] == []


def populated(control_plane: Cluster, name: str) -> Shop:
    """A namespace with many workloads that a policy is about."""
    made = Shop(control_plane, name).create()
    made.policy(
        guards={"cooldown": "1s", "maxActions": MANY_ACTIONS},
        verification={"healthyFor": "6s", "timeout": "2m"},
        resolution={"after": "1h"},
    )
    made.apply(*(deployment(f"w{number:02}") for number in range(MANY)))
    return made


def deployment(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": GOOD}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"tier": "web"}}, "spec": spec}


def available(place: Shop) -> int:
    return sum(1 for one in place.get("deployments")["items"] if one.get("status", {}).get("availableReplicas") == 1)


def refused(place: Shop) -> list[dict[str, Any]]:
    """The refusals of this namespace's incidents for the storm."""
    listed = [one for each in place.items("incidents") for one in each.get("status", {}).get("decision", {}).get("refusals", [])]
    return [one for one in listed if one["reason"] == "StormActive"]


def writes(place: Shop) -> int:
    return len(place.deployment_writes()[0])


def breakers(plane: Cluster) -> dict[str, str]:
    lease = json.loads(plane.kubectl("get", "lease", "stopgap", "-n", OWN_NAMESPACE, "-o", "json"))
    found: dict[str, str] = lease["metadata"].get("annotations", {})
    return {key: text for key, text in found.items() if "storm" in key}


def events(plane: Cluster) -> Counter[str]:
    listed = json.loads(plane.kubectl("get", "events.events.k8s.io", "-n", OWN_NAMESPACE, "-o", "json"))["items"]
    return Counter(one["reason"] for one in listed if one["regarding"]["kind"] == "RemediationConfig")


@pytest.mark.usefixtures("calm_after")
def test_a_storm_in_one_namespace_stops_new_actions_there_and_nothing_else(control_plane: Cluster, operator: Operator) -> None:
    told_before = events(control_plane)
    ill, well = (populated(control_plane, name) for name in NAMESPACES)
    wait_for("everything runs", lambda: available(ill) + available(well) == 2 * MANY, seconds=60)
    since = time.monotonic()
    wait_for("it has run for long enough to be known good", lambda: time.monotonic() - since > KNOWN_GOOD_AFTER + 1)

    ill.kubectl("set", "image", "deployment", "--all", f"app={BAD}")
    wait_for("an incident of each", lambda: len(ill.items("incidents")) == MANY, seconds=60)
    wait_for("those that are not acted on say why", lambda: len(refused(ill)) >= MANY - 3, seconds=60)
    wait_for("people are called", lambda: (events(control_plane) - told_before)["StormActive"], seconds=15)
    acted = writes(ill)
    assert acted <= 3
    assert all(one["status"]["phase"] for one in ill.items("incidents"))
    assert "are ill in namespace storm-ill" in refused(ill)[0]["message"]
    assert list(breakers(control_plane)) == ["storm.stopgap.dev/storm-ill"]
    wait_for("what was done is proved", lambda: all(one["status"].get("endedAt") for one in ill.items("remediations")), seconds=60)

    # The other namespace is not concerned.
    well.release(BAD, name="w00")
    wait_for("the one of the other namespace is undone", lambda: writes(well) == 1, seconds=60)

    # A restart forgets nothing and calls nobody again.
    operator.kill()
    operator.start()
    lacking = [one["spec"]["targetRef"]["name"] for one in ill.items("incidents") if one["status"]["phase"] == "Triaged"]
    assert writes(ill) == acted
    assert breakers(control_plane)["storm.stopgap.dev/storm-ill"].startswith("Open since")

    # Most are repaired by hand. Until it has been quiet for long enough, nothing is done for those that are left.
    ill.kubectl("set", "image", "deployment", *lacking[:-3], f"app={FIXED}")
    wait_for("it is said how long", lambda: [one for one in refused(ill) if one.get("until")], seconds=60)
    cooling = breakers(control_plane)["storm.stopgap.dev/storm-ill"]
    assert cooling.startswith("CoolingDown since")
    wait_for("those that are left are undone after it", lambda: writes(ill) == acted + 3, seconds=90)
    wait_for("people are told that it is over", lambda: (events(control_plane) - told_before)["StormOver"], seconds=15)
    # That nothing was done before, is read from the audit log: a busy machine may look at it only after the window.
    late = [datetime.fromisoformat(one["requestReceivedTimestamp"]) for one in ill.deployment_writes()[0]][acted:]
    assert min(late) >= datetime.fromisoformat(cooling.split()[2].rstrip(",")) + QUIET_WINDOW
    wait_for("the Lease says so with its next renewal", lambda: breakers(control_plane) == {}, seconds=10)
    assert events(control_plane) - told_before == {"StormActive": 1, "StormOver": 1}
