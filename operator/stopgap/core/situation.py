"""A case in which a step was chosen: what every guard is asked about."""

from dataclasses import dataclass
from functools import cached_property

from stopgap.actions import Action
from stopgap.api.clusterpolicy import Policy
from stopgap.api.ladder import Step
from stopgap.core.case import Case
from stopgap.model.change import Aim, Field, Plan
from stopgap.model.observation import Finding, Refusal
from stopgap.model.template import Template
from stopgap.model.workload import Revision


@dataclass(frozen=True)
class Situation:
    """A case in which a step was chosen."""

    case: Case
    policy: Policy
    step: Step
    findings: tuple[Finding, ...]
    aim: Aim | Refusal
    """What the step's action would do, or why it would do nothing."""
    ordered: bool = False
    """Whether a person ordered the step."""

    @property
    def action(self) -> Action | None:
        """The step's action."""
        return self.step.action

    @property
    def back_to(self) -> Revision | None:
        """The ReplicaSet to go back to, where the action goes back."""
        return self.aim.back_to if isinstance(self.aim, Aim) else None

    @property
    def older(self) -> Template | None:
        """The template to be put back, once it was read live."""
        live, back_to = self.case.seen.live, self.back_to
        return live.templates.get(back_to.uid) if live and back_to else None

    @cached_property
    def plan(self) -> Plan | Refusal | None:
        """The end state, once everything that it needs was read live; None until then."""
        seen, action = self.case.seen, self.action
        if action is None or seen.live is None or not isinstance(self.aim, Aim) or (self.aim.scaler and not seen.live.scaler_known):
            return None
        if not self.aim.needs <= seen.live.rights.keys() or (self.aim.lists and self.aim.lists not in seen.live.listings):
            return None
        if self.rolls_pods and seen.newest is None:
            return None  # a rollout began while it was read; the guard that knows says so
        return action.plan(seen, self.aim)

    @property
    def rolls_pods(self) -> bool:
        """Whether the action replaces pods, by writing another template."""
        return self.action is not None and self.action.rolls_pods

    @property
    def outside(self) -> bool:
        """Whether the action leaves the workload itself as it is, so that it does not matter who owns it."""
        return self.action is not None and self.action.outside

    @property
    def by_autoscaler(self) -> bool:
        """Whether it is the autoscaler that would be written."""
        return isinstance(self.plan, Plan) and self.plan.field in {Field.MIN_REPLICAS, Field.MIN_REPLICA_COUNT}
