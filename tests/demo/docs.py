"""`make docs`: lives through incidents on a control plane of its own, and writes what was printed into README.md.

What it records beside that (tests/golden/cli/*.json) are the objects as the API server had them: the plugin's golden tests print those.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    # Started by path, Python looks for modules beside this file instead of in the checkout.
    sys.path.insert(0, str(CHECKOUT))

from tests.cluster.controlplane import ControlPlane  # noqa: E402
from tests.cluster.harness import Operator, Shop, install, wait_for  # noqa: E402

README: Final = CHECKOUT / "README.md"
RECORDED: Final = CHECKOUT / "tests" / "golden" / "cli"
KINDS: Final = "incidents,remediations,postmortems,workloadhealths,remediationpolicies,deployments,replicasets,pods"
GOOD, BAD = "nginx:1.27-alpine", "nginx:2.0-crash"
SEVERE: Final[dict[str, Any]] = {"severity": {"default": "P2"}}


class Story:
    """One namespace, and what a person at a terminal sees of it."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.plane = plane
        self.shop = Shop(plane, name).create()

    def released(self, **policy: Any) -> None:
        """A healthy application, a policy, and a bad image."""
        self.shop.deploy(GOOD)
        self.shop.policy(**policy)
        self.shop.settle()
        self.shop.release(BAD)

    def type(self, command: str) -> str:
        """Type a command as a person would, and return it with what it prints."""
        seen = environment(self.plane)
        ran = subprocess.run(command.split(), env=seen, capture_output=True, text=True, check=True, timeout=60)
        lines = [line.rstrip() for line in ran.stdout.rstrip().splitlines()]
        return "\n".join([f"$ {command}", *lines])

    def record(self, name: str) -> None:
        """Write down the objects, and leave: what stays ill would be a storm to the next."""
        listed = self.plane.get("-n", self.shop.name, KINDS)
        items = sorted(listed["items"], key=lambda one: (one["kind"], one["metadata"]["name"]))
        text = ",\n".join(json.dumps(one, ensure_ascii=False) for one in items)  # one object a line
        RECORDED.mkdir(parents=True, exist_ok=True)
        (RECORDED / f"{name}.json").write_text(f'{{"apiVersion": "v1", "kind": "List", "items": [\n{text}\n]}}\n', encoding="utf-8")
        self.shop.leave()


def environment(plane: ControlPlane) -> dict[str, str]:
    """What a terminal would have: our kubectl and our plugin on the PATH."""
    base = plane.environment()
    return {**base, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{base['PATH']}", "NO_COLOR": "1"}


def main() -> int:
    """Live through the incidents, and write down what was seen."""
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder) / "cluster") as plane:
        install(plane)
        operator = Operator(plane, Path(folder)).start()
        try:
            parts = captured(Story(plane, "shop"))
            observed(Story(plane, "observed"))
            waiting(Story(plane, "waiting"))
            lent(Story(plane, "lent"))
        finally:
            operator.stop()
    README.write_text(inserted(README.read_text(encoding="utf-8"), parts), encoding="utf-8")
    print("wrote README.md and tests/golden/cli/*.json; look at the difference, then `GOLDEN=write make unit`")
    return 0


def captured(story: Story) -> dict[str, str]:
    """The incident of the README: a bad image, undone."""
    story.released(**SEVERE, verification={"healthyFor": "5s", "timeout": "2m"}, resolution={"after": "10s"})
    story.shop.incident(phase="Resolved")
    wait_for("its review is drafted", lambda: story.shop.items("postmortems"), seconds=20)
    since = time.monotonic()
    wait_for("every Event is there", lambda: time.monotonic() - since > 1, seconds=5)
    name = story.shop.items("incidents")[0]["metadata"]["name"]
    asked = (f"get -n shop {name}", "explain -n shop deploy/api")
    parts = {
        "incident": "\n\n".join(story.type(f"kubectl -n shop {one}") for one in ("get inc,rem", f"describe inc {name}")),
        "plugin": "\n\n".join(story.type(f"kubectl stopgap {one}") for one in asked),
    }
    story.record("resolved")
    return parts


def observed(story: Story) -> None:
    """A policy in mode Observe says what it would do."""
    story.released(mode="Observe")
    story.shop.refusals(reason="ObserveOnly")
    story.record("observed")


def waiting(story: Story) -> None:
    """An action waits for a person."""
    story.released(mode="Approve", **SEVERE)
    story.shop.refusals(reason="ApprovalPending")
    wait_for("it says so", lambda: story.shop.items("remediations")[0].get("status"), seconds=20)
    story.record("waiting")


def lent(story: Story) -> None:
    """More replicas for a while, which did not help."""
    role = "--clusterrole=stopgap-action-scale"
    story.shop.kubectl("create", "rolebinding", "scale", role, "--serviceaccount=stopgap-system:stopgap")
    story.shop.deploy("shop/api:1.0-neverready")
    step = {"name": "more", "when": {}, "scale": {"by": "1", "max": 9}, "revert": {"upon": "Manual"}}
    trigger = {"name": "down", "unavailable": {"below": "100%", "for": "1s"}}
    story.shop.policy(triggers=[trigger], steps=[step], verification={"healthyFor": "1s", "timeout": "4s"}, **SEVERE)
    story.shop.incident(phase="Escalated")
    story.record("escalated")


def inserted(text: str, parts: dict[str, str]) -> str:
    """Put what was printed between its marks."""
    for name, printed in parts.items():
        begin, end = f"<!-- make docs: {name} -->\n", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise RuntimeError(f"README.md has no marks for {name}")
        text = f"{head}{begin}```\n{printed}\n```\n{end}{tail}"
    return text


if __name__ == "__main__":
    sys.exit(main())
