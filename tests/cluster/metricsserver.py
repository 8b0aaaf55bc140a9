"""The real metrics-server, registered as an aggregated API, for the tests that need what pods use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.controlplane import ControlPlane
from tests.cluster.harness import free_port, wait_for
from tests.cluster.processes import end, spawn

API = "v1beta1.metrics.k8s.io"


@contextmanager
def metrics_server(plane: Cluster) -> Iterator[None]:
    """Run it for as long; it has its first figures after two looks at the nodes, 10 seconds apart."""
    if not isinstance(plane, ControlPlane):
        pytest.skip("resourceUsage against a real metrics-server went untested: what pods use can be told to our own control plane only")
    port = free_port()
    running = spawn(plane.programs.metrics_server(port), log=plane.logs / "metrics-server.log", environment=dict(os.environ))
    plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(_registration(port)))

    def served() -> bool:
        assert running.alive(), (plane.logs / "metrics-server.log").read_text()[-2000:]
        try:
            return bool(plane.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1"))
        except KubectlError:
            return False

    try:
        wait_for("the metrics API is served", served)
        yield
    finally:
        # Its API first: one that is registered and does not answer keeps every namespace from being deleted.
        plane.kubectl("delete", "apiservice", API)
        plane.kubectl("-n", "kube-system", "delete", "service", "metrics-server")
        end([running], patience=5)


def _registration(port: int) -> Iterator[dict[str, Any]]:
    service = {"name": "metrics-server", "namespace": "kube-system"}
    # No network leads to a Service here, so it stands for a name of this very machine.
    yield {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {**service, "port": port},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    yield {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API}, "spec": spec}
