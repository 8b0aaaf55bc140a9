"""The object that an action writes: where it is, what of it matters now, and the patch that changes one field of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.plan import PlannedScaler
from stopgap.core.marks import RESTORE
from stopgap.effects.kube import item
from stopgap.model.change import Field, ReplaceTemplate, Write
from stopgap.model.refs import Target
from stopgap.model.template import Template

LAST_ACTION: Final = "stopgap.dev/last-action"
POINTERS: Final = {
    Field.TEMPLATE: "/spec/template",
    Field.REPLICAS: "/spec/replicas",
    Field.MIN_REPLICAS: "/spec/minReplicas",
    Field.MIN_REPLICA_COUNT: "/spec/minReplicaCount",
}
SCALERS: Final = {
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
}
"""Version and resource of each kind of autoscaler."""
PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
"""Resource of each kind of workload, in group apps."""


class _Managed(msgspec.Struct):
    manager: str = ""
    subresource: str = ""
    time: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str
    generation: int | None = None
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None
    managed_fields: list[_Managed] = []


class _Object(msgspec.Struct):
    metadata: _Meta
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """One field of one object."""

    path: str
    field: Field
    uid: str

    @property
    def resource(self) -> tuple[str, str]:
        """Group and resource, as RBAC names them."""
        parts = self.path.strip("/").split("/")
        return (parts[1], parts[5]) if parts[0] == "apis" else ("", parts[4])

    @property
    def has_annotations(self) -> bool:
        """Whether the object surely has some."""
        return self.resource == ("apps", "deployments")


@dataclass(frozen=True, slots=True)
class Look:
    """The object as it is now."""

    uid: str
    generation: int | None
    """None: objects of this kind have none."""
    annotations: dict[str, str] | None
    value: Any
    """The template's digest, or the number; None: the field is not set."""
    ours_since: datetime | None
    leaving: bool
    paused: bool
    """Whether a Deployment is told not to roll out."""

    def mark(self, name: str) -> str | None:
        """Return an annotation, or None."""
        return (self.annotations or {}).get(name)


def place(target: Target, uid: str, field: Field, scaler: PlannedScaler | None) -> Place:
    """Say where a field is: on the workload, or on what scales it."""
    if scaler is None:
        return Place(item("apps/v1", PLURALS[target.kind], target.name, namespace=target.namespace), field, uid)
    version, plural = SCALERS[scaler.kind]
    return Place(item(version, plural, scaler.name, namespace=target.namespace), field, scaler.uid)


def place_of(remediation: Remediation) -> Place:
    """Say what a remediation writes."""
    ref, plan = remediation.spec.target_ref, remediation.spec.plan
    return place(Target(remediation.metadata.namespace or "", ref.kind, ref.name), ref.uid, plan.field, plan.scaler)


def look_at(raw: bytes, field: Field) -> Look:
    """Read what matters of an object."""
    stored = msgspec.json.decode(raw, type=_Object)
    meta = stored.metadata
    ours = [one.time for one in meta.managed_fields if one.manager == "stopgap" and not one.subresource]
    value = stored.spec.get(POINTERS[field].rpartition("/")[2])
    return Look(
        uid=meta.uid,
        generation=meta.generation,
        annotations=meta.annotations,
        value=Template.read(value or {}).digest if field is Field.TEMPLATE else value,
        ours_since=datetime.fromisoformat(max(ours)) if ours else None,
        leaving=meta.deletion_timestamp is not None,
        paused=bool(stored.spec.get("paused")) and field is Field.TEMPLATE,
    )


def first_look(remediation: Remediation) -> Look:
    """Return what was decided on, in place of a look: the generation alone tells whether anything has changed since."""
    spec = remediation.spec
    generation = None if spec.plan.scaler else remediation.decided_generation  # that of the workload says nothing about its autoscaler
    return Look(place_of(remediation).uid, generation, {}, spec.plan.from_digest, None, False, False)


def operations(where: Place, look: Look, change: Write | None, marks: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return the JSON patch: tests that the object is as it was seen, then the field, if any, and its marks (None: removed).

    A generation tells of any change of the spec or of annotations. Where there is none, the old value and the old marks are tested.
    """
    tests: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": where.uid}]
    if look.generation:
        tests.append({"op": "test", "path": "/metadata/generation", "value": look.generation})
    else:
        tests += [{"op": "test", "path": _annotation(name), "value": look.mark(name)} for name in marks if look.annotations is not None]
    return [*tests, *(_field(where, look, change) if change else ()), *annotating(look.annotations, marks)]


def _field(where: Place, look: Look, change: Write) -> list[dict[str, Any]]:
    pointer = POINTERS[where.field]
    if isinstance(change, ReplaceTemplate):
        return [{"op": "replace", "path": pointer, "value": change.template.body}]
    return swapping(pointer, look.value, change.after)


def swapping(pointer: str, before: Any, after: Any) -> list[dict[str, Any]]:
    """Return the operations that put one value in the place of exactly another; None: the field is not set."""
    # `test … null` passes on a missing key, so that an unset field is guarded as well.
    test = {"op": "test", "path": pointer, "value": before}
    return [test, {"op": "remove", "path": pointer} if after is None else {"op": "add", "path": pointer, "value": after}]


def annotating(annotations: dict[str, str] | None, marks: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return the operations that set annotations (None: removed), guarded where the map itself is missing."""
    written = {name: value for name, value in marks.items() if value is not None}
    if annotations is None:
        # On a missing map no key can be tested or added; the map itself can.
        guard = {"op": "test", "path": "/metadata/annotations", "value": None}
        return [guard, {"op": "add", "path": "/metadata/annotations", "value": written}] if written else []
    gone = [name for name, value in marks.items() if value is None and name in annotations]
    added = [{"op": "add", "path": _annotation(name), "value": value} for name, value in written.items()]
    return [*added, *({"op": "remove", "path": _annotation(name)} for name in gone)]


def _annotation(name: str) -> str:
    return f"/metadata/annotations/{name.replace('/', '~1')}"


def marks_of(remediation: Remediation, text: str | None) -> dict[str, str | None]:
    """Return the marks of an action: whose it is, and for what is temporary also what was there before."""
    marks: dict[str, str | None] = {LAST_ACTION: remediation.metadata.uid}
    return {**marks, RESTORE: text} if text else marks
