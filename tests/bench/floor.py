"""The floor: the least that undoes a bad release. Watch, count exits, write the older template back. No care, no record, no proof.

With --records it is the second floor: it first makes the same two creates as Stopgap, one after the other, and its patch is guarded.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import records
from tests.bench.api import JSON_PATCH, OWN, Api, exits, owner

EXITS = 3


@dataclass
class Revision:
    """A ReplicaSet, as far as it matters here."""

    deployment: str
    number: int
    template: Any


class Floor:
    """Everything it knows, and the one thing it does."""

    def __init__(self, api: Api, namespace: str, *, with_records: bool) -> None:
        self.api, self.namespace, self.with_records = api, namespace, with_records
        self.revisions: dict[str, Revision] = {}
        self.deployments: dict[str, Any] = {}
        self.undone: set[str] = set()
        self.acting: set[asyncio.Task[None]] = set()
        self.apps = f"/apis/apps/v1/namespaces/{namespace}"

    def put_deployment(self, seen: Any) -> None:
        """Remember the newest state of a Deployment."""
        self.deployments[seen["metadata"]["name"]] = seen["metadata"]

    def put_replica_set(self, seen: Any) -> None:
        """Remember a template, without the label that the Deployment controller added."""
        template = seen["spec"]["template"]
        template["metadata"].get("labels", {}).pop("pod-template-hash", None)
        number = int(seen["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", 0))
        self.revisions[seen["metadata"]["uid"]] = Revision(owner(seen)["name"], number, template)

    def put_pod(self, seen: Any) -> None:
        """Count exits; act once on each bad revision."""
        uid = owner(seen)["uid"]
        bad = self.revisions.get(uid)
        if bad is None or uid in self.undone or exits(seen) < EXITS:
            return
        others = [one for one in self.revisions.values() if one.deployment == bad.deployment and one is not bad]
        good = max(others, key=lambda one: one.number, default=None)
        if good is None or good.number > bad.number:
            return
        self.undone.add(uid)
        task = asyncio.create_task(self.undo(bad, good, seen["metadata"]["name"]))
        self.acting.add(task)
        task.add_done_callback(self.acting.discard)

    async def undo(self, bad: Revision, good: Revision, pod: str) -> None:
        """Write the older template back."""
        patch: list[dict[str, Any]] = [{"op": "replace", "path": "/spec/template", "value": good.template}]
        if self.with_records:
            meta = self.deployments[bad.deployment]
            own = f"{OWN}/namespaces/{self.namespace}"
            incident = await self.api.ask("POST", f"{own}/incidents", records.incident(meta, pod))
            remediation = records.remediation(meta, incident, bad.number, good.number)
            stored = await self.api.ask("POST", f"{own}/remediations", remediation)
            patch = records.guarded(meta, stored["metadata"]["uid"], patch)
        await self.api.ask("PATCH", f"{self.apps}/deployments/{bad.deployment}", patch, JSON_PATCH)

    async def follow(self, path: str, put: Any, ready: asyncio.Event) -> None:
        """Follow one kind."""
        async for kind, seen in self.api.watch(path, ready):
            if kind != "DELETED":
                put(seen)


async def run(kubeconfig: Path, namespace: str, *, with_records: bool) -> None:
    """Run until killed; says `ready` when every watch is live."""
    async with Api(kubeconfig) as api, asyncio.TaskGroup() as group:
        floor = Floor(api, namespace, with_records=with_records)
        for path, put in (
            (f"{floor.apps}/deployments", floor.put_deployment),
            (f"{floor.apps}/replicasets", floor.put_replica_set),
            (f"/api/v1/namespaces/{namespace}/pods", floor.put_pod),
        ):
            ready = asyncio.Event()
            group.create_task(floor.follow(path, put, ready))
            await ready.wait()
        group.create_task(api.keep_warm())
        print("ready", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The least that undoes a bad release.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--records", action="store_true")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.kubeconfig, arguments.namespace, with_records=arguments.records))
    except KeyboardInterrupt:
        sys.exit(130)
