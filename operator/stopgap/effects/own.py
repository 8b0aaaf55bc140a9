"""Our own machine-written kinds through the typed watch: Remediation and WorkloadHealth come in numbers that Kopf is not made for."""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct

from stopgap.effects.records import Records
from stopgap.model.base import API_VERSION, Kind


class OwnMeta(Struct, rename="camel", omit_defaults=True):
    """`metadata` of an own object."""

    name: str
    uid: str
    resource_version: str
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class OwnObject(Struct, omit_defaults=True):
    """An own object; what is inside is left to its model."""

    metadata: OwnMeta
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class OwnSink:
    """Hands own objects to the records."""

    def __init__(self, kind: type[Kind], records: Records) -> None:
        self._kind = kind
        self._records = records
        self._names: dict[str, tuple[str, str]] = {}

    def put(self, obj: OwnObject, /) -> None:
        """Take in one state."""
        self._names[obj.metadata.uid] = (obj.metadata.namespace, obj.metadata.name)
        body = msgspec.to_builtins(obj)
        self._records.take(self._kind, {**body, "apiVersion": API_VERSION, "kind": self._kind.__name__})

    def gone(self, obj: OwnObject, /) -> None:
        """Take in a deletion."""
        self.forget(obj.metadata.uid)

    def known(self) -> Collection[str]:
        """UIDs held now."""
        return self._names.keys()

    def forget(self, uid: str, /) -> None:
        """Take in a deletion that was only noticed by absence."""
        if found := self._names.pop(uid, None):
            self._records.drop(self._kind, *found)
