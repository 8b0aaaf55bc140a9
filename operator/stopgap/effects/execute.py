"""Carries out a change: one guarded write, and a look at the target whenever it is not certain what became of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState
from stopgap.core.limits import PAUSE, pause_mark
from stopgap.effects import facts, wire
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected, TooManyRequests, Unanswered, Unreachable
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, PatchKind, item
from stopgap.effects.rights import Rights
from stopgap.model.change import ReplaceTemplate
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template

LAST_ACTION: Final = "stopgap.dev/last-action"
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


@dataclass(frozen=True, slots=True)
class _Look:
    """The target as it is now."""

    uid: str
    generation: int
    annotations: dict[str, str]
    template: Template
    ours_since: datetime | None
    leaving: bool
    paused: bool


class Executor:
    """The only place that writes to workloads."""

    def __init__(self, kube: Kube, index: Index, rights: Rights) -> None:
        self._kube = kube
        self._rights = rights
        self._index = index

    async def perform(  # noqa: PLR0911 - each return is one way in which a write ends
        self, remediation: Remediation, change: ReplaceTemplate | Refusal, *, first: bool, objection: Callable[[], Refusal | None]
    ) -> Outcome | None:
        """Bring the remediation to an outcome. `first`: nothing was sent under it before, so the first write needs no look.

        A Refusal in place of the change: nothing is to be written any more; it is only found out whether it was written already.
        Whatever happens, at most one write takes effect: it carries the remediation's UID and tests the generation. `objection` is asked
        directly before every send. None: this copy may not act any more, and leaves the intent to the one that may.
        """
        tries, generation = 0, remediation.spec.generation
        look_first = unsure = not first
        rejected: KubeError | None = None
        while True:
            if look_first or isinstance(change, Refusal):
                look = await self._look(remediation)
                settled = self._settle(remediation, look, tries)
                if settled or look is None:
                    return settled or _gone(remediation, tries)
                if unsure and look.generation != generation:
                    # A write of ours may have been made and undone again by a person: nobody can tell, so it is not repeated.
                    message = "whether it was written before the workload was changed again cannot be told; look, and decide by hand"
                    return Outcome(RemediationState.OUTCOME_UNKNOWN, Reason.OutcomeUnknown, message, tries)
                if isinstance(change, Refusal):
                    return Outcome(RemediationState.REFUSED, change.reason, change.message, tries)
                if rejected is not None and look.generation == generation:
                    # Our tests held, so it was the content that was refused: by validation, or by somebody's admission.
                    return Outcome(RemediationState.REFUSED, Reason.Refused, f"the API server refused: {rejected}", tries)
                generation = look.generation
            if self._kube.clock.now() > remediation.spec.not_after or tries >= MOST_TRIES:
                message = f"it was not written in time ({tries} tries); it is decided afresh"
                return Outcome(RemediationState.SUPERSEDED, Reason.Superseded, message, tries)
            if against := objection():
                return (
                    None
                    if against.reason is Reason.NotLeader
                    else Outcome(RemediationState.REFUSED, against.reason, against.message, tries)
                )
            tries += 1
            sent = await self._send(remediation, change, generation, tries)
            if isinstance(sent, Outcome):
                return sent
            look_first, rejected = True, sent if isinstance(sent, Invalid) else None
            unsure = unsure or isinstance(sent, Unanswered)

    async def _send(self, remediation: Remediation, change: ReplaceTemplate, generation: int, tries: int) -> Outcome | KubeError:
        """Send the one write; an error that comes back means: look what became of it."""
        path = item("apps/v1", "deployments", change.target.name, namespace=change.target.namespace)
        try:
            raw = await self._kube.patch(path, operations(remediation, change, generation), how=PatchKind.JSON)
        except NotFound:
            return Outcome(RemediationState.SUPERSEDED, Reason.TargetGone, f"{change.target} no longer exists", tries)
        except Forbidden as error:
            # Admission refuses with the same code as missing rights, but only the latter can be granted by the namespace's owner.
            self._rights.forget(change.target.namespace)
            reason = Reason.Refused if await self._rights.may_patch(change.target.namespace) else Reason.NotAuthorized
            return Outcome(RemediationState.REFUSED, reason, f"the API server refused: {error}", tries)
        except Rejected as error:
            return Outcome(RemediationState.REFUSED, Reason.Refused, f"the API server refused: {error}", tries)
        except (TooManyRequests, Unreachable) as error:
            await asyncio.sleep(min(error.retry_after or _PAUSE_BETWEEN_LOOKS, _LONGEST_PAUSE))
            return error
        except (Invalid, Conflict, Unanswered) as error:
            return error
        return self._written(remediation, raw, tries)

    def _written(self, remediation: Remediation, raw: bytes, tries: int) -> Outcome:
        stored = msgspec.json.decode(raw, type=wire.Deployment)
        written = Template.read(bytes(stored.spec.template)).digest
        self._index.put_workload(facts.workload(stored))
        plan = remediation.spec.plan
        mutated = "" if written == plan.to_digest else "; admission changed the template that was written"
        return Outcome(RemediationState.VERIFYING, Reason.Executed, f"{plan.summary}{mutated}", tries, self._kube.clock.now(), written)

    def _settle(self, remediation: Remediation, look: _Look | None, tries: int) -> Outcome | None:
        """Say what the target's present state means for the remediation; None: it is as it was, and may be written to."""
        if look is None or look.uid != remediation.spec.target_ref.uid or look.leaving:
            return _gone(remediation, tries)
        plan = remediation.spec.plan
        if look.annotations.get(LAST_ACTION) == remediation.metadata.uid:
            when = look.ours_since or self._kube.clock.now()
            # What we wrote, not what is there now: if somebody has changed it since, verification is to see that.
            return Outcome(RemediationState.VERIFYING, Reason.Executed, plan.summary, tries, when, plan.to_digest)
        if look.template.digest != plan.from_digest:
            message = "the template was changed by somebody else before the write; it is judged afresh"
            return Outcome(RemediationState.SUPERSEDED, Reason.Superseded, message, tries)
        if look.paused:
            return Outcome(RemediationState.REFUSED, Reason.DeploymentPaused, "the Deployment was paused meanwhile (spec.paused)", tries)
        if reason := pause_mark(look.annotations):
            return Outcome(RemediationState.REFUSED, Reason.Paused, f"annotation {PAUSE} was set meanwhile: {reason[:300]}", tries)
        return None

    async def _look(self, remediation: Remediation) -> _Look | None:
        """Read the target; keep trying while the API server does not answer, for without an answer nothing may be concluded."""
        path = item("apps/v1", "deployments", remediation.spec.target_ref.name, namespace=remediation.metadata.namespace)
        while True:
            try:
                stored = msgspec.json.decode(await self._kube.get(path), type=wire.Deployment)
                # What was seen here must not be contradicted by an index that is some milliseconds behind.
                self._index.put_workload(facts.workload(stored))
                return _read(stored)
            except NotFound:
                return None
            except Forbidden:
                raise
            except KubeError:
                await asyncio.sleep(_PAUSE_BETWEEN_LOOKS)

    async def give_back(self, remediation: Remediation) -> bool:
        """Give up the ownership of the fields we wrote: one metadata-only patch. Says whether they are given back."""
        for _ in range(MOST_TRIES):
            if await self._give_back_once(remediation):
                return True
        return False

    async def _give_back_once(self, remediation: Remediation) -> bool:
        path = item("apps/v1", "deployments", remediation.spec.target_ref.name, namespace=remediation.metadata.namespace)
        try:
            body = msgspec.json.decode(await self._kube.get(path))
            entries = [index for index, one in enumerate(body["metadata"].get("managedFields") or ()) if one.get("manager") == "stopgap"]
            if not entries or body["metadata"]["uid"] != remediation.spec.target_ref.uid:
                return True
            raw = await self._kube.patch(path, _without_entries(body, entries), how=PatchKind.JSON)
        except NotFound:
            return True
        except (Invalid, Conflict, Forbidden, Rejected, TooManyRequests, Unreachable, Unanswered):
            return False
        self._index.put_workload(facts.workload(msgspec.json.decode(raw, type=wire.Deployment)))
        return True


def _gone(remediation: Remediation, tries: int) -> Outcome:
    message = f"{remediation.spec.target_ref.name} was deleted or replaced before the write"
    return Outcome(RemediationState.SUPERSEDED, Reason.TargetGone, message, tries)


def operations(remediation: Remediation, change: ReplaceTemplate, generation: int) -> list[dict[str, Any]]:
    """Return the JSON patch: tests of identity and generation, then the template and the mark of this remediation."""
    mark = LAST_ACTION.replace("/", "~1")
    return [
        {"op": "test", "path": "/metadata/uid", "value": change.uid},
        {"op": "test", "path": "/metadata/generation", "value": generation},
        {"op": "add", "path": f"/metadata/annotations/{mark}", "value": remediation.metadata.uid},
        {"op": "replace", "path": "/spec/template", "value": change.template.body},
    ]


def _without_entries(body: dict[str, Any], entries: list[int]) -> list[dict[str, Any]]:
    removals: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}]
    return removals + [{"op": "remove", "path": f"/metadata/managedFields/{index}"} for index in reversed(entries)]


def _read(stored: wire.Deployment) -> _Look:
    ours = [one.time for one in stored.metadata.managed_fields if one.manager == "stopgap" and not one.subresource]
    return _Look(
        uid=stored.metadata.uid,
        generation=stored.metadata.generation,
        annotations=stored.metadata.annotations,
        template=Template.read(bytes(stored.spec.template)),
        ours_since=datetime.fromisoformat(max(ours)) if ours else None,
        leaving=stored.metadata.deletion_timestamp is not None,
        paused=stored.spec.paused,
    )
