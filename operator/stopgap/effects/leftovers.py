"""Finds what was lent to autoscalers and never put back, and GitOps owners that stay suspended, though every record of it is lost.

Neither is watched; a mark alone says that something of it is lent, or that it is paused. Looked for once each time that a copy begins to
lead; what is deleted later is heard of. A workload that bears a mark is seen by its watch.

What was lent is put back. A suspended owner is not resumed: the record alone said which version was the bad one, so that nothing can tell
whether Git still holds it, and to be wrong would deploy it again. People are told, until one of them has resumed it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.plan import PlannedScaler
from stopgap.core import suspending
from stopgap.core.case import Notice
from stopgap.core.marks import RESTORE, read_mark
from stopgap.core.pausing import OWNERS, LostPause
from stopgap.core.pausing import read_mark as read_pause
from stopgap.effects.errors import Forbidden, KubeError, NotFound, Rejected
from stopgap.effects.kube import METADATA_ONLY, Kube, item
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.rights import Rights
from stopgap.effects.suspender import Suspender
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.written import PLURALS, SCALERS
from stopgap.model.base import API_VERSION, Permission
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

PERMISSIONS: Final = tuple(
    Permission(version.partition("/")[0], (plural,), ("list",), "find those that stay suspended though the record of it is lost")
    for version, plural in OWNERS.values()
)
EVERY_SECONDS: Final = 1.0
"""How often it is asked whether something is to be swept."""
RETRY_SECONDS: Final = 60.0
"""So long after a failed sweep comes the next: mostly somebody has to grant the right first."""
LOOK_SECONDS: Final = 5.0
"""How often an owner that stays suspended is looked at."""
log = logging.getLogger(__name__)


class _Meta(msgspec.Struct):
    name: str
    namespace: str
    uid: str
    annotations: dict[str, str] | None = None


class _Ref(msgspec.Struct):
    kind: str = "Deployment"
    name: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    scale_target_ref: _Ref = msgspec.field(default_factory=_Ref)


class _Scaler(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _Bare(msgspec.Struct):
    metadata: _Meta


class Leftovers:
    """Sweeps for each time that this copy begins to lead. `found` is told of each workload whose autoscaler bears a mark."""

    def __init__(  # noqa: PLR0913 - where it looks, and whom it tells
        self,
        kube: Kube,
        own: OwnLists,
        records: Records,
        *,
        told: Recorder,
        telemetry: Telemetry,
        leading: Callable[[], bool],
        found: Callable[[Target], None],
    ) -> None:
        self._kube = kube
        self._own = own
        self._records = records
        self._suspender = Suspender(kube, Rights(kube, own.own_namespace))
        self._recorder = told
        self._telemetry = telemetry
        self._leading = leading
        self._found = found
        self._missing = [*SCALERS, *OWNERS]
        self._due = self._look_due = 0.0
        self._told: set[str] = set()

    def begin(self) -> None:
        """Begin anew, as this copy begins to lead: another one may have put back what was heard to be lost."""
        self._records.lending.begin_anew()
        self._missing, self._due, self._told = [*SCALERS, *OWNERS], 0.0, set()

    async def run(self) -> None:
        """Go once through every kind; one that could not be listed is tried again. Then look at what stays suspended."""
        while True:
            if self._leading() and self._missing and time.monotonic() >= self._due:
                self._due = time.monotonic() + RETRY_SECONDS
                missing = self._missing  # beginning anew meanwhile takes another list
                for kind in list(missing):
                    if await self.sweep(kind):
                        missing.remove(kind)
            if time.monotonic() >= self._look_due:
                self._look_due = time.monotonic() + LOOK_SECONDS
                await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def sweep(self, kind: str) -> bool:
        """Go through every autoscaler or owner of a kind; say whether that went well."""
        try:
            if kind in OWNERS:
                await self._sweep_owners(kind)
                return True
            async for one in self._listed(kind):
                self._take(kind, one)
        except NotFound:
            return True  # that kind is not installed
        except KubeError as error:
            log.warning("what was changed for a while cannot be looked for", extra={"kind": kind, "error": str(error)[:300]})
            return False
        return True

    async def _listed(self, kind: str) -> AsyncIterator[_Scaler]:
        for path in self._own.paths(*SCALERS[kind]):
            async for raw in self._kube.items(path):
                # Somebody's odd object must stop nothing for anybody else.
                with suppress(msgspec.ValidationError):
                    yield msgspec.json.decode(raw, type=_Scaler)

    def _take(self, kind: str, body: _Scaler) -> None:
        """Note a mark. Whether a record knows of it is for the decision to say."""
        meta, ref = body.metadata, body.spec.scale_target_ref
        text = (meta.annotations or {}).get(RESTORE, "")
        lent = read_mark(text, PlannedScaler(kind=kind, name=meta.name, uid=meta.uid)) if text else None
        if lent is None or ref.kind not in PLURALS:
            return
        target = Target(meta.namespace, ref.kind, ref.name)
        self._records.lending.lose(target, lent)
        self._found(target)

    async def _sweep_owners(self, kind: str) -> None:
        """Note every owner that says it is paused under a remediation. Whether that is there is asked when it is looked at."""
        for path in self._own.paths(*OWNERS[kind]):
            async for raw in self._kube.items(path, accept=METADATA_ONLY):
                with suppress(msgspec.ValidationError):
                    meta = msgspec.json.decode(raw, type=_Bare).metadata
                    if (mark := read_pause(meta.annotations)) is not None and mark.namespace and mark.name:
                        self._records.lending.pauses[mark.uid] = LostPause(kind, meta.namespace, meta.name, mark)

    async def look(self) -> None:
        """Tell people, once, of each owner that stays suspended under a record that is gone, and count them."""
        pauses = self._records.lending.pauses
        for uid, one in list(pauses.items()) if self._leading() else ():
            try:
                stays = await self._stays(one)
            except KubeError as error:
                # What is refused will be refused again: then the next copy that begins to lead finds it.
                stays = not isinstance(error, Forbidden | Rejected)
                log.warning("a suspended owner without a record cannot be seen to", extra={"owner": one.name, "error": str(error)[:300]})
            if not stays:
                pauses.pop(uid, None)
        self._telemetry.lost_pauses.set(len(self._told & pauses.keys()) if self._leading() else 0)

    async def _stays(self, one: LostPause) -> bool:
        """Say whether it is to be looked at again."""
        uid, now = one.mark.uid, self._kube.clock.now()
        if uid not in self._told and await self._is_kept(one):
            return False
        body = await self._suspender.still_paused(one)
        if body is None:
            return one.until is not None and now <= one.until
        if uid not in self._told:
            message = suspending.forsaken(one, body)
            log.warning("a suspended owner is left", extra={"owner": f"{one.namespace}/{one.name}", "why": message})
            with suppress(Forbidden, Rejected):  # where no Event may be posted, the log and the metric tell it
                await self._recorder.event(body, Notice(Reason.RecordLost, message, warning=True), now)
            self._told.add(uid)
        return True

    async def _is_kept(self, one: LostPause) -> bool:
        """Ask the API server whether the record is there after all: what was heard of it may be older than the pause."""
        try:
            raw = await self._kube.get(item(API_VERSION, Remediation.plural, one.mark.name, namespace=one.mark.namespace))
        except (NotFound, ValueError):
            return False  # anybody may write a mark, also with a name that no object can have
        return msgspec.json.decode(raw, type=_Bare).metadata.uid == one.mark.uid
