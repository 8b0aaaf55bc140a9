"""The first reading of our own kinds, and its slow repetition: Kopf has no "initial list done", and misses deletions after a gap."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from pydantic import ValidationError

from stopgap.api import KINDS, Incident, RemediationConfig
from stopgap.api.incident import CLOSED_LABEL
from stopgap.effects.errors import KubeError, NotFound
from stopgap.effects.kube import Kube, collection
from stopgap.effects.records import Records
from stopgap.model.base import API_VERSION, Kind

log = logging.getLogger(__name__)


class OwnLists:
    """Lists our own kinds into the records."""

    def __init__(self, kube: Kube, records: Records, namespaces: tuple[str, ...], own_namespace: str) -> None:
        self._kube = kube
        self._records = records
        self._namespaces = namespaces
        self.own_namespace = own_namespace
        self.waits_for = "the API server has not answered yet"
        """Why wait_for_kinds has not ended."""

    async def wait_for_kinds(self) -> None:
        """Without our CRDs there is nothing to do; wait for them and say so."""
        told = False
        while True:
            try:
                resources = msgspec.json.decode(await self._kube.get(f"/apis/{API_VERSION}"))["resources"]
                missing = {kind.plural for kind in KINDS} - {one["name"] for one in resources}
            except NotFound:
                missing = {kind.plural for kind in KINDS}
            except KubeError as error:
                self.waits_for = f"the API server cannot be asked: {error}"
                log.warning("the API server cannot be asked", extra={"error": str(error)})
                await asyncio.sleep(1)
                continue
            if not missing:
                return
            self.waits_for = f"the custom resource definitions are missing ({', '.join(sorted(missing))}); apply crds/"
            if not told:
                log.warning("the custom resource definitions are missing; apply crds/ and this goes on", extra={"missing": sorted(missing)})
                told = True
            await asyncio.sleep(1)

    async def read(self, kind: type[Kind]) -> None:
        """List one kind, until it succeeds, and drop what vanished unseen; what is created meanwhile stays."""
        while True:
            before = self._records.names(kind)
            try:
                listed = {key async for key in self._listed(kind)}
            except KubeError as error:
                log.warning("an own kind cannot be listed", extra={"kind": kind.__name__, "error": str(error)})
                await asyncio.sleep(1)
                continue
            for namespace, name in before - listed:
                self._records.drop(kind, namespace, name)
            return

    async def _listed(self, kind: type[Kind]) -> Any:
        only = {"labelSelector": f"{CLOSED_LABEL}!=true"} if kind is Incident else {}
        for path in self.paths_of(kind):
            async for raw in self._kube.items(path, only):
                body = msgspec.json.decode(raw)
                body["kind"], body["apiVersion"] = kind.__name__, API_VERSION
                self._records.take(kind, body)
                yield body["metadata"].get("namespace", ""), body["metadata"]["name"]

    async def labelled(self, label: str) -> AsyncIterator[Incident]:
        """Yield the Incidents with a label, also those that are over. Raises KubeError."""
        for path in self.paths_of(Incident):
            async for raw in self._kube.items(path, {"labelSelector": label}):
                try:
                    yield Incident.model_validate({**msgspec.json.decode(raw), "kind": Incident.__name__, "apiVersion": API_VERSION})
                except ValidationError as error:
                    log.warning("an Incident cannot be understood and is left alone", extra={"error": str(error)[:300]})

    def paths_of(self, kind: type[Kind]) -> list[str]:
        """Return where an own kind is listed and watched. What is of the whole cluster may not be read by a namespaced installation."""
        if kind.scope == "Cluster" and self._namespaces:
            return []
        return self.paths(API_VERSION, kind.plural, own=kind is RemediationConfig)

    def paths(self, version: str, plural: str, *, own: bool = False) -> list[str]:
        """Return the collections to list and watch: one, or one for each namespace of a namespaced installation."""
        if own:
            return [collection(version, plural, self.own_namespace)]
        if not self._namespaces:
            return [collection(version, plural)]
        return [collection(version, plural, namespace) for namespace in self._namespaces]
