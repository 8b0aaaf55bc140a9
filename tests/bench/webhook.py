"""The least that undoes a release when an alert is told: an aiohttp webhook that patches at once. No record, no guard, no proof.

It takes Alertmanager's message (webhook version 4), and holds every ReplicaSet in memory, so that an alert costs it ONE request.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from tests.bench.api import Api
from tests.bench.floor import Floor


class Webhook:
    """Writes the template of the ReplicaSet before back, for each firing alert that names a Deployment."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor

    async def take(self, request: web.Request) -> web.Response:
        """Take one message; answer when everything in it is done."""
        group = msgspec.json.decode(await request.read())
        await asyncio.gather(*(self.undo(one["labels"]) for one in group["alerts"] if one["status"] == "firing"))
        return web.json_response({"alerts": len(group["alerts"])})

    async def undo(self, labels: dict[str, Any]) -> None:
        """Undo the newest release of the Deployment that the labels name."""
        known = sorted((one for one in self.floor.revisions.values() if one.deployment == labels["deployment"]), key=lambda one: one.number)
        if len(known) > 1:
            await self.floor.undo(known[-1], known[-2], pod="")


async def run(kubeconfig: Path, namespace: str, port: int) -> None:
    """Run until killed; says `ready` when it listens and its watch is live."""
    async with Api(kubeconfig) as api, asyncio.TaskGroup() as group:
        floor, ready = Floor(api, namespace, with_records=False), asyncio.Event()
        group.create_task(floor.follow(f"{floor.apps}/replicasets", floor.put_replica_set, ready))
        group.create_task(api.keep_warm())
        await ready.wait()
        app = web.Application()
        app.router.add_post("/alerts", Webhook(floor).take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print("ready", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The least that undoes a release when an alert is told.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.kubeconfig, arguments.namespace, arguments.port))
    except KeyboardInterrupt:
        sys.exit(130)
