"""JSON merge patches (RFC 7386): what one changes, leaf by leaf, and how exactly that is put back."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
MISSING: Final = object()
"""Where there is no value: not the same as null."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value that a patch writes: nothing below it is merged."""

    path: tuple[str, ...]
    ours: Any
    """What is written; MISSING: the value is removed."""
    before: Any
    """What was there; MISSING: nothing."""
    made: int
    """From which step of the path on there was nothing, so that the maps there are ours too; the length of the path where all was there."""


def merged(target: Any, patch: Any) -> Any:
    """Return what a merge patch makes of a value."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def changed(body: Json, patch: Json) -> tuple[Leaf, ...]:
    """Return the leaves of a patch that change something about an object, with what is there now."""
    return tuple(leaf for leaf in _leaves(body, patch, ()) if not same(leaf.ours, leaf.before))


def _leaves(body: Json, patch: Json, above: tuple[str, ...]) -> Iterator[Leaf]:
    for key, value in patch.items():
        path = (*above, key)
        here = at(body, path)
        if isinstance(value, dict) and (isinstance(here, dict) or (here is MISSING and merged({}, value))):
            yield from _leaves(body, value, path)
        else:
            # A map in the place of something else is one value: what was there is put back as a whole.
            yield Leaf(path, MISSING if value is None else merged(MISSING, value), here, _made(body, path))


def _made(body: Json, path: tuple[str, ...]) -> int:
    return next((depth for depth in range(len(path)) if not isinstance(at(body, path[:depth]), dict)), len(path))


def at(body: Any, path: tuple[str, ...]) -> Any:
    """Return what is at a path, or MISSING."""
    for key in path:
        if not isinstance(body, dict) or key not in body:
            return MISSING
        body = body[key]
    return body


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: true is not 1."""
    if one is MISSING or other is MISSING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def restored(body: Json, leaves: tuple[Leaf, ...]) -> Json:
    """Return an object with the leaves as they were before; maps that were made for them go where nobody put anything else in."""
    result = deepcopy(body)
    for leaf in leaves:
        parents = [at(result, leaf.path[:depth]) for depth in range(len(leaf.path))]
        if leaf.before is not MISSING:
            parents[-1][leaf.path[-1]] = deepcopy(leaf.before)
            continue
        parents[-1].pop(leaf.path[-1], None)
        for depth in range(len(leaf.path) - 1, max(leaf.made, 1) - 1, -1):
            if parents[depth] == {}:
                del parents[depth - 1][leaf.path[depth - 1]]
    return result


def difference(before: Json, after: Json) -> Json:
    """Return the merge patch that turns one object into another. A null, which it cannot say, is in no object that is stored."""
    patch: Json = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key, MISSING)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        elif not same(old, value):
            patch[key] = value
    return patch


def kept(leaves: tuple[Leaf, ...]) -> str:
    """Return leaves as text, whole; what is missing is left out."""
    return json.dumps([_told(leaf) for leaf in leaves], separators=(",", ":"))


def _told(leaf: Leaf) -> Json:
    values = {name: value for name, value in (("ours", leaf.ours), ("before", leaf.before)) if value is not MISSING}
    return {"path": leaf.path, **values, **({"made": leaf.made} if leaf.made < len(leaf.path) else {})}


def told(text: str) -> tuple[Leaf, ...]:
    """Understand the text again."""
    return tuple(
        Leaf(tuple(one["path"]), one.get("ours", MISSING), one.get("before", MISSING), one.get("made", len(one["path"])))
        for one in json.loads(text)
    )
