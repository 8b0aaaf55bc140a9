"""Which copy of Stopgap acts: election by a coordination.k8s.io Lease, by the rules of client-go.

Times of other machines are never compared with ours. The holder counts as alive for LEASE_SECONDS since *we* last saw its
record change; the leader counts itself out RENEW_DEADLINE after it *sent* its last successful renewal. Safety does not rest
on this: two active copies must still produce one action.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from stopgap.effects.clock import ServerTimeUnknown
from stopgap.effects.errors import Conflict, KubeError, NotFound
from stopgap.effects.kube import Kube, PatchKind, collection, item
from stopgap.model.base import Permission
from stopgap.model.time import exact

log = logging.getLogger(__name__)

OWN_NAMESPACE_PERMISSIONS: Final = (
    Permission(
        "coordination.k8s.io",
        ("leases",),
        ("get", "create", "patch"),
        "elect the one copy that acts",
    ),
)


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] = {}


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Record(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class Lease:
    """Run `run()` as a task; ask `leading()` before every act.

    Idle cost: the leader sends one PATCH every RENEW_EVERY seconds, a standby one GET every RETRY_PERIOD seconds.
    A killed leader is replaced within LEASE_SECONDS + RETRY_PERIOD, one that released within RETRY_PERIOD.
    """

    LEASE_SECONDS = 5.0
    RENEW_DEADLINE = 3.5
    RETRY_PERIOD = 1.0
    RENEW_EVERY = 2.0
    """client-go renews every retry period; twice as seldom still leaves 1.5 s for a slow API server, at half the writes."""
    RELEASE_SECONDS = 1.0
    """How long a clean exit may wait for the release to be written."""

    def __init__(  # noqa: PLR0913 - where, who, and whom to tell.
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        won: Callable[[], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self.identity = identity
        self.annotations: dict[str, str] = {}
        """The Lease's annotations: read when it is won; what the leader puts in or takes out is stored with its next renewal.
        What somebody else changes on the Lease meanwhile counts."""
        self._stored: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._kube = kube
        self._collection = collection("coordination.k8s.io/v1", "leases", namespace)
        self._path = item("coordination.k8s.io/v1", "leases", name, namespace=namespace)
        self._name = name
        self._won, self._lost = won, lost
        self._seen: _Record | None = None
        self._changed_at = 0.0
        self._ours_is_latest = False
        self._until = 0.0
        self._led = False
        self._alarm: asyncio.TimerHandle | None = None

    def leading(self) -> bool:
        """Say whether this copy may act at this very moment: it renewed the Lease less than RENEW_DEADLINE ago."""
        leads = self._in_time()
        if self._led and not leads:
            # What is left undone for this answer is taken up again when the Lease is won back: so the loss is told before the answer.
            self._tell()
        return leads

    def _in_time(self) -> bool:
        return time.monotonic() < self._until

    async def run(self) -> None:
        """Compete, renew and take over for ever. When cancelled, release the Lease, so that a standby follows at once."""
        try:
            while True:
                seconds = await self._turn()
                await asyncio.sleep(seconds)
        finally:
            await self._release()

    async def _turn(self) -> float:
        """Try once to win or keep the Lease; return the seconds until the next try."""
        began = time.monotonic()
        # A leader's try ends when its time is up; the next one follows at once, perhaps on a connection that works.
        deadline = self._until if self.leading() else began + self.RENEW_DEADLINE
        try:
            async with asyncio.timeout(deadline - began):
                await self._win_or_renew()
        except (KubeError, ServerTimeUnknown, TimeoutError, msgspec.DecodeError) as error:
            log.info("the lease could not be asked for", extra={"error": str(error) or "no answer in time"})
        self._tell()
        return max(0.0, began + self._pause() - time.monotonic())

    async def _win_or_renew(self) -> None:
        if self._ours_is_latest and self._seen is not None:
            self._ours_is_latest = False  # until the answer says so again
            with suppress(Conflict, NotFound):  # somebody touched or deleted it: look
                await self._take(self._seen)
                return
        found = await self._read()
        if found is None:
            # What the one before us noted is lost with it; what we once noted as leader may be older still.
            if not self.leading():
                self.annotations.clear()
            await self._write(None, _Spec())
        elif self._is_held(found):
            self._until = 0.0
        else:
            await self._take(found)

    async def _read(self) -> _Record | None:
        try:
            found = msgspec.json.decode(await self._kube.get(self._path), type=_Record)
        except NotFound:
            return None
        if self._seen is None or found.spec != self._seen.spec:
            self._changed_at = time.monotonic()
        self._seen = found
        return found

    def _is_held(self, found: _Record) -> bool:
        return self.holder not in {None, self.identity} and time.monotonic() < self._expires_at(found)

    def _expires_at(self, found: _Record) -> float:
        return self._changed_at + (found.spec.lease_duration_seconds or self.LEASE_SECONDS)

    async def _take(self, found: _Record) -> None:
        self._adopt(found)
        await self._write(found.metadata.resource_version, found.spec)

    def _adopt(self, found: _Record) -> None:
        """Take over what stands there: all that another holder noted; of what we noted, that which somebody has changed since."""
        there = found.metadata.annotations
        if found.spec.holder_identity != self.identity:
            self.annotations.clear()
        for key in {*there, *self._stored}:
            # An unanswered renewal of ours may have been written: that is nobody else's change.
            if there.get(key) not in {self._stored.get(key), self._sent.get(key)} or found.spec.holder_identity != self.identity:
                self.annotations.pop(key, None)
                self.annotations.update({key: there[key]} if key in there else {})
        self._stored = dict(there)

    async def _write(self, version: str | None, before: _Spec) -> None:
        """Write ourselves into the Lease, on top of exactly this version of it; without one, create it."""
        spec = self._spec(before)
        sent = time.monotonic()
        self._seen = await self._send(version, spec)
        self._changed_at = time.monotonic()
        self._until = sent + self.RENEW_DEADLINE
        self._ours_is_latest = True
        self._set_alarm()

    def _spec(self, before: _Spec) -> _Spec:
        now = exact(self._kube.clock.now())
        is_new = before.holder_identity != self.identity
        return _Spec(
            holder_identity=self.identity,
            lease_duration_seconds=int(self.LEASE_SECONDS),
            acquire_time=now if is_new else before.acquire_time,
            renew_time=now,
            lease_transitions=(before.lease_transitions or 0) + is_new,
        )

    async def _send(self, version: str | None, spec: _Spec) -> _Record:
        self._sent = dict(self.annotations)
        metadata: dict[str, object] = {"name": self._name, "annotations": self._sent}
        if version is None:
            whole = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            return self._kept(msgspec.json.decode(await self._kube.create(self._collection, whole), type=_Record))
        # A merge patch with a resourceVersion is a compare-and-swap that leaves alone what we do not know.
        gone = dict.fromkeys(self._stored.keys() - self._sent.keys())  # null removes
        change = {"metadata": {**metadata, "annotations": {**gone, **self._sent}, "resourceVersion": version}, "spec": spec}
        answer = await self._kube.patch(self._path, change, how=PatchKind.MERGE)
        return self._kept(msgspec.json.decode(answer, type=_Record))

    def _kept(self, record: _Record) -> _Record:
        self._stored = dict(record.metadata.annotations)
        return record

    async def _release(self) -> None:
        self._until = 0.0
        self._tell()
        if self._alarm is not None:
            self._alarm.cancel()
        # A renewal that was cut off may have been written or not, so look once more before giving the Lease back.
        with suppress(KubeError, TimeoutError, msgspec.DecodeError):
            async with asyncio.timeout(self.RELEASE_SECONDS):
                if self._seen is not None and not self._ours_is_latest:
                    await self._read()
                if self._seen is not None and self.holder == self.identity:
                    spec = msgspec.structs.replace(self._seen.spec, holder_identity="", lease_duration_seconds=1)
                    self._seen = await self._send(self._seen.metadata.resource_version, spec)

    @property
    def holder(self) -> str | None:
        """Who holds the Lease as far as we have seen; None = nobody, or not read yet."""
        return (self._seen.spec.holder_identity or None) if self._seen is not None else None

    def _pause(self) -> float:
        """Return the seconds from the beginning of one try to that of the next."""
        if self.leading():
            return self.RENEW_EVERY if self._ours_is_latest else self.RETRY_PERIOD
        if self._seen is None or self.holder in {None, self.identity}:
            return self.RETRY_PERIOD
        # A standby wakes at the moment at which the holder's time is up.
        return min(self.RETRY_PERIOD, max(0.05, self._expires_at(self._seen) - time.monotonic()))

    def _set_alarm(self) -> None:
        # Whatever the next try waits for, a leader whose time is up is told so then and not later.
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(self._until - time.monotonic() + 0.001, self._tell)

    def _tell(self) -> None:
        leads = self._in_time()
        if leads == self._led:
            return
        self._led = leads
        log.info("this copy leads" if leads else "this copy no longer leads", extra={"identity": self.identity})
        told = self._won if leads else self._lost
        if told is not None:
            told()
