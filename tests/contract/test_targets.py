"""What the targets of the Makefile promise, as far as that can be told without a cluster."""

import subprocess
from pathlib import Path

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.controlplane import ControlPlane
from tests.demo import demo

CHECKOUT = Path(__file__).resolve().parents[2]
TARGETS = (
    "help setup check generate verify docs test test-cluster bench demo demo-clean cluster-up cluster-down run image "
    "kind-up kind-down test-kind clean"
)


def test_make_alone_prints_every_target() -> None:
    printed = subprocess.run(["make", "-s"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    assert {line.split()[1] for line in printed.splitlines()} == set(TARGETS.split())


def test_ci_runs_the_test_command_of_the_readme_and_nothing_else() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test"]
    assert "make test" in (CHECKOUT / "README.md").read_text()


@pytest.mark.parametrize("exported", ["", "cluster/kubeconfig"])
def test_the_demo_takes_its_own_cluster_for_its_own_also_in_the_shell_that_explores_it(
    exported: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(demo.directory() / exported) if exported else "")
    assert isinstance(demo._cluster("embedded"), ControlPlane)


def test_the_demo_uses_the_cluster_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kubectl").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "somebody's"))
    taken = demo._cluster("embedded")
    assert type(taken) is Cluster
    assert taken.kubeconfig == tmp_path / "somebody's"


@pytest.mark.parametrize("command", ["up", "clean"])
def test_a_cluster_that_does_not_answer_ends_the_demo_in_words(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho the server is away >&2\nexit 1\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "somebody's"))
    monkeypatch.setattr("sys.argv", ["demo", command])
    assert demo.main() == 1
    told = capsys.readouterr().err
    assert "The demo failed" in told
    assert "could not be seen" in told
    assert "the server is away" in told
