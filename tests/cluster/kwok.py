"""What kwok is told: how pods behave, what their logs say, which nodes there are."""

import datetime as dt
import re
import time
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parent
BEHAVIOURS = (
    "crash",
    "crash-slow",
    "oom",
    "flap",
    "initcrash",
    "neverready",
    "configerror",
    "pull-notfound",
    "pull-unauthorized",
    "pull-ratelimited",
    "pull-timeout",
    "pull-invalidname",
)
"""The words that an image tag may end in, or that the annotation stopgap.dev/simulate may hold. README.md says what each does."""

NODES = ("sim-0", "sim-1", "sim-2")


def write_configuration(folder: Path) -> None:
    """Write stages.yaml and the log files that all simulated containers share."""
    # The longer word first: an alternative of a regular expression takes the first that fits.
    words = "|".join(re.escape(word).replace(r"\-", "-") for word in sorted(BEHAVIOURS, key=len, reverse=True))
    stages = (SOURCES / "stages.yaml").read_text()
    (folder / "stages.yaml").write_text(stages.replace("@WORDS@", words).replace("@LOGS@", str(folder)))
    (folder / "pod.log").write_text(log_lines("INFO started", "INFO listening on :8080", "ERROR db: connection refused"))
    (folder / "pod-previous.log").write_text(log_lines("INFO started", "ERROR db: connection refused", "FATAL giving up"))


def node(name: str) -> dict[str, Any]:
    """The Node object that kwok then keeps ready."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    # All nodes are one server: metrics-server asks each under a path of its own.
    annotations = {"metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{name}/metrics/resource"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, "annotations": annotations}}


def log_lines(*messages: str) -> str:
    """Return lines as a container's log holds them, written now."""
    # The format in which a container runtime stores lines; kwok serves them like a kubelet, --since and --timestamps included.
    stamp = dt.datetime.fromtimestamp(time.time(), dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return "".join(f"{stamp} {'stdout' if message.startswith('INFO') else 'stderr'} F {message}\n" for message in messages)
