"""Connects the sampler with what it asks for and whom it may ask. Started by the runtime; decisions only read its samples."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import assert_never
from urllib.parse import urlsplit

from stopgap.api.clusterpolicy import Policy
from stopgap.api.config import ConfigSpec
from stopgap.core.reach import Address, Reach
from stopgap.detectors import Polled
from stopgap.effects.databases import Databases
from stopgap.effects.egress import Egress
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube
from stopgap.effects.observe import handled
from stopgap.effects.polledpods import PolledPods
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.effects.sampler import Sampler
from stopgap.effects.secrets import Secrets
from stopgap.model.database import DatabaseRequest
from stopgap.model.observation import Refusal
from stopgap.model.query import Answer, Asked, LogRequest, Query, Reply, Request, Server, Silence, UsageRequest
from stopgap.model.refs import Target


class Polling:
    """The polled signals of all workloads that a policy decides."""

    def __init__(  # noqa: PLR0913 - whom it asks, for whom, and whom it tells
        self,
        kube: Kube,
        index: Index,
        records: Records,
        rosters: Rosters,
        *,
        own_namespace: str,
        leading: Callable[[], bool],
        soon: Callable[[Target], None],
    ) -> None:
        self._index = index
        self._records = records
        self._rosters = rosters
        self._server = kube.connection.server
        self._servers: frozenset[Address] = frozenset()
        self._reach = Reach(ConfigSpec().outbound)
        self.egress = Egress(self._present_reach)
        """The one way out, for whatever else the policies declare."""
        self._pods = PolledPods(kube, index)
        self._secrets = Secrets(kube, own_namespace)
        self.databases = Databases(self._secrets, self.egress.resolve)
        """The one way to databases, likewise."""
        self.sampler = Sampler(
            self._ask,
            targets=lambda: [work.target for work in index.workloads()] if self._policies() else (),
            deciding=self._deciding,
            version=lambda: (rosters.version, index.listings),
            prometheus=self._prometheus,
            leading=leading,
            now=index.now,
            changed=soon,
        )

    async def run(self) -> None:
        """Ask for ever."""
        try:
            self._servers = await self._addresses_of_the_api_server()
            await self.sampler.run()
        finally:
            await self.egress.close()

    async def _ask(self, query: Query) -> Answer:
        """Ask all questions of a query at once, and return what became of each within the query's deadline."""
        return tuple(await asyncio.gather(*(self._reply(one, query) for one in query.requests)))

    async def _reply(self, asked: Asked, query: Query) -> Reply:
        match asked:
            case Request():
                return await self._send(asked, query)
            case LogRequest():
                return await self._pods.logs(asked, query.deadline)
            case UsageRequest():
                return await self._pods.usage(asked, query.deadline)
            case DatabaseRequest():
                return await self.databases.figures(asked, scope=query.scope, deadline=query.deadline)
            case _:
                assert_never(asked)

    async def _send(self, asked: Request, query: Query) -> Reply:
        began = time.monotonic()
        try:
            async with asyncio.timeout(query.deadline.total_seconds()):
                complete = await self._secrets.complete(asked)
        except TimeoutError:
            return Silence("what the request needs cannot be read in time", theirs=False)
        if isinstance(complete, Refusal):
            return Silence(complete.message, theirs=False)
        left = query.deadline - timedelta(seconds=time.monotonic() - began)
        return await self.egress.send(complete, scope=query.scope, deadline=left)

    async def _addresses_of_the_api_server(self) -> frozenset[Address]:
        hosts = {urlsplit(self._server).hostname or "", os.environ.get("KUBERNETES_SERVICE_HOST", "")} - {""}
        return frozenset([one for host in hosts for one in await self.egress.addresses(host)])

    def _policies(self) -> bool:
        return any(isinstance(trigger.detector, Polled) for policy in self._records.all_policies() for trigger in policy.spec.triggers)

    def _config(self) -> ConfigSpec:
        # One that cannot be understood allows nothing; everything is paused then anyway.
        config = None if self._records.config_trouble else self._records.config
        return config.spec if config else ConfigSpec()

    def _prometheus(self) -> Server | None:
        declared = self._config().prometheus
        return declared.server if declared else None

    def _present_reach(self) -> Reach:
        outbound = self._config().outbound
        if self._reach.allow is not outbound or self._reach.servers is not self._servers:
            self._reach = Reach(outbound, self._servers)
        return self._reach

    def _deciding(self, target: Target) -> Policy | None:
        work, incident = self._index.workload(target), handled(self._records.incidents(target))
        return self._rosters.deciding(target, work.labels, named=incident.spec.policy_ref if incident else None) if work else None
