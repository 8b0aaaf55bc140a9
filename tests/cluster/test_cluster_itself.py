"""The development cluster keeps what README.md says: it comes up, can be broken in every listed way, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import kwok
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.controlplane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster-itself")]

Status = dict[str, Any]
HOLDS_WITHIN = 45.0


def eventually(look: Callable[[], Any], what: str) -> Any:
    """The first true thing that look() returns."""
    deadline = time.monotonic() + HOLDS_WITHIN
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {HOLDS_WITHIN:.0f} s"
        time.sleep(0.05)
    return seen


@pytest.fixture(scope="module")
def namespace(control_plane: Cluster) -> Iterator[str]:
    if not control_plane.audit_available:
        pytest.skip("untested: the development cluster itself, because another cluster was given")
    control_plane.kubectl("create", "namespace", "itself")
    yield "itself"
    control_plane.kubectl("delete", "namespace", "itself", "--wait=false")


def run_pod(cluster: Cluster, namespace: str, name: str, image: str, **more: Any) -> None:
    container = {"name": "app", "image": image}
    spec = {"containers": [container], **more}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    cluster.kubectl("create", "--namespace", namespace, "-f", "-", stdin=json.dumps(pod))


def pod(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("pod", name, "--namespace", namespace)
    return found


def app(pod: dict[str, Any]) -> Status:
    return next(iter(pod["status"].get("containerStatuses", [])), {})


def is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


def waits(status: Status) -> str:
    return str(status.get("state", {}).get("waiting", {}).get("reason", ""))


def looping(status: Status, reason: str, code: int) -> bool:
    last = status.get("lastState", {}).get("terminated", {})
    return waits(status) == "CrashLoopBackOff" and status["restartCount"] >= 3 and (last["reason"], last["exitCode"]) == (reason, code)


BEHAVIOURS: dict[str, Callable[[Status], bool]] = {
    "crash": lambda app: looping(app, "Error", 1),
    "oom": lambda app: looping(app, "OOMKilled", 137),
    "crash-slow": lambda app: waits(app) == "CrashLoopBackOff" and "back-off 10s" in app["state"]["waiting"]["message"],
    "neverready": lambda app: "running" in app.get("state", {}) and app["started"] and not app["ready"],
    "configerror": lambda app: waits(app) == "CreateContainerConfigError" and "not found" in app["state"]["waiting"]["message"],
    "pull-notfound": lambda app: waits(app) == "ImagePullBackOff" and app["state"]["waiting"]["message"].endswith(": not found"),
    "pull-unauthorized": lambda app: waits(app) == "ErrImagePull" and "401 Unauthorized" in app["state"]["waiting"]["message"],
    "pull-ratelimited": lambda app: waits(app) == "ErrImagePull" and "429 Too Many Requests" in app["state"]["waiting"]["message"],
    "pull-timeout": lambda app: waits(app) == "ErrImagePull" and "i/o timeout" in app["state"]["waiting"]["message"],
    "pull-invalidname": lambda app: waits(app) == "InvalidImageName",
}


def test_every_behaviour_is_tried_here_and_described_in_the_readme() -> None:
    assert {*BEHAVIOURS, "flap", "initcrash"} == set(kwok.BEHAVIOURS)
    readme = (Path(__file__).parent / "README.md").read_text()
    assert [word for word in kwok.BEHAVIOURS if f"| `{word}` |" not in readme] == []


@pytest.mark.parametrize("word", BEHAVIOURS)
def test_an_image_tag_decides_how_the_container_fares(control_plane: Cluster, namespace: str, word: str) -> None:
    run_pod(control_plane, namespace, word, f"shop/api:2.0.0-{word}")
    eventually(lambda: BEHAVIOURS[word](app(pod(control_plane, namespace, word))), f"{word} shows")
    assert not is_ready(pod(control_plane, namespace, word))


def test_a_healthy_pod_is_ready_with_all_it_consists_of(control_plane: Cluster, namespace: str) -> None:
    prepare = {"name": "prepare", "image": "shop/prepare:1"}
    proxy = {"name": "proxy", "image": "mesh/proxy:1", "restartPolicy": "Always"}
    run_pod(control_plane, namespace, "healthy", "shop/api:1.0.0", initContainers=[prepare, proxy])
    eventually(lambda: is_ready(pod(control_plane, namespace, "healthy")), "the pod is ready")
    status = pod(control_plane, namespace, "healthy")["status"]
    prepared, proxied = status["initContainerStatuses"]
    assert prepared["state"]["terminated"]["exitCode"] == 0
    assert proxied["ready"]
    assert status["phase"] == "Running"
    assert status["containerStatuses"][0]["imageID"].startswith("sim://shop/api:1.0.0@sha256:")


def test_a_flapping_pod_turns_ready_between_exits_and_never_waits(control_plane: Cluster, namespace: str) -> None:
    run_pod(control_plane, namespace, "flap", "shop/api:2.0.0-flap")
    seen: list[tuple[int, bool, str]] = []

    def flapped() -> bool:
        now = pod(control_plane, namespace, "flap")
        seen.append((app(now).get("restartCount", 0), is_ready(now), waits(app(now))))
        return seen[-1][0] >= 3 and seen[-1][1]

    eventually(flapped, "three restarts and ready again")
    assert {waiting for _, _, waiting in seen} == {""}
    assert {ready for _, ready, _ in seen} == {True, False}
    assert seen == sorted(seen, key=lambda one: one[0])


def test_a_crashing_init_container_keeps_the_pod_from_starting(control_plane: Cluster, namespace: str) -> None:
    init = [{"name": "migrate", "image": "shop/migrate:1"}]
    run_pod(control_plane, namespace, "initcrash", "shop/api:2.0.0-initcrash", initContainers=init)

    def init_status() -> Status:
        return next(iter(pod(control_plane, namespace, "initcrash")["status"].get("initContainerStatuses", [])), {})

    eventually(lambda: looping(init_status(), "Error", 1), "the init container loops")
    status = pod(control_plane, namespace, "initcrash")["status"]
    assert waits(status["containerStatuses"][0]) == "PodInitializing"
    assert status["phase"] == "Pending"


def test_only_the_container_with_the_word_fails(control_plane: Cluster, namespace: str) -> None:
    containers = [{"name": "app", "image": "shop/api:1"}, {"name": "proxy", "image": "mesh/proxy:2-crash"}]
    run_pod(control_plane, namespace, "sidecar", "unused", containers=containers)

    def by_name() -> dict[str, Status]:
        return {one["name"]: one for one in pod(control_plane, namespace, "sidecar")["status"].get("containerStatuses", [])}

    eventually(lambda: looping(by_name().get("proxy", {}), "Error", 1), "the proxy loops")
    assert by_name()["app"]["ready"]
    assert by_name()["app"]["restartCount"] == 0


def test_an_annotation_breaks_a_single_running_pod_and_its_removal_heals_it(control_plane: Cluster, namespace: str) -> None:
    run_pod(control_plane, namespace, "victim", "shop/api:1.0.0")
    eventually(lambda: is_ready(pod(control_plane, namespace, "victim")), "ready at first")
    control_plane.kubectl("annotate", "pod", "victim", "stopgap.dev/simulate=crash", "--namespace", namespace)
    eventually(lambda: looping(app(pod(control_plane, namespace, "victim")), "Error", 1), "it loops")
    control_plane.kubectl("annotate", "pod", "victim", "stopgap.dev/simulate-", "--namespace", namespace)
    eventually(lambda: is_ready(pod(control_plane, namespace, "victim")), "healed")


def test_a_job_completes(control_plane: Cluster, namespace: str) -> None:
    control_plane.kubectl("create", "job", "once", "--image=shop/job:1", "--namespace", namespace)
    eventually(lambda: control_plane.get("job", "once", "--namespace", namespace)["status"].get("succeeded"), "the Job completes")


def test_a_deployment_rolls_out_over_several_nodes(control_plane: Cluster, namespace: str) -> None:
    control_plane.kubectl("create", "deployment", "web", "--image=shop/web:1", "--replicas=6", "--namespace", namespace)
    control_plane.kubectl("rollout", "status", "deployment/web", "--namespace", namespace, "--timeout=30s")
    pods = control_plane.get("pods", "-l", "app=web", "--namespace", namespace)["items"]
    assert {one["spec"]["nodeName"] for one in pods} == set(kwok.NODES)


def test_kubectl_logs_answers_for_the_running_and_the_previous_container(control_plane: Cluster, namespace: str) -> None:
    run_pod(control_plane, namespace, "talks", "shop/api:1.0.0")
    eventually(lambda: is_ready(pod(control_plane, namespace, "talks")), "the pod is ready")
    assert "ERROR db: connection refused" in control_plane.kubectl("logs", "talks", "--namespace", namespace)
    assert "FATAL" in control_plane.kubectl("logs", "talks", "--previous", "--namespace", namespace)


def test_the_audit_log_holds_the_body_of_a_write_and_who_made_it(control_plane: Cluster, namespace: str, tmp_path: Path) -> None:
    control_plane.kubectl("create", "serviceaccount", "someone", "--namespace", namespace)
    binding = ("create", "rolebinding", "someone", "--clusterrole=edit", f"--serviceaccount={namespace}:someone", "--namespace", namespace)
    control_plane.kubectl(*binding)
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "someone", tmp_path / "kubeconfig")
    control_plane.kubectl("create", "configmap", "note", "--from-literal=a=b", kubeconfig=kubeconfig)
    with pytest.raises(KubectlError, match="forbidden"):
        control_plane.kubectl("get", "nodes", kubeconfig=kubeconfig)

    def written() -> list[dict[str, Any]]:
        user = f"system:serviceaccount:{namespace}:someone"
        return [one for one in control_plane.audit() if one["user"]["username"] == user and one["verb"] == "create"]

    (entry,) = eventually(written, "the write is in the audit log")
    assert entry["requestObject"]["data"] == {"a": "b"}
    assert entry["responseStatus"]["code"] == 201


def test_the_api_server_can_be_restarted_alone(control_plane: Cluster, namespace: str) -> None:
    assert isinstance(control_plane, ControlPlane)
    before = control_plane.processes()
    control_plane.stop_api_server()
    with pytest.raises(KubectlError):
        control_plane.kubectl("get", "namespace", namespace)
    control_plane.start_api_server()
    assert control_plane.kubectl("get", "namespace", namespace, "-o", "name").strip() == f"namespace/{namespace}"
    assert {name for name, pid in control_plane.processes().items() if before[name] != pid} == {"api-server"}


def command_line(directory: Path, command: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(Path(__file__).parent / "cli.py"), command, "--dir", str(directory)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False, cwd="/")


def processes_naming(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(directory) in words and entry.parent.name != str(os.getpid()):
            found.append(words.decode().replace("\0", " "))
    return found


def test_up_and_down_may_be_said_twice_and_a_crashed_part_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    first = command_line(directory, "up")
    try:
        assert first.returncode == 0, first.stderr
        assert f"KUBECONFIG={directory}/kubeconfig" in first.stdout
        assert command_line(directory, "up").stdout == first.stdout
        pid = ControlPlane(directory, die_with_parent=False).processes()["scheduler"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: command_line(directory, "status").returncode == 3, "the loss is noticed")
        assert command_line(directory, "up").returncode == 0
        assert command_line(directory, "status").returncode == 0
    finally:
        down = command_line(directory, "down")
    assert down.returncode == 0, down.stderr
    assert processes_naming(directory) == []
    assert not (directory / "kubeconfig").exists()
    assert command_line(directory, "down").returncode == 0


def test_a_control_plane_ends_with_the_process_that_holds_it_however_that_dies(tmp_path: Path) -> None:
    directory = tmp_path / "held"
    script = (
        "import sys, pathlib; from tests.cluster.controlplane import ControlPlane; "
        f"ControlPlane(pathlib.Path({str(directory)!r})).start(); print('up', flush=True); sys.stdin.read()"
    )
    # By name, as PYTHONSAFEPATH keeps Python from looking into the folder that it is started in.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        while holder.stdout.readline() not in {b"up\n", b""}:
            pass
        assert len(processes_naming(directory)) >= 5
        holder.kill()
    eventually(lambda: not processes_naming(directory), "everything ended")
