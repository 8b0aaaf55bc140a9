"""The processes that are measured or help to measure: started, listened to, stopped."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

CHECKOUT = Path(__file__).resolve().parents[2]


class Child:
    """One process and the lines it has said, each with the time at which it was heard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started_at = 0.0
        self.said: list[tuple[float, dict[str, Any]]] = []
        self._heard = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self, *argv: str, environment: dict[str, str], folder: Path) -> Self:
        """Start it; it is heard on stdout and stderr alike."""
        self.started_at = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            *argv,
            env={**os.environ, **environment},
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
        )
        self._listening = asyncio.create_task(self._listen())
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    async def _listen(self) -> None:
        stream = self._process.stdout if self._process else None
        while stream and (line := await stream.readline()):
            at = time.monotonic()
            try:
                said = json.loads(line)
            except ValueError:
                said = {"message": line.decode(errors="replace").rstrip()}
            async with self._heard:
                self.said.append((at, said))
                self._heard.notify_all()
        async with self._heard:
            self._heard.notify_all()

    async def hear(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> tuple[float, dict[str, Any]]:
        """Wait for the first line of which something holds. Raises RuntimeError with the last lines when it does not come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._heard:
                looked = 0
                while True:
                    for at, said in self.said[looked:]:
                        if holds(said):
                            return at, said
                    looked = len(self.said)
                    if self._listening is None or self._listening.done():
                        break
                    await self._heard.wait()
        last = "\n".join(str(said)[:400] for _, said in self.said[-8:])
        raise RuntimeError(f"{self.name} did not say what was waited for within {seconds:.0f} s. Last heard:\n{last}")

    async def stop(self) -> None:
        """Ask it to end, and insist after a while."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), 25)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def memory(self) -> tuple[float, float]:
        """MiB it holds now, and the most it ever held."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return _mebibytes(fields["VmRSS"]), _mebibytes(fields["VmHWM"])

    def cpu_seconds(self) -> float:
        """Seconds of processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _mebibytes(text: str) -> float:
    return int(text.split(maxsplit=1)[0]) / 1024


async def bench_module(name: str, *arguments: str) -> Child:
    """Start a module of the bench."""
    environment = {"PYTHONPATH": str(CHECKOUT)}
    return await Child(name).start(sys.executable, "-m", f"tests.bench.{name}", *arguments, environment=environment, folder=CHECKOUT)


async def operator(kubeconfig: Path, folder: Path, *, namespace: str = "", more: tuple[str, ...] = ()) -> Child:
    """Start Stopgap as it is installed, with its own ServiceAccount; for one namespace or all. `more`: further arguments."""
    where = ("-n", namespace) if namespace else ()
    ports = ("--health-port", "0", "--metrics-port", "0")
    environment = {"KUBECONFIG": str(kubeconfig), "PYTHONSAFEPATH": "1"}
    return await Child("stopgap").start(
        sys.executable, "-m", "stopgap", "run", *where, *ports, *more, environment=environment, folder=folder
    )


async def deciding(child: Child) -> float:
    """Wait until Stopgap could decide: every watch has synced, and it leads. Returns the moment."""
    synced, _ = await child.hear(lambda said: said.get("message") == "synced", 120)
    leading, _ = await child.hear(lambda said: said.get("message") == "leading", 120)
    return max(synced, leading)
