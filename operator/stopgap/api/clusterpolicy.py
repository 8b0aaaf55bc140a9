"""ClusterRemediationPolicy: the platform's policy for many namespaces. Whoever wants it otherwise declares a RemediationPolicy."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from stopgap.api.policy import POLICY_COLUMNS, Labels, PolicySpec, PolicyStatus, RemediationPolicy
from stopgap.model.base import ApiModel, Kind


class NamespaceSelector(ApiModel):
    """Labels of namespaces. An empty selector would mean the whole cluster, and is refused."""

    match_labels: Annotated[Labels, Field(min_length=1)]
    """A namespace that gets all of these labels later is meant from then on, so whoever may label namespaces widens this policy.

    Each namespace carries its own name as `kubernetes.io/metadata.name`, which selects this one only.
    """


class ClusterPolicySpec(PolicySpec):
    """What is watched, what is done, within which limits, and in which namespaces."""

    namespace_selector: NamespaceSelector
    """The namespaces it is about. The owner of each still has to allow every action there by a RoleBinding."""


class ClusterRemediationPolicy(Kind):
    """Declares for many namespaces what a RemediationPolicy declares for one. Its mode and its limits hold for all of them together.

    A RemediationPolicy that is about the same workload decides instead of it, also one in mode Observe: so a team opts out.
    """

    plural: ClassVar = "clusterremediationpolicies"
    short: ClassVar = "crpol"
    scope: ClassVar = "Cluster"
    columns: ClassVar = POLICY_COLUMNS
    kind: Literal["ClusterRemediationPolicy"] = "ClusterRemediationPolicy"
    spec: ClusterPolicySpec
    status: PolicyStatus | None = None


Policy: TypeAlias = RemediationPolicy | ClusterRemediationPolicy
"""What decides about a workload, of whichever scope."""


def called(policy: Policy) -> str:
    """Name a policy so that a person finds it."""
    kind = "cluster policy" if isinstance(policy, ClusterRemediationPolicy) else "policy"
    return f"{kind} {policy.metadata.name}"
