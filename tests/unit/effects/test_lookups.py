"""What is read when an incident is looked into, from a server that answers like an API server: all of it at once, and never for long."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.conftest import BAD_IMAGE, GOOD, GOOD_IMAGE, NEW, NOW, ago, make_case, make_pod, make_seen, make_template, make_workload

from stopgap.api.incident import IncidentStatus
from stopgap.core.evidence import Answers, Touched, told
from stopgap.core.failing import Scene, scene
from stopgap.effects import lookups as module
from stopgap.effects.connection import Connection
from stopgap.effects.databases import Databases
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.live import LiveReads
from stopgap.effects.lookups import Lookups
from stopgap.effects.records import Records
from stopgap.effects.rights import Rights
from stopgap.effects.secrets import Secrets
from stopgap.model.query import Silence
from stopgap.model.template import Template

CONFIGURED = Template.read(make_template(BAD_IMAGE, volumes=[{"name": "c", "configMap": {"name": "settings"}}]))
BEGAN = IncidentStatus(started_at=ago(seconds=30), revision=2)
CHANGED = "2026-11-23T09:57:00Z"
MANAGED = [{"manager": "kubectl-edit", "time": CHANGED}, {"manager": "controller", "subresource": "status", "time": "2026-11-23T09:59:59Z"}]


def meta(name: str) -> dict[str, Any]:
    return {"name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": "2026-11-01T00:00:00Z", "managedFields": MANAGED}


def autoscaler(name: str, target: str) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    status = {"lastScaleTime": "2026-11-23T09:59:00Z", "desiredReplicas": 7}
    return {"metadata": meta(name), "spec": {"scaleTargetRef": ref, "maxReplicas": 9}, "status": status}


def event(reason: str, controller: str = "kubelet") -> dict[str, Any]:
    return {
        "metadata": {"name": reason},
        "regarding": {"kind": "Pod", "name": "p1"},
        "reason": reason,
        "note": f"{reason} it says",
        "type": "Warning",
        "reportingController": controller,
        "deprecatedCount": 4,
        "deprecatedLastTimestamp": CHANGED,
        "eventTime": None,
    }


async def nowhere(_host: str, _scope: str) -> Silence:
    return Silence("nobody is asked", theirs=False)


class Server:
    """Answers what a path begins with; counts what was asked, and of what at most at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {
            "/apis/apps/v1/namespaces/shop/replicasets/api-1": {"spec": {"template": GOOD.body}},
            "/apis/apps/v1/namespaces/shop/replicasets/api-2": {"spec": {"template": CONFIGURED.body}},
            "/api/v1/namespaces/shop/configmaps/settings": {"metadata": meta("settings")},
            "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers": {
                "items": [autoscaler("other", "cart"), autoscaler("api", "api")]
            },
            "/api/v1/nodes/node-1": {
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": CHANGED},
                        {"type": "DiskPressure", "status": "False", "lastTransitionTime": CHANGED},
                    ]
                },
            },
            "/apis/events.k8s.io/v1/namespaces/shop/events": {"items": [event("BackOff"), event("Detected", "stopgap.dev/operator")]},
            "/api/v1/namespaces/shop/pods": {"items": []},
        }
        self.logs = "INFO started\nERROR db: connection refused\n"
        self.hanging = ""
        self.endless = False
        """Every log is 10 MB/s, and never ends by itself."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.hanging and request.path.startswith(self.hanging):
            await asyncio.sleep(60)
        if request.path.endswith("/log"):
            return await self._log_without_end(request) if self.endless else web.Response(text=self.logs)
        if request.path not in self.answers:
            return web.json_response({"kind": "Status", "reason": "NotFound", "code": 404}, status=404)
        answer = self.answers[request.path]
        if isinstance(answer, int):
            return web.json_response({"kind": "Status", "code": answer}, status=answer)
        return web.Response(body=answer) if isinstance(answer, bytes) else web.json_response(answer)

    async def _log_without_end(self, request: web.Request) -> web.StreamResponse:
        lines = (b"2026-11-23T10:00:00Z ERROR request %08d: db: connection refused by 10.0.0.%d\n" % (n, n % 250) for n in range(800))
        block, response = b"".join(lines), web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(10_000):
                await response.write(block)
                await asyncio.sleep(len(block) / 10e6)
        return response

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Lookups]:
        application = web.Application()
        application.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with Kube(Connection(f"http://127.0.0.1:{runner.addresses[0][1]}", nobody)) as kube:
                live = LiveReads(
                    kube,
                    Records(lambda _: None, lambda _: None),
                    Rights(kube, "stopgap-system"),
                    databases=Databases(Secrets(kube, "stopgap-system"), nowhere),
                    own_namespace="stopgap-system",
                    argocd_namespace="argocd",
                )
                index = Index(lambda _: None, lambda: NOW, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
                yield Lookups(kube, index, live, everywhere=True, now=lambda: NOW)
        finally:
            await runner.cleanup()


async def nobody() -> str | None:
    return None


def crashed(**seen: Any) -> Scene:
    return scene(make_case(seen=make_seen(**seen)), BEGAN)


async def answers(server: Server, where: Scene | None = None) -> Answers:
    async with server.serving() as lookups:
        return await lookups.answers(where or crashed())


async def test_everything_is_read_of_which_something_is_told() -> None:
    server = Server()
    found = await answers(server)
    assert {uid: one.digest for uid, one in found.templates.items()} == {"rs-1": GOOD.digest, "rs-2": CONFIGURED.digest}
    assert {(one.what, one.how, one.by) for one in found.touched} == {
        ("configmap/settings", "was changed", "kubectl-edit"),
        ("horizontalpodautoscaler/api", "was changed", "kubectl-edit"),
        ("horizontalpodautoscaler/api", "scaled it (to 7)", ""),
        ("node/node-1", "(not ready (NodeStatusUnknown)) changed", ""),
    }
    assert [(one.node, one.what) for one in found.nodes] == [("node-1", "not ready (NodeStatusUnknown)"), ("node-1", "cordoned")]
    assert {(one.reason, one.count, one.about) for one in found.warnings} == {("BackOff", 4, "pod/p1")}
    assert found.logs is not None
    assert found.logs.previous
    assert found.logs.digest.shapes == (("ERROR db: connection refused", 1),)
    assert found.unread == {}
    assert told(crashed(), found).images == (f"app: {GOOD_IMAGE} → {BAD_IMAGE}",)


@pytest.mark.parametrize(
    ("path", "answer", "unread"),
    [
        pytest.param(
            "/api/v1/namespaces/shop/configmaps/settings", 403, {"ConfigMaps": module.CONFIGMAP_HINT}, id="a role that is not bound"
        ),
        pytest.param("/api/v1/nodes/node-1", 403, {"Nodes": "not granted"}, id="a copy for some namespaces"),
        pytest.param("/apis/events.k8s.io/v1/namespaces/shop/events", 500, {"Events": "could not be read"}, id="a server in trouble"),
        pytest.param("/api/v1/nodes/node-1", b"<html>", {"Nodes": "could not be understood"}, id="something else answers"),
        pytest.param("/api/v1/namespaces/shop/configmaps/settings", 404, {}, id="a ConfigMap that is not there"),
    ],
)
async def test_what_cannot_be_read_is_said_and_the_rest_is_told(path: str, answer: Any, unread: dict[str, str]) -> None:
    server = Server()
    server.answers[path] = answer
    found = await answers(server)
    assert found.unread == unread
    assert found.logs is not None
    assert found.templates


async def test_what_hangs_costs_no_more_than_the_deadline_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", timedelta(milliseconds=500))
    server = Server()
    server.hanging = "/api/v1/n"  # nodes, ConfigMaps and logs
    began = time.monotonic()
    found = await answers(server)
    assert time.monotonic() - began < 2
    assert found.unread["Nodes"] == "no answer within 0.5s"
    assert found.logs is not None
    assert "were not read to the end" in found.logs.digest.missed
    assert found.warnings
    assert found.templates


async def test_of_pods_that_are_well_the_logs_are_read_all_the_same() -> None:
    server = Server()
    status = {"phase": "Running", "containerStatuses": [{"name": "app", "ready": True}, {"name": "mesh", "ready": True}]}
    server.answers["/api/v1/namespaces/shop/pods"] = {"items": [{"metadata": {**meta("p7"), "namespace": "shop"}, "status": status}]}
    found = await answers(server, crashed(pods=(), exits=()))
    assert found.logs is not None
    assert (found.logs.asked, found.logs.digest.matching, found.logs.previous) == (2, 2, False)
    assert "/api/v1/namespaces/shop/pods?labelSelector=pod-template-hash%3Dh2&limit=3" in server.asked


async def test_where_no_line_looks_like_trouble_the_last_ones_are_told() -> None:
    server = Server()
    server.logs = "one\ntwo\ntwo\n"
    found = await answers(server)
    assert found.logs is not None
    assert found.logs.digest.shapes[0] == ("two", 2)


async def test_what_the_pods_use_is_told_where_the_cluster_measures_it() -> None:
    server = Server()
    owned = {"ownerReferences": [{"kind": "ReplicaSet", "name": "api-2", "uid": "rs-2", "controller": True}]}
    limits = {"resources": {"limits": {"memory": "128Mi"}}}
    server.answers["/api/v1/namespaces/shop/pods"] = {
        "items": [{"metadata": {**meta("p1"), **owned}, "spec": {"containers": [{"name": "app", **limits}]}}]
    }
    server.answers["/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"] = {
        "items": [
            {"metadata": {"name": "p1"}, "timestamp": CHANGED, "containers": [{"name": "app", "usage": {"memory": "120Mi", "cpu": "10m"}}]}
        ]
    }
    async with server.serving() as lookups:
        lookups._index.put_revision(NEW)
        lookups._index.put_workload(make_workload())
        found = await lookups.answers(crashed())
    assert [(one.pod, one.used["memory"], one.limits["memory"]) for one in found.usage] == [("p1", 120 * 2**20, 128 * 2**20)]


async def test_a_rollout_of_another_workload_of_the_namespace_is_told() -> None:
    server = Server()
    async with server.serving() as lookups:
        index = lookups._index
        for name, changed in (("cart", 1), ("web", 40)):
            work = make_workload(name=name, uid=f"{name}-uid")
            index.put_workload(work)
            index._history(work.uid).changed_at = ago(minutes=changed)
        index.put_workload(make_workload(namespace="pay", name="card", uid="card-uid"))
        index.put_workload(make_workload())
        index._history("d-uid").changed_at = ago(minutes=1)
        index._history("card-uid").changed_at = ago(minutes=1)
        found = await lookups.answers(crashed())
    assert [one for one in found.touched if one.what.startswith("deployment/")] == [
        Touched("deployment/cart", "rolled out revision 2", ago(minutes=1), "kubectl-set")
    ]


async def test_two_hundred_crashing_pods_that_write_without_end_cost_little_time_and_memory() -> None:
    server = Server()
    server.endless = True
    pods = tuple(make_pod(f"p{number}", node=f"node-{number % 50}") for number in range(200))
    async with server.serving() as lookups:
        tracemalloc.start()
        began = time.monotonic()
        found = await lookups.answers(crashed(pods=pods))
        took, peak = time.monotonic() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took < module.DEADLINE.total_seconds() + 1
    assert peak < 16 << 20, "the server is in it as well"
    assert len(server.asked) < 20, "what is asked does not grow with the number of pods"
    assert found.logs is not None
    assert found.logs.digest.shapes[0][0] == "# ERROR request #: db: connection refused by #"
    assert "are longer than is read of one" in found.logs.digest.missed
    assert "200 failing pods on 50 nodes" in told(crashed(pods=pods), found).evidence[3].message
