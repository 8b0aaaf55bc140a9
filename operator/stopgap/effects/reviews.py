"""Drafts PostMortems, writes their documents anew when people fill them in, and tells the Incident that it was reviewed.

Works beside the queue of workloads, and slowly: nobody waits for a review. PostMortems are large and kept for ever, so that only those that
have something left to write are remembered, by name.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import ValidationError

from stopgap.api import Incident, PostMortem
from stopgap.api.incident import IncidentStatus
from stopgap.api.postmortem import Facts, PostMortemSpec
from stopgap.core import lifecycle, reviewing
from stopgap.core.case import Notice
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound
from stopgap.effects.events import beginning
from stopgap.effects.kube import Kube, PatchKind, collection, item
from stopgap.effects.queue import WorkQueue
from stopgap.effects.record import INCIDENT_LABEL, Recorder, dumped, replacing_status
from stopgap.model.base import API_VERSION, Permission
from stopgap.model.conditions import holds
from stopgap.model.reasons import Reason
from stopgap.model.refs import ObjectRef

PERMISSIONS: Final = (
    Permission("stopgap.dev", ("postmortems",), ("get", "list", "watch", "create"), "draft reviews, and see what people write in them"),
    Permission("stopgap.dev", ("postmortems/status",), ("patch",), "write the documents of reviews"),
)
STANDBY_SECONDS: Final = 15.0
"""How often a copy that does not lead looks whether it does by now."""
UNTOLD_SECONDS: Final = 5.0
"""How soon to look again at an Incident of which nothing was written down yet."""
log = logging.getLogger(__name__)


class Key(NamedTuple):
    """One PostMortem."""

    namespace: str
    name: str


class Reviews:
    """Keeps the reviews. `leading` says whether this copy may write."""

    def __init__(self, kube: Kube, recorder: Recorder, *, leading: Callable[[], bool], now: Callable[[], datetime]) -> None:
        self._kube = kube
        self._recorder = recorder
        self._leading = leading
        self._now = now
        self._queue: WorkQueue[Key] = WorkQueue(namespace=lambda key: key.namespace, on_error=_failed, concurrency=2)
        self._unwritten: dict[Key, str] = {}
        """Name of the Incident of each PostMortem whose document is not of its spec, or whose Incident was open when it was written."""

    async def run(self) -> None:
        """Write what is left to write, for ever."""
        await self._queue.run(self._look)

    def take(self, body: dict[str, Any]) -> None:
        """Take in a PostMortem as it is now."""
        key = Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        if _is_written(body):
            self._unwritten.pop(key, None)
            return
        self._unwritten[key] = body["spec"]["incidentRef"]["name"]
        self._queue.add(key)

    def drop(self, namespace: str, name: str) -> None:
        """Take in a deletion."""
        self._unwritten.pop(Key(namespace, name), None)

    async def over(self, incident: Incident, status: IncidentStatus) -> None:
        """An incident has ended: see that there is a review where one is owed, and copy its end into those that there are."""
        meta = incident.metadata
        known = [key for key, name in self._unwritten.items() if (key.namespace, name) == (meta.namespace, meta.name)]
        if not known and reviewing.is_owed(status):
            await self._draft(incident)
        for key in known:
            self._queue.add(key)

    async def _draft(self, incident: Incident) -> None:
        meta = incident.metadata
        drafted = meta.name
        try:
            if not await self._made(incident, drafted):
                # An earlier Incident of the same name has left its review.
                drafted = f"{beginning(meta.name, 240)}-{(meta.uid or '')[:8]}"
                await self._made(incident, drafted)
        except (Forbidden, Invalid) as error:
            # A quota, or an admission policy of the platform: the incident must end all the same, and says that its review is owed.
            log.warning(
                "a review could not be drafted", extra={"incident": meta.name, "namespace": meta.namespace, "error": str(error)[:300]}
            )
            return
        await self._recorder.event(incident, _drafted(meta.namespace or "", drafted), self._now())

    async def _made(self, incident: Incident, name: str) -> bool:
        """Create the draft; False: another incident's review has the name."""
        meta, namespace = incident.metadata, incident.metadata.namespace or ""
        spec = PostMortemSpec(incident_ref=ObjectRef(name=meta.name, uid=meta.uid or ""))
        body = {
            "apiVersion": API_VERSION,
            "kind": PostMortem.__name__,
            "metadata": {"name": name, "namespace": namespace, "labels": {INCIDENT_LABEL: meta.uid}},
            "spec": dumped(spec),
        }
        try:
            await self._kube.create(collection(API_VERSION, PostMortem.plural, namespace), body)
        except Conflict:
            found = await self._read(PostMortem, namespace, name)
            ref = found.spec.incident_ref if found else None
            return ref is not None and ref.name == meta.name and ref.uid in {"", meta.uid}
        return True

    async def _look(self, key: Key) -> float | None:
        """Write the document of one PostMortem, where it is not what its spec and the record say."""
        if not self._leading():
            return STANDBY_SECONDS if key in self._unwritten else None
        pm = await self._read(PostMortem, key.namespace, key.name)
        if pm is None:
            self.drop(*key)
            return None
        incident = await self._read(Incident, key.namespace, pm.spec.incident_ref.name)
        facts = reviewing.facts(pm, incident)
        status = reviewing.status(pm, facts, self._now())
        after = pm.model_copy(update={"status": status})
        if incident is not None and facts is not None and incident.metadata.uid == facts.uid:
            # Before the document: whoever finds that one unwritten tells the Incident again.
            await self._tell(incident, after)
        if pm.status is None or dumped(status) != dumped(pm.status):
            await self._write(pm, status)
        if _is_over(facts):
            self._unwritten.pop(key, None)
        return UNTOLD_SECONDS if incident is not None and incident.status is None else None

    async def _tell(self, incident: Incident, pm: PostMortem) -> None:
        status = reviewing.reviewed(incident, pm, self._now())
        if status is None:
            return
        await self._write(incident, status)
        if holds(status.conditions, lifecycle.REVIEWED):
            await self._recorder.event(incident, Notice(Reason.Reviewed, f"PostMortem {pm.metadata.name} is complete"), self._now())

    async def _write(self, one: Incident | PostMortem, status: Any) -> None:
        meta = one.metadata
        path = item(API_VERSION, one.plural, meta.name, namespace=meta.namespace, subresource="status")
        await self._kube.patch(path, replacing_status(meta.resource_version, status), how=PatchKind.JSON)

    async def _read(self, kind: type[Any], namespace: str, name: str) -> Any:
        try:
            body = msgspec.json.decode(await self._kube.get(item(API_VERSION, kind.plural, name, namespace=namespace)))
            return kind.model_validate(body)
        except NotFound:
            return None
        except (ValidationError, OverflowError) as error:
            log.warning(
                "an object cannot be understood and is left alone", extra={"object": f"{namespace}/{name}", "error": str(error)[:300]}
            )
            return None


def _is_written(body: dict[str, Any]) -> bool:
    """Whether the document is of the present spec, and of an Incident that was over."""
    status = body.get("status") or {}
    told = ((status.get("facts") or {}).get("status") or {}).get("conditions") or ()
    over = any(one.get("type") == lifecycle.RESOLVED and one.get("status") == "True" for one in told)
    return over and status.get("observedGeneration") == body["metadata"].get("generation")


def _is_over(facts: Facts | None) -> bool:
    return facts is not None and holds(facts.status.conditions, lifecycle.RESOLVED)


def _drafted(namespace: str, name: str) -> Notice:
    return Notice(Reason.Drafted, f"PostMortem {name} was drafted; complete it with: kubectl -n {namespace} edit pm {name}")


def _failed(key: Key, error: Exception) -> None:
    known = isinstance(error, KubeError)
    level, told = (logging.INFO, None) if known else (logging.ERROR, error)
    log.log(level, "a review could not be written and is tried again", extra={"review": str(key), "error": str(error)}, exc_info=told)
