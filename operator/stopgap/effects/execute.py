"""Carries out a change: one guarded write, and a look at the target whenever it is not certain what became of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState
from stopgap.api.revert import RevertState
from stopgap.core.case import Lent
from stopgap.core.limits import PAUSE, pause_mark
from stopgap.core.marks import RESTORE, lent_by, mark, read_mark
from stopgap.core.restoring import Put
from stopgap.effects import facts, statefulsets, wire
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected, TooManyRequests, Unanswered, Unreachable
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, PatchKind
from stopgap.effects.rights import Rights
from stopgap.effects.suspender import Suspender
from stopgap.effects.written import LAST_ACTION, Look, Place, first_look, look_at, marks_of, operations, place, place_of
from stopgap.model.change import Change, Field, SetNumber
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

MOST_TRIES: Final = 5
_PAUSE_BETWEEN_LOOKS: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
"""Seconds of Retry-After that are honoured before the next send: the intent itself is good for a minute only."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a remediation's write."""

    state: RemediationState
    reason: Reason
    message: str
    tries: int
    executed_at: datetime | None = None
    written_digest: str = ""


class Executor:
    """The only place that writes to workloads."""

    def __init__(self, kube: Kube, index: Index, rights: Rights) -> None:
        self._kube = kube
        self._rights = rights
        self._index = index
        self.suspender = Suspender(kube, rights)

    async def perform(  # noqa: PLR0911 - each return is one way in which a write ends
        self, remediation: Remediation, change: Change | Refusal, *, first: bool, objection: Callable[[], Refusal | None]
    ) -> Outcome | None:
        """Bring the remediation to an outcome. `first`: nothing was sent under it before, so the first write needs no look.

        A Refusal in place of the change: nothing is to be written any more; it is only found out whether it was written already.
        Whatever happens, at most one write takes effect: it carries the remediation's UID and tests the generation. `objection` is asked
        directly before every send. None: this copy may not act any more, and leaves the intent to the one that may.
        """
        tries, where, look = 0, place_of(remediation), first_look(remediation)
        # What has no generation is looked at before the first write: then its old value and marks are what is tested. So is what may have
        # no annotations at all, into which none can be added: a Deployment has those that its controller writes.
        look_first, unsure = not first or isinstance(change, SetNumber) or not where.has_annotations, not first
        rejected: KubeError | None = None
        while True:
            if look_first or isinstance(change, Refusal):
                before, now = look, await self._look(where)
                settled = self._settle(remediation, where, now, tries)
                if settled or now is None:
                    return settled or _gone(remediation, tries)
                if unsure and now.generation and before.generation and now.generation != before.generation:
                    # A write of ours may have been made and undone again by a person: nobody can tell, so it is not repeated.
                    message = "whether it was written before the workload was changed again cannot be told; look, and decide by hand"
                    return Outcome(RemediationState.OUTCOME_UNKNOWN, Reason.OutcomeUnknown, message, tries)
                if isinstance(change, Refusal):
                    return Outcome(RemediationState.REFUSED, change.reason, change.message, tries)
                if rejected is not None and _unchanged(before, now):
                    # Our tests held, so it was the content that was refused: by validation, or by somebody's admission.
                    return Outcome(RemediationState.REFUSED, Reason.Refused, f"the API server refused: {rejected}", tries)
                look = now
            if self._kube.clock.now() > remediation.write_until or tries >= MOST_TRIES:
                message = f"it was not written in time ({tries} tries); it is decided afresh"
                return Outcome(RemediationState.SUPERSEDED, Reason.Superseded, message, tries)
            if against := objection():
                return (
                    None
                    if against.reason is Reason.NotLeader
                    else Outcome(RemediationState.REFUSED, against.reason, against.message, tries)
                )
            tries += 1
            sent = await self._send(remediation, where, look, change, tries)
            if isinstance(sent, Outcome):
                return sent
            look_first, rejected = True, sent if isinstance(sent, Invalid) else None
            unsure = unsure or isinstance(sent, Unanswered)

    async def _send(self, remediation: Remediation, where: Place, look: Look, change: Change, tries: int) -> Outcome | KubeError:
        """Send the one write; an error that comes back means: look what became of it."""
        text = mark(lent_by(remediation)) if isinstance(change, SetNumber) and remediation.spec.plan.revert else None
        patch = operations(where, look, change, marks_of(remediation, text))
        try:
            raw = await self._kube.patch(where.path, patch, how=PatchKind.JSON)
        except NotFound:
            return Outcome(RemediationState.SUPERSEDED, Reason.TargetGone, f"{remediation.spec.target_ref.name} no longer exists", tries)
        except Forbidden as error:
            reason = await self._why_forbidden(remediation, where)
            return Outcome(RemediationState.REFUSED, reason, f"the API server refused: {error}", tries)
        except Rejected as error:
            return Outcome(RemediationState.REFUSED, Reason.Refused, f"the API server refused: {error}", tries)
        except (TooManyRequests, Unreachable) as error:
            await asyncio.sleep(min(error.retry_after or _PAUSE_BETWEEN_LOOKS, _LONGEST_PAUSE))
            return error
        except (Invalid, Conflict, Unanswered) as error:
            return error
        return self._written(remediation, where, raw, tries)

    async def _why_forbidden(self, remediation: Remediation, where: Place) -> Reason:
        # Admission refuses with the same code as missing rights, but only the latter can be granted by the namespace's owner.
        namespace = remediation.metadata.namespace or ""
        self._rights.forget(namespace)
        return Reason.Refused if await self._rights.may_patch(namespace, *where.resource) else Reason.NotAuthorized

    def _written(self, remediation: Remediation, where: Place, raw: bytes, tries: int) -> Outcome:
        self._fold(where, raw)
        plan, now = remediation.spec.plan, self._kube.clock.now()
        if where.field is not Field.TEMPLATE:
            return Outcome(RemediationState.VERIFYING, Reason.Executed, plan.summary, tries, now)
        written = look_at(raw, where.field).value
        mutated = "" if written == plan.to_digest else "; admission changed the template that was written"
        return Outcome(RemediationState.VERIFYING, Reason.Executed, f"{plan.summary}{mutated}", tries, now, written)

    def _fold(self, where: Place, raw: bytes) -> None:
        # What was seen here must not be contradicted by an index that is some milliseconds behind.
        if where.resource == ("apps", "deployments"):
            self._index.fold(facts.workload(msgspec.json.decode(raw, type=wire.Deployment)))
        elif where.resource == ("apps", "statefulsets"):
            self._index.fold(statefulsets.workload(msgspec.json.decode(raw, type=statefulsets.StatefulSetObject)))

    def _settle(self, remediation: Remediation, where: Place, look: Look | None, tries: int) -> Outcome | None:
        """Say what the object's present state means for the remediation; None: it is as it was, and may be written to."""
        if look is None or look.uid != where.uid or look.leaving:
            return _gone(remediation, tries)
        plan = remediation.spec.plan
        if look.mark(LAST_ACTION) == remediation.metadata.uid:
            when = look.ours_since or self._kube.clock.now()
            # What we wrote, not what is there now: if somebody has changed it since, verification is to see that. The very next generation
            # is the one that our write made, so that what it holds is ours also where admission changed it.
            ours = look.value if look.generation == remediation.decided_generation + 1 else plan.to_digest
            return Outcome(RemediationState.VERIFYING, Reason.Executed, plan.summary, tries, when, _digest(where, ours))
        if look.value != (plan.from_digest if where.field is Field.TEMPLATE else plan.before):
            what = "the template" if where.field is Field.TEMPLATE else "the number"
            message = f"{what} was changed by somebody else before the write; it is judged afresh"
            return Outcome(RemediationState.SUPERSEDED, Reason.Superseded, message, tries)
        if look.paused:
            return Outcome(RemediationState.REFUSED, Reason.DeploymentPaused, "the Deployment was paused meanwhile (spec.paused)", tries)
        if reason := pause_mark(look.annotations or {}):
            return Outcome(RemediationState.REFUSED, Reason.Paused, f"annotation {PAUSE} was set meanwhile: {reason[:300]}", tries)
        return None

    async def _look(self, where: Place) -> Look | None:
        """Read the object; keep trying while the API server does not answer, for without an answer nothing may be concluded."""
        while True:
            try:
                raw = await self._kube.get(where.path)
            except NotFound:
                return None
            except Forbidden:
                raise
            except KubeError:
                await asyncio.sleep(_PAUSE_BETWEEN_LOOKS)
            else:
                self._fold(where, raw)
                return look_at(raw, where.field)

    # ------------------------------------------------------------------------------------------------------ putting back

    async def put_back(self, target: Target, uid: str, lent: Lent) -> Put | None:
        """Put back what was changed for a while, where it is still ours. None: not now; it is tried again."""
        where = place(target, uid, lent.field, lent.scaler)
        before: Look | None = None
        rejected: KubeError | None = None
        for _ in range(MOST_TRIES):
            look = await self._look(where)
            settled = _put_already(where, look, lent)
            if look is None or (settled and not _marked(where, look, lent)):
                return settled
            if rejected is not None and before is not None and _unchanged(before, look):
                return settled or _not_put(lent, rejected)
            before, rejected = look, None
            # Where the value is not ours any more, the mark alone goes: it would speak of something that is over.
            change = None if settled else SetNumber(lent.field, lent.ours, lent.before)
            try:
                self._fold(where, await self._kube.patch(where.path, operations(where, look, change, {RESTORE: None}), how=PatchKind.JSON))
            except (Forbidden, Rejected) as error:
                return settled or _not_put(lent, error)
            except KubeError as error:
                rejected = error if isinstance(error, Invalid) else None
                await asyncio.sleep(_PAUSE_BETWEEN_LOOKS)
            else:
                if not _remembered(lent):
                    await self._give_back(where)
                return settled or Put(RevertState.DONE, Reason.Restored, _put(lent))
        return None

    async def give_back(self, remediation: Remediation) -> bool:
        """Give up the ownership of the fields we wrote: one metadata-only patch. Says whether they are given back."""
        return await self._give_back(place_of(remediation))

    async def _give_back(self, where: Place) -> bool:
        try:
            for _ in range(MOST_TRIES):
                if await self._give_back_once(where):
                    return True
        except (Forbidden, Rejected):
            pass  # no further try will be taken before somebody grants the right again
        return False

    async def _give_back_once(self, where: Place) -> bool:
        try:
            body = msgspec.json.decode(await self._kube.get(where.path))
            entries = [index for index, one in enumerate(body["metadata"].get("managedFields") or ()) if one.get("manager") == "stopgap"]
            if not entries or body["metadata"]["uid"] != where.uid:
                return True
            raw = await self._kube.patch(where.path, _without_entries(body, entries), how=PatchKind.JSON)
        except NotFound:
            return True
        except (Invalid, Conflict, TooManyRequests, Unreachable, Unanswered):
            return False
        self._fold(where, raw)
        return True


def _put_already(where: Place, look: Look | None, lent: Lent) -> Put | None:
    """Say why nothing is to be written to put it back; None: it is still as we left it."""
    if look is None or look.uid != where.uid or look.leaving:
        return Put(RevertState.NOT_NEEDED, Reason.TargetGone, "the object is gone, so that nothing is left to put back")
    if lent.abandoned:
        return Put(RevertState.NOT_NEEDED, Reason.NotOurs, "a person takes care of it")
    marked = _marked(where, look, lent)
    # `kubectl rollout undo` replaces all annotations, ours too. After a restore of ours only the mark is gone.
    replaced = not marked and lent.remediation is not None and look.mark(LAST_ACTION) != lent.remediation_uid
    if look.value == lent.ours and (marked or replaced):
        return None
    if not marked and look.value == lent.before and lent.remediation is not None:
        return Put(RevertState.DONE, Reason.Restored, _put(lent))
    now = "nothing" if look.value is None else look.value
    return Put(RevertState.NOT_NEEDED, Reason.NotOurs, f"somebody set it to {now} since, so it is left as it is")


def _marked(where: Place, look: Look, lent: Lent) -> bool:
    """Whether the object still says that this very thing was lent to it."""
    said = read_mark(look.mark(RESTORE) or "")
    return look.uid == where.uid and not look.leaving and said is not None and said.remediation_uid == lent.remediation_uid


def _not_put(lent: Lent, error: KubeError) -> Put:
    was = "the field without a value" if lent.before is None else lent.before
    return Put(RevertState.FAILED, Reason.RestoreFailed, f"the API server refused to put {was} back: {error}")


def _remembered(lent: Lent) -> bool:
    """Whether a record knows that something was written under it, so that the ownership of fields is given up by it."""
    status = lent.remediation.status if lent.remediation else None
    return status is not None and status.executed_at is not None


def _digest(where: Place, value: Any) -> str:
    return str(value) if where.field is Field.TEMPLATE else ""


def _put(lent: Lent) -> str:
    return f"put back {lent.ours} → {'unset' if lent.before is None else lent.before}"


def _unchanged(before: Look, now: Look) -> bool:
    if now.generation:
        return now.generation == before.generation
    return (now.value, now.annotations) == (before.value, before.annotations)


def _gone(remediation: Remediation, tries: int) -> Outcome:
    message = f"{remediation.spec.target_ref.name} was deleted or replaced before the write"
    return Outcome(RemediationState.SUPERSEDED, Reason.TargetGone, message, tries)


def _without_entries(body: dict[str, Any], entries: list[int]) -> list[dict[str, Any]]:
    removals: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}]
    return removals + [{"op": "remove", "path": f"/metadata/managedFields/{index}"} for index in reversed(entries)]
