"""What a person reads when something cannot be had or done: one sentence, without a traceback."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stopgap.cli.main import app
from stopgap.cli.refusals import sentence
from stopgap.effects.errors import KubeError, Unanswered, Unreachable, refusal


def refused(
    status: int, message: str, *, verb: str = "get", path: str = "/apis/stopgap.dev/v1alpha1/namespaces/shop/incidents/x"
) -> KubeError:
    return refusal(verb, path, status=status, body=json.dumps({"message": message, "reason": "x"}).encode())


FORBIDDEN = 'incidents.stopgap.dev is forbidden: User "eve" cannot {} resource "{}" in API group "stopgap.dev" in the namespace "shop"'


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            refused(403, FORBIDDEN.format("list", "incidents")),
            "you (eve) may not list incidents in namespace shop; ask for a binding to ClusterRole stopgap-viewer",
            id="who may not read",
        ),
        pytest.param(
            refused(403, FORBIDDEN.format("patch", "incidents")),
            "you (eve) may not patch incidents in namespace shop; ask for a binding to ClusterRole stopgap-editor",
            id="who may not write",
        ),
        pytest.param(
            refused(403, FORBIDDEN.format("patch", "remediations")),
            "you (eve) may not patch remediations in namespace shop; ask for a binding to ClusterRole stopgap-approver",
            id="who may not approve",
        ),
        pytest.param(
            refused(403, 'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope'),
            "you (eve) may not list nodes in the whole cluster",
            id="what is not of Stopgap",
        ),
        pytest.param(
            refused(401, "Unauthorized"), "the API server does not know you: your credentials are missing or have expired", id="401"
        ),
        pytest.param(
            refused(
                422, "incidents.stopgap.dev \"x\" is forbidden: ValidatingAdmissionPolicy 'stopgap-incidents' denied request: eve may not"
            ),
            "eve may not",
            id="what admission says",
        ),
        pytest.param(
            refused(404, "the server could not find the requested resource", path="/apis/stopgap.dev/v1alpha1/incidents"),
            "this cluster has no incidents; is Stopgap installed? kubectl stopgap check tells",
            id="no such kind",
        ),
        pytest.param(Unreachable("get", "/x", message="refused"), "the API server cannot be reached: refused", id="unreachable"),
        pytest.param(
            Unanswered("patch", "/x", message="reset"),
            "the API server did not answer; whether it was done is not known, so look before you repeat it",
            id="a write without an answer",
        ),
        pytest.param(Unanswered("get", "/x", message="reset"), "the API server did not answer", id="a read without an answer"),
    ],
)
def test_an_error_is_one_sentence(error: KubeError, words: str) -> None:
    assert sentence(error) == words


def test_no_cluster_is_one_sentence_and_a_status(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["list", "--kubeconfig", str(tmp_path / "none")])
    assert ran.exit_code == 1
    assert ran.stderr.startswith("kubectl stopgap: there is no such kubeconfig")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["list", "-o", "xml"], "-o xml: there are wide, json, yaml", id="a form"),
        pytest.param(["explain", "pod/x"], "'pod/x' is no workload; write deploy/NAME or sts/NAME", id="a workload"),
        pytest.param(["pause", "pod/x", "-m", "y"], "'pod/x': write deploy/NAME", id="a place to pause"),
        pytest.param(["open", "x", "--severity", "P9"], "P9 is no severity; there are P1, P2, P3, P4", id="a severity"),
        pytest.param(["lint", "-f", "/nowhere.yaml"], "/nowhere.yaml cannot be read", id="a file"),
        pytest.param(["simulate", "-f", "/dev/null", "--objects", "/dev/null"], "there is no policy in these files", id="no policy"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_the_cluster_is(arguments: list[str], words: str) -> None:
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 2
    assert words in ran.stderr
