"""Carries out a change: one guarded write, and a look at the target whenever it is not certain what became of it.

What is done outside the workload is carried out by effects/outside.py, and put back there too.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState
from stopgap.core.case import Lent
from stopgap.core.limits import PAUSE, pause_mark
from stopgap.core.marks import lent_by, mark
from stopgap.core.restoring import Put
from stopgap.effects import objects, patching
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected, TooManyRequests, Unanswered, Unreachable
from stopgap.effects.index import Index
from stopgap.effects.jobs import Jobs
from stopgap.effects.kube import Kube, PatchKind
from stopgap.effects.lender import Lender
from stopgap.effects.objects import MOST_TRIES, Objects, unchanged
from stopgap.effects.outcome import Outcome
from stopgap.effects.outside import Outsider
from stopgap.effects.replacer import Replacer
from stopgap.effects.rights import Rights
from stopgap.effects.suspender import Suspender
from stopgap.effects.written import LAST_ACTION, Look, Place, first_look, look_at, marks_of, operations, place, place_of
from stopgap.model.change import Change, Field, Outside, SetNumber, Write
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

_LONGEST_PAUSE: Final = 5.0
"""Seconds of Retry-After that are honoured before the next send: the intent itself is good for a minute only."""


class Executor:
    """The only place that writes to workloads."""

    def __init__(self, kube: Kube, index: Index, rights: Rights, outside: Outsider) -> None:
        self._kube = kube
        self._rights = rights
        self._outside = outside
        self._objects = Objects(kube, index)
        self._lender = Lender(kube, self._objects)
        self.suspender = Suspender(kube, rights)
        self.replacer = Replacer(kube)
        self.jobs = Jobs(kube)

    async def perform(  # noqa: C901, PLR0911 - each return is one way in which a write ends
        self, remediation: Remediation, change: Change | Refusal, *, first: bool, objection: Callable[[], Refusal | None]
    ) -> Outcome | None:
        """Bring the remediation to an outcome. `first`: nothing was sent under it before, so the first write needs no look.

        A Refusal in place of the change: nothing is to be written any more; it is only found out whether it was written already.
        Whatever happens, at most one write takes effect: it carries the remediation's UID and tests the generation. `objection` is asked
        directly before every send. None: this copy may not act any more, and leaves the intent to the one that may.
        """
        if isinstance(change, Outside) or remediation.spec.plan.outside is not None:
            return await self._outside.perform(remediation, change, objection=objection)
        tries, where, look = 0, place_of(remediation), first_look(remediation)
        # What has no generation is looked at before the first write: then its old value and marks are what is tested. So is what may have
        # no annotations at all, into which none can be added: a Deployment has those that its controller writes.
        look_first, unsure = not first or isinstance(change, SetNumber) or not where.has_annotations, not first
        rejected: KubeError | None = None
        while True:
            if look_first or isinstance(change, Refusal):
                before, now = look, await self._objects.look(where)
                settled = self._settle(remediation, where, now, tries)
                if settled or now is None:
                    return settled or _gone(remediation, tries)
                if unsure and now.generation and before.generation and now.generation != before.generation:
                    # A write of ours may have been made and undone again by a person: nobody can tell, so it is not repeated.
                    message = "whether it was written before the workload was changed again cannot be told; look, and decide by hand"
                    return Outcome(RemediationState.OUTCOME_UNKNOWN, Reason.OutcomeUnknown, message, tries)
                if isinstance(change, Refusal):
                    return Outcome(RemediationState.REFUSED, change.reason, change.message, tries)
                if rejected is not None and unchanged(before, now):
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

    async def _send(self, remediation: Remediation, where: Place, look: Look, change: Write, tries: int) -> Outcome | KubeError:
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
            await asyncio.sleep(min(error.retry_after or objects.PAUSE_BETWEEN_LOOKS, _LONGEST_PAUSE))
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
        self._objects.fold(where, raw)
        plan, now = remediation.spec.plan, self._kube.clock.now()
        if where.field is not Field.TEMPLATE:
            return Outcome(RemediationState.VERIFYING, Reason.Executed, plan.summary, tries, now)
        written = look_at(raw, where.field).value
        mutated = "" if written == plan.to_digest else "; admission changed the template that was written"
        return Outcome(RemediationState.VERIFYING, Reason.Executed, f"{plan.summary}{mutated}", tries, now, written)

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

    async def put_back(self, target: Target, uid: str, lent: Lent) -> Put | None:
        """Put back what was changed for a while, where it is still ours. None: not now; it is tried again."""
        if lent.remediation is not None and lent.remediation.spec.plan.outside is not None:
            return await self._outside.put_back(lent.remediation, abandoned=lent.abandoned)
        return await self._lender.put_back(place(target, uid, lent.field, lent.scaler), lent)

    async def give_back(self, remediation: Remediation) -> bool:
        """Give up the ownership of the fields we wrote: one metadata-only patch. Says whether they are given back."""
        outside = remediation.spec.plan.outside is not None
        where = patching.written(remediation) if outside else place_of(remediation)
        return where is None or await self._objects.give_back(where)


def _digest(where: Place, value: Any) -> str:
    return str(value) if where.field is Field.TEMPLATE else ""


def _gone(remediation: Remediation, tries: int) -> Outcome:
    message = f"{remediation.spec.target_ref.name} was deleted or replaced before the write"
    return Outcome(RemediationState.SUPERSEDED, Reason.TargetGone, message, tries)
