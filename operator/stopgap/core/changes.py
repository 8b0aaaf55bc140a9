"""From a stored plan to the change that carries it out: the same when it is decided and when it is found after a restart."""

from stopgap.actions.restart import restarted
from stopgap.api.plan import RemediationPlan
from stopgap.model.change import Change, Field, ReplaceTemplate, SetNumber
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template


def change_of(plan: RemediationPlan, template: Template | None) -> Change | Refusal:
    """Return the change of a plan. `template` is the one it starts from: that of the ReplicaSet to go back to, or the present one.

    A Refusal where it cannot lead to the end state any more that was stored.
    """
    if plan.outside is not None:
        return plan.outside
    if plan.field is not Field.TEMPLATE:
        return SetNumber(plan.field, plan.before, plan.ours)
    if template is not None and plan.restarted_at:
        template = restarted(template, plan.restarted_at)
    if template is not None and template.digest == plan.to_digest:
        return ReplaceTemplate(template)
    if plan.restarted_at:
        return Refusal(Reason.Superseded, "the template was changed by somebody else before the write; it is judged afresh")
    return Refusal(Reason.NoHealthyRevision, f"{plan.replica_set} is gone or was changed")
