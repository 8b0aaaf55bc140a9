"""A real Alertmanager, from the distribution's package, that tells one receiver and nobody else."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import yaml
from tests.cluster.harness import free_port, wait_for

PACKAGE = "prometheus-alertmanager"


def installed() -> Path:
    """Return the program; installs Debian's package where we may, for that reads its templates from where it is installed only."""
    with (Path(tempfile.gettempdir()) / f"stopgap-{PACKAGE}-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(PACKAGE) is None and os.getuid() == 0 and shutil.which("apt-get"):
            # In runlevel 1 no package starts its service.
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
            for words in (["update"], ["install", "--yes", "--no-install-recommends", PACKAGE]):
                subprocess.run(["apt-get", *words], env=environment, check=False, capture_output=True, timeout=240)
    found = shutil.which(PACKAGE)
    if found is None:
        pytest.skip(f"what a real Alertmanager posts went untested: apt-get install {PACKAGE}")
    return Path(found)


class Alertmanager:
    """Groups by name, and repeats itself every second."""

    def __init__(self, directory: Path, url: str, token: str) -> None:
        self._program, self._directory, self._port = installed(), directory, free_port()
        webhook = {"url": url, "send_resolved": True, "http_config": {"authorization": {"type": "Bearer", "credentials": token}}}
        route = {"receiver": "stopgap", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
        self._file = directory / "alertmanager.yml"
        self._file.write_text(yaml.safe_dump({"route": route, "receivers": [{"name": "stopgap", "webhook_configs": [webhook]}]}))

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run it for as long."""
        listen = (f"--web.listen-address=127.0.0.1:{self._port}", "--cluster.listen-address=")
        command = [str(self._program), f"--config.file={self._file}", f"--storage.path={self._directory}", *listen]
        with (self._directory / "alertmanager.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                wait_for("Alertmanager is ready", lambda: process.poll() is not None or self._ask("/-/ready"))
                if process.poll() is not None:
                    raise RuntimeError((self._directory / "alertmanager.log").read_text()[-2000:])
                yield self
            finally:
                process.kill()

    def tell(self, labels: dict[str, str], *, ends: str = "") -> None:
        """Tell it of an alert, as Prometheus does."""
        body = [{"labels": labels, "annotations": {"summary": "told by Prometheus"}, **({"endsAt": ends} if ends else {})}]
        if not self._ask("/api/v2/alerts", json.dumps(body).encode()):
            raise RuntimeError(f"Alertmanager does not take {labels}")

    def count(self, metric: str) -> float:
        """Return one of its counters, of webhooks."""
        lines = self._ask("/metrics").decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(metric) and 'integration="webhook"' in line)

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - of our own making
                return answer.read() or b"taken"
        except OSError:
            return b""
