"""Changes of other objects in the workload's namespace, as policies declare them, and as they are kept in the plan of a Remediation."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self

from pydantic import StringConstraints, field_validator

from stopgap.model.base import ApiModel, Name, Rule, Uid
from stopgap.model.deed import Deed
from stopgap.model.http import put_in
from stopgap.model.merging import Json, Leaf, told

GROUPS_OF_OTHERS: Final = (
    *("apps", "batch", "autoscaling", "policy", "stopgap.dev", "coordination.k8s.io"),
    *("rbac.authorization.k8s.io", "authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"),
    *("admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io"),
)
"""Groups that no patch touches: what runs pods (whoever may write a template may read every Secret of the namespace; rollback, restart
and scale are there for that), what limits them, what decides about rights, and what Stopgap itself rests on."""
OF_THE_CORE: Final = ("configmaps", "services")
"""All that is patched of the core group: neither Secrets nor ServiceAccounts nor pods."""
_LONGEST: Final = 8192
MOST_KEPT: Final = 32768
"""Characters of what is written and of what was there before."""
RESTORE: Final = "stopgap.dev/restore"
"""The mark on an object that something of it is changed for a while."""

Body = Annotated[str, StringConstraints(min_length=2, max_length=_LONGEST)]


class ObjectAt(NamedTuple):
    """Where an object is, in the namespace of the workload."""

    api_version: str
    resource: str
    name: str

    @property
    def group(self) -> str:
        """The group, as RBAC names it."""
        group, slash, _ = self.api_version.rpartition("/")
        return group if slash else ""

    def __str__(self) -> str:
        """Read as kubectl would be asked."""
        return f"{self.resource}{f'.{self.group}' if self.group else ''}/{self.name}"


class PatchedObject(ApiModel):
    """An object in the namespace of the workload."""

    cel: ClassVar = (
        Rule(
            f"!(self.apiVersion.split('/')[0] in {list(GROUPS_OF_OTHERS)})",
            "objects of this group are not patched: they run pods, limit them, or decide about rights",
        ),
        Rule(
            f"self.apiVersion.contains('/') || self.resource in {list(OF_THE_CORE)}",
            "of the core group, only configmaps and services are patched",
        ),
    )
    api_version: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^([a-z0-9][-a-z0-9.]*/)?v[a-z0-9]+$")]
    """Such as `networking.istio.io/v1`."""
    kind: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Such as `VirtualService`."""
    resource: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z][-a-z0-9]*$")]
    """The kind as RBAC names it: `virtualservices`."""
    name: Name
    """Name of the object."""

    @property
    def at(self) -> ObjectAt:
        """Where it is."""
        return ObjectAt(self.api_version, self.resource, self.name)

    @property
    def allowed(self) -> bool:
        """Whether objects of this kind may be patched at all; the same as the schema says."""
        return self.at.group not in GROUPS_OF_OTHERS and (bool(self.at.group) or self.resource in OF_THE_CORE)


class PatchChange(Deed):
    """What is done to one object, and exactly what was there before."""

    object_ref: PatchedObject
    content: Body
    """The JSON merge patch, or the whole object where it is created."""
    create: bool = False
    """Whether the object was not there and is created."""
    status: bool = False
    uid: Uid = ""
    """The object that was read; empty where it is created."""
    leaves: Annotated[str, StringConstraints(max_length=MOST_KEPT)] = "[]"
    """Each value that is written, with what was there before it."""

    def repeatable(self, *, inverse: bool) -> bool:
        """The object itself says what was done to it, so that it is looked at before anything is written again."""
        del inverse
        return True

    @property
    def returnable(self) -> bool:
        """What was there is kept."""
        return True

    @property
    def values(self) -> tuple[Leaf, ...]:
        """Each value that is written."""
        return told(self.leaves)

    @property
    def body(self) -> Json:
        """What is written."""
        return parsed(self.content)

    def filled(self, values: Mapping[str, str]) -> Self:
        """Put the incident's own names in the place of the marks."""
        return self.model_copy(update={"content": put_in(self.content, values), "leaves": put_in(self.leaves, values)})


def parsed(text: str) -> Json:
    """Return a JSON object. Raises ValueError for anything else."""
    body: Any = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("it has to be a JSON object")  # noqa: TRY004 - pydantic tells a ValueError as what is wrong with a field
    return body


class Patching(ApiModel):
    """What a policy declares of a patch."""

    cel: ClassVar = (
        Rule("has(self.merge) != has(self.apply)", "say either what is merged into the object (merge) or what is applied (apply)"),
        Rule("!has(self.status) || !self.status || has(self.merge)", "into a status something is merged (merge)"),
    )
    object_ref: PatchedObject
    """The object that is changed."""
    merge: Body | None = None
    """A JSON merge patch for the object, which must be there: values are replaced, lists as a whole, and null removes one.

    `$(INCIDENT)`, `$(NAMESPACE)`, `$(NAME)` (of the workload) and `$(SEVERITY)` are filled in. Of metadata only labels and annotations.
    """
    apply: Body | None = None
    """An object in JSON, without apiVersion, kind and name.

    Where it is not there it is created, and later removed again; where it is there already, this is merged into it.
    """
    status: bool = False
    """Merge into the status (the subresource), as an `abort` of Argo Rollouts does.

    Then nothing on the object itself says that it was Stopgap.
    """

    @field_validator("merge", "apply")
    @classmethod
    def _can_be_written(cls, text: str | None) -> str | None:
        if text is None:
            return None
        body = parsed(text)
        meta = body.get("metadata", {})
        if not body or {"apiVersion", "kind"} & body.keys() or not isinstance(meta, dict) or not meta.keys() <= {"labels", "annotations"}:
            raise ValueError("it has no apiVersion and no kind, is not empty, and has nothing but labels and annotations in its metadata")
        marks = meta.get("annotations") or {}
        if any(str(key).startswith("stopgap.dev/") for key in marks):
            raise ValueError("the annotations stopgap.dev/* are Stopgap's own")
        return text
