"""The objects that are written, as they are now: read until there is an answer, folded into the index, and given back to their owners."""

import asyncio
from typing import Any, Final

import msgspec

from stopgap.effects import facts, revised, wire
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected, TooManyRequests, Unanswered, Unreachable
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, PatchKind
from stopgap.effects.written import Look, Place, look_at

MOST_TRIES: Final = 5
PAUSE_BETWEEN_LOOKS: Final = 0.2


class Objects:
    """Reads objects, and gives up the ownership of their fields."""

    def __init__(self, kube: Kube, index: Index) -> None:
        self._kube = kube
        self._index = index

    def fold(self, where: Place, raw: bytes) -> None:
        """Take in what was seen: it must not be contradicted by an index that is some milliseconds behind."""
        if where.resource == ("apps", "deployments"):
            self._index.fold(facts.workload(msgspec.json.decode(raw, type=wire.Deployment)))
        elif where.resource[0] == "apps" and (work := revised.folded(where.resource[1], raw)):
            self._index.fold(work)

    async def look(self, where: Place) -> Look | None:
        """Read the object; keep trying while the API server does not answer, for without an answer nothing may be concluded."""
        while True:
            try:
                raw = await self._kube.get(where.path)
            except NotFound:
                return None
            except Forbidden:
                raise
            except KubeError:
                await asyncio.sleep(PAUSE_BETWEEN_LOOKS)
            else:
                self.fold(where, raw)
                return look_at(raw, where.field)

    async def give_back(self, where: Place) -> bool:
        """Give up the ownership of the fields we wrote: one metadata-only patch. Says whether they are given back."""
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
        self.fold(where, raw)
        return True


def unchanged(before: Look, now: Look) -> bool:
    """Whether an object is as it was seen before."""
    if now.generation:
        return now.generation == before.generation
    return (now.value, now.annotations) == (before.value, before.annotations)


def _without_entries(body: dict[str, Any], entries: list[int]) -> list[dict[str, Any]]:
    removals: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}]
    return removals + [{"op": "remove", "path": f"/metadata/managedFields/{index}"} for index in reversed(entries)]
