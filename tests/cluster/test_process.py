"""The process around the decisions: how it starts, waits, recovers, is watched, and ends. Never with a traceback."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.controlplane import ControlPlane
from tests.cluster.harness import OWN_NAMESPACE, ROOT, Operator, Shop, free_port, install, wait_for
from tests.faults.proxy import FaultProxy, Match

from stopgap.codegen.rbac import render_rbac

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
Operators = Callable[..., Operator]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane of its own, with nothing installed, for a test that breaks it."""
    if os.environ.get("STOPGAP_TEST_KUBECONFIG"):
        pytest.skip("starting without CRDs, a restarted API server and a namespaced installation need a control plane of their own")
    with ControlPlane(tmp_path / "plane") as plane:
        yield plane


@pytest.fixture
def operators(tmp_path: Path) -> Iterator[Operators]:
    """Make operators whose files lie in the test's folder, and that do not outlive it."""
    made: list[Operator] = []

    def make(plane: Cluster, **fields: Any) -> Operator:
        made.append(Operator(plane, tmp_path, **fields))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture
def space(control_plane: Cluster, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A namespace on the shared control plane, and no operator yet."""
    install(control_plane)
    made = Shop(control_plane, f"process-{request.node.name[5:40].strip('-_[').replace('_', '-')}").create()
    yield made
    made.leave()


def ended_well(operator: Operator) -> None:
    """End the operator as the kubelet would; judge its exit and its log."""
    operator.stop()
    assert operator.process is not None
    assert operator.process.returncode == 0
    assert operator.errors() == []
    assert "Traceback" not in operator.log_file.read_text()


def undone(shop: Shop) -> None:
    shop.release(BAD)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1


def healthy(shop: Shop) -> None:
    shop.policy()
    shop.deploy(GOOD)
    shop.settle()


def holder(plane: Cluster) -> str:
    leases = plane.get("leases", "-n", OWN_NAMESPACE)["items"]
    return next((one["spec"].get("holderIdentity", "") for one in leases if one["metadata"]["name"] == "stopgap"), "")


# ----------------------------------------------------------------------------------------------------------- starting


def test_without_crds_it_is_alive_and_says_what_to_apply_and_goes_on_by_itself(fresh: ControlPlane, operators: Operators) -> None:
    fresh.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests" / "rbac.yaml"))
    operator = operators(fresh).start(ready=False)
    wait_for("it has asked", lambda: "custom resource definitions" in operator.ask("/readyz")[1])
    status, why = operator.ask("/readyz")
    assert status == 503
    assert "the custom resource definitions are missing (clusterremediationpolicies, incidents, " in why
    assert "apply crds/" in why
    assert operator.ask("/healthz") == (200, "ok\n")
    install(fresh)
    wait_for("it is ready without a restart", operator.is_ready, seconds=20)
    shop = Shop(fresh, "shop").create()
    healthy(shop)
    undone(shop)
    ended_well(operator)


def test_it_can_be_ended_while_it_waits_for_the_crds(fresh: ControlPlane, operators: Operators) -> None:
    fresh.kubectl("apply", "--server-side", "-f", str(ROOT / "manifests" / "rbac.yaml"))
    operator = operators(fresh).start(ready=False)
    wait_for("it has asked", lambda: "custom resource definitions" in operator.ask("/readyz")[1])
    ended_well(operator)


def test_while_the_api_server_is_away_at_the_start_it_is_alive_and_says_so_and_goes_on_by_itself(
    space: Shop, operators: Operators, tmp_path: Path
) -> None:
    with FaultProxy(space.plane.server, space.plane.ca_file, tmp_path / "proxy") as proxy:
        proxy.cut()
        operator = operators(space.plane, server=proxy.url, ca_file=proxy.ca_file).start(ready=False)
        wait_for("it has asked", lambda: "cannot be asked" in operator.ask("/readyz")[1])
        status, why = operator.ask("/readyz")
        assert (status, operator.ask("/healthz")[0]) == (503, 200)
        assert why.startswith("the API server cannot be asked: ")
        assert "/apis/stopgap.dev/v1alpha1: Unreachable: Cannot connect" in why
        proxy.mend()
        wait_for("it is ready without a restart", operator.is_ready, seconds=20)
        ended_well(operator)


# ----------------------------------------------------------------------------------------------------------- recovering


def test_an_api_server_that_is_restarted_under_an_incident_finds_one_action(fresh: ControlPlane, operators: Operators) -> None:
    install(fresh)
    operator = operators(fresh).start()
    shop = Shop(fresh, "shop").create()
    healthy(shop)
    shop.kubectl("annotate", "rpol", "web", "stopgap.dev/pause=not yet")
    shop.release(BAD)
    shop.refusals(reason="Paused")
    fresh.stop_api_server()
    wait_for("it notices", lambda: "no longer leads" in operator.log_file.read_text(), seconds=20)
    assert operator.ask("/healthz") == (200, "ok\n")
    fresh.start_api_server()
    wait_for("it leads again", lambda: holder(fresh) == "operator", seconds=30)
    shop.kubectl("annotate", "rpol", "web", "stopgap.dev/pause-")
    wait_for("the release is undone", lambda: shop.image() == GOOD, seconds=60)
    # The cluster's own controllers take up to a minute to come back; the proof waits for them.
    shop.incident(phase="Resolved", seconds=120)
    assert len(shop.deployment_writes()[0]) == 1
    assert [one["metadata"]["name"] for one in shop.items("incidents")] == ["api-1"]
    assert operator.is_ready()
    ended_well(operator)


def test_a_watch_that_is_refused_makes_it_unready_with_the_reason_until_it_works_again(
    space: Shop, operators: Operators, tmp_path: Path
) -> None:
    with FaultProxy(space.plane.server, space.plane.ca_file, tmp_path / "proxy") as proxy:
        operator = operators(space.plane, server=proxy.url, ca_file=proxy.ca_file).start()
        healthy(space)
        refused = proxy.fail(Match.watch("pods"), 403, times=None)
        proxy.cut()
        proxy.mend()
        wait_for("it is not ready", lambda: operator.ask("/readyz")[0] == 503, seconds=20)
        assert re.match(r"watch of /api/v1/pods: watch /api/v1/pods: 403", operator.ask("/readyz")[1])
        assert operator.ask("/healthz") == (200, "ok\n")
        refused.cancel()
        wait_for("it is ready again", operator.is_ready, seconds=40)
        undone(space)
        ended_well(operator)


# ----------------------------------------------------------------------------------------------------------- where it works


def test_in_two_namespaces_it_needs_no_right_beyond_them(fresh: ControlPlane, operators: Operators) -> None:
    fresh.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    shops = {name: Shop(fresh, name).create(allowed=False) for name in ("shop", "desk", "other")}
    fresh.kubectl("apply", "--server-side", "-f", "-", stdin=render_rbac(["shop", "desk"]))
    subjects = [
        one
        for binding in fresh.get("clusterrolebindings")["items"]
        for one in binding.get("subjects", [])
        if one["kind"] == "ServiceAccount" and one.get("namespace") == OWN_NAMESPACE
    ]
    assert subjects == []
    operator = operators(fresh, arguments=("--namespace", "shop", "-n", "desk")).start()
    for shop in shops.values():
        shop.allow()
        shop.policy()
        shop.deploy(GOOD)
    for shop in shops.values():
        shop.settle()
        shop.release(BAD)
    for name in ("shop", "desk"):
        shops[name].incident(phase="Mitigated")
        assert shops[name].image() == GOOD
    assert shops["other"].items("incidents") == []
    assert shops["other"].image() == BAD
    assert shops["other"].get("rpol", "web").get("status") is None
    refused = [entry["requestURI"] for entry in fresh.audit() if entry["user"]["username"].endswith(":stopgap") and status(entry) == 403]
    assert refused == []
    ended_well(operator)


def status(entry: dict[str, Any]) -> int:
    code: int = entry.get("responseStatus", {}).get("code", 0)
    return code


@pytest.mark.parametrize(
    ("name", "arguments", "environment"),
    [
        pytest.param("kopf-everywhere", ("-A",), {}, id="everywhere"),
        pytest.param("kopf-in-one", ("-n", "kopf-in-one"), {"STOPGAP_NAMESPACE": "kopf-in-one"}, id="in one namespace"),
    ],
)
def test_kopf_run_works_too(
    control_plane: Cluster, operators: Operators, name: str, arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    install(control_plane)
    shop = Shop(control_plane, name).create()
    program = ("kopf", "run", "--log-format=json", "-m", "stopgap.handlers")
    operator = operators(control_plane, program=program, arguments=arguments, environment=environment).start()
    healthy(shop)
    undone(shop)
    ended_well(operator)
    shop.leave()


# ----------------------------------------------------------------------------------------------------------- being watched


def test_the_metrics_count_what_was_done(space: Shop, operators: Operators) -> None:
    operator = operators(space.plane).start()
    healthy(space)
    before = metrics(operator)
    undone(space)
    space.incident(phase="Resolved")
    wait_for("the gauge follows", lambda: metrics(operator)["stopgap_open_incidents"] == 0)
    after = metrics(operator)
    labels = f'action="Rollback",namespace="{space.name}"'
    assert after[f'stopgap_incidents_opened_total{{namespace="{space.name}"}}'] == 1
    assert after[f'stopgap_incidents_closed_total{{namespace="{space.name}"}}'] == 1
    assert after[f'stopgap_actions_total{{{labels},state="Verifying"}}'] == 1
    assert after[f'stopgap_remediations_ended_total{{{labels},state="Succeeded"}}'] == 1
    assert (after["stopgap_leading"], after["stopgap_synced"]) == (1, 1)
    assert after["stopgap_workloads"] >= 1
    patches = 'stopgap_api_requests_total{code="200",resource="deployments",verb="patch"}'
    assert after[patches] - before.get(patches, 0) == 2, "the action, and the return of the fields"
    assert after['stopgap_api_request_seconds_count{verb="patch"}'] > 0
    # A namespace of another test that is just being deleted may count as an error; this one's looks did not fail.
    assert not [line for line in operator.log_file.read_text().splitlines() if "a look failed" in line and space.name in line]
    assert "api" not in {match for name in after for match in re.findall(r'="([^"]*)"', name)}, "names of workloads are no labels"
    ended_well(operator)


def metrics(operator: Operator) -> dict[str, float]:
    """Return each sample of /metrics by its name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_a_standby_is_ready_and_warm_and_leads_as_soon_as_the_leader_is_told_to_end(space: Shop, operators: Operators) -> None:
    leader = operators(space.plane, name="a").start()
    wait_for("a leads", lambda: holder(space.plane) == "a")
    standby = operators(space.plane, name="b").start()
    healthy(space)
    wait_for("b is warm", lambda: metrics(standby)["stopgap_synced"] == 1)
    assert standby.ask("/readyz") == (200, "ok\n")
    assert metrics(standby)["stopgap_leading"] == 0
    ended_well(leader)
    # Sooner than the Lease of a leader that was killed would have run out.
    wait_for("b leads", lambda: holder(space.plane) == "b", seconds=4)
    undone(space)
    ended_well(standby)


# ----------------------------------------------------------------------------------------------------------- the command


def stopgap(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stopgap", *arguments]
    whole = {**os.environ, "PYTHONSAFEPATH": "1", "STOPGAP_HOST": "127.0.0.1", **environment}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        pytest.param(("--help",), ("run the operator against the cluster of KUBECONFIG", "generate"), id="stopgap --help"),
        pytest.param(("run", "--help"), ("--namespace", "repeatable", "--own-namespace", "--no-lease", "default: 8080"), id="run --help"),
    ],
)
def test_help_is_given_by(arguments: tuple[str, ...], facts: tuple[str, ...]) -> None:
    ran = stopgap(*arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    said = " ".join(ran.stdout.split())
    assert all(fact in said for fact in facts), said


KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "there is no such kubeconfig", id="a file that is not there"),
        pytest.param("not: [yaml", "the kubeconfig cannot be used: while parsing a flow sequence", id="a file that is no YAML"),
        pytest.param("hello", "the kubeconfig cannot be used: it is no kubeconfig", id="a file that is no kubeconfig"),
        pytest.param(KUBECONFIG, "Expected key current-context", id="no current context"),
        pytest.param(f"{KUBECONFIG}current-context: x", "its user has no credentials", id="nobody to be"),
    ],
)
def test_a_bad_kubeconfig_is_one_sentence_and_exit_1(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    ran = stopgap("run", "--health-port", "0", "--metrics-port", "0", KUBECONFIG=str(path))
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("stopgap: ")
    assert said in line
    assert str(path) in line


@pytest.mark.parametrize("what", ["health", "metrics"])
def test_a_port_that_is_taken_is_named_and_exit_1(control_plane: Cluster, what: str) -> None:
    install(control_plane)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"health": free_port(), "metrics": free_port(), what: taken.getsockname()[1]}
        flags = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
        ran = stopgap("run", *flags, KUBECONFIG=str(control_plane.kubeconfig))
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f"stopgap: cannot listen on 127.0.0.1:{ports[what]} for {what}: ")
    assert f"Choose another with --{what}-port" in last


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        pytest.param((), {"STOPGAP_HEALTH_PORT": "http"}, "STOPGAP_HEALTH_PORT is 'http'; a port is a number", id="a port in words"),
        pytest.param(("-n", "Shop"), {}, "'Shop' cannot be the name of a namespace", id="a namespace that cannot be"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_one_sentence(arguments: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    ran = stopgap("run", *arguments, **environment)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"stopgap: {said}")
    assert len(ran.stderr.splitlines()) == 1
