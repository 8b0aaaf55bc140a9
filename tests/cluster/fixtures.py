"""The control plane of the cluster tests: one for each pytest worker, or the cluster of STOPGAP_TEST_KUBECONFIG."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.build import installed
from tests.cluster.cluster import Cluster
from tests.cluster.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a control plane that ends with the worker."""
    directory = tmp_path_factory.mktemp("control-plane")
    given = os.environ.get("STOPGAP_TEST_KUBECONFIG")
    if given:
        yield Cluster(directory, Path(given).resolve(), installed() / "kubectl")
        return
    with ControlPlane(directory) as plane:
        yield plane
