"""Memory and start time of Stopgap, beside how much there is to watch."""

import asyncio
import os
import signal
import statistics
from pathlib import Path
from typing import Any

from tests.bench.api import Api
from tests.bench.children import deciding, operator
from tests.bench.population import populate
from tests.bench.world import STOPGAP, account, install, policy
from tests.cluster.controlplane import ControlPlane

STARTS = 3
SETTLE = 5.0
"""Seconds after the start before memory is read."""


async def measure(folder: Path, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Fill a control plane of its own step by step, and start Stopgap a few times at each size. Returns one row for each."""
    plane = ControlPlane(folder)
    await asyncio.to_thread(plane.start)
    try:
        install(plane)
        _stop_controllers(plane)
        # As one of the cluster's own programs, whose writes the audit log does not copy in full.
        async with Api(plane.directory / "kwok.kubeconfig") as api:
            await api.there("/apis/stopgap.dev/v1alpha1/namespaces/default/remediationpolicies", policy("default"))
            rows, written = [], 0
            for size in sizes:
                await populate(api, written, size)
                written = size
                rows.append(await _starts(plane, size))
                print(f"  {_told(rows[-1])}", flush=True)
            return rows
    finally:
        await asyncio.to_thread(plane.stop)


def _stop_controllers(plane: ControlPlane) -> None:
    """End whatever would interfere with objects that are written as if everything had already happened."""
    for name, pid in plane.processes().items():
        if name in {"controller-manager", "scheduler", "kwok"}:
            os.kill(pid, signal.SIGTERM)


async def _starts(plane: ControlPlane, size: int) -> dict[str, Any]:
    seconds, cpu, now, most = [], [], [], []
    for _ in range(STARTS):
        child = await operator(account(plane, STOPGAP), plane.directory)
        try:
            seconds.append(await deciding(child) - child.started_at)
            cpu.append(child.cpu_seconds())
            await asyncio.sleep(SETTLE)
            rss, peak = child.memory()
        finally:
            await child.stop()
        now.append(rss)
        most.append(peak)
    return {"deployments": size, "rss": max(now), "peak": max(most), "start": statistics.median(seconds), "starts": seconds, "cpu": cpu}


def _told(row: dict[str, Any]) -> str:
    return f"{row['deployments']} Deployments: {row['rss']:.1f} MiB (peak {row['peak']:.1f}), start {row['start']:.2f} s"
