"""What tests may ask of any cluster, their own control plane or one that was given to them."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.components import write_kubeconfig

AuditEntry = dict[str, Any]


class KubectlError(RuntimeError):
    """kubectl ended with an error; the message is what it wrote to stderr."""


class Cluster:
    """A cluster that somebody else runs, known by its kubeconfig."""

    audit_available = False
    """Whether audit() works: only where we started the API server."""

    def __init__(self, directory: Path, kubeconfig: Path, kubectl: Path) -> None:
        self.directory = directory
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl

    def kubectl(self, *arguments: str | Path, stdin: str | None = None, kubeconfig: Path | None = None, timeout: float = 60) -> str:
        """Run kubectl as cluster administrator, or as whoever the given kubeconfig says, and return what it printed."""
        command = [str(self._kubectl), f"--kubeconfig={kubeconfig or self.kubeconfig}", *map(str, arguments)]
        ran = subprocess.run(command, input=stdin, env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False)
        if ran.returncode:
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {ran.stderr.strip()}")
        return ran.stdout

    def get(self, *arguments: str) -> Any:
        """What `kubectl get … -o json` returns, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def environment(self) -> dict[str, str]:
        """The environment for tools that use this cluster: KUBECONFIG, our kubectl first on the PATH, and no traces in the home folder."""
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": f"{self._kubectl.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "KUBECACHEDIR": str(self.directory / "kubectl-cache"),
            "KUBERC": "off",
        }

    def service_account_kubeconfig(
        self, namespace: str, name: str, path: Path, *, server: str | None = None, ca_file: Path | None = None
    ) -> Path:
        """Write a kubeconfig that acts as a ServiceAccount for a day; `server` and `ca_file` put a proxy in between."""
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=24h").strip()
        write_kubeconfig(path, server=server or self.server, ca_file=ca_file or self.ca_file, user={"token": token}, namespace=namespace)
        return path

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self._own_cluster()["server"])

    @property
    def ca_file(self) -> Path:
        """The certificate that a client must trust."""
        cluster = self._own_cluster()
        if "certificate-authority" in cluster:
            return (self.kubeconfig.parent / str(cluster["certificate-authority"])).resolve()
        path = self.directory / "ca.crt"
        path.write_bytes(base64.b64decode(str(cluster["certificate-authority-data"])))
        return path

    def _own_cluster(self) -> dict[str, Any]:
        content = yaml.safe_load(self.kubeconfig.read_text())
        current = next(entry["context"] for entry in content["contexts"] if entry["name"] == content["current-context"])
        found: dict[str, Any] = next(entry["cluster"] for entry in content["clusters"] if entry["name"] == current["cluster"])
        return found

    def audit(self) -> Iterator[AuditEntry]:
        """The entries of the audit log so far, oldest first."""
        raise RuntimeError("the audit log of a cluster that we did not start is out of reach: ask audit_available first")

    def stop(self) -> None:
        """Nothing to do: the cluster is not ours."""
