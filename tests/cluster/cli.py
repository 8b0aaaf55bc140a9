"""The development cluster by hand: `python tests/cluster/cli.py up`. The make targets cluster-up and cluster-down call this."""

import argparse
import hashlib
import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    # Started by path, Python looks for modules beside this file instead of in the checkout.
    sys.path.insert(0, str(CHECKOUT))

from tests.cluster import build  # noqa: E402
from tests.cluster.controlplane import ControlPlane, StartError  # noqa: E402


def default_directory() -> Path:
    """Where the cluster of this checkout lies; another clone has its own."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "stopgap" / f"dev-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]}"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(description="A real Kubernetes control plane with simulated nodes and pods, for development.")
    parser.add_argument("command", choices=sorted(COMMANDS), metavar="up|down|status|build|kubeconfig")
    parser.add_argument("--dir", type=Path, default=default_directory(), help="where its files lie (default: one folder per checkout)")
    asked = parser.parse_args(arguments)
    try:
        return COMMANDS[asked.command](ControlPlane(asked.dir, die_with_parent=False))
    except (build.BuildError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _up(cluster: ControlPlane) -> int:
    cluster.start()
    return _status(cluster)


def _down(cluster: ControlPlane) -> int:
    cluster.stop()
    print(f"The development cluster is down; its last logs are in {cluster.logs}")
    return 0


def _status(cluster: ControlPlane) -> int:
    if not cluster.running():
        print(f"No development cluster runs in {cluster.directory}\n  start it:   make cluster-up")
        return 3
    print(f"""The development cluster is up.
  use it:     export KUBECONFIG={cluster.kubeconfig}
  kubectl:    {cluster.environment()["PATH"].split(os.pathsep)[0]}/kubectl
  API server: {cluster.server}
  audit log:  {cluster.audit_log}
  logs:       {cluster.logs}
  break it:   set an image whose tag ends in -crash, -oom, -flap, -pull-notfound … (see tests/cluster/README.md)
  stop it:    make cluster-down""")
    return 0


def _build(_: ControlPlane) -> int:
    print(build.installed())
    return 0


def _kubeconfig(cluster: ControlPlane) -> int:
    print(cluster.kubeconfig)
    return 0 if cluster.running() else 3


def _stop_at_end_of_input(cluster: ControlPlane) -> int:
    # Held open by whoever started the control plane; it ends when that process does.
    sys.stdin.read()
    cluster.stop()
    return 0


COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "build": _build,
    "kubeconfig": _kubeconfig,
    "stop-at-end-of-input": _stop_at_end_of_input,
}

if __name__ == "__main__":
    sys.exit(main())
