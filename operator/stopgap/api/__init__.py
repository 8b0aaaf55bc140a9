"""The kinds of the API group stopgap.dev, from which the CRDs are generated."""

from stopgap.api.clusterpolicy import ClusterRemediationPolicy
from stopgap.api.config import RemediationConfig
from stopgap.api.health import WorkloadHealth
from stopgap.api.incident import Incident
from stopgap.api.policy import RemediationPolicy
from stopgap.api.postmortem import PostMortem
from stopgap.api.remediation import Remediation

KINDS = (Incident, RemediationPolicy, ClusterRemediationPolicy, Remediation, WorkloadHealth, PostMortem, RemediationConfig)

__all__ = [
    "KINDS",
    "ClusterRemediationPolicy",
    "Incident",
    "PostMortem",
    "Remediation",
    "RemediationConfig",
    "RemediationPolicy",
    "WorkloadHealth",
]
