"""A case in which a step was chosen: what every guard is asked about."""

from dataclasses import dataclass

from stopgap.api.policy import RemediationPolicy, Step
from stopgap.core.case import Case
from stopgap.model.observation import Finding, Refusal
from stopgap.model.template import Template
from stopgap.model.workload import Revision


@dataclass(frozen=True, slots=True)
class Situation:
    """A case in which a step was chosen."""

    case: Case
    policy: RemediationPolicy
    step: Step
    findings: tuple[Finding, ...]
    back_to: Revision | Refusal
    """The ReplicaSet to go back to, or why there is none."""

    @property
    def older(self) -> Template | None:
        """The template to be put back, once it was read live."""
        live = self.case.seen.live
        return live.templates.get(self.back_to.uid) if live and isinstance(self.back_to, Revision) else None
