"""The independent observer: its own watches in its own process. Prints when a deciding status or a template became visible to it.

Times are those of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.api import Api, exits

EXITS = 3


def _say(what: str, namespace: str, app: str, at: float, detail: str = "") -> None:
    print(json.dumps({"what": what, "namespace": namespace, "app": app, "at": at, "detail": detail}), flush=True)


class Observer:
    """Tells each thing once."""

    def __init__(self) -> None:
        self.told: set[tuple[str, str, str]] = set()
        self.images: dict[tuple[str, str], str] = {}

    def pod(self, seen: Any) -> None:
        """Tell the first status in which a third exit is visible."""
        at = time.monotonic()
        meta = seen["metadata"]
        app, image = meta.get("labels", {}).get("app", ""), seen["spec"]["containers"][0]["image"]
        key = (meta["namespace"], app, image)
        if key not in self.told and exits(seen) >= EXITS:
            self.told.add(key)
            _say("signal", meta["namespace"], app, at, image)

    def deployment(self, seen: Any) -> None:
        """Tell each change of the image in the template."""
        at = time.monotonic()
        meta, image = seen["metadata"], seen["spec"]["template"]["spec"]["containers"][0]["image"]
        key = (meta["namespace"], meta["name"])
        if self.images.get(key) != image:
            self.images[key] = image
            _say("template", *key, at, image)


async def run(kubeconfig: Path, namespaces: list[str], *, pods: bool) -> None:
    """Watch until killed."""
    observer = Observer()

    async def follow(api: Api, path: str, put: Any, ready: asyncio.Event) -> None:
        async for kind, seen in api.watch(path, ready):
            if kind != "DELETED":
                put(seen)

    async with Api(kubeconfig) as api, asyncio.TaskGroup() as group:
        for namespace in namespaces:
            watched = [(f"/apis/apps/v1/namespaces/{namespace}/deployments", observer.deployment)]
            watched += [(f"/api/v1/namespaces/{namespace}/pods", observer.pod)] if pods else []
            for path, put in watched:
                ready = asyncio.Event()
                group.create_task(follow(api, path, put, ready))
                await ready.wait()
        print(json.dumps({"what": "ready"}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Watches pods and templates and says when it saw what.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", action="append", required=True)
    parser.add_argument("--no-pods", action="store_true", help="watch templates only")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.kubeconfig, arguments.namespace, pods=not arguments.no_pods))
    except KeyboardInterrupt:
        sys.exit(130)
