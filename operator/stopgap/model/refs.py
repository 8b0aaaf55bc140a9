"""References from one object to another: within a namespace, or to a policy of the whole cluster."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Name, Uid

WorkloadKind = Literal["Deployment", "StatefulSet", "DaemonSet"]
"""The kinds of workloads that are watched and changed."""


class Target(NamedTuple):
    """The key of a workload: what the queue, the index and the records are keyed by."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        """Read as kubectl would be asked: `deployment/api in shop`."""
        return f"{self.kind.lower()}/{self.name} in {self.namespace}"


class TargetRef(ApiModel):
    """A workload in the same namespace."""

    api_version: Literal["apps/v1"] = "apps/v1"
    """API version of the workload."""
    kind: WorkloadKind = "Deployment"
    """Kind of the workload."""
    name: Name
    """Name of the workload, in the namespace of this object."""


class TargetUidRef(TargetRef):
    """A workload in the same namespace, pinned to one incarnation of it."""

    uid: Uid
    """UID of the workload: a new one of the same name is not meant."""


class PolicyRef(ApiModel):
    """The policy that decides."""

    kind: Literal["RemediationPolicy", "ClusterRemediationPolicy"] = "RemediationPolicy"
    """Kind of the policy: a RemediationPolicy is in the namespace of this object."""
    name: Name
    """Name of the policy."""

    @property
    def platform(self) -> bool:
        """Whether it is one of the platform's."""
        return self.kind == "ClusterRemediationPolicy"


class PolicyUidRef(PolicyRef):
    """The policy that decided, pinned to the generation that was read."""

    uid: Uid = ""
    """UID of the policy: a new one of the same name is not meant."""
    generation: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Generation of its spec when it was read."""


class SecretKeyRef(ApiModel):
    """One value of a Secret, read when it is used and shown nowhere.

    It is in the namespace of the policy; for a ClusterRemediationPolicy in Stopgap's own.
    """

    name: Name
    """Name of the Secret. Stopgap must be allowed to get this one: by a Role with resourceNames, bound in its namespace."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in its data."""


class ObjectRef(ApiModel):
    """Another object of ours in the same namespace."""

    name: Name
    """Name of the object."""
    uid: Uid = ""
    """UID of the object: a new one of the same name is not meant."""
