"""Run the bench: latency against two floors, alerts against a webhook, requests while idle and for an incident, memory and start time."""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
if str(CHECKOUT) not in sys.path:
    sys.path.insert(0, str(CHECKOUT))

from tests.bench import alerts, audit, report, size, world  # noqa: E402
from tests.bench.api import Api  # noqa: E402
from tests.bench.latency import Arena  # noqa: E402
from tests.cluster import build  # noqa: E402
from tests.cluster.cluster import Cluster  # noqa: E402
from tests.cluster.controlplane import ControlPlane  # noqa: E402

IDLE_SECONDS = 30.0
SIZES = (0, 1000, 3000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of incidents (default: 3)")
    parser.add_argument("--incidents", type=int, default=12, help="incidents of each contender in a round (default: 12)")
    parser.add_argument(
        "--pause-incidents", type=int, default=4, help="incidents of each contender after 20 s of rest (default: 4; 0: none)"
    )
    parser.add_argument("--naive-incidents", type=int, default=2, help="incidents of the naive baseline (default: 2; 0: none)")
    parser.add_argument("--size", type=int, help="measure with this many Deployments too (default: 1000 and 3000 only)")
    parser.add_argument("--only", choices=("latency", "alerts", "idle", "size"), help="one part only")
    parser.add_argument("--kubeconfig", type=Path, help="use this cluster (latency only: the rest needs its audit log)")
    parser.add_argument("--json", type=Path, default=CHECKOUT / "build" / "bench.json", help="where the numbers go")
    return parser


async def _arena(arguments: argparse.Namespace, cluster: Cluster, found: dict[str, Any]) -> list[str]:
    """Latency, and what the audit log says about the same incidents."""
    wanted = arguments.only != "idle"
    world.install(cluster)
    world.furnish(cluster, world.policy(world.NAMESPACES[world.STOPGAP]))
    async with Api(cluster.kubeconfig) as api:
        arena = Arena(cluster, api)
        try:
            await arena.open()
            ready = time.time()
            await arena.measure(arguments.rounds if wanted else 1, arguments.incidents if wanted else 2)
            if wanted and arguments.pause_incidents:
                await arena.measure_paused(arguments.pause_incidents)
            if wanted and arguments.naive_incidents:
                await arena.measure_naive(arguments.naive_incidents)
            taken = arena.samples
            found["missed"] = taken.missed
            lines = _latency(arena, found) if wanted else []
            lines += [f"  MISSED: {one}" for one in taken.missed]
            if cluster.audit_available:
                print(f"Idle for {IDLE_SECONDS:.0f} s …", flush=True)
                found["idle"] = await _idle(cluster, ready, taken.apps)
                lines += report.idle(found["idle"])
            if arena.operator:
                lines.append(f"  Stopgap's memory after all of this: {arena.operator.memory()[0]:.1f} MiB")
        finally:
            await arena.close()
    return lines


def _latency(arena: Arena, found: dict[str, Any]) -> list[str]:
    taken = arena.samples
    found["latency"] = {"rounds": taken.rounds, "summary": report.summary(taken.rounds)}
    found["paused"] = {"rounds": taken.paused, "summary": report.summary(taken.paused)}
    found["naive"] = taken.naive
    lines = report.latency("Mitigation latency: deciding pod status seen -> rolled-back template seen, alternating incidents", taken.rounds)
    if taken.paused:
        lines += report.latency("The same, after 20 s in which nothing happens", taken.paused)
    if taken.naive:
        lines += [
            "",
            f"Naive baseline (kubectl rollout status || undo, 10 s deadline): {', '.join(f'{one:,.0f} ms' for one in taken.naive)}",
        ]
    return lines


async def _alerts(rounds: int, folder: Path, found: dict[str, Any]) -> list[str]:
    """Alerts, on a control plane of their own."""
    print(f"Alerts: {', '.join(f'{count} at {rate}/s' for rate, count in alerts.RATES)} for each contender, {rounds} rounds …", flush=True)
    plane = await asyncio.to_thread(ControlPlane(folder).start)
    try:
        taken = await alerts.measure(plane, rounds)
    finally:
        await asyncio.to_thread(plane.stop)
    summed = {rate: report.summary(values) for rate, values in taken.rates.items()}
    found["alerts"] = {"set": alerts.LIMITS, "rates": taken.rates, "summary": summed, "missed": taken.missed}
    found["missed"] = [*found.get("missed", ()), *taken.missed]
    return [*report.alerts(taken.rates, alerts.LIMITS), *(f"  MISSED: {one}" for one in taken.missed)]


async def _idle(cluster: Cluster, ready: float, apps: list[str]) -> dict[str, Any]:
    await asyncio.sleep(5)
    began = time.time()
    await asyncio.sleep(IDLE_SECONDS)
    asked = audit.requests(cluster)
    counts = audit.between(asked, began, began + IDLE_SECONDS)
    incidents = {app: audit.of_incident(asked, app) for app in apps}
    writes = {what: number for what, number in counts.items() if what.split()[0] in audit.WRITES and what.split()[1] != audit.LEASE}
    since_start = audit.between(asked, ready, began)
    longest = max(incidents.values(), key=lambda one: len(one["all"]), default=None)
    return {
        "seconds": IDLE_SECONDS,
        "requests": dict(counts),
        "lists": sum(number for what, number in counts.items() if what.startswith("list ")),
        "writes": sum(writes.values()),
        "lists_since_start": {what: number for what, number in since_start.items() if what.startswith("list ")},
        "incidents": incidents,
        "example": longest,
        "worst_until_action": max((len(one["until_action"]) for one in incidents.values()), default=0),
        "worst_all": len(longest["all"]) if longest else 0,
    }


async def _run(arguments: argparse.Namespace, folder: Path) -> int:
    found: dict[str, Any] = {"machine": f"{platform.machine()}, {platform.python_version()}", "at": time.strftime("%FT%TZ", time.gmtime())}
    lines: list[str] = []
    if arguments.only not in {"alerts", "size"}:
        if arguments.kubeconfig:
            lines += await _arena(arguments, Cluster(folder, arguments.kubeconfig.resolve(), build.installed() / "kubectl"), found)
        else:
            plane = await asyncio.to_thread(ControlPlane(folder / "latency").start)
            try:
                lines += await _arena(arguments, plane, found)
            finally:
                await asyncio.to_thread(plane.stop)
    if arguments.only in {None, "alerts"} and not arguments.kubeconfig:
        lines += await _alerts(arguments.rounds, folder / "alerts", found)
    if arguments.only in {None, "size"} and not arguments.kubeconfig:
        sizes = tuple(sorted({*SIZES, *([arguments.size] if arguments.size else [])}))
        if arguments.size and arguments.size < max(SIZES):
            sizes = (0, arguments.size)
        print(f"Size: {', '.join(f'{one:,}' for one in sizes)} Deployments …", flush=True)
        found["size"] = await size.measure(folder / "size", sizes)
        lines += report.size(found["size"])
    print("\n".join(lines))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1))
    print(f"\nAll numbers: {arguments.json}")
    return 1 if found.get("missed") else 0


def main() -> int:
    """Read the arguments and run."""
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="stopgap-bench-") as folder:
        try:
            return asyncio.run(_run(arguments, Path(folder)))
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
