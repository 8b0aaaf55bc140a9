"""The command lines of the control plane's programs. All they write lies in the control plane's own folder, all they serve on 127.0.0.1."""

import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from tests.cluster.certs import CLIENTS, SERVICE_ADDRESS, Certificates

SOURCES = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
QPS, BURST = 2000, 4000
"""The programs' defaults (20 to 50 requests a second) would make 200 rollouts take most of a minute."""

_PORTS = range(20000, 32000)
"""Below the range from which Linux takes the ports of outgoing connections, so that a stopped API server finds its port free."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each program listens."""

    etcd: int
    etcd_peer: int
    api_server: int
    kubelet: int

    @classmethod
    def free(cls) -> "Ports":
        """Four ports that nobody uses at this moment."""
        found: list[int] = []
        while len(found) < 4:
            port = random.choice(_PORTS)  # noqa: S311 - a port is no secret
            if port not in found and _is_free(port):
                found.append(port)
        return cls(*found)

    def as_dict(self) -> dict[str, int]:
        """The form in which they are stored."""
        return asdict(self)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Programs:
    """Builds each command line and the configuration files it names."""

    folder: Path
    binaries: Path
    ports: Ports
    certificates: Certificates

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://{LOOPBACK}:{self.ports.api_server}"

    def kubeconfig(self, client: str) -> Path:
        """The kubeconfig of one of the clients in certs.CLIENTS."""
        return self.folder / "kubeconfig" if client == "admin" else self.folder / f"{client}.kubeconfig"

    def write_configuration(self) -> None:
        """Write the kubeconfigs and what the scheduler reads."""
        for client in CLIENTS:
            user = {
                "client-certificate": str(self.certificates.certificate(client)),
                "client-key": str(self.certificates.key(client)),
            }
            write_kubeconfig(self.kubeconfig(client), server=self.server, ca_file=self.certificates.authority, user=user)
        scheduler = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(self.kubeconfig("scheduler")), "qps": QPS, "burst": BURST},
        }
        (self.folder / "scheduler.yaml").write_text(yaml.safe_dump(scheduler))

    def etcd(self) -> list[str]:
        """The store: nothing it holds is worth waiting for the disk."""
        client, peer = f"http://{LOOPBACK}:{self.ports.etcd}", f"http://{LOOPBACK}:{self.ports.etcd_peer}"
        return [
            str(self.binaries / "etcd"),
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            # Alone, it need not wait long for other candidates before it elects itself.
            "--heartbeat-interval=10",
            "--election-timeout=100",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ]

    def api_server(self) -> list[str]:
        """The API server, with the admission plugins, RBAC and watch cache that it has by default."""
        files = self.certificates
        return [
            str(self.binaries / "kube-apiserver"),
            f"--etcd-servers=http://{LOOPBACK}:{self.ports.etcd}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self.ports.api_server}",
            f"--cert-dir={files.folder}",
            f"--tls-cert-file={files.certificate('serving')}",
            f"--tls-private-key-file={files.key('serving')}",
            f"--client-ca-file={files.authority}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer=https://{LOOPBACK}",
            f"--service-account-key-file={files.service_account_key}",
            f"--service-account-signing-key-file={files.service_account_key}",
            f"--service-cluster-ip-range={SERVICE_ADDRESS}/16",
            # The kubernetes Service would have to point to a loopback address, which the API refuses.
            "--endpoint-reconciler-type=none",
            # Otherwise it waits a minute for clients that keep watching.
            "--shutdown-watch-termination-grace-period=1s",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={files.authority}",
            f"--kubelet-client-certificate={files.certificate('kubelet-client')}",
            f"--kubelet-client-key={files.key('kubelet-client')}",
            # It passes requests on to aggregated APIs (metrics-server), and says whose they are.
            f"--requestheader-client-ca-file={files.authority}",
            f"--requestheader-allowed-names={CLIENTS['aggregator']}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={files.certificate('aggregator')}",
            f"--proxy-client-key-file={files.key('aggregator')}",
            f"--audit-policy-file={SOURCES / 'audit-policy.yaml'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--audit-log-maxsize=1000",
            "--audit-log-maxbackup=1",
        ]

    def controller_manager(self) -> list[str]:
        """All controllers; Deployments move as fast as the API server lets them, and autoscalers do not wait 15 s for their next round."""
        return [
            str(self.binaries / "kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig('controller-manager')}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self.certificates.service_account_key}",
            f"--root-ca-file={self.certificates.authority}",
            f"--kube-api-qps={QPS}",
            f"--kube-api-burst={BURST}",
            "--concurrent-deployment-syncs=20",
            "--concurrent-replicaset-syncs=20",
            "--horizontal-pod-autoscaler-sync-period=2s",
        ]

    def scheduler(self) -> list[str]:
        """The scheduler."""
        return [str(self.binaries / "kube-scheduler"), f"--config={self.folder / 'scheduler.yaml'}", "--secure-port=0"]

    def kwok(self) -> list[str]:
        """The nodes and pods, and the kubelet's side of `kubectl logs`."""
        address = f"{LOOPBACK}:{self.ports.kubelet}"
        return [
            str(self.binaries / "kwok"),
            f"--kubeconfig={self.kubeconfig('kwok')}",
            f"--config={self.folder / 'stages.yaml'}",
            "--manage-all-nodes",
            "--cidr=10.128.0.0/12",
            f"--node-ip={LOOPBACK}",
            f"--node-port={self.ports.kubelet}",
            f"--server-address={address}",
            f"--tls-cert-file={self.certificates.certificate('serving')}",
            f"--tls-private-key-file={self.certificates.key('serving')}",
        ]

    def metrics_server(self, port: int) -> list[str]:
        """What pods use, looked at as often as it can; started only for the tests that need it."""
        return [
            str(self.binaries / "metrics-server"),
            f"--kubeconfig={self.kubeconfig('admin')}",
            f"--authentication-kubeconfig={self.kubeconfig('admin')}",
            f"--authorization-kubeconfig={self.kubeconfig('admin')}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={port}",
            f"--cert-dir={self.folder / 'metrics-server'}",
            "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={self.certificates.authority}",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
        ]


def write_kubeconfig(path: Path, *, server: str, ca_file: Path, user: dict[str, str], namespace: str = "default") -> None:
    """Write a kubeconfig with one context, readable by its owner only."""
    name = "stopgap-dev"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(ca_file)}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
