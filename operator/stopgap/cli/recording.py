"""Recorded objects, asked like an API server: what `kubectl get … -o json` wrote down, or what was read a moment ago.

What `simulate` and `explain` decide from. It can only be read: what a decision would write stays here.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from stopgap.api import KINDS
from stopgap.cli.refusals import sentence
from stopgap.effects.clock import ServerClock
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import Kube
from stopgap.model.time import in_utc

_OUR_PLURALS: Final = {kind.__name__: kind.plural for kind in KINDS}
_REVIEWS: Final = frozenset({"selfsubjectaccessreviews", "subjectaccessreviews"})
_NAMES_IN_PATH: Final = 2

Body = dict[str, Any]


def unpacked(bodies: Iterable[Any]) -> Iterator[Body]:
    """Yield the objects of documents and lists. An item of a typed list learns from the list what it is."""
    for body in bodies:
        if not isinstance(body, dict):
            continue
        kind, items = str(body.get("kind", "")), body.get("items")
        if not (kind.endswith("List") and isinstance(items, list)):
            yield body
            continue
        named = {} if kind == "List" else {"apiVersion": body.get("apiVersion", ""), "kind": kind.removesuffix("List")}
        yield from unpacked({**named, **one} for one in items if isinstance(one, dict))


def plural(kind: str) -> str:
    """Return the resource of a kind, by the rule that nearly all kinds follow."""
    if kind in _OUR_PLURALS:
        return _OUR_PLURALS[kind]
    name = kind.lower()
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s"


def newest_time(bodies: Iterable[Body]) -> datetime | None:
    """Return the latest moment that is written anywhere in the objects: no earlier were they recorded."""
    found = (moment for body in bodies for text in _texts(body) if (moment := _moment(text)) is not None)
    # What is due in the future says nothing about when it was written, and only our own records know such times.
    return max(found, default=None)


_FUTURE: Final = frozenset(
    {"notAfter", "verifyUntil", "expiresAt", "acknowledgeBy", "nextUpdateDue", "until", "dueAt", "nextAllowedTime", "deletionTimestamp"}
)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key not in _FUTURE:
                yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _moment(text: str) -> datetime | None:
    if len(text) < len("2026-01-01T00:00:00Z") or text[4:5] != "-" or not text.endswith("Z"):
        return None
    try:
        return in_utc(datetime.fromisoformat(text))
    except ValueError:
        return None


class Recording(Kube):
    """Answers from recorded objects. Of a kind of which nothing was recorded it is not known whether there is any."""

    def __init__(self, bodies: Iterable[Body]) -> None:
        self.clock = ServerClock()
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Body]] = {}
        self._written = 0
        for body in bodies:
            self.put(body)

    def put(self, body: Body) -> None:
        """Take in an object; one of the same name is replaced."""
        meta = body.get("metadata") or {}
        key = (_group(str(body.get("apiVersion", ""))), plural(str(body.get("kind", ""))))
        self._objects.setdefault(key, {})[str(meta.get("namespace") or ""), str(meta.get("name", ""))] = body

    def of(self, kind: str) -> list[Body]:
        """Return the recorded objects of a kind."""
        wanted = plural(kind)
        return [body for (_, resource), each in self._objects.items() if resource == wanted for body in each.values()]

    async def _ask(
        self,
        verb: str,
        path: str,
        *,
        params: Any = None,
        body: object = None,
        media: str = "",  # noqa: ARG002 - as in Kube
    ) -> bytes:
        group, resource, where = _parsed(path)
        match verb:
            case "get":
                return msgspec.json.encode(self._one(path, (group, resource), where))
            case "list":
                return msgspec.json.encode(self._list((group, resource), where[0], dict(params or {})))
            case "create" if resource in _REVIEWS:
                # Nobody is asked, so that nothing is refused for it; who prints the answer says so.
                return msgspec.json.encode({"status": {"allowed": True}})
            case "create" if isinstance(body, dict):
                return msgspec.json.encode(self._stored(body, where[0]))
        raise KubeError(verb, path, message="recorded objects are not changed")

    def _one(self, path: str, key: tuple[str, str], where: tuple[str, str]) -> Body:
        recorded = self._objects.get(key)
        if recorded and where in recorded:
            return recorded[where]
        if key == ("", "namespaces"):
            return {"metadata": {"name": where[1], "labels": {"kubernetes.io/metadata.name": where[1]}}}
        if key[0] == "" and not recorded:
            raise Forbidden("get", path, status=403, message=f"no {key[1]} were recorded")
        raise NotFound("get", path, status=404, message=f"{where[1]} not found among what was recorded")

    def _list(self, key: tuple[str, str], namespace: str, params: dict[str, Any]) -> Body:
        wanted = [part.partition("=")[::2] for part in str(params.get("labelSelector", "")).split(",") if "=" in part and "!" not in part]
        found = [
            body
            for (where, _), body in self._objects.get(key, {}).items()
            if (not namespace or where == namespace)
            and all((body["metadata"].get("labels") or {}).get(name) == value for name, value in wanted)
        ]
        return {"metadata": {}, "items": found}

    def _stored(self, body: Body, namespace: str) -> Body:
        self._written += 1
        meta = {**body.get("metadata", {}), "namespace": namespace, "uid": f"simulated-{self._written}", "generation": 1}
        return {**body, "metadata": {**meta, "resourceVersion": str(2**53 + self._written)}}


class Beside(Recording):
    """The cluster itself, where it answers, and what was read of it where you may not ask. Nothing is written to it."""

    def __init__(self, bodies: Iterable[Body], kube: Kube, denied: list[str]) -> None:
        super().__init__(bodies)
        self._kube = kube
        self._denied = denied

    async def _ask(self, verb: str, path: str, *, params: Any = None, body: object = None, media: str = "") -> bytes:
        try:
            if verb in {"get", "list"}:
                return await self._kube.get(path, params)
            if _parsed(path)[1] in _REVIEWS:
                return await self._kube.create(path, body)
        except Forbidden as error:
            self._denied.append(sentence(error))
        return await super()._ask(verb, path, params=params, body=body, media=media)


def _group(version: str) -> str:
    return version.partition("/")[0] if "/" in version else ""


def _parsed(path: str) -> tuple[str, str, tuple[str, str]]:
    """Return group, resource, and namespace and name, of a path that effects/kube.py made."""
    parts = [unquote(one) for one in path.partition("?")[0].strip("/").split("/")]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if len(rest) > _NAMES_IN_PATH and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    return group, rest[0], (namespace, rest[1] if len(rest) > 1 else "")
