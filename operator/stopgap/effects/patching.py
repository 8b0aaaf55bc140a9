"""Changes other objects of the namespace, and puts back what was there: one guarded write each, after a look at the object itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected
from stopgap.effects.kube import Kube, PatchKind, collection, item
from stopgap.effects.objects import MOST_TRIES
from stopgap.effects.outside import Fate, Order, Receipt, Send
from stopgap.effects.written import LAST_ACTION, Place
from stopgap.model.change import Field
from stopgap.model.merging import MISSING, Json, Leaf, at, difference, merged, restored, same
from stopgap.model.observation import Refusal
from stopgap.model.patch import RESTORE, PatchChange
from stopgap.model.reasons import Reason

_REFUSED: Final = (Forbidden, Invalid, Rejected, NotFound)


@dataclass(frozen=True, slots=True)
class _Write:
    """What is to be sent: a merge patch of the object at the version that was seen; None: it is created, or deleted."""

    patch: Json | None
    said: Receipt
    """What is known once it is taken."""


def written(remediation: Remediation) -> Place | None:
    """Say which object a remediation has patched, whose fields are given back to their owner; one that it made is its own."""
    change = remediation.spec.plan.outside.patch if remediation.spec.plan.outside else None
    if change is None or change.create:
        return None
    ref = change.object_ref
    path = item(ref.api_version, ref.resource, ref.name, namespace=remediation.metadata.namespace)
    return Place(path, Field.ELSEWHERE, change.uid)


class Patcher:
    """Does what `patch` steps declare."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def ready(self, order: Order) -> Send | Receipt | Refusal:
        """Look at the object, and say what is to be written: nothing where it says that it was."""
        change = order.outside.patch
        if change is None:
            return Refusal(Reason.Refused, "there is no object for this")
        decide = _putting_back if order.inverse else _doing
        try:
            body = await self._look(order, change)
        except Forbidden:
            return Refusal(Reason.NotAuthorized, f"Stopgap may not get {change.object_ref.at} in {order.namespace}")
        except KubeError as error:
            return Receipt(Fate.UNKNOWN, f"the object could not be read ({error.status or 'no answer'})")
        found = decide(order, change, body)
        if isinstance(found, Receipt):
            return found

        async def send() -> Receipt:
            return await self._send(order, change, body, decide)

        return send

    async def _send(
        self, order: Order, change: PatchChange, body: Json | None, decide: Callable[[Order, PatchChange, Json | None], "_Write | Receipt"]
    ) -> Receipt:
        """Write it at the version that was seen; where that has moved, as a status does by itself, look and decide again."""
        for _ in range(MOST_TRIES):
            found = decide(order, change, body)
            if isinstance(found, Receipt):
                return found
            try:
                await self._write(order, change, body, found)
            except Conflict:
                body = await self._look(order, change)
            except _REFUSED as error:
                reason = Reason.NotAuthorized if isinstance(error, Forbidden) else Reason.Refused
                return Receipt(Fate.NOT_DONE, f"the API server refused: {error}", reason)
            except KubeError as error:
                return Receipt(Fate.UNKNOWN, f"the API server did not answer ({error.status or 'no connection'})")
            else:
                return found.said
        return Receipt(Fate.NOT_DONE, f"{change.object_ref.at} is changed all the time, so that no write got through")

    async def _write(self, order: Order, change: PatchChange, body: Json | None, found: _Write) -> None:
        ref = change.object_ref
        if body is None:
            meta = {"name": ref.name, "namespace": order.namespace, "annotations": _marks(order, change)}
            made = merged(change.body, {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": meta})
            await self._kube.create(collection(ref.api_version, ref.resource, order.namespace), made)
        elif found.patch is None:
            seen = {"uid": body["metadata"]["uid"], "resourceVersion": body["metadata"]["resourceVersion"]}
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": seen}
            await self._kube.delete(_path(order, change), options)
        else:
            patch = merged_into(found.patch, {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}})
            await self._kube.patch(_path(order, change, "status" if change.status else ""), patch, how=PatchKind.MERGE)

    async def _look(self, order: Order, change: PatchChange) -> Json | None:
        try:
            body: Json = msgspec.json.decode(await self._kube.get(_path(order, change)))
        except NotFound:
            return None
        return body


def merged_into(patch: Json, more: Json) -> Json:
    """Return a merge patch with more in it; unlike a merge of values it keeps what removes something."""
    result = dict(patch)
    for key, value in more.items():
        inner = result.get(key)
        result[key] = merged_into(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def _path(order: Order, change: PatchChange, subresource: str = "") -> str:
    ref = change.object_ref
    return item(ref.api_version, ref.resource, ref.name, namespace=order.namespace, subresource=subresource)


def _doing(order: Order, change: PatchChange, body: Json | None) -> _Write | Receipt:
    """Say what is to be written so that the object is as the plan says; a Receipt where it is, or where somebody else was faster."""
    name, uid = change.object_ref.at, order.remediation.metadata.uid
    done = Receipt(Fate.DONE, "written")
    if body is None:
        gone = Receipt(Fate.NOT_DONE, f"{name} is gone", Reason.Superseded)
        return _Write(None, Receipt(Fate.DONE, "created")) if change.create else gone
    marks = _annotations(body)
    if marks.get(LAST_ACTION) == uid or (change.status and order.again and _all(body, change.values, "ours")):
        return Receipt(Fate.DONE, "found written")
    if change.create or body["metadata"]["uid"] != change.uid:
        return Receipt(Fate.NOT_DONE, f"another {name} was made meanwhile", Reason.Superseded)
    if RESTORE in marks or not _all(body, change.values, "before"):
        return Receipt(Fate.NOT_DONE, f"{name} was changed by somebody else before the write", Reason.Superseded)
    patch = change.body
    return _Write(patch if change.status else merged_into(patch, {"metadata": {"annotations": _marks(order, change)}}), done)


def _putting_back(order: Order, change: PatchChange, body: Json | None) -> _Write | Receipt:
    """Say what is to be written so that what is still ours is as it was; a Receipt where nothing is."""
    name, leaves = change.object_ref.at, change.values
    if body is None or body["metadata"].get("deletionTimestamp") or (not change.create and body["metadata"]["uid"] != change.uid):
        return Receipt(Fate.NOT_DONE, f"{name} is gone, so that nothing is left to put back", Reason.TargetGone)
    ours, theirs = [one for one in leaves if _is(body, one, "ours")], [one for one in leaves if not _is(body, one, "ours")]
    if not change.status and not _still_ours(order, body, change):
        if not change.create and _all(body, leaves, "before"):
            return Receipt(Fate.DONE, "found as it was before")
        return Receipt(Fate.NOT_DONE, f"{name} was taken over by somebody, so it is left as it is", Reason.NotOurs)
    if change.create and not theirs:
        return _Write(None, Receipt(Fate.DONE, f"removed {name} again"))
    said = _said(ours if not change.create else [], theirs, str(name))
    back = difference(body, restored(body, tuple(ours))) if not change.create else {}
    if change.status:
        return _Write(back, said) if back else said
    return _Write(merged_into(back, {"metadata": {"annotations": {RESTORE: None}}}), said)


def _said(ours: list[Leaf], theirs: list[Leaf], name: str) -> Receipt:
    left = f"somebody changed {', '.join('.'.join(one.path) for one in theirs)[:300]} since, which is left as it is" if theirs else ""
    if not ours:
        return Receipt(Fate.NOT_DONE, f"{name}: {left}", Reason.NotOurs)
    return Receipt(Fate.DONE, f"put back {name}{f'; {left}' if left else ''}")


def _still_ours(order: Order, body: Json, change: PatchChange) -> bool:
    """Whether the object says that it is lent; `kubectl replace` takes all marks away, and after a restore of ours one of them is there."""
    marks, uid = _annotations(body), order.remediation.metadata.uid
    if RESTORE in marks:
        return _lender(marks[RESTORE]) == uid
    return not change.create and LAST_ACTION not in marks and _all(body, change.values, "ours")


def _lender(mark: str) -> str:
    try:
        return str(json.loads(mark)["remediationUID"])
    except (ValueError, KeyError, TypeError):
        return ""


def _marks(order: Order, change: PatchChange) -> dict[str, str]:
    uid = order.remediation.metadata.uid or ""
    values = json.loads(change.leaves)
    said = {"remediationUID": uid, **({"created": True} if change.create else {"values": values})}
    return {LAST_ACTION: uid, RESTORE: json.dumps(said, separators=(",", ":"))}


def _annotations(body: Json) -> dict[str, Any]:
    found: dict[str, Any] = body["metadata"].get("annotations") or {}
    return found


def _is(body: Json, leaf: Leaf, which: str) -> bool:
    here, meant = at(body, leaf.path), leaf.ours if which == "ours" else leaf.before
    # Of many kinds the API server leaves out what is empty when it stores an object.
    return same(here, meant) or (_is_empty(here) and _is_empty(meant))


def _is_empty(value: Any) -> bool:
    return value is MISSING or value in ([], {})


def _all(body: Json, leaves: tuple[Leaf, ...], which: str) -> bool:
    return all(_is(body, leaf, which) for leaf in leaves)
