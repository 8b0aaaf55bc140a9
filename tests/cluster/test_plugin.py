"""`kubectl stopgap` on the real API server: every verb, on one bad release and what follows from it; and who may not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, policy, wait_for
from typer.testing import CliRunner

from stopgap.cli.main import app, candidates

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
STEPS = [
    {"name": "undo", "when": {"triggers": ["crash"], "changedWithin": "30m"}, "rollback": {"minHealthyFor": "2s"}},
    {"name": "more", "when": {"severities": ["P4"]}, "scale": {"by": "1", "max": 9}, "revert": {"upon": "Manual"}},
]
SPEC: dict[str, Any] = {"steps": STEPS, "severity": {"default": "P2"}, "verification": {"healthyFor": "1s", "timeout": "5s"}}
RECORDED = "deployments,replicasets,pods,workloadhealths,incidents,remediations,namespaces"


@pytest.fixture
def shop(control_plane: Cluster, operator: Operator, request: pytest.FixtureRequest) -> Iterator[Shop]:
    made = Shop(control_plane, f"plugin-{crc32(request.node.name.encode()):x}").create(allowed=False)
    yield made
    made.leave()
    control_plane.kubectl("-n", OWN_NAMESPACE, "delete", "rcfg", "stopgap", "--ignore-not-found")
    assert operator.errors() == []


class Terminal:
    """A person's terminal."""

    def __init__(self, shop: Shop, kubeconfig: Path | None = None) -> None:
        self.shop = shop
        self.kubeconfig = kubeconfig or shop.plane.kubeconfig

    def says(self, line: str, *more: str, status: int = 0) -> str:
        """Type a command; return what it prints, errors too."""
        ran = CliRunner().invoke(app, [*line.split(), *more, "-n", self.shop.name, "--kubeconfig", str(self.kubeconfig)])
        assert ran.exit_code == status, f"{line}: {ran.exit_code}\n{ran.output}\n{ran.exception!r}"
        return ran.output

    def data(self, line: str) -> Any:
        return json.loads(self.says(f"{line} -o json"))


def test_every_verb_through_one_bad_release(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    me = Terminal(shop)
    shop.deploy(GOOD)
    shop.policy(mode="Observe", **SPEC)
    shop.settle()
    assert "nothing: no signal fires" in me.says("explain deploy/api")
    it_can_be_allowed(me)
    shop.release(BAD)
    shop.refusals(reason="ObserveOnly")

    it_can_be_read(me)
    as_the_operator_decided(me, tmp_path)

    # People say something.
    assert "taken by" in me.says("ack api-1")
    assert "paused: deployment/api" in me.says("pause deploy/api -m", "ana looks")
    shop.policy(mode="Approve", **SPEC)
    assert "ana looks" in shop.refusals(reason="Paused")["Paused"]
    me.says("resume deploy/api")
    me.says("pause everything -m", "drill")
    me.says("resume everything")
    shop.plane.kubectl("-n", OWN_NAMESPACE, "patch", "rcfg", "stopgap", "--type=merge", "-p", '{"spec":{"maxMode":"Approve"}}')
    shop.refusals(reason="ApprovalPending")
    wait_for("the wait is on record", lambda: "AwaitingApproval" in str(shop.items("remediations")), seconds=10)
    assert "ApprovalPending" in me.says("status api-1", status=4)
    assert "rejected by" in me.says("reject api-1 -m", "once more, please")
    wait_for("it is rejected", lambda: shop.items("remediations")[0]["status"]["state"] == "Rejected", seconds=10)
    watching = watch(shop, "api-1")
    request.addfinalizer(watching.kill)
    assert watching.stdout is not None
    assert "api-1" in watching.stdout.readline()
    assert "step undo is ordered" in me.says("mitigate api-1 --step undo")
    wait_for("the order waits", lambda: "AwaitingApproval" in str(shop.items("remediations")), seconds=10)
    assert "approved by" in me.says("approve api-1 -m", "go")
    assert me.says("status api-1 --timeout 30s").startswith("api-1: ")
    assert shop.image() == GOOD

    # What is temporary is put back when a person says so.
    assert "has nothing to put back" in me.says(f"undo {shop.items('remediations')[-1]['metadata']['name']}", status=3)
    me.says("resolve api-1")
    told, _ = watching.communicate(timeout=20)
    assert told.count("---") >= 3
    assert "Verification: Succeeded" in told.rpartition("Signals")[2]
    lent_and_undone(me)

    # The review.
    wait_for("it is drafted", lambda: "Owed" in shop.kubectl("get", "pm", "-o", "yaml") or shop.items("postmortems"), seconds=10)
    said = "--root-cause bad --users-affected nobody --revenue none --data-loss none --completed --action-item"
    me.says(f"review api-1 {said}", "probe;ana;2026-12-01")
    wait_for("it is reviewed", lambda: "| probe | ana | 2026-12-01 |" in me.says("postmortem api-1"), seconds=10)


def it_can_be_allowed(me: Terminal) -> None:
    """Before anything is asked of the operator, which believes a no for a while."""
    explained = me.data("explain deploy/api")
    assert "NotAuthorized" in [one["reason"] for one in explained["ifOrdered"][1]["refusals"]]
    assert [one["metadata"]["name"] for one in yaml.safe_load_all(me.says("enable"))] == ["stopgap-action-rollback", "stopgap-action-scale"]
    assert me.says("enable --apply").count("created") == 2
    assert "leads" in me.says("check")
    assert "NotAuthorized" not in me.says("explain deploy/api")


def it_can_be_read(me: Terminal) -> None:
    """By people and by programs."""
    shop = me.shop
    assert me.says("list").split()[:8] == ["NAME", "SEV", "PHASE", "TARGET", "CAUSE", "ACTION", "WHY", "AGE"]
    assert [one["metadata"]["name"] for one in me.data("list -A --all")["items"] if one["metadata"]["namespace"] == shop.name] == ["api-1"]
    assert "ObserveOnly: policy web is in mode Observe" in me.says("get api-1")
    assert [one["revision"] for one in me.data("explain deploy/api")["knownGood"]] == [1]
    assert "Detected" in me.says("timeline api-1")
    assert me.says("update api-1").startswith("## Incident Update\n**Status:** Identified")
    assert "Triaged" in me.says("status api-1", status=3)
    assert "api-1" in [one.partition("\t")[0] for one in candidates(["get", "-n", shop.name, "--kubeconfig", str(me.kubeconfig), "a"])]


def as_the_operator_decided(me: Terminal, folder: Path) -> None:
    """The simulation of what was recorded says what the incident says."""
    shop = me.shop
    (folder / "policy.json").write_text(json.dumps(policy("web", mode="Observe", **SPEC)))
    objects = shop.get(RECORDED)
    objects["items"] = [one for one in objects["items"] if one["kind"] != "Namespace" or one["metadata"]["name"] == shop.name]
    live = next(one for one in objects["items"] if one["kind"] == "Incident")["status"]["decision"]
    (folder / "dump.json").write_text(json.dumps(objects))
    assert me.says(f"lint --strict -f {folder}/policy.json", status=1).count("hardly proved") == 1
    answer = me.says(f"simulate -f {folder}/policy.json --objects {folder}/dump.json -o json", status=3)
    (told,) = json.loads(answer)["items"]
    simulated = told["decision"]
    assert (simulated["step"], simulated["message"], simulated["refusals"]) == (live["step"], live["message"], live["refusals"])


def watch(shop: Shop, name: str) -> subprocess.Popen[str]:
    """Watch an incident as people do: kubectl finds the plugin on the PATH."""
    base = shop.plane.environment()
    environment = {**base, "PATH": f"{Path(sys.executable).parent}:{base['PATH']}"}
    command = ["kubectl", "stopgap", "get", name, "-w", "-n", shop.name]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def lent_and_undone(me: Terminal) -> None:
    shop = me.shop
    name = me.says("open", "it is slow", "deploy/api", "--severity", "P4", "--name", "slow").partition(":")[0].partition("/")[2]
    assert name == "slow"
    me.says("mitigate slow --step more")
    wait_for("it waits", lambda: "AwaitingApproval" in str(shop.items("remediations")), seconds=20)
    me.says("approve slow")
    one = shop.items("remediations")[-1]["metadata"]["name"]
    wait_for("there is one more", lambda: shop.get("deployment", "api")["spec"]["replicas"] == 4, seconds=20)
    wait_for("it is owed", lambda: shop.get("remediation", one).get("status", {}).get("revert", {}).get("state") == "Pending", seconds=20)
    assert "is put back" in me.says(f"undo {one}")
    wait_for("it is put back", lambda: shop.get("deployment", "api")["spec"]["replicas"] == 3, seconds=30)


def test_who_may_not_is_told_in_one_sentence(shop: Shop, tmp_path: Path) -> None:
    shop.apply({"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "slow"}, "spec": {"title": "it is slow"}})
    shop.kubectl("create", "serviceaccount", "eve")
    eve = Terminal(shop, shop.plane.service_account_kubeconfig(shop.name, "eve", tmp_path / "eve"))
    who = f"you (system:serviceaccount:{shop.name}:eve) may not"
    ask = f"in namespace {shop.name}; ask for a binding to ClusterRole"
    assert eve.says("list", status=1) == f"kubectl stopgap: {who} list incidents {ask} stopgap-viewer\n"
    assert eve.says("ack slow", status=1) == f"kubectl stopgap: {who} patch incidents {ask} stopgap-editor\n"
    assert f"not looked at: {who} list validatingadmissionpolicies in the whole cluster" in eve.says("check")
    shop.kubectl("create", "rolebinding", "eve", "--clusterrole=stopgap-viewer", f"--serviceaccount={shop.name}:eve")
    wait_for(
        "the right holds", lambda: CliRunner().invoke(app, ["list", "-n", shop.name, "--kubeconfig", str(eve.kubeconfig)]).exit_code == 0
    )
    assert "it is slow" in eve.says("get slow")
