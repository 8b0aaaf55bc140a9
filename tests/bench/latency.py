"""Mitigation latency: from the deciding status of a pod to the rolled-back template, both as an independent observer sees them."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

from tests.bench.api import Api
from tests.bench.children import Child, bench_module, deciding, operator
from tests.bench.world import AGAIN, FLOOR, GOOD, NAIVE, NAMESPACES, RECORDS, STOPGAP, Workloads, account
from tests.cluster.cluster import Cluster

CONTENDERS = (STOPGAP, FLOOR, RECORDS, AGAIN)
PAUSE = 20.0


@dataclass
class Samples:
    """Milliseconds by contender and round, and the names of Stopgap's incidents."""

    rounds: dict[str, list[list[float]]] = field(default_factory=dict)
    paused: dict[str, list[list[float]]] = field(default_factory=dict)
    naive: list[float] = field(default_factory=list)
    apps: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


class Arena:
    """All contenders alive and warm, each watching a namespace of its own: only the one whose workload breaks has something to do."""

    def __init__(self, cluster: Cluster, api: Api) -> None:
        self.cluster, self.api = cluster, api
        self.workloads = Workloads(api)
        self.samples = Samples()
        self.operator: Child | None = None
        self._children: list[Child] = []
        self._observer: Child | None = None

    async def open(self) -> None:
        """Start the observer and every contender, and wait until all are ready."""
        spaces = [part for name in NAMESPACES.values() for part in ("--namespace", name)]
        self._observer = await bench_module("observer", "--kubeconfig", str(self.cluster.kubeconfig), *spaces)
        self._children.append(self._observer)
        await self._observer.hear(lambda said: said.get("what") == "ready")
        for name in (FLOOR, RECORDS, AGAIN):
            more = ("--records",) if name == RECORDS else ()
            kubeconfig = str(account(self.cluster, name))
            child = await bench_module("floor", "--kubeconfig", kubeconfig, "--namespace", NAMESPACES[name], *more)
            self._children.append(child)
            await child.hear(lambda said: said.get("message") == "ready")
        self.operator = await operator(account(self.cluster, STOPGAP), self.cluster.directory, namespace=NAMESPACES[STOPGAP])
        self._children.append(self.operator)
        await deciding(self.operator)

    async def close(self) -> None:
        """Stop them all."""
        await asyncio.gather(*(child.stop() for child in self._children))

    async def measure(self, rounds: int, incidents: int) -> None:
        """Run rounds; inside each, the contenders alternate incident by incident, in rotated order."""
        for number in range(rounds):
            taken = await self._round(f"r{number}", incidents, CONTENDERS, rotate=number)
            for name, values in taken.items():
                self.samples.rounds.setdefault(name, []).append(values)

    async def measure_paused(self, incidents: int) -> None:
        """One round with a rest before each incident, for what a warm-up would hide."""
        taken = await self._round("p", incidents, (STOPGAP, FLOOR, RECORDS), rotate=0, pause=PAUSE)
        for name, values in taken.items():
            self.samples.paused[name] = [values]

    async def _round(
        self, prefix: str, incidents: int, contenders: tuple[str, ...], *, rotate: int, pause: float = 0.0
    ) -> dict[str, list[float]]:
        await self.workloads.make([(NAMESPACES[name], f"{prefix}-i{number}") for number in range(incidents) for name in contenders])
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(incidents):
            turn = (number + rotate) % len(contenders)
            for name in (*contenders[turn:], *contenders[:turn]):
                await asyncio.sleep(pause)
                value = await self._incident(name, f"{prefix}-i{number}")
                if value is not None:
                    taken[name].append(value)
            print(f"  {prefix} {number + 1}/{incidents}: " + "  ".join(f"{name} {_last(taken[name])}" for name in contenders), flush=True)
        return taken

    async def _incident(self, contender: str, app: str) -> float | None:
        """Break one workload and return the milliseconds of its mitigation; None if it was missed."""
        namespace = NAMESPACES[contender]
        if contender == STOPGAP:
            self.samples.apps.append(app)
        await self.workloads.break_it(namespace, app)
        value: float | None = None
        try:
            value = await self.seen(namespace, app)
            await self.workloads.healthy(namespace, app)
            if contender == STOPGAP:
                await self.workloads.closed(namespace, app)
        except (RuntimeError, TimeoutError) as error:
            self.samples.missed.append(f"{contender}, {app}: {str(error)[:1000] or 'it did not become healthy or closed in time'}")
        await self.workloads.remove(namespace, app)
        await asyncio.sleep(0.5)
        return value

    async def seen(self, namespace: str, app: str, seconds: float = 45.0) -> float:
        """Return the milliseconds between the observer's two sights."""
        if self._observer is None:
            raise RuntimeError("the observer does not run")

        def about(said: dict[str, Any], what: str) -> bool:
            return (said.get("what"), said.get("namespace"), said.get("app")) == (what, namespace, app)

        _, signal = await self._observer.hear(lambda said: about(said, "signal"), seconds)

        def undone(said: dict[str, Any]) -> bool:
            return about(said, "template") and said["detail"] == GOOD and said["at"] > signal["at"] - 1

        _, template = await self._observer.hear(undone, seconds)
        return float(template["at"] - signal["at"]) * 1000

    async def measure_naive(self, incidents: int) -> None:
        """Measure what a pipeline does: wait for the progress deadline (10 s), then undo."""
        namespace = NAMESPACES[NAIVE]
        names = [f"n-i{number}" for number in range(incidents)]
        await self.workloads.make([(namespace, name) for name in names], deadline=10)
        for name in names:
            await self.workloads.break_it(namespace, name)
            command = (
                f"kubectl -n {namespace} rollout status deploy/{name} --timeout=60s || kubectl -n {namespace} rollout undo deploy/{name}"
            )
            shell = await asyncio.create_subprocess_exec(
                "sh", "-c", command, env={**os.environ, **self.cluster.environment()}, stdout=-3, stderr=-3
            )
            await shell.wait()
            self.samples.naive.append(await self.seen(namespace, name))
            await self.workloads.remove(namespace, name)


def _last(values: list[float]) -> str:
    return f"{values[-1]:.1f} ms" if values else "-"
