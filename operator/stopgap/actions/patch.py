"""`patch`: change one other object in the namespace for a while, such as a circuit breaker, a route, or a feature flag."""

import json
from typing import ClassVar, Final

from stopgap.model.base import Permission
from stopgap.model.change import Aim, Field, Known, Outside, Plan
from stopgap.model.merging import MISSING, Leaf, changed, kept
from stopgap.model.observation import Observation, Refusal, Right
from stopgap.model.patch import MOST_KEPT, RESTORE, PatchChange, Patching, parsed
from stopgap.model.query import Silence
from stopgap.model.reasons import Reason

_SHOWN: Final = 700


class Patch(Patching):
    """Merge a few values into another object of the namespace, or create it; exactly what was there before is put back later.

    Which objects may be changed is for the namespace's owner to grant, by RBAC; whoever writes the policy must be allowed to change them
    too. Whoever else decides about the object (GitOps, a controller of its own) may undo it.
    """

    name: ClassVar[str] = "patch"
    rolls_pods: ClassVar[bool] = False
    outside: ClassVar[bool] = True
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = ()

    @property
    def content(self) -> str:
        """What is written, as the policy says it."""
        return self.merge or self.apply or ""

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:  # noqa: ARG002 - the actions' common shape
        """Say what would be written, where; the object itself is read live."""
        at = self.object_ref.at
        if not self.object_ref.allowed:
            return Refusal(Reason.Refused, f"{at} is of a kind that is never patched")
        patched = f"{at.resource}/status" if self.status else at.resource
        needs = {Right("get", at.group, at.resource, at.name), Right("patch", at.group, patched, at.name)}
        needs |= {Right("delete", at.group, at.resource, at.name), Right("create", at.group, at.resource)} if self.apply else set()
        return Aim(f"patch {at} with {_on_one_line(self.content)}", needs=frozenset(needs), objects=frozenset({at}))

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:  # noqa: ARG002 - the actions' common shape
        """Keep what is written, and each value that was there before it."""
        at = self.object_ref.at
        if seen.live is None:
            raise ValueError(f"a patch of {at} is planned without reading it")
        found, body = seen.live.objects.get(at), parsed(self.content)
        if found is None or isinstance(found, Silence):
            return self._unseen(found)
        meta = found["metadata"]
        if meta.get("deletionTimestamp"):
            return Refusal(Reason.ReferenceMissing, f"{at} is being deleted")
        if RESTORE in (meta.get("annotations") or {}):
            return Refusal(Reason.TargetBusy, f"{at} is changed for a while already ({RESTORE}), and has not been put back yet")
        leaves = changed(found, body)
        if not leaves:
            return Refusal(Reason.NothingToDo, f"{at} is as the policy wants it already")
        if len(kept(leaves)) > MOST_KEPT:
            return Refusal(Reason.NoCapacity, f"what would be replaced in {at} is too much to be kept, so that it could not be put back")
        return self._planned(f"patch {at}: {_shown(leaves)}", leaves=kept(leaves), uid=str(meta["uid"]))

    def _unseen(self, why: Silence | None) -> Plan | Refusal:
        at = self.object_ref.at
        if why is not None:
            return Refusal(Reason.ReferenceMissing, f"{at} could not be read ({why.why})")
        return self._created() if self.apply else Refusal(Reason.ReferenceMissing, f"{at} does not exist, so there is nothing to patch")

    def _created(self) -> Plan:
        leaves = kept(changed({}, parsed(self.content)))
        return self._planned(f"create {self.object_ref.at} with {_on_one_line(self.content)}", leaves=leaves, create=True)

    def _planned(self, summary: str, *, leaves: str, uid: str = "", create: bool = False) -> Plan:
        change = PatchChange(object_ref=self.object_ref, content=self.content, create=create, status=self.status, uid=uid, leaves=leaves)
        return Plan(action="Patch", summary=summary, field=Field.ELSEWHERE, outside=Outside(patch=change))


def _on_one_line(text: str) -> str:
    short = " ".join(text.split())
    return f"{short[:_SHOWN]} …" if len(short) > _SHOWN else short


def _shown(leaves: tuple[Leaf, ...]) -> str:
    return _on_one_line(", ".join(f"{'.'.join(one.path)} {_value(one.before)} → {_value(one.ours)}" for one in leaves))


def _value(value: object) -> str:
    return "unset" if value is MISSING else json.dumps(value)
