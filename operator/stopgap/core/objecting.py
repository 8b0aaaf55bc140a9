"""The last question before a write: what stands against an intent that was recorded a moment or a restart ago."""

from typing import Final

from stopgap.api import Remediation
from stopgap.api.ladder import Mode
from stopgap.core import freeze, guards, limits
from stopgap.core.case import Case
from stopgap.core.situation import Situation
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason


def objection(case: Case, remediation: Remediation, found: tuple[Finding, ...] = ()) -> Refusal | None:
    """Say what stands against carrying out an intent that was recorded: an order to stop, or that what it rests on is gone.

    Without findings the severity is the one that was written, or at worst the milder one: then a freeze window refuses.
    """
    incident, policy = case.incident, case.policy
    if incident is None or incident.metadata.uid != remediation.spec.incident_ref.uid or incident.spec.resolution is not None:
        return Refusal(Reason.Superseded, f"incident {remediation.spec.incident_ref.name} was closed or deleted meanwhile")
    step = next((one for one in policy.spec.steps if one.name == remediation.spec.step), None) if policy else None
    if policy is None or step is None or policy.metadata.uid != remediation.spec.policy_ref.uid:
        return Refusal(Reason.Superseded, f"policy {remediation.spec.policy_ref.name} does not decide about this any more")
    if guards.mode(case, policy, step, ordered=bool(remediation.spec.request_id)) is Mode.APPROVE and not remediation.approved:
        return Refusal(Reason.ApprovalPending, "the mode became Approve meanwhile, so it is intended afresh and waits for a person")
    situation = Situation(case, policy, step, found, Refusal(Reason.Superseded, ""), ordered=bool(remediation.spec.request_id))
    return next((refusal for guard in _STOPS if (refusal := guard(situation))), None)


_STOPS: Final = (
    guards.paused,
    guards.excluded,
    limits.storm_active,
    limits.unverified_actions,
    freeze.freeze_window,
    guards.owned_by_controller,
    guards.observe_only,
)
"""Guards that are asked again from memory directly before each send; what needs a live read was asked beside the intent."""
