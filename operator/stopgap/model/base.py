"""The base of everything that appears in a manifest, and what the CRD generator reads beside the fields."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "stopgap.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "stopgap.dev/v1alpha1"

# Bounded strings, because an unbounded one lets a single object fill etcd and every watcher's memory.
Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
StepName = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Word = Annotated[str, StringConstraints(max_length=63)]
Line = Annotated[str, StringConstraints(max_length=256)]
Message = Annotated[str, StringConstraints(max_length=1024)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Uid = Annotated[str, StringConstraints(max_length=64)]
Digest = Annotated[str, StringConstraints(max_length=64)]
Percent = Annotated[str, StringConstraints(max_length=4, pattern=r"^([0-9]|[1-9][0-9]|100)%$")]

# A host is there, and no user information before it: what stands in a URL can be read by many.
HttpUrl = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^https?://[^\s/?#@\\]+([/?][^\s#]*)?$")]


def _camel(name: str) -> str:
    # Python's keywords carry an underscore (for_, from_); the manifest does not.
    return to_camel(name.rstrip("_"))


class ApiModel(BaseModel):
    """A piece of a manifest: camelCase outside, frozen inside, and unknown fields of a newer version are ignored.

    The docstring under a field is what `kubectl explain` prints. `cel` holds the rules that belong to the object as a whole.
    """

    model_config = ConfigDict(
        alias_generator=_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )
    cel: ClassVar[tuple["Rule", ...]] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule of the schema (`x-kubernetes-validations`) and what the API server says when it does not hold."""

    expression: str
    message: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`. Priority 1 is shown with `-o wide` only."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date"] = "string"
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """One RBAC rule that a piece of code needs, declared beside that code; `manifests/rbac.yaml` is generated from them."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()


def action_role(action: str) -> str:
    """Return the name of the ClusterRole that a namespace's owner binds to let Stopgap do something there."""
    return f"stopgap-action-{action}"


SUSPEND_ROLE: Final = action_role("suspend-owner")


class OwnerReference(ApiModel):
    """Who owns an object, as in every Kubernetes object."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None


class ObjectMeta(ApiModel):
    """The part of `metadata` that Stopgap reads or writes on its own kinds."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()


class Kind(ApiModel):
    """The top of an object: `apiVersion`, `kind`, `metadata`, and the `spec` and `status` its subclasses add."""

    plural: ClassVar[str]
    short: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]] = ()
    singleton: ClassVar[str | None] = None
    scope: ClassVar[Literal["Namespaced", "Cluster"]] = "Namespaced"

    api_version: Literal["stopgap.dev/v1alpha1"] = API_VERSION
    metadata: ObjectMeta
