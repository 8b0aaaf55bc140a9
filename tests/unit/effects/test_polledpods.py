"""Questions about all pods of a workload: which pods and containers are meant, and what is said where they cannot be known."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.conftest import NOW, TARGET, UID, make_revision, make_workload

from stopgap.effects.connection import Connection
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.polledpods import PolledPods
from stopgap.model.logs import LogDigest
from stopgap.model.query import LogRequest, Silence
from stopgap.model.refs import Target

SECONDS = timedelta(seconds=5)
LINES = LogRequest(TARGET, "ERROR", timedelta(minutes=1))


async def nobody() -> str | None:
    return None


def pod(name: str, owner: str = "rs-2", *containers: str, leaving: bool = False) -> dict[str, Any]:
    references = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}]
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "ownerReferences": references}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    return {"metadata": metadata, "spec": {"containers": [{"name": one} for one in containers or ("app",)]}}


class Server:
    """The API server, as far as pods go."""

    def __init__(self, *pods: dict[str, Any], status: int = 200) -> None:
        self.pods, self.status = pods, status
        self.lists: list[dict[str, str]] = []
        self.logs: list[tuple[str, str]] = []

    async def list(self, request: web.Request) -> web.Response:
        self.lists.append(dict(request.query))
        return web.json_response({"items": self.pods}, status=self.status)

    async def log(self, request: web.Request) -> web.Response:
        self.logs.append((request.match_info["pod"], request.query["container"]))
        return web.Response(text="ERROR db\n")


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[PolledPods]:
    index = Index(lambda _: None, lambda: NOW, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
    index.put_workload(make_workload())
    for number in (1, 2):
        index.put_revision(make_revision(number))
    application = web.Application()
    application.router.add_get("/api/v1/namespaces/shop/pods", server.list)
    application.router.add_get("/api/v1/namespaces/shop/pods/{pod}/log", server.log)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Kube(Connection(server=f"http://127.0.0.1:{runner.addresses[0][1]}", credentials=nobody)) as kube:
            yield PolledPods(kube, index)
    finally:
        await runner.cleanup()


async def test_the_logs_of_every_pod_that_stays_are_read_whatever_its_revision() -> None:
    server = Server(pod("old", "rs-1"), pod("new"), pod("going", leaving=True), pod("foreign", "rs-9"), pod("by-hand", UID))
    async with asking(server) as pods:
        found = await pods.logs(LINES, SECONDS)
    assert isinstance(found, LogDigest)
    assert sorted(server.logs) == [("by-hand", "app"), ("new", "app"), ("old", "app")]
    assert found.matching == 3
    assert server.lists == [{"labelSelector": "pod-template-hash in (h1,h2)", "resourceVersion": "0"}]


async def test_what_was_injected_is_not_listened_to() -> None:
    server = Server(pod("new", "rs-2", "app", "istio-proxy"))
    async with asking(server) as pods:
        await pods.logs(LINES, SECONDS)
    assert server.logs == [("new", "app")]


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        (LogRequest(TARGET, "ERROR", SECONDS, "cache"), 200, "the workload has no container cache"),
        (LINES, 403, "its pods are not known: Stopgap may not list them"),
        (LINES, 500, "its pods are not known: the API server does not tell (500)"),
    ],
)
async def test_what_cannot_be_known_is_said(asked: LogRequest, status: int, why: str) -> None:
    async with asking(Server(status=status)) as pods:
        assert await pods.logs(asked, SECONDS) == Silence(why, theirs=False)


async def test_of_a_workload_that_is_gone_nothing_is_asked() -> None:
    server = Server()
    async with asking(server) as pods:
        gone = LogRequest(Target("shop", "Deployment", "gone"), "ERROR", SECONDS)
        assert await pods.logs(gone, SECONDS) == LogDigest(0, 0, 0)
    assert server.lists == []
