"""Pod templates: our own digest of one, and the facts that decisions need from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any
from zlib import compress, decompress

import msgspec

_HASH_LABEL = "pod-template-hash"
_PATCH = "$patch"
_INJECTED_AT_RUNTIME = "projected"


def digest(template: dict[str, Any]) -> str:
    """Return 16 hex characters that name a template, whatever ReplicaSet holds it.

    The label `pod-template-hash` is left out: the Deployment controller adds it to a ReplicaSet's copy. So is what a ControllerRevision
    says about how it is to be patched in.
    """
    return blake2b(msgspec.json.encode(_bare(template), order="sorted"), digest_size=8).hexdigest()


def _bare(template: dict[str, Any]) -> dict[str, Any]:
    meta = dict(template.get("metadata") or {})
    meta.pop("creationTimestamp", None)
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != _HASH_LABEL}
    meta["labels"] = labels
    return {key: value for key, value in template.items() if key != _PATCH} | {"metadata": meta}


def packed(raw: bytes) -> bytes:
    """Return the JSON of a template as it is kept of every workload: a third of its size, and still the same bytes for the same JSON."""
    return compress(raw, 1)


@dataclass(frozen=True)
class Template:
    """A pod template as plain JSON, with its digest. Build it with `read`."""

    body: dict[str, Any]
    """Without the label `pod-template-hash`: ready to be written into a Deployment."""

    @classmethod
    def read(cls, raw: bytes | dict[str, Any]) -> "Template":
        """Parse a template from a Deployment or a ReplicaSet. Raises msgspec.DecodeError on bytes that are not JSON."""
        body = msgspec.json.decode(raw) if isinstance(raw, bytes) else raw
        return cls(_bare(body))

    @classmethod
    def unpacked(cls, kept: bytes) -> "Template":
        """Parse a template that was packed."""
        return cls.read(decompress(kept))

    @cached_property
    def digest(self) -> str:
        """Our name for this template."""
        return digest(self.body)

    @property
    def spec(self) -> dict[str, Any]:
        """The pod spec."""
        spec: dict[str, Any] = self.body.get("spec") or {}
        return spec

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that its pods get."""
        return dict(self.body.get("metadata", {}).get("annotations") or {})

    @property
    def labels(self) -> dict[str, str]:
        """The labels that its pods get."""
        return dict(self.body.get("metadata", {}).get("labels") or {})

    @property
    def containers(self) -> dict[str, str]:
        """Image by name, of every container and init container."""
        return {one["name"]: one.get("image", "") for part in ("initContainers", "containers") for one in self.spec.get(part) or ()}

    @property
    def references(self) -> frozenset[str]:
        """What its pods cannot start without, as `configmap/x`, `secret/x`, `persistentvolumeclaim/x`, `serviceaccount/x`."""
        return frozenset(_references(self.spec))

    def differs_only_in_annotations(self, other: "Template") -> bool:
        """Whether the two would run the same thing."""
        return self.digest != other.digest and _without_annotations(self.body) == _without_annotations(other.body)


def _without_annotations(body: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in body.get("metadata", {}).items() if key != "annotations"}
    return {**body, "metadata": meta}


def _references(spec: dict[str, Any]) -> Iterator[str]:
    account = spec.get("serviceAccountName")
    if account and account != "default":
        yield f"serviceaccount/{account}"
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
    for part in ("initContainers", "containers"):
        for container in spec.get(part) or ():
            yield from _of_container(container)


def _of_volume(volume: dict[str, Any]) -> Iterator[str]:
    if claim := volume.get("persistentVolumeClaim"):
        yield f"persistentvolumeclaim/{claim['claimName']}"
    for source in (volume, *((volume.get(_INJECTED_AT_RUNTIME) or {}).get("sources") or ())):
        config, secret = source.get("configMap"), source.get("secret")
        if config and not config.get("optional"):
            yield f"configmap/{config['name']}"
        if secret and not secret.get("optional"):
            yield f"secret/{secret.get('secretName') or secret.get('name')}"


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    for source in container.get("envFrom") or ():
        yield from _of_source(source.get("configMapRef"), source.get("secretRef"))
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield from _of_source(source.get("configMapKeyRef"), source.get("secretKeyRef"))


def _of_source(config: dict[str, Any] | None, secret: dict[str, Any] | None) -> Iterator[str]:
    if config and not config.get("optional"):
        yield f"configmap/{config['name']}"
    if secret and not secret.get("optional"):
        yield f"secret/{secret['name']}"
