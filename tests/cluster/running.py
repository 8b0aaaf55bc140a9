"""Fixtures of the tests that run the operator: one running copy for a module, one namespace for a test."""

import hashlib
from collections.abc import Iterator

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.harness import Operator, Shop, install


@pytest.fixture(scope="module")
def operator(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    install(control_plane)
    running = Operator(control_plane, tmp_path_factory.mktemp("operator")).start()
    yield running
    running.stop()


@pytest.fixture
def shop(control_plane: Cluster, operator: Operator, request: pytest.FixtureRequest) -> Iterator[Shop]:
    name = f"shop-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    made = Shop(control_plane, name).create()
    yield made
    made.leave()
    if errors := operator.errors():
        raise AssertionError("the operator logged errors:\n" + "\n".join(errors))
