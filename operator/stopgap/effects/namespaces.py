"""What is known of namespaces: their labels, by which cluster policies select them, and the pause annotation. Told by a typed watch."""

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from stopgap.core.limits import PAUSE, pause_mark
from stopgap.effects import wire
from stopgap.model.base import Permission

CLUSTER_PERMISSIONS: Final = (Permission("", ("namespaces",), ("list", "watch"), "see which cluster policies are about a namespace"),)


class _Space(Struct, frozen=True, gc=False):
    uid: str
    labels: dict[str, str]
    pause: str


class Namespaces:
    """Where the watch of namespaces puts what it reads. Stays empty in a namespaced installation, which may not list them."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._spaces: dict[str, _Space] = {}
        self._names: dict[str, str] = {}

    def labels(self, name: str) -> Mapping[str, str] | None:
        """Return the labels of a namespace; None while it is not known."""
        found = self._spaces.get(name)
        return found.labels if found else None

    def paused(self, name: str) -> str:
        """Return why a namespace is paused, or nothing."""
        found = self._spaces.get(name)
        return found.pause if found else ""

    def names(self) -> list[str]:
        """Return the namespaces that are there."""
        return list(self._spaces)

    def put(self, obj: wire.Namespace, /) -> None:
        """Take in one state, and tell only of what matters here."""
        meta = obj.metadata
        # Tools put the same few labels on every namespace.
        labels = {sys.intern(key): sys.intern(value) for key, value in meta.labels.items()}
        pause = "" if meta.annotations.pause is None else pause_mark({PAUSE: meta.annotations.pause})
        space, before = _Space(meta.uid, labels, pause), self._spaces.get(meta.name)
        self._spaces[meta.name] = space
        self._names[meta.uid] = meta.name
        if space != before:
            self._changed(meta.name)

    def gone(self, obj: wire.Namespace, /) -> None:
        """Take in a deletion."""
        self.forget(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._names.keys()

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence; one that was made again under the same name stays."""
        name = self._names.pop(uid, "")
        if name in self._spaces and self._spaces[name].uid == uid:
            del self._spaces[name]
            self._changed(name)
