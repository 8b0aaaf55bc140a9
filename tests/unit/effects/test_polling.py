"""What the sampler is connected with: who is asked for, and what may be asked, as policies and the config say at the moment."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.conftest import NOW, TARGET, make_incident, make_policy, make_workload

from stopgap.api import Incident, RemediationConfig, RemediationPolicy
from stopgap.effects.connection import Connection
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.polling import Polling
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.model.query import PLATFORM, Request, Silence

METRIC = {"name": "errors", "prometheus": {"query": "errors", "above": "1", "interval": "1s"}}


async def nobody() -> str | None:
    return None


class Wired:
    """Polling with the real index, records and rosters."""

    def __init__(self) -> None:
        self.index = Index(lambda _: None, lambda: NOW, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
        self.records = Records(lambda _: None, self._changed)
        self.rosters = Rosters(self.records, Namespaces(lambda _: None))
        kube = Kube(Connection(server="https://localhost:6443", credentials=nobody))
        own = "stopgap-system"
        self.polling = Polling(kube, self.index, self.records, self.rosters, own_namespace=own, leading=lambda: False, soon=lambda _: None)
        self.index.put_workload(make_workload())

    def _changed(self, namespace: str) -> None:
        self.rosters.forget(namespace)

    def declare(self, name: str = "web", **spec: Any) -> RemediationPolicy:
        like = make_policy(triggers=[METRIC], steps=[], **spec)
        made = like.model_copy(update={"metadata": like.metadata.model_copy(update={"name": name})})
        self._take(made)
        return made

    def configure(self, **spec: Any) -> None:
        metadata = {"name": "stopgap", "namespace": "stopgap-system", "uid": "config", "resourceVersion": "7"}
        self._take(RemediationConfig.model_validate({"metadata": metadata, "spec": spec}))

    def open(self, **spec: Any) -> None:
        self._take(make_incident(**spec))

    def _take(self, one: Incident | RemediationPolicy | RemediationConfig) -> None:
        body = one.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.records.take(type(one), {**body, "metadata": {"resourceVersion": "7", **body["metadata"]}})


@pytest.fixture
async def wired() -> AsyncIterator[Wired]:
    made = Wired()
    yield made
    await made.polling.egress.close()


@asynccontextmanager
async def running(wired: Wired) -> AsyncIterator[None]:
    task = asyncio.create_task(wired.polling.run())
    try:
        async with asyncio.timeout(10):
            while not wired.polling._servers:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.005)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_addresses_of_the_api_server_are_known_before_anything_is_asked(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    async with running(wired):
        servers = wired.polling._present_reach().servers
        assert {ipaddress.ip_address("10.96.0.1"), ipaddress.ip_address("127.0.0.1")} <= servers
        address = [ipaddress.ip_address("10.96.0.1")]
        assert "is the API server" in wired.polling._present_reach().forbids_addresses("x.shop.svc", address, PLATFORM)


async def test_what_may_be_asked_follows_the_config_and_one_that_cannot_be_understood_allows_nothing(wired: Wired) -> None:
    assert wired.polling._present_reach().allow.allow == ()
    wired.configure(outbound={"allow": ["10.0.0.0/8"]}, prometheus={"url": "http://prometheus.monitoring.svc:9090"})
    assert wired.polling._present_reach().allow.allow == ("10.0.0.0/8",)
    assert wired.polling._present_reach() is wired.polling._present_reach()
    wired.records.config_trouble = "spec: nonsense"
    assert wired.polling._present_reach().allow.allow == ()
    assert wired.polling._prometheus() is None


async def test_what_is_asked_is_that_of_the_policy_that_decides(wired: Wired) -> None:
    assert await wired.polling.sampler._wanted() == {}
    wired.configure(prometheus={"url": "http://prometheus.monitoring.svc:9090"})
    policy = wired.declare()
    wanted = await wired.polling.sampler._wanted()
    urls = [one.url for query in wanted for one in query.requests if isinstance(one, Request)]
    assert urls == ["http://prometheus.monitoring.svc:9090/api/v1/query"]
    assert [targets for by in wanted.values() for targets in by.values()] == [{TARGET}]
    assert wired.polling.sampler.samples(TARGET, policy) == {"errors": ()}


async def test_an_incident_that_names_its_policy_is_asked_for_under_that_one(wired: Wired) -> None:
    wired.declare()
    wired.declare("zealous")

    def deciding() -> str:
        policy = wired.polling._deciding(TARGET)
        return policy.metadata.name if policy else ""

    assert deciding() == "web"
    wired.open(policyRef={"name": "zealous"})
    assert deciding() == "zealous"


async def test_what_cannot_be_completed_is_not_sent(wired: Wired, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it was sent")

    monkeypatch.setattr(wired.polling.egress, "send", never)
    wired.configure(prometheus={"url": "http://prometheus.monitoring.svc:9090", "bearerFile": "/nowhere/token"})
    wired.declare()
    (query,) = await wired.polling.sampler._wanted()
    assert await wired.polling._ask(query) == (Silence("the file /nowhere/token cannot be read, or is no text", theirs=False),)
