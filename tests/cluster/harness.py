"""The operator as its own process, a namespace to work in, and the audit log as the judge: for tests/cluster and tests/faults."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from tests.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
OWN_NAMESPACE = "stopgap-system"
USER = "system:serviceaccount:stopgap-system:stopgap"
OWN_RESOURCES = frozenset(
    {
        *("incidents", "remediations", "workloadhealths", "remediationpolicies", "clusterremediationpolicies"),
        *("leases", "events", "selfsubjectaccessreviews", "postmortems"),
    }
)
LAST_ACTION = "stopgap.dev/last-action"

T = TypeVar("T")


def wait_for(what: str, ask: Callable[[], T], *, seconds: float = 60.0) -> T:
    """Ask until the answer is true and return it. Raises TimeoutError with the last answer: a test never waits blindly."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s; the last answer was {answer!r}")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def install(plane: Cluster) -> None:
    """Install the CRDs, the roles and the admission policies, as the README says."""
    parts = (ROOT / "crds", ROOT / "manifests" / "rbac.yaml", ROOT / "manifests" / "admission")
    plane.kubectl("apply", "--server-side", "--force-conflicts", *(word for part in parts for word in ("-f", str(part))))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


@contextmanager
def config(plane: Cluster, **spec: Any) -> Iterator[None]:
    """Let the platform allow something, and take it back."""
    body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationConfig", "metadata": {"name": "stopgap"}, "spec": spec}
    plane.kubectl("-n", OWN_NAMESPACE, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))
    try:
        yield
    finally:
        plane.kubectl("-n", OWN_NAMESPACE, "delete", "remediationconfig", "stopgap")


@dataclass
class Operator:
    """`stopgap run` as a process, under its own ServiceAccount."""

    plane: Cluster
    directory: Path
    server: str | None = None
    ca_file: Path | None = None
    arguments: tuple[str, ...] = ()
    own_namespace: str = OWN_NAMESPACE
    name: str = "operator"
    program: tuple[str, ...] = ("stopgap", "run")
    """The module to run and its command; `arguments` follow."""
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    health: int = 0
    metrics: int = 0

    def start(self, *, ready: bool = True) -> Self:
        """Start it, and wait until it says that it is ready."""
        kubeconfig = self.directory / f"{self.name}.kubeconfig"
        self.plane.service_account_kubeconfig(self.own_namespace, "stopgap", kubeconfig, server=self.server, ca_file=self.ca_file)
        self.health, self.metrics = free_port(), free_port()
        command = [sys.executable, "-m", *self.program, *self.arguments]
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "STOPGAP_HOST": "127.0.0.1",
            "STOPGAP_HEALTH_PORT": str(self.health),
            "STOPGAP_METRICS_PORT": str(self.metrics),
            "STOPGAP_OWN_NAMESPACE": self.own_namespace,
            "POD_NAME": self.name,
            "PYTHONSAFEPATH": "1",
            **self.environment,
        }
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.directory)
        if ready:
            wait_for("the operator is ready", self.is_ready, seconds=60)
        return self

    @property
    def log_file(self) -> Path:
        """Where it writes its log."""
        return self.directory / f"{self.name}.log"

    def is_ready(self) -> bool:
        """Ask /readyz; fail at once if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the operator ended with {self.process.returncode}:\n{self.log_file.read_text()[-3000:]}")
        return self.ask("/readyz")[0] == 200

    def ask(self, path: str) -> tuple[int, str]:
        """Ask the health port; status 0: nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as the kubelet would."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)

    def errors(self) -> list[str]:
        """Return what it logged as an error."""
        lines = (line for line in self.log_file.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if json.loads(line).get("severity") in {"error", "critical"}]


@dataclass
class Shop:
    """A namespace with workloads, as its owner would work in it."""

    plane: Cluster
    name: str
    before: int = field(default=0)

    def create(self, *, allowed: bool = True) -> Self:
        """Create it; `allowed`: its owner lets Stopgap roll back here."""
        self.plane.kubectl("create", "namespace", self.name)
        if allowed:
            self.allow()
        return self

    def leave(self) -> None:
        """Have it deleted, in the background. Its policies go at once: what is ill in it meanwhile must look like a storm to nobody."""
        self.kubectl("delete", "remediationpolicies", "--all", "--wait=false")
        self.plane.kubectl("delete", "namespace", self.name, "--wait=false")

    def allow(self) -> None:
        """Grant the one action."""
        who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
        self.kubectl("create", "rolebinding", "stopgap-rollback", "--clusterrole=stopgap-action-rollback", who)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in this namespace."""
        return self.plane.kubectl("-n", self.name, *arguments, stdin=stdin)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects server-side, as a pipeline does: a conflict is an error."""
        self.kubectl("apply", "--server-side", "--field-manager=pipeline", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str = "") -> dict[str, Any]:
        """Get one object, or the list."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, *([name] if name else []), "-o", "json", "--show-managed-fields"))
        return found

    def items(self, kind: str) -> list[dict[str, Any]]:
        """List objects, oldest first."""
        return sorted(self.get(kind)["items"], key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))

    # ------------------------------------------------------------------------------------------------------ workloads

    def deploy(
        self, image: str = "shop/api:1.0", *, name: str = "api", replicas: int = 3, template: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        """Apply a Deployment with the label `tier: web`."""
        container = {"name": "app", "image": image}
        pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}, **(template or {})}
        body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod, **spec}
        self.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"tier": "web"}}, "spec": body})

    def settle(self, name: str = "api", *, kind: str = "deployment", seconds: float = 60) -> None:
        """Wait until a workload is rolled out and has been available for as long as the test's policy asks for."""

        def settled() -> bool:
            body = self.get(kind, name)
            status, spec = body.get("status", {}), body["spec"]
            counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
            return status.get("observedGeneration") == body["metadata"]["generation"] and counts == {spec["replicas"]}

        wait_for(f"{name} is rolled out", settled, seconds=seconds)
        since = time.monotonic()
        wait_for("it stays so for long enough to be known good", lambda: settled() and time.monotonic() - since > KNOWN_GOOD_AFTER + 1)

    def release(self, image: str, *, name: str = "api") -> None:
        """Change the image, as a deploy job would."""
        self.kubectl("set", "image", f"deployment/{name}", f"app={image}")

    def image(self, name: str = "api") -> str:
        """Return the wanted image."""
        found: str = self.get("deployment", name)["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    def policy(self, name: str = "web", **spec: Any) -> None:
        """Apply a policy with short times."""
        self.apply(policy(name, **spec))

    # -------------------------------------------------------------------------------------------------------- incidents

    def incident(self, *, name: str = "", phase: str = "", seconds: float = 60) -> dict[str, Any]:
        """Wait for an incident (in a phase), and return it."""

        def found() -> dict[str, Any] | None:
            for one in self.items("incidents"):
                fits = not name or one["metadata"]["name"] == name
                if fits and (not phase or one.get("status", {}).get("phase") == phase):
                    return one
            return None

        try:
            result = wait_for(f"an incident {name} in phase {phase or 'any'}", found, seconds=seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}; incidents: {self.kubectl('get', 'incidents', '-o', 'yaml')}") from error
        if result is None:
            raise AssertionError(name)
        return result

    def refusals(self, *, seconds: float = 60, reason: str = "") -> dict[str, str]:
        """Wait until the incident names what stands against the action; return message by reason."""

        def asked() -> dict[str, str] | None:
            for one in self.items("incidents"):
                listed = one.get("status", {}).get("decision", {}).get("refusals", [])
                found = {refusal["reason"]: refusal.get("message", "") for refusal in listed}
                if found and (not reason or reason in found):
                    return found
            return None

        try:
            result = wait_for(f"a refusal {reason}", asked, seconds=seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}; incidents: {self.kubectl('get', 'incidents', '-o', 'yaml')}") from error
        return result or {}

    # ------------------------------------------------------------------------------------------------------------ audit

    def writes(self) -> Iterator[dict[str, Any]]:
        """Yield every write that Stopgap's user made in this namespace and the API server accepted."""
        for entry in self.plane.audit():
            reference = entry.get("objectRef", {})
            mine = entry.get("user", {}).get("username") == USER and reference.get("namespace") == self.name
            if mine and entry["verb"] in {"create", "update", "patch", "delete"} and entry["responseStatus"]["code"] < 300:
                yield entry

    def deployment_writes(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the accepted writes to Deployments: those that change the spec, and those of metadata only."""
        return self.writes_to("deployments")

    def writes_to(self, resource: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the accepted writes to objects of others of one resource: those that change the spec, and those of metadata only."""
        spec: list[dict[str, Any]] = []
        metadata: list[dict[str, Any]] = []
        for entry in self.writes():
            if entry["objectRef"]["resource"] == resource:
                touched = any(operation["path"].startswith("/spec") and operation["op"] != "test" for operation in entry["requestObject"])
                (spec if touched else metadata).append(entry)
        return spec, metadata

    def foreign_writes(self) -> list[str]:
        """Return writes to anything that is neither Stopgap's own nor a workload."""
        resources = (entry["objectRef"]["resource"] for entry in self.writes())
        return [one for one in resources if one not in OWN_RESOURCES and one not in {"deployments", "statefulsets", "daemonsets"}]


KNOWN_GOOD_AFTER = 2
"""Seconds that the tests' policies ask a revision to be healthy for."""


def policy(name: str = "web", **spec: Any) -> dict[str, Any]:
    """Return an Automatic policy with short times."""
    body: dict[str, Any] = {
        "targets": {"selector": {"matchLabels": {"tier": "web"}}},
        "mode": "Automatic",
        "triggers": [{"name": "crash", "crashLoop": {"exits": 3, "within": "5m"}}],
        "steps": [{"name": "undo", "when": {"changedWithin": "30m"}, "rollback": {"minHealthyFor": f"{KNOWN_GOOD_AFTER}s"}}],
        "guards": {"cooldown": "1s"},
        "verification": {"healthyFor": "2s", "timeout": "60s"},
        "resolution": {"after": "3s"},
    }
    return {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": {"name": name}, "spec": {**body, **spec}}


def cluster_policy(name: str, namespace_labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    """Return the same for every namespace with these labels."""
    body = policy(name, namespaceSelector={"matchLabels": namespace_labels}, **spec)
    return {**body, "kind": "ClusterRemediationPolicy"}
