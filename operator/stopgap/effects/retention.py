"""Removes what is over for long enough: closed Incidents and ended Remediations. Never what is open or owes something."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from stopgap.api import Incident, Remediation
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import CLOSED_LABEL
from stopgap.api.remediation import RemediationState
from stopgap.api.revert import RevertState
from stopgap.api.suspension import SuspensionState
from stopgap.core.lifecycle import REVIEWED
from stopgap.effects.errors import Conflict, KubeError, NotFound
from stopgap.effects.kube import Kube, item
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.records import Records
from stopgap.model.base import API_VERSION, Kind, Permission
from stopgap.model.conditions import Truth

PERMISSIONS: Final = (Permission("stopgap.dev", ("incidents", "remediations"), ("delete",), "remove what is over for long enough"),)
EVERY: Final = timedelta(hours=1)
MOST_AT_ONCE: Final = 200
"""Objects removed in one sweep: what has gathered for months must not flood the API server when the time is shortened."""
log = logging.getLogger(__name__)


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class _Revert(msgspec.Struct):
    state: str = ""


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _Status(msgspec.Struct, rename="camel"):
    conditions: list[_Condition] = []
    resolved_at: datetime | None = None
    ended_at: datetime | None = None
    state: str = ""
    executed_at: datetime | None = None
    fields_returned: bool = False
    revert: _Revert | None = None
    suspension: _Revert | None = None


class _Incident(msgspec.Struct):
    uid: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    incident_ref: _Incident = msgspec.field(default_factory=_Incident)


class _Object(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class Retention:
    """Sweeps now and then; `ready` says whether this copy may."""

    def __init__(  # noqa: PLR0913 - what it sweeps, when, and whom it tells
        self,
        kube: Kube,
        own: OwnLists,
        records: Records,
        *,
        ready: Callable[[], bool],
        now: Callable[[], datetime],
        swept: Callable[[], Awaitable[None]],
    ) -> None:
        self._kube = kube
        self._own = own
        self._records = records
        self._ready = ready
        self._now = now
        self._swept = swept

    async def run(self) -> None:
        """Sweep as soon as this copy leads, again too, and every hour then. What fails has its turn again at the next sweep."""
        due = 0.0
        while True:
            if not self._ready():
                due = 0.0  # another copy leads, and what it closes is not told to us
            elif time.monotonic() >= due:
                due = time.monotonic() + EVERY.total_seconds()
                try:
                    await self.sweep()
                    await self._swept()
                except KubeError as error:
                    log.info("what is over could not be removed or counted", extra={"error": str(error)[:300]})
            await asyncio.sleep(1)

    async def sweep(self) -> int:
        """Remove what was over before the time that the platform keeps it for; returns how many objects. Unreadable config: none."""
        if self._records.config_trouble:
            return 0
        config = self._records.config.spec if self._records.config else ConfigSpec()
        before = self._now() - config.retention.resolved_for
        removed = 0
        # What was tried in an open incident is what keeps it from being tried again, however long ago.
        open_ones = frozenset(one.metadata.uid for one in self._records.open_incidents())
        for kind, over in ((Incident, _incident_over), (Remediation, _remediation_over)):
            async for one in self._listed(kind):
                if removed < MOST_AT_ONCE and one.spec.incident_ref.uid not in open_ones and over(one.status, before):
                    removed += await self._remove(kind, one)
        return removed

    async def _listed(self, kind: type[Kind]) -> AsyncIterator[_Object]:
        only = {"labelSelector": f"{CLOSED_LABEL}=true"} if kind is Incident else {}
        for path in self._own.paths(API_VERSION, kind.plural):
            async for raw in self._kube.items(path, only):
                yield msgspec.json.decode(raw, type=_Object)

    async def _remove(self, kind: type[Kind], one: _Object) -> bool:
        meta = one.metadata
        # Only in the very state that was judged: somebody may be looking into it now.
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        }
        try:
            await self._kube.delete(item(API_VERSION, kind.plural, meta.name, namespace=meta.namespace), options)
        except (NotFound, Conflict):
            return False
        return True


def _incident_over(status: _Status, before: datetime) -> bool:
    owes_review = any(one.type == REVIEWED and one.status != Truth.TRUE for one in status.conditions)
    return status.resolved_at is not None and status.resolved_at < before and not owes_review


def _remediation_over(status: _Status, before: datetime) -> bool:
    try:
        ended = RemediationState(status.state).ended
        owes = status.revert is not None and RevertState(status.revert.state).open
        owes = owes or (status.suspension is not None and SuspensionState(status.suspension.state).open)
    except ValueError:
        return False  # a word of a newer version: it is left to that
    owes = owes or (status.executed_at is not None and not status.fields_returned)
    return ended and not owes and status.ended_at is not None and status.ended_at < before
