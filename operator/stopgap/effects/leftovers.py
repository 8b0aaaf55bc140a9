"""Finds what was lent to autoscalers and never put back, though every record of it is lost: once for each time that a copy leads.

An autoscaler is not watched; its mark alone says that something of it is lent. A workload that bears one is seen by its watch.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

import msgspec

from stopgap.api.plan import PlannedScaler
from stopgap.core.marks import RESTORE, read_mark
from stopgap.effects.errors import KubeError, NotFound
from stopgap.effects.kube import Kube
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.records import Records
from stopgap.effects.written import PLURALS, SCALERS
from stopgap.model.refs import Target

EVERY_SECONDS: Final = 1.0
"""How often it is asked whether something is to be swept."""
RETRY_SECONDS: Final = 60.0
"""So long after a failed sweep comes the next: mostly somebody has to grant the right first."""
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


class Leftovers:
    """Sweeps for each time that this copy begins to lead. `found` is told of each workload whose autoscaler bears a mark."""

    def __init__(
        self, kube: Kube, own: OwnLists, records: Records, *, leading: Callable[[], bool], found: Callable[[Target], None]
    ) -> None:
        self._kube = kube
        self._own = own
        self._records = records
        self._leading = leading
        self._found = found
        self._missing = list(SCALERS)
        self._due = 0.0

    def begin(self) -> None:
        """Begin anew, as this copy begins to lead: another one may have put back what was heard to be lost."""
        self._records.lending.begin_anew()
        self._missing, self._due = list(SCALERS), 0.0

    async def run(self) -> None:
        """Go once through every kind; one that could not be listed is tried again."""
        while True:
            if self._leading() and self._missing and time.monotonic() >= self._due:
                self._due = time.monotonic() + RETRY_SECONDS
                missing = self._missing  # beginning anew meanwhile takes another list
                for kind in list(missing):
                    if await self.sweep(kind):
                        missing.remove(kind)
            await asyncio.sleep(EVERY_SECONDS)

    async def sweep(self, kind: str) -> bool:
        """Go through every autoscaler of a kind; say whether that went well."""
        try:
            async for one in self._listed(kind):
                self._take(kind, one)
        except NotFound:
            return True  # that kind is not installed
        except KubeError as error:
            log.warning("what was lent to autoscalers cannot be looked for", extra={"kind": kind, "error": str(error)[:300]})
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
