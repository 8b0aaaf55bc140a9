"""Signals that the pods themselves tell when they are asked: what they log, by the kubelet, and what they use, by a real metrics-server."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.cluster import kwok
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.harness import Shop, wait_for
from tests.cluster.metricsserver import metrics_server
from tests.cluster.reading import finding
from tests.cluster.test_polled import BAD, at_work, signals, undone

pytestmark = pytest.mark.cluster

PAYMENT = "ERROR payment {} of 8f14e45f-ceea-467f-a0e6-{:012d} failed for ana@example.com: password=hunter2 \x1b[31m<b>"
FOLDED = "ERROR payment # of … failed for [redacted]: password=[redacted] <b>"


@pytest.fixture
def pod_log(control_plane: Cluster) -> Iterator[Any]:
    """Write lines that every simulated container has written, and take them back."""
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("logErrors against a kubelet went untested: what pods log can be told to our own control plane only")
    file = control_plane.pod_log
    before = file.read_text()

    def say(*messages: str) -> None:
        with file.open("a") as opened:
            opened.write(kwok.log_lines(*messages))

    yield say
    file.write_text(before)


def test_error_lines_after_a_release_undo_it_and_of_the_lines_only_their_shape_is_told(shop: Shop, pod_log: Any) -> None:
    ended = threading.Event()

    def fail() -> None:
        count = 0
        while not ended.wait(0.2):
            with suppress(KubectlError):  # there is no workload yet
                bad = shop.image() == BAD
                count += 1
                pod_log(*(PAYMENT.format(count, count) if bad else "ERROR cart: try again" for _ in range(5)))

    failing = threading.Thread(target=fail, daemon=True)
    failing.start()
    try:
        at_work(shop, {"logErrors": {"pattern": "ERROR payment", "above": 20, "within": "2s", "interval": "1s"}})
        assert signals(shop)["status"] == "True"
        shop.release(BAD)
        incident = undone(shop)
    finally:
        ended.set()
        failing.join()
    found = finding(incident, "signal")
    assert found["type"] == "LogErrors"
    assert " containers within 2s match ERROR payment; most frequent (" in found["message"]
    assert f"'{FOLDED}'" in found["message"]
    told = json.dumps(incident) + shop.kubectl("get", "rem,events", "-o", "json")
    assert not [one for one in ("hunter2", "ana@", "467f", "\\u001b") if one in told]


def test_where_more_is_logged_than_is_read_nothing_is_concluded(shop: Shop, pod_log: Any) -> None:
    shop.policy(triggers=[{"name": "signal", "logErrors": {"pattern": "ERROR payment", "above": 20, "interval": "1s"}}])
    shop.deploy(replicas=1)
    wait_for("the signal is known", lambda: signals(shop).get("status") == "True")
    pod_log(*["INFO fine"] * 12_000)
    wait_for("the policy says why not any more", lambda: signals(shop).get("status") == "False")
    assert "and there may be more: logs that are longer than is read of one: 1" in signals(shop)["message"]
    assert shop.items("incidents") == []


def using(cpu: str, memory: str) -> dict[str, Any]:
    """Return a pod that asks for one core and 1 GiB, and uses so much."""
    usage = {"kwok.x-k8s.io/usage-cpu": cpu, "kwok.x-k8s.io/usage-memory": memory}
    container = {"name": "app", "image": "shop/api:1.0", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    return {"metadata": {"annotations": usage}, "spec": {"containers": [container]}}


def test_pods_that_use_more_than_they_ask_for_are_found_and_the_others_are_quiet(shop: Shop, control_plane: Cluster) -> None:
    usage = {"cpuAbove": "90%", "memoryAbove": "90%", "for": "1s", "interval": "1s"}
    shop.policy(triggers=[{"name": "signal", "resourceUsage": usage}], steps=[])
    for name, template in (("busy", using("1500m", "128Mi")), ("calm", using("500m", "512Mi"))):
        pod = {**template, "metadata": {**template["metadata"], "labels": {"app": name}}}
        shop.deploy(name=name, replicas=1, template=pod)
    wait_for("the policy says what is missing", lambda: signals(shop).get("status") == "False")
    assert "this cluster has no metrics.k8s.io API: install metrics-server" in signals(shop)["message"]
    with metrics_server(control_plane):
        wait_for("it is told", lambda: shop.incident(name="busy-1", seconds=90).get("status", {}).get("findings"))
        found = finding(shop.incident(name="busy-1"), "signal")
        wait_for("the signal is known of both", lambda: signals(shop).get("status") == "True")
    assert found["type"] == "ResourceUsage"
    # About 150: the nodes are asked a moment before or after they tell.
    assert re.match(r"cpu is at 1\d\d % of the requests of 1 pod, above 90 %; ", found["message"])
    assert [one["metadata"]["name"] for one in shop.items("incidents")] == ["busy-1"]
