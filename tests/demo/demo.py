"""The main job, watched: a broken release is rolled back on a real API server. `make demo` and `make demo-clean` call this.

It does by hand what the README says: install the CRDs and the roles, run the operator, apply an application and a policy, break it.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    # Started by path, Python looks for modules beside this file instead of in the checkout.
    sys.path.insert(0, str(CHECKOUT))

from tests.cluster import build  # noqa: E402
from tests.cluster.cluster import Cluster, KubectlError  # noqa: E402
from tests.cluster.controlplane import ControlPlane, StartError  # noqa: E402
from tests.cluster.harness import OWN_NAMESPACE, free_port, install, wait_for  # noqa: E402
from tests.cluster.processes import Component, end, spawn  # noqa: E402

MANIFESTS = CHECKOUT / "manifests" / "demo"
BAD_IMAGE = "nginx:2.0-crash"
"""In the simulated cluster its tag makes it crash; on real nodes there is no such image. Both are a bad release."""


OURS = "app.kubernetes.io/part-of=stopgap-demo"
"""The label of the namespace that the demo makes, and removes."""


def directory() -> Path:
    """Where the demo of this checkout keeps its cluster and its operator's log."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "stopgap" / f"demo-{hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]}"


def main() -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(description="Watch a bad release being rolled back.")
    parser.add_argument("command", choices=("up", "clean"))
    parser.add_argument("--cluster", choices=("embedded", "kind"), default="embedded")
    asked = parser.parse_args()
    demo = Demo(_cluster(asked.cluster), kind=asked.cluster == "kind" and _given() is None)
    try:
        return demo.clean() if asked.command == "clean" else demo.up()
    except KeyboardInterrupt:
        print("\nStopped. Taking everything down again …")
        _take_down(demo)
        return 130
    except (build.BuildError, StartError, KubectlError, TimeoutError, RuntimeError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        _take_down(demo)
        return 1


def _take_down(demo: "Demo") -> None:
    """Leave nothing behind; a cluster that does not answer is no reason for a traceback."""
    try:
        demo.clean()
    except KubectlError as error:
        print(f"Whether anything of the demo is left in that cluster could not be seen: {error}", file=sys.stderr)


def _given() -> Path | None:
    """Return the KUBECONFIG of a cluster that is not the demo's. What the demo says to export, to explore its own one, names none."""
    named = os.environ.get("KUBECONFIG")
    return None if not named or directory().resolve() in Path(named).resolve().parents else Path(named)


def _cluster(kind: str) -> Cluster:
    """Take the cluster of KUBECONFIG where one is given, else make one."""
    where = directory()
    where.mkdir(parents=True, exist_ok=True)
    given = _given()
    if given or kind == "kind":
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise SystemExit("kubectl is missing; install it, or run the demo on its own control plane: env -u KUBECONFIG make demo")
        return Cluster(where, given or where / "kind.kubeconfig", Path(kubectl))
    return ControlPlane(where / "cluster", die_with_parent=False)


class Demo:
    """The play: what is done, and what a user would see."""

    def __init__(self, cluster: Cluster, *, kind: bool) -> None:
        self._cluster = cluster
        self._kind = kind
        self._operator_file = directory() / "operator.json"

    # ----------------------------------------------------------------------------------------------------------- acts

    def up(self) -> int:
        """Play it from nothing to the resolved incident."""
        self._start_cluster()
        self._stop_operator()
        self._forget_the_last_time()
        if self._has_shop():
            raise RuntimeError("this cluster has a namespace shop that is not of the demo; delete or rename it, or use another cluster")
        self._install()
        self._start_operator()
        self._deploy()
        self._break()
        self._watch()
        self._explain()
        return 0

    def clean(self) -> int:
        """Leave nothing running."""
        self._stop_operator()
        if isinstance(self._cluster, ControlPlane):
            self._cluster.stop()
        elif self._kind:
            subprocess.run(["kind", "delete", "cluster", "--name", "stopgap-demo"], check=False)
        else:
            self._forget_the_last_time()
            say(
                "The kinds, the roles and the admission policies stay on this cluster, and all that was recorded elsewhere. To remove them:"
            )
            show("kubectl delete -f crds/ -f manifests/rbac.yaml -f manifests/admission/")
        print("The demo is gone: nothing of it runs any more.")
        return 0

    def _start_cluster(self) -> None:
        if isinstance(self._cluster, ControlPlane):
            say("Starting a control plane of its own: etcd, API server, controllers, scheduler, and simulated nodes.")
            self._cluster.start()
        elif self._kind:
            say("Starting a kind cluster.")
            command = ["kind", "create", "cluster", "--name", "stopgap-demo", "--kubeconfig", str(self._cluster.kubeconfig)]
            if subprocess.run(command, check=False).returncode:
                raise RuntimeError("kind could not make a cluster; is Docker running, and is there none of that name already?")
        else:
            say(f"Using the cluster of KUBECONFIG={self._cluster.kubeconfig}.")

    def _forget_the_last_time(self) -> None:
        """Remove what an earlier demo left. A namespace of the same name that somebody else made is not touched."""
        if self._has_shop("--selector", OURS):
            self._cluster.kubectl("delete", "namespace", "--selector", OURS, "--wait=true", "--timeout=60s", timeout=90)

    def _has_shop(self, *only: str) -> bool:
        return any(one["metadata"]["name"] == "shop" for one in self._cluster.get("namespaces", *only)["items"])

    def _install(self) -> None:
        say("Installing the kinds and the roles. Stopgap gets its own ServiceAccount, and it may change nothing yet.")
        show("kubectl apply --server-side -f crds/ -f manifests/rbac.yaml -f manifests/admission/")
        install(self._cluster)

    def _start_operator(self) -> None:
        say("Starting Stopgap as a process of its own, under that ServiceAccount.")
        kubeconfig = self._cluster.service_account_kubeconfig(OWN_NAMESPACE, "stopgap", directory() / "stopgap.kubeconfig")
        port = free_port()
        command = [sys.executable, "-m", "stopgap", "run", "--health-port", str(port), "--metrics-port", "0"]
        log = directory() / "operator.log"
        log.unlink(missing_ok=True)
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "STOPGAP_HOST": "127.0.0.1", "PYTHONSAFEPATH": "1"}
        operator = spawn(command, log=log, environment=environment)
        self._operator_file.write_text(json.dumps({"pid": operator.pid, "argv": operator.argv}))
        wait_for("Stopgap leads", lambda: self._leads(operator, log), seconds=60)

    def _leads(self, operator: Component, log: Path) -> bool:
        if not operator.alive():
            raise RuntimeError(f"Stopgap ended:\n{log.read_text()[-2000:]}")
        return '"leading"' in log.read_text() or " leading" in log.read_text()

    def _stop_operator(self) -> None:
        if not self._operator_file.exists():
            return
        known = json.loads(self._operator_file.read_text())
        end([Component(known["pid"], known["argv"])], patience=20)
        self._operator_file.unlink()

    def _deploy(self) -> None:
        say("Applying a namespace whose owner allows rollbacks, a healthy application of three replicas, and a policy.")
        for name in ("namespace", "app", "policy"):
            show(f"kubectl apply -f manifests/demo/{name}.yaml")
            self._cluster.kubectl("apply", "-f", str(MANIFESTS / f"{name}.yaml"))
        self._cluster.kubectl("-n", "shop", "rollout", "status", "deployment/api", "--timeout=180s", timeout=200)
        self._print("get", "deployment,rpol")
        say("It has to be healthy for five seconds (minHealthyFor) to count as a version worth going back to.")
        began = time.monotonic()
        wait_for("the application was healthy for long enough", lambda: time.monotonic() - began > 7, seconds=30)

    def _break(self) -> None:
        say("Now somebody deploys a bad image.")
        show(f"kubectl -n shop set image deployment/api app={BAD_IMAGE}")
        self._cluster.kubectl("-n", "shop", "set", "image", "deployment/api", f"app={BAD_IMAGE}")

    def _watch(self) -> None:
        for phase, words in (
            ("Mitigating", "Stopgap has found the cause, stored its intent, and written the healthy template back, once."),
            ("Mitigated", "Every replica of the healthy revision is available and the signals are quiet: proven."),
            ("Resolved", "It stayed quiet. The incident is over, by itself."),
        ):
            self._wait_for_phase(phase)
            say(words)
            self._print("get", "inc,rem,deployment", "-o", "wide") if phase != "Mitigated" else self._print("get", "inc")

    def _wait_for_phase(self, phase: str) -> None:
        order = ["Triaged", "Mitigating", "Mitigated", "Resolved"]

        def reached() -> bool:
            items = self._cluster.get("-n", "shop", "incidents")["items"]
            now = items[0].get("status", {}).get("phase", "") if items else ""
            if now == "Escalated":
                raise RuntimeError(self._cluster.kubectl("-n", "shop", "describe", "inc"))
            return now in order[order.index(phase) :]

        wait_for(f"the incident is {phase}", reached, seconds=240)

    def _explain(self) -> None:
        say("The whole story is in the incident:")
        self._print("describe", "inc", "api-1")
        say("What was the wanted image is the wanted image again:")
        self._print("get", "deployment", "api", "-o", "jsonpath={.spec.template.spec.containers[0].image}{'\\n'}")
        kubeconfig = self._cluster.kubeconfig
        print(
            textwrap.dedent(f"""
            The cluster and Stopgap are still running. To explore:
                export KUBECONFIG={kubeconfig}
                {self._path_hint()}kubectl -n shop get inc,rem,wh,rpol
                kubectl -n shop set image deployment/api app={BAD_IMAGE}      # break it again
                kubectl explain inc.status
            Stopgap's log: {directory() / "operator.log"}
            To remove everything: make demo-clean""")
        )

    def _path_hint(self) -> str:
        if shutil.which("kubectl"):
            return ""
        return f"export PATH={self._cluster.environment()['PATH'].split(os.pathsep)[0]}:$PATH\n                "

    def _print(self, verb: str, what: str, *arguments: str) -> None:
        show(" ".join(["kubectl -n shop", verb, what, *arguments]))
        print(textwrap.indent(self._cluster.kubectl("-n", "shop", verb, what, *arguments).rstrip(), "  "))


def say(text: str) -> None:
    """Say what happens now."""
    print(f"\n▶ {textwrap.fill(text, 110, subsequent_indent='  ')}", flush=True)


def show(command: str) -> None:
    """Show a command that a user would type."""
    print(f"  $ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
