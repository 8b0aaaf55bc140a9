"""A real Kubernetes control plane in one folder: started in seconds, as many side by side as the machine bears, nothing left when stopped.

Used by the cluster tests (through fixtures.py), the demo and the bench, and by people through cli.py.
"""

import fcntl
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.cluster import build, certs, kwok
from tests.cluster.cluster import AuditEntry, Cluster
from tests.cluster.components import LOOPBACK, Ports, Programs
from tests.cluster.processes import Component, end, spawn

SOURCES = Path(__file__).resolve().parent
STOP_ORDER = ("kwok", "scheduler", "controller-manager", "api-server", "etcd")
"""The API server hangs for a long time if etcd goes first."""

READY_WITHIN = 90.0
ATTEMPTS = 3


class StartError(RuntimeError):
    """The control plane did not come up; the message ends with the log of the program that failed."""


class ControlPlane(Cluster):
    """etcd, API server, controller manager, scheduler and kwok, with all their files in `directory`.

    With `die_with_parent` (tests, the demo) they are stopped when this process ends, however it ends. Without, they stay.
    """

    audit_available = True

    def __init__(self, directory: Path, *, die_with_parent: bool = True) -> None:
        directory = directory.resolve()
        super().__init__(directory, directory / "kubeconfig", build.cache_folder() / "kubectl")
        self.audit_log = directory / "audit.log"
        self.logs = directory / "logs"
        self.pod_log = directory / "pod.log"
        """What every simulated container has written; append lines in the same format for more."""
        self._die_with_parent = die_with_parent
        self._state_file = directory / "state.json"
        self._components: dict[str, Component] = {}
        self._ports: Ports | None = None
        self._binaries = build.cache_folder()
        self._guard: subprocess.Popen[bytes] | None = None
        self._load()

    # ------------------------------------------------------------------------------------------------ the whole

    def start(self) -> Self:
        """Bring it up and wait until pods can run. If it runs already, leave it; if a part of it is gone, begin anew."""
        self._binaries = build.installed()
        with self._alone():
            self._load()
            if self.running():
                return self
            for attempt in range(1, ATTEMPTS + 1):
                self._stop()
                try:
                    self._start()
                except StartError as error:
                    self._stop()
                    # Between choosing a port and using it, somebody else may take it.
                    if attempt == ATTEMPTS or "address already in use" not in str(error):
                        raise
                except BaseException:
                    self._stop()
                    raise
                else:
                    return self
        return self

    def stop(self) -> None:
        """Stop everything and remove its data; the logs stay. Stopping what does not run is fine."""
        if not self.directory.exists():
            return
        with self._alone():
            self._load()
            self._stop()

    def restart(self) -> Self:
        """Stop and start again, with nothing kept."""
        self.stop()
        return self.start()

    def running(self) -> bool:
        """Whether every program runs and the API server says that it is ready."""
        return set(self._components) == set(STOP_ORDER) and all(one.alive() for one in self._components.values()) and self._api_ready()

    def processes(self) -> dict[str, int]:
        """The process ids of the programs that run, by name."""
        return {name: component.pid for name, component in self._components.items() if component.alive()}

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    # ------------------------------------------------------------------------------------------------ for tests that break it

    def stop_api_server(self) -> None:
        """Stop the API server alone; the rest keeps trying to reach it."""
        end([self._components["api-server"]], patience=15)

    def start_api_server(self) -> None:
        """Start it again on the same port and wait until it is ready."""
        if not self._components["api-server"].alive():
            self._spawn("api-server", self.programs.api_server())
        self._wait("the API server", self._api_ready)

    def audit(self) -> Iterator[AuditEntry]:
        """The entries of the audit log so far, oldest first."""
        with self.audit_log.open("rb") as log:
            for line in log:
                # The last line may be half written.
                if line.endswith(b"\n"):
                    yield json.loads(line)

    # ------------------------------------------------------------------------------------------------ starting

    def _start(self) -> None:
        for stale in (self.audit_log, self._state_file):
            stale.unlink(missing_ok=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        certs.make(self.directory / "pki")
        kwok.write_configuration(self.directory)
        self._ports = Ports.free()
        self._save()
        self._guard_against_orphans()
        programs = self.programs
        programs.write_configuration()
        self._spawn("etcd", programs.etcd())
        # An API server that does not find its store at once takes a second's rest before it looks again.
        self._wait("etcd", self._etcd_answers)
        self._spawn("api-server", programs.api_server())
        # What the API server still prepares once it answers, these need not wait for.
        self._wait("the API server to answer", lambda: self._ask("GET", "/api/v1/nodes") is not None)
        self._spawn("kwok", programs.kwok())
        self._spawn("scheduler", programs.scheduler())
        for name in kwok.NODES:
            self._ask("POST", "/api/v1/nodes", kwok.node(name))
        self._wait("the API server", self._api_ready)
        # It looks for a ready API server once a second: started earlier it comes later.
        self._spawn("controller-manager", programs.controller_manager())
        self._wait("the nodes", self._nodes_ready)
        self._wait("the default ServiceAccount", lambda: self._ask("GET", "/api/v1/namespaces/default/serviceaccounts/default") is not None)

    @property
    def programs(self) -> Programs:
        """The command lines of its programs, and of those that can be started beside it."""
        if self._ports is None:
            raise RuntimeError(f"no control plane was started in {self.directory}")
        return Programs(self.directory, self._binaries, self._ports, certs.Certificates(self.directory / "pki"))

    def _spawn(self, name: str, argv: list[str]) -> None:
        environment = {**os.environ, "HOME": str(self.directory), "KWOK_WORKDIR": str(self.directory)}
        self._components[name] = spawn(argv, log=self.logs / f"{name}.log", environment=environment)
        self._save()

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not holds():
            for name, component in self._components.items():
                if not component.alive():
                    raise StartError(f"{name} ended while waiting for {what}:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                raise StartError(f"{what} not ready after {READY_WITHIN:.0f} s; see {self.logs}:\n{self._tail('api-server')}")
            time.sleep(0.03)

    def _tail(self, name: str) -> str:
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-15:])

    def _etcd_answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.programs.ports.etcd, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _api_ready(self) -> bool:
        return self._ask("GET", "/readyz") is not None

    def _nodes_ready(self) -> bool:
        nodes = (self._ask("GET", "/api/v1/nodes") or {}).get("items", [])
        return len(nodes) == len(kwok.NODES) and all(_takes_pods(node) for node in nodes)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        """One request as administrator: the parsed answer, or None if there was none or it was a refusal."""
        programs = self.programs
        try:
            context = ssl.create_default_context(cafile=str(programs.certificates.authority))
            context.load_cert_chain(programs.certificates.certificate("admin"), programs.certificates.key("admin"))
            connection = http.client.HTTPSConnection(LOOPBACK, programs.ports.api_server, timeout=5, context=context)
            try:
                connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return None
        if answer.status >= http.HTTPStatus.MULTIPLE_CHOICES:
            return None
        return json.loads(content) if content.startswith(b"{") else content

    # ------------------------------------------------------------------------------------------------ stopping

    def _stop(self) -> None:
        components = dict(self._components)
        first, last = [components[name] for name in STOP_ORDER[:3] if name in components], STOP_ORDER[3:]
        end(first, patience=5)
        for name in last:
            if name in components:
                end([components[name]], patience=15)
        self._components.clear()
        self._state_file.unlink(missing_ok=True)
        for leftover in ("etcd", "pki", "kubectl-cache"):
            shutil.rmtree(self.directory / leftover, ignore_errors=True)
        for kubeconfig in self.directory.glob("*kubeconfig"):
            kubeconfig.unlink()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard:
            # Ended, not told: it would try to stop what we are stopping, and wait for our lock.
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _guard_against_orphans(self) -> None:
        """Leave the stopping to a process that notices, by the end of a pipe, that we are gone, whatever killed us."""
        if self._die_with_parent:
            command = [sys.executable, str(SOURCES / "cli.py"), "stop-at-end-of-input", "--dir", str(self.directory)]
            self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    # ------------------------------------------------------------------------------------------------ what is known of it

    def _save(self) -> None:
        state = {
            "ports": self._ports.as_dict() if self._ports else None,
            "binaries": str(self._binaries),
            "processes": {name: {"pid": one.pid, "argv": one.argv} for name, one in self._components.items()},
        }
        partial = self._state_file.with_suffix(".partial")
        partial.write_text(json.dumps(state, indent=1))
        partial.replace(self._state_file)

    def _load(self) -> None:
        """Learn what runs from the state file, so that another process than the starter can use and stop it."""
        try:
            state = json.loads(self._state_file.read_text())
        except (FileNotFoundError, ValueError):
            self._components = {name: one for name, one in self._components.items() if one.alive()}
            return
        self._ports = Ports(**state["ports"])
        self._binaries = Path(state["binaries"])
        self._components = {
            name: self._known(name, one["pid"]) or Component(one["pid"], one["argv"]) for name, one in state["processes"].items()
        }

    def _known(self, name: str, pid: int) -> Component | None:
        known = self._components.get(name)
        return known if known and known.pid == pid else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _takes_pods(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return not node["spec"].get("taints") and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
