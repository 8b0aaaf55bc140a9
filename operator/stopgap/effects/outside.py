"""Carries out what is done outside the workload, where no test can guard the write: HTTP calls and whatever else has no compare-and-swap.

One executor wins the record first, by its resourceVersion (state Executing), and only then sends, once. Whoever finds a record in Executing
that it is not carrying out itself knows that something may have been sent: it sends again only what may be done twice, or calls people.
The restore goes the same way. How each kind of thing is done is in a module of its own: a Doer, under the name of its action.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState, RemediationStatus
from stopgap.api.revert import RevertState, RevertStatus
from stopgap.core.restoring import Put
from stopgap.effects.errors import Conflict, Invalid
from stopgap.effects.outcome import Outcome
from stopgap.effects.record import Recorder
from stopgap.model.change import Change, Outside
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

MOST_SENDS: Final = 3
"""How often what may be done twice is sent at most, crashes included."""
PAUSE_BETWEEN_SENDS: Final = 1.0
_MOST_KNOWN: Final = 256
_LOST: Final = "the copy of Stopgap that took it on ended before it said what became of it"
_UNKNOWN: Final = "it may have been done, and that cannot be told from here ({}); look there, and decide by hand"


class Fate(Enum):
    """What is known about something that was sent."""

    DONE = auto()
    """It was done."""
    NOT_DONE = auto()
    """It certainly was not: it never arrived, or the other side said no."""
    UNKNOWN = auto()
    """It may have been done."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one try. The message is in words of our own: never those of the other side, and nothing of a Secret."""

    fate: Fate
    message: str
    reason: Reason = Reason.Failed
    """For what was not done. Failed: it was tried, and the ladder goes on as the step says; any other: it was refused, or superseded."""
    details: tuple[str, ...] = ()
    """What was done one by one, for the record: at most 50, of 512 characters."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, on behalf of which Remediation."""

    remediation: Remediation
    outside: Outside
    inverse: bool
    """Whether it is put back."""
    again: bool
    """Whether it may have been done before under this key."""

    @property
    def key(self) -> str:
        """What tells the other side that a second one is the same: one for doing it, another for putting it back."""
        return f"{self.remediation.metadata.uid}{'-restore' if self.inverse else ''}"

    @property
    def namespace(self) -> str:
        """Where the workload is."""
        return self.remediation.metadata.namespace or ""

    @property
    def platform(self) -> bool:
        """Whether it is a policy of the platform that declared it."""
        return self.remediation.spec.policy_ref.platform


Send = Callable[[], Awaitable[Receipt]]


class Doer(Protocol):
    """One kind of thing that is done outside the workload."""

    async def ready(self, order: Order) -> Send | Receipt | Refusal:
        """Fetch all that it takes, and change nothing yet: what is returned is called at once, or never, and does it.

        A Receipt: it is known already, without sending anything, such as what is found done after a crash. A Refusal: it cannot be done.
        """


class Outsider:
    """Carries out what is done outside the workload. `leading` says whether this copy may act."""

    def __init__(self, recorder: Recorder, doers: Mapping[str, Doer], *, leading: Callable[[], bool], now: Callable[[], datetime]) -> None:
        self._recorder = recorder
        self._doers = doers
        self._leading = leading
        self._now = now
        # What came of it, until it is stored: where that fails, the next look must not take it for unknown.
        self._outcomes: dict[str, Outcome] = {}
        self._puts: dict[str, Put] = {}

    async def perform(
        self, remediation: Remediation, change: Change | Refusal, *, objection: Callable[[], Refusal | None]
    ) -> Outcome | None:
        """Bring a remediation to an outcome. A Refusal in place of the change: nothing is to be sent any more.

        `objection` is asked directly before it is sent. None: another copy has it, or is to have it.
        """
        against = (lambda: change) if isinstance(change, Refusal) else objection
        begun = remediation.state is RemediationState.EXECUTING
        return await _kept(self._outcomes, remediation, lambda: self._perform(remediation, against), begun=begun)

    async def _perform(self, one: Remediation, objection: Callable[[], Refusal | None]) -> Outcome | None:
        again, why = one.state is RemediationState.EXECUTING, _LOST
        while True:
            order = _order(one, inverse=False, again=again)
            if again and (settled := await self._settled(one, order, why)):
                return settled
            if against := self._late(one) or objection():
                return None if against.reason is Reason.NotLeader else _kept_back(one, against, again=again)
            ready = await self._ready(order)
            if isinstance(ready, Refusal):
                return _kept_back(one, ready, again=again)
            sends = not isinstance(ready, Receipt)
            if not isinstance(ready, Receipt):
                claimed = await self._claim(one, self._executing)
                if claimed is None:
                    return None
                one = claimed
                if (against := objection()) is not None:
                    return _kept_back(one, against, again=again)
                ready = await ready()
            if ready.fate is not Fate.UNKNOWN:
                return self._outcome(one, ready)
            # What could not even be looked at was not sent: it remains certain that it was not done.
            again, why = again or sends, ready.message
            await asyncio.sleep(PAUSE_BETWEEN_SENDS)

    async def _settled(self, one: Remediation, order: Order, why: str) -> Outcome | None:
        """Say what became of what may have been done, as far as it can be told; None: it may be sent again."""
        if not order.outside.deed.repeatable(inverse=False):
            return _unknown(one, why)
        found = await self._ready(order)
        if isinstance(found, Receipt) and found.fate is Fate.DONE:
            return self._outcome(one, found)  # whatever stands against it by now, it was done
        return _unknown(one, why) if one.status and one.status.tries >= MOST_SENDS else None

    async def put_back(self, remediation: Remediation, *, abandoned: bool) -> Put | None:
        """Put back what was done, once. None: not now, or another copy has it."""
        if abandoned:
            return Put(RevertState.NOT_NEEDED, Reason.NotOurs, "a person takes care of it")
        begun = remediation.revert_state is RevertState.EXECUTING
        return await _kept(self._puts, remediation, lambda: self._put_back(remediation), begun=begun)

    async def _put_back(self, one: Remediation) -> Put | None:
        again, why = one.revert_state is RevertState.EXECUTING, _LOST
        while True:
            order, sends = _order(one, inverse=True, again=again), one.status.revert.tries if one.status and one.status.revert else 0
            if again and (sends >= MOST_SENDS or not order.outside.deed.repeatable(inverse=True)):
                return Put(RevertState.OUTCOME_UNKNOWN, Reason.RestoreFailed, _UNKNOWN.format(why), one)
            ready = await self._ready(order)
            if isinstance(ready, Refusal):
                return Put(RevertState.FAILED, Reason.RestoreFailed, ready.message, one)
            # What cannot be looked at now is tried again later, for nothing was sent, and others want their turn.
            if not self._leading() or (isinstance(ready, Receipt) and ready.fate is Fate.UNKNOWN):
                return None
            if not isinstance(ready, Receipt):
                claimed = await self._claim(one, self._putting_back)
                if claimed is None:
                    return None
                one = claimed
                if not self._leading():
                    return Put(RevertState.PENDING, Reason.RestoreHeld, "this copy lost the Lease before it was sent", one)
                ready = await ready()
            if ready.fate is not Fate.UNKNOWN:
                return _put(one, ready)
            again, why = True, ready.message
            await asyncio.sleep(PAUSE_BETWEEN_SENDS)

    async def _ready(self, order: Order) -> Send | Receipt | Refusal:
        doer = self._doers.get(order.outside.kind)
        if doer is None:
            return Refusal(Reason.Refused, f"this version of Stopgap cannot do what action {order.remediation.spec.action} does")
        return await doer.ready(order)

    async def _claim(self, one: Remediation, status: Callable[[Remediation], RemediationStatus]) -> Remediation | None:
        """Win it, by the version of the record; None: another copy has. That a person annotated it meanwhile is no reason to let go."""
        for _ in range(MOST_SENDS):
            try:
                return await self._recorder.remediation(one, status(one))
            except (Invalid, Conflict):
                found = await self._recorder.reread(one)
                if found is None or (found.metadata.uid, found.status) != (one.metadata.uid, one.status):
                    return None
                one = found
        return None

    def _executing(self, one: Remediation) -> RemediationStatus:
        status = one.status or RemediationStatus()
        changes = {"state": RemediationState.EXECUTING, "tries": status.tries + 1, "executor": self._recorder.identity}
        return status.model_copy(update=changes)

    def _putting_back(self, one: Remediation) -> RemediationStatus:
        status = one.status or RemediationStatus()
        revert = status.revert or RevertStatus(state=RevertState.PENDING)
        revert = revert.model_copy(update={"state": RevertState.EXECUTING, "tries": revert.tries + 1})
        return status.model_copy(update={"revert": revert, "executor": self._recorder.identity})

    def _late(self, one: Remediation) -> Refusal | None:
        if self._now() <= one.write_until:
            return None
        return Refusal(Reason.Superseded, "it was not sent in time; it is decided afresh")

    def _outcome(self, one: Remediation, receipt: Receipt) -> Outcome:
        if receipt.fate is Fate.DONE:
            message, now = f"{one.spec.plan.summary}: {receipt.message}", self._now()
            return Outcome(RemediationState.VERIFYING, Reason.Executed, message, 0, now, details=receipt.details, claimed=one)
        state = _NOT_DONE.get(receipt.reason, RemediationState.REFUSED)
        return Outcome(state, receipt.reason, receipt.message, 0, details=receipt.details, claimed=one)


_NOT_DONE: Final = {Reason.Failed: RemediationState.FAILED, Reason.Superseded: RemediationState.SUPERSEDED}
KnownT = TypeVar("KnownT", Outcome, Put)


async def _kept(
    known: dict[str, KnownT], one: Remediation, carry_out: Callable[[], Awaitable[KnownT | None]], *, begun: bool
) -> KnownT | None:
    """Carry it out, or say once more what came of it where that could not be stored."""
    uid = one.metadata.uid or ""
    before = known.pop(uid, None) if begun else None
    found = replace(before, claimed=one) if before else await carry_out()
    if found is not None:
        known[uid] = found
        if len(known) > _MOST_KNOWN:
            del known[next(iter(known))]
    return found


def _order(one: Remediation, *, inverse: bool, again: bool) -> Order:
    outside = one.spec.plan.outside
    if outside is None:
        raise ValueError(f"{one.metadata.name} does nothing outside its workload")
    return Order(one, outside, inverse, again)


def _unknown(one: Remediation, why: str) -> Outcome:
    message = _UNKNOWN.format(why)
    return Outcome(RemediationState.OUTCOME_UNKNOWN, Reason.OutcomeUnknown, message, 0, claimed=one)


def _kept_back(one: Remediation, against: Refusal, *, again: bool) -> Outcome | None:
    """Say how it ends that something stands against sending it (again)."""
    if again:
        return None if against.reason is Reason.NotLeader else _unknown(one, f"and it is not sent again: {against.message}")
    if against.reason in {Reason.NotLeader, Reason.Superseded}:
        return Outcome(RemediationState.SUPERSEDED, Reason.Superseded, f"nothing was sent: {against.message}", 0, claimed=one)
    return Outcome(RemediationState.REFUSED, against.reason, against.message, 0, claimed=one)


def _put(one: Remediation, receipt: Receipt) -> Put:
    if receipt.fate is Fate.DONE:
        return Put(RevertState.DONE, Reason.Restored, receipt.message, one)
    if receipt.reason in {Reason.NotOurs, Reason.TargetGone}:
        return Put(RevertState.NOT_NEEDED, receipt.reason, receipt.message, one)
    return Put(RevertState.FAILED, Reason.RestoreFailed, receipt.message, one)
