"""A case in which a step was chosen: what every guard is asked about."""

from dataclasses import dataclass, replace
from functools import cached_property

from pydantic import ValidationError

from stopgap.actions import Action
from stopgap.api.clusterpolicy import Policy
from stopgap.api.ladder import Step
from stopgap.core import severity
from stopgap.core.case import Case, Reads
from stopgap.model.change import Aim, Field, Outside, Plan
from stopgap.model.http import put_in
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.text import abridged
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
        needed = Reads(objects=self.aim.objects, needs=self.aim.needs, lists=frozenset({self.aim.lists} if self.aim.lists else ()))
        if not needed.covered_by(seen.live):
            return None
        if not all(seen.live.rights[one] for one in self.aim.needs):
            return None  # the guard that knows says so
        if self.rolls_pods and seen.newest is None:
            return None  # a rollout began while it was read; the guard that knows says so
        plan = action.plan(seen, self.aim)
        return self._filled(plan, plan.outside) if isinstance(plan, Plan) and plan.outside else plan

    def _filled(self, plan: Plan, outside: Outside) -> Plan | Refusal:
        """Put in what the policy has left open in what is done outside the workload."""
        try:
            filled = Outside.model_validate(outside.filled(self.names).model_dump(by_alias=True))
        except ValidationError:
            return Refusal(Reason.InvalidPolicy, "with the names of this incident put in, it is longer than what can be kept")
        return replace(plan, outside=filled)

    @property
    def names(self) -> dict[str, str]:
        """What a policy may leave open in what is done outside the workload; all of it is known once there is an incident."""
        (namespace, _, name), incident = self.case.seen.target, self.case.incident
        told = {"INCIDENT": incident.metadata.name, "SEVERITY": severity.in_force(self.case, self.findings)} if incident else {}
        return {"NAMESPACE": namespace, "NAME": name, **told}

    @property
    def summary(self) -> str:
        """What the step would do, in words, as far as it can be told by now."""
        plan = self.plan if isinstance(self.plan, Plan) else None
        said = plan.summary if plan else (self.aim.summary if isinstance(self.aim, Aim) else "")
        return abridged(put_in(said, self.names), 1000) if self.outside else said

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
