"""Questions about all pods of a workload: which pods and containers are meant, and what is said where they cannot be known."""

import asyncio
import json
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
from stopgap.model.query import LogRequest, Silence, UsageRequest
from stopgap.model.refs import Target
from stopgap.model.usage import Measured, Usage, quantity

SECONDS = timedelta(seconds=5)
LINES = LogRequest(TARGET, "ERROR", timedelta(minutes=1))


async def nobody() -> str | None:
    return None


def pod(name: str, owner: str = "rs-2", *containers: str, leaving: bool = False, **resources: Any) -> dict[str, Any]:
    references = [{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}]
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1", "ownerReferences": references}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    return {"metadata": metadata, "spec": {"containers": [{"name": one, "resources": resources} for one in containers or ("app",)]}}


class Server:
    """The API server, as far as pods go."""

    def __init__(self, *pods: dict[str, Any], status: int = 200) -> None:
        self.pods, self.status = pods, status
        self.lists: list[dict[str, str]] = []
        self.logs: list[tuple[str, str]] = []
        self.metrics: Any = {"items": []}
        self.measured = 200

    async def list(self, request: web.Request) -> web.Response:
        self.lists.append(dict(request.query))
        return web.json_response({"items": self.pods}, status=self.status)

    async def usage(self, request: web.Request) -> web.Response:
        self.lists.append(dict(request.query))
        body = self.metrics if isinstance(self.metrics, bytes) else json.dumps(self.metrics).encode()
        return web.Response(body=body, status=self.measured)

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
    application.router.add_get("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods", server.usage)
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


async def test_a_list_of_pods_that_hangs_costs_no_more_than_the_deadline() -> None:
    class Hanging(Server):
        async def list(self, _: web.Request) -> web.Response:
            await asyncio.sleep(60)
            raise AssertionError

    async with asking(Hanging()) as pods, asyncio.timeout(5):
        late = Silence("no answer within 0.2s", theirs=False)
        assert await pods.logs(LINES, timedelta(seconds=0.2)) == late
        assert await pods.usage(UsageRequest(TARGET), timedelta(seconds=0.2)) == late


def figures(name: str, **used: dict[str, str]) -> dict[str, Any]:
    containers = [{"name": one, "usage": usage} for one, usage in used.items()]
    return {"metadata": {"name": name}, "timestamp": "2026-11-23T10:00:00Z", "window": "15s", "containers": containers}


async def test_what_containers_use_is_told_beside_what_they_ask_for() -> None:
    server = Server(
        pod("api-1", "rs-2", "app", "istio-proxy", requests={"cpu": "250m", "memory": "1Gi"}, limits={"cpu": "1"}), pod("api-2")
    )
    server.metrics = {
        "items": [
            figures("api-1", app={"cpu": "123456789n", "memory": "512Mi"}, **{"istio-proxy": {"cpu": "1", "memory": "1Gi"}}),
            figures("foreign", app={"cpu": "1", "memory": "1Gi"}),
        ]
    }
    async with asking(server) as pods:
        found = await pods.usage(UsageRequest(TARGET), SECONDS)
    used = {"cpu": quantity("123456789n"), "memory": 512.0 * 2**20}
    expected = Measured("api-1", "app", NOW, used, {"cpu": 0.25, "memory": 2.0**30}, {"cpu": 1.0})
    assert found == Usage((expected,), unmeasured=1)
    assert {one["labelSelector"] for one in server.lists} == {"pod-template-hash in (h1,h2)"}


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        pytest.param(404, b"404 page not found", "this cluster has no metrics.k8s.io API: install metrics-server", id="it is not there"),
        pytest.param(403, b"{}", "Stopgap may not list pods of metrics.k8s.io: apply its present roles", id="it may not be read"),
        pytest.param(503, b"{}", "the metrics.k8s.io API does not answer (503): look at metrics-server", id="it is down"),
        pytest.param(200, b"<html>", "what the metrics.k8s.io API says cannot be understood", id="it is something else"),
    ],
)
async def test_figures_that_cannot_be_had_are_said_to_be_missing_with_what_to_do(status: int, body: bytes, why: str) -> None:
    server = Server(pod("api-1"))
    server.measured, server.metrics = status, body
    async with asking(server) as pods:
        assert await pods.usage(UsageRequest(TARGET), SECONDS) == Silence(why, theirs=False)


async def test_a_figure_that_is_no_quantity_is_not_understood() -> None:
    server = Server(pod("api-1"))
    server.metrics = {"items": [figures("api-1", app={"cpu": "much", "memory": "1Gi"})]}
    async with asking(server) as pods:
        found = await pods.usage(UsageRequest(TARGET), SECONDS)
    assert found == Silence("what the metrics.k8s.io API says cannot be understood", theirs=False)
