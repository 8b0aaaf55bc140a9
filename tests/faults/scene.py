"""One fault test's scene: a namespace of its own, the fault proxy, operators that connect through it, and the verdict at the end."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.harness import LAST_ACTION, OWN_NAMESPACE, Operator, Shop, install, wait_for
from tests.faults.proxy import FaultProxy, Match

GOOD, BAD, BETTER = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:3.0"
ACT = Match.patch("deployments", body="/spec/template")
"""The write that acts; the text tells it from the one that gives the fields back."""


@dataclass
class Scene:
    """What a fault test works with."""

    plane: Cluster
    proxy: FaultProxy
    shop: Shop
    directory: Path
    operators: list[Operator] = field(default_factory=list)

    def operator(self, name: str = "operator", *arguments: str) -> Operator:
        """Start an operator whose only way to the API server is the proxy."""
        # A copy that follows another one has a log of its own.
        directory = self.directory / f"{len(self.operators)}-{name}"
        directory.mkdir()
        made = Operator(self.plane, directory, server=self.proxy.url, ca_file=self.proxy.ca_file, arguments=arguments, name=name)
        self.operators.append(made)
        return made.start()

    def healthy(self, **policy: Any) -> None:
        """Bring up the workload, and wait until its revision is known to be good."""
        self.shop.policy(**policy)
        self.shop.deploy(GOOD)
        self.shop.settle()

    def leader(self) -> str:
        """Return who holds the Lease."""
        leases = self.plane.get("leases", "-n", OWN_NAMESPACE)["items"]
        return next((one["spec"].get("holderIdentity", "") for one in leases if one["metadata"]["name"] == "stopgap"), "")

    def remediation(self, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the one remediation to be in one of these states."""

        def found() -> dict[str, Any] | None:
            return next((one for one in self.shop.items("remediations") if state_of(one) in states), None)

        return wait_for(f"a remediation that is {' or '.join(states)}", found, seconds=seconds) or {}

    def undone_once(self, *, seconds: float = 60, held_back: tuple[str, ...] = ()) -> dict[str, Any]:
        """Wait until the incident is over; judge that the release was undone by one write, and that the record is complete.

        `held_back`: reasons that stood against the action at first, and that the timeline tells between what was found and what was done.
        """
        shop = self.shop
        incident = shop.incident(phase="Resolved", seconds=seconds)
        (remediation,) = shop.items("remediations")
        wait_for("the fields are given back", lambda: shop.items("remediations")[0]["status"].get("fieldsReturned"))
        told = [entry["type"] for entry in incident["status"]["timeline"]]
        assert told == ["Detected", "CrashLoop", *held_back, "Executed", "Mitigated", "Resolved"], told
        assert [one["metadata"]["name"] for one in shop.items("incidents")] == ["api-1"]
        assert remediation["status"]["state"] == "Succeeded"
        assert remediation["status"]["executedAt"]
        after = shop.get("deployment", "api")
        assert after["metadata"]["annotations"][LAST_ACTION] == remediation["metadata"]["uid"]
        assert "stopgap" not in [one["manager"] for one in after["metadata"]["managedFields"]]
        assert shop.image() == GOOD
        self.wrote_the_spec(1)
        return remediation

    def wrote_the_spec(self, times: int) -> None:
        """Judge by the audit log how often the workload's spec was written."""
        spec, metadata = self.shop.deployment_writes()
        assert len(spec) == times
        assert len(metadata) <= 1
        assert self.shop.foreign_writes() == []


def state_of(remediation: dict[str, Any]) -> str:
    """Return the state; an object without status was only intended."""
    state: str = remediation.get("status", {}).get("state", "Pending")
    return state


def stays(what: str, ask: Callable[[], bool], *, seconds: float) -> None:
    """Ask for so long, and fail as soon as it is not so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not ask():
            raise AssertionError(f"{what}: not any more")


def tracebacks(operator: Operator) -> list[str]:
    """Return what was logged with a traceback: a fault is met with a retry, never with an exception nobody expected."""
    lines = [line for line in operator.log_file.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line).get("severity") in {"error", "critical"}]


@pytest.fixture(scope="session")
def installed(control_plane: Cluster) -> Cluster:
    install(control_plane)
    return control_plane


@pytest.fixture
def scene(installed: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    name = f"shop-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"
    shop = Shop(installed, name).create()
    with FaultProxy(installed.server, installed.ca_file, tmp_path / "proxy") as proxy:
        made = Scene(installed, proxy, shop, tmp_path)
        try:
            yield made
        finally:
            for one in made.operators:
                one.kill()
            shop.leave()
            # The next operator need not wait for the Lease of one that was killed.
            installed.kubectl("delete", "lease", "stopgap", "-n", OWN_NAMESPACE, "--ignore-not-found")
    if errors := [line for one in made.operators for line in tracebacks(one)]:
        raise AssertionError("an operator logged errors:\n" + "\n".join(errors))
