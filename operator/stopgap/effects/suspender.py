"""Pauses the GitOps owner of a workload before an action, and resumes it: each one guarded write, decidable again by a look."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.suspension import PlannedSuspension, SuspensionState, SuspensionStatus
from stopgap.core import pausing, suspending
from stopgap.core.case import Spent
from stopgap.core.marks import RESTORE
from stopgap.core.pausing import LostPause
from stopgap.core.restoring import ASKED
from stopgap.core.suspending import Pause
from stopgap.effects.errors import Forbidden, KubeError, NotFound, Rejected, Unanswered
from stopgap.effects.kube import Kube, PatchKind, item
from stopgap.effects.rights import Rights
from stopgap.effects.written import annotating, place, swapping
from stopgap.model.base import Permission
from stopgap.model.change import Field
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.template import Template

SUSPEND_PERMISSIONS: Final = (
    Permission("argoproj.io", ("applications",), ("patch",), "switch automated sync off for an action, and on again"),
    Permission("kustomize.toolkit.fluxcd.io", ("kustomizations",), ("patch",), "suspend it for an action, and resume it"),
    Permission("helm.toolkit.fluxcd.io", ("helmreleases",), ("patch",), "suspend it for an action, and resume it"),
)
_MOST_TRIES: Final = 5
_PAUSE_BETWEEN_LOOKS: Final = 0.2
_UNMARKED: Final[dict[str, str | None]] = {RESTORE: None, pausing.SUSPENDED_FOR: None}


class Suspender:
    """The only place that writes to GitOps owners."""

    def __init__(self, kube: Kube, rights: Rights) -> None:
        self._kube = kube
        self._rights = rights

    async def pause(self, remediation: Remediation, objection: Callable[[], Refusal | None]) -> Pause:
        """Pause the owner, unless it is paused under this remediation already. With a refusal the action must not be taken."""
        plan = remediation.spec.plan.suspends
        if plan is None:
            return Pause()
        sure = True
        for _ in range(_MOST_TRIES):
            try:
                pause = await self._pause(remediation, plan, objection)
            except KubeError as error:
                if final := self._final(plan, error):
                    return Pause(final, sure)
                sure = sure and not isinstance(error, Unanswered)
                await asyncio.sleep(_PAUSE_BETWEEN_LOOKS)
            else:
                return replace(pause, sure=pause.sure and sure)
        return Pause(_refused(plan, f"{_MOST_TRIES} tries came to nothing"), sure)

    async def _pause(self, remediation: Remediation, plan: PlannedSuspension, objection: Callable[[], Refusal | None]) -> Pause:
        body = await self._read(plan)
        if not _is_it(plan, body):
            return Pause(_refused(plan, "it was deleted or replaced meanwhile"))
        if pausing.is_marked(remediation.metadata.uid, body):
            return self._found(plan, body)
        if against := self._against(remediation, plan, body) or objection():
            return Pause(against)
        raw = await self._kube.patch(_path(plan), _to_pause(remediation, plan, body), how=PatchKind.JSON)
        return await self._paused(plan, msgspec.json.decode(raw))

    def _final(self, plan: PlannedSuspension, error: KubeError) -> Refusal | None:
        """Say what an answer means that will be the same at the next try; None: look again."""
        if isinstance(error, Forbidden):
            self._rights.forget(plan.namespace)
            grant = suspending.grant(plan.kind, plan.namespace)
            return Refusal(Reason.NotAuthorized, f"the API server refused to suspend {plan.name}: {error}; {grant}"[:1024])
        if isinstance(error, NotFound):
            return _refused(plan, "it was deleted meanwhile")
        return _refused(plan, str(error)) if isinstance(error, Rejected) else None

    def _found(self, plan: PlannedSuspension, body: dict[str, Any]) -> Pause:
        """Judge one that bears our mark: a crash came in between, or an answer was lost."""
        if pausing.value(plan.kind, body) == pausing.ours(plan):
            return Pause()
        return Pause(_refused(plan, "somebody resumed it meanwhile"), sure=False)

    def _against(self, remediation: Remediation, plan: PlannedSuspension, body: dict[str, Any]) -> Refusal | None:
        if self._kube.clock.now() > remediation.write_until:
            return Refusal(Reason.Superseded, "its owner was not suspended in time; it is decided afresh")
        if RESTORE in (_annotations(body) or {}):
            return _refused(plan, f"its annotation {RESTORE} says that it is suspended for something else")
        if pausing.value(plan.kind, body) != pausing.before(plan):
            return Refusal(Reason.Superseded, f"{plan.kind} {plan.name} was changed meanwhile; it is decided afresh")
        return None

    async def _paused(self, plan: PlannedSuspension, stored: dict[str, Any]) -> Pause:
        """Believe only what the API server stored: an older Argo CD does not know the field, and drops it."""
        if pausing.value(plan.kind, stored) == pausing.ours(plan):
            return Pause()
        refusal = _refused(plan, f"{pausing.pointer(plan.kind)} was not stored as written (Argo CD 3.1 and later know `enabled`)")
        try:
            await self._kube.patch(
                _path(plan), [*_tests(plan.uid, stored), *annotating(_annotations(stored), _UNMARKED)], how=PatchKind.JSON
            )
        except KubeError:
            return Pause(refusal, sure=False)
        return Pause(refusal)

    # ---------------------------------------------------------------------------------------------------------- resuming

    async def look(self, remediation: Remediation, now: datetime, spent: Iterable[Spent] = ()) -> SuspensionStatus | None:
        """Look at a paused owner, and resume it where that may be. None: it stays as it is. `spent`: what Stopgap changed of late."""
        plan = remediation.spec.plan.suspends
        if plan is None:
            return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now)
        if remediation.metadata.annotations.get(ASKED) == "abandon":
            with suppress(KubeError):  # whether or not our marks can be taken away: whoever says so has taken over
                await self._unmark(pausing.LostPause.of(remediation, plan))
            return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message="a person takes care of it")
        try:
            return await self._look(remediation, plan, now, {one.target_uid: one.at for one in spent})
        except NotFound:
            return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message="it is gone")
        except (Forbidden, Rejected) as error:
            return SuspensionStatus(state=SuspensionState.FAILED, at=now, message=f"the API server refused to resume it: {error}"[:1024])
        except KubeError:
            return suspending.expired(remediation, now)

    async def _look(
        self, remediation: Remediation, plan: PlannedSuspension, now: datetime, acted: Mapping[str, datetime]
    ) -> SuspensionStatus | None:
        body = await self._read(plan)
        if not _is_it(plan, body):
            return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message="it is gone")
        if not pausing.is_marked(remediation.metadata.uid, body):
            return suspending.unmarked(remediation, body, now)
        if not pausing.is_paused(plan.kind, body):
            return await self._resume(plan, body, "", now)  # a person did, by the tool's own command, which leaves our marks
        why = await self._why(remediation, body, now, acted)
        return await self._resume(plan, body, why, now) if why else suspending.expired(remediation, now)

    async def _why(self, remediation: Remediation, body: dict[str, Any], now: datetime, acted: Mapping[str, datetime]) -> str:
        """Say why it may be resumed, or nothing. It resumes as a whole, so a change of anything else that it deploys counts as well."""
        digest, changed_at = await self._workload(remediation)
        if not suspending.due(remediation, body, digest, changed_at):
            return ""
        own = Target(remediation.metadata.namespace or "", remediation.spec.target_ref.kind, remediation.spec.target_ref.name)
        others = await asyncio.gather(*(self._changed_at(one, now, acted) for one in pausing.deploys(body) if one != own))
        return suspending.due(remediation, body, digest, max((one for one in (changed_at, *others) if one), default=None))

    async def _resume(self, plan: PlannedSuspension, body: dict[str, Any], why: str, now: datetime) -> SuspensionStatus:
        still_ours = pausing.value(plan.kind, body) == pausing.ours(plan)
        patch = [*_tests(plan.uid, body), *(_put_back(plan) if still_ours else ()), *annotating(_annotations(body), _UNMARKED)]
        await self._kube.patch(_path(plan), patch, how=PatchKind.JSON)
        if still_ours:
            return SuspensionStatus(state=SuspensionState.RESUMED, at=now, message=f"resumed: {why}")
        return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message="somebody changed it since, so it is left as it is")

    async def still_paused(self, lost: LostPause) -> dict[str, Any] | None:
        """Return an owner that stays paused under a lost record. Of one that a person has resumed by himself the marks are taken away."""
        try:
            body: dict[str, Any] = msgspec.json.decode(await self._kube.get(_path(lost)))
        except NotFound:
            return None
        if pausing.is_marked(lost.mark.uid, body) and pausing.is_paused(lost.kind, body):
            return body
        await self._unmark(lost, body)
        return None

    async def _unmark(self, lost: LostPause, body: dict[str, Any] | None = None) -> None:
        """Take away the marks of a pause, where they are of this one."""
        body = body or msgspec.json.decode(await self._kube.get(_path(lost)))
        if pausing.is_marked(lost.mark.uid, body):
            guards = _tests(body["metadata"]["uid"], body)
            await self._kube.patch(_path(lost), [*guards, *annotating(_annotations(body), _UNMARKED)], how=PatchKind.JSON)

    async def _workload(self, remediation: Remediation) -> tuple[str, datetime | None]:
        """Read the digest of the live template, and when the workload was last changed: the index may be behind what Argo CD compared."""
        ref = remediation.spec.target_ref
        where = place(Target(remediation.metadata.namespace or "", ref.kind, ref.name), ref.uid, Field.TEMPLATE, None)
        try:
            body = msgspec.json.decode(await self._kube.get(where.path))
        except NotFound:
            return "", None
        if body["metadata"]["uid"] != where.uid:
            return "", None
        # What an autoscaler was told cannot be seen in the template, so that no comparison proves anything.
        by_template = remediation.spec.plan.scaler is None
        return Template.read(body["spec"]["template"]).digest if by_template else "", _written_at(body)

    async def _changed_at(self, target: Target, now: datetime, acted: Mapping[str, datetime]) -> datetime | None:
        """Read when another workload was last changed; None: it is gone. What may not be read may have been changed just now."""
        try:
            body = msgspec.json.decode(await self._kube.get(place(target, "", Field.TEMPLATE, None).path))
        except NotFound:
            return None
        except (Forbidden, ValueError):
            return now
        # Of a write of ours nothing is left there once the fields are given back.
        return max((one for one in (_written_at(body), acted.get(body["metadata"]["uid"])) if one), default=None)

    async def _read(self, plan: PlannedSuspension) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(await self._kube.get(_path(plan)))
        return body


def _written_at(body: dict[str, Any]) -> datetime | None:
    written = [one["time"] for one in body["metadata"].get("managedFields") or () if not one.get("subresource") and one.get("time")]
    return max((datetime.fromisoformat(one) for one in written), default=None)


def _path(one: PlannedSuspension | LostPause) -> str:
    return item(*pausing.OWNERS[one.kind], one.name, namespace=one.namespace)


def _is_it(plan: PlannedSuspension, body: dict[str, Any]) -> bool:
    return body["metadata"].get("uid") == plan.uid and not body["metadata"].get("deletionTimestamp")


def _annotations(body: dict[str, Any]) -> dict[str, str] | None:
    found: dict[str, str] | None = body["metadata"].get("annotations")
    return found


def _refused(plan: PlannedSuspension, why: str) -> Refusal:
    return Refusal(Reason.GitOpsOwned, f"{plan.kind} {plan.name} in {plan.namespace} could not be suspended: {why}"[:1024])


def _tests(uid: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/metadata/generation", "value": body["metadata"]["generation"]},
    ]


def _to_pause(remediation: Remediation, plan: PlannedSuspension, body: dict[str, Any]) -> list[dict[str, Any]]:
    where, marks = pausing.pointer(plan.kind), dict[str, str | None](pausing.marks(remediation, plan))
    change = swapping(where, pausing.before(plan), pausing.ours(plan))
    return [*_tests(plan.uid, body), *change, *annotating(_annotations(body), marks)]


def _put_back(plan: PlannedSuspension) -> list[dict[str, Any]]:
    return swapping(pausing.pointer(plan.kind), pausing.ours(plan), pausing.before(plan))
