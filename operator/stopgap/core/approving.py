"""An action waits for a person: what ends the wait, and what an approval leads to. Nothing is sent without one, or after the expiry."""

from dataclasses import dataclass, replace
from datetime import timedelta

from stopgap.api.plan import RemediationPlan
from stopgap.api.remediation import Remediation, RemediationState, RemediationStatus, Verdict
from stopgap.core import choosing, consent, explaining, lifecycle, suspending
from stopgap.core.case import IDLE_LOOK, Case, Decision
from stopgap.core.following import ended
from stopgap.core.lifecycle import Story
from stopgap.core.memory import all_quiet
from stopgap.core.triage import told
from stopgap.model.change import Field
from stopgap.model.conditions import holds
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason

_AGAIN = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class End:
    """How a wait ends without the action."""

    state: RemediationState
    reason: Reason
    message: str
    actor: str = "stopgap"


def answered(case: Case, found: tuple[Finding, ...]) -> Decision | None:
    """Return what follows where the wait is over or a person said yes; None: it goes on, and holds nothing else up."""
    waiting = case.waiting
    if waiting is None:
        return None
    if end := _over(case, waiting) or _recovered(waiting, found):
        return _ended(case, waiting, found, end)
    return _approved(case, waiting, found) if waiting.approved else None


def conclude(case: Case, decision: Decision) -> Decision:
    """See that a wait is on record, and ends with what it is for: an incident that is over, or signals that went quiet."""
    waiting = case.waiting
    if waiting is None or decision.remediation is not None:
        return decision
    end = _moot(decision)
    if end is None:
        begun = RemediationStatus(state=RemediationState.AWAITING_APPROVAL, message=consent.how(waiting)[:1024])
        return replace(decision, remediation=(waiting, begun)) if waiting.status is None else decision
    status = _status(case, waiting, end)
    decision = replace(decision, remediation=(waiting, status))
    if decision.status is None:
        return decision
    story = _told(case, Story(decision.status, case.now, decision.notices), waiting, (end, status))
    return replace(decision, status=story.status, notices=story.notices)


def _moot(decision: Decision) -> End | None:
    if decision.closed:
        return End(RemediationState.SUPERSEDED, Reason.Superseded, "the incident is over")
    if decision.status is not None and holds(decision.status.conditions, lifecycle.MITIGATED):
        return End(RemediationState.SUPERSEDED, Reason.Superseded, "the workload recovered without it")
    return None


def _over(case: Case, waiting: Remediation) -> End | None:
    """Say what ends the wait, or None. The expiry comes before an approval: nobody knows by when one was given that is seen late."""
    spec, incident, policy = waiting.spec, case.incident, case.policy
    superseded = RemediationState.SUPERSEDED
    if incident is None or incident.metadata.uid != spec.incident_ref.uid:
        return End(superseded, Reason.Superseded, f"incident {spec.incident_ref.name} was closed or deleted meanwhile")
    if spec.approval is not None and spec.approval.decision is Verdict.REJECTED:
        by = consent.who(waiting)
        return End(RemediationState.REJECTED, Reason.ApprovalRejected, f"{by} rejected it{consent.why(waiting)}", by)
    if spec.expires_at is None or case.now >= spec.expires_at:
        return End(RemediationState.EXPIRED, Reason.ApprovalExpired, "nobody approved it in time; decide by hand")
    if policy is None or (policy.metadata.uid, policy.metadata.generation) != (spec.policy_ref.uid, spec.policy_ref.generation):
        return End(
            superseded, Reason.Superseded, f"policy {spec.policy_ref.name} was changed or deleted meanwhile, so it is decided afresh"
        )
    if _moved(case, waiting):
        return End(superseded, Reason.Superseded, "the workload was changed meanwhile, so it is judged afresh")
    return None


def _moved(case: Case, waiting: Remediation) -> bool:
    """Whether the workload is no longer what the plan starts from."""
    plan, template, work = waiting.spec.plan, case.seen.template, case.seen.workload
    if plan.field is Field.TEMPLATE:
        return template is not None and template.digest != plan.from_digest
    return plan.field is Field.REPLICAS and work is not None and work.replicas != plan.before


def _recovered(waiting: Remediation, found: tuple[Finding, ...]) -> End | None:
    """An approval that comes when everything is quiet is no reason to act any more; without one it may still be a lull."""
    if not waiting.approved or waiting.spec.request_id or waiting.spec.finding is None or not all_quiet(found):
        return None
    return End(RemediationState.SUPERSEDED, Reason.Superseded, "the signals went quiet before it was approved: it recovered without it")


def _approved(case: Case, waiting: Remediation, found: tuple[Finding, ...]) -> Decision:
    """Ask everything again, with live reads; an approval skips no guard."""
    choice = choosing.choose(case, found)
    if choice.reads:
        return Decision(findings=found, reads=choice.reads, look_again=IDLE_LOOK)
    if choice.refused:
        first = choice.refused[0]
        message = f"approved by {consent.who(waiting)}, and refused: {'; '.join(one.message for one in choice.refused)}"
        return _ended(case, waiting, found, End(RemediationState.REFUSED, first.reason, message))
    if choice.plan is None or choice.step is None or not _same(case, choosing.stored(choice.plan, "", choice.step), waiting):
        message = "the action would be another one by now, so it is decided afresh"
        return _ended(case, waiting, found, End(RemediationState.SUPERSEDED, Reason.Superseded, message))
    story = explaining.decision(told(case, found), choice.step.name, choice.summary, (), allowed=True)
    story = consent.credited(story, waiting).done()
    status = (waiting.status or RemediationStatus()).model_copy(
        update={
            "state": RemediationState.PENDING,
            "message": f"approved by {consent.who(waiting)}"[:1024],
            "approved_at": case.now,
            "approved_generation": case.seen.workload.generation if case.seen.workload else 0,
        }
    )
    return Decision(findings=found, approved=(waiting, status), status=story.status, notices=story.notices, look_again=_AGAIN)


def _same(case: Case, plan: RemediationPlan, waiting: Remediation) -> bool:
    # What was planned with the time of then is now planned with another one: what a person approved is the one of the record.
    approved = waiting.spec.plan
    loose: dict[str, object] = {"summary": ""}
    if approved.restarted_at:
        loose |= {"restarted_at": "", "to_digest": ""}
    plan = suspending.with_pause(case, plan)
    if plan.suspends and approved.suspends:
        plan = plan.model_copy(update={"suspends": plan.suspends.model_copy(update={"expires_at": approved.suspends.expires_at})})
    if approved.outside and plan.outside and approved.outside.deed.stands_for(plan.outside.deed):
        loose |= {"outside": None}
    return approved.model_copy(update=loose) == plan.model_copy(update=loose)


def _ended(case: Case, waiting: Remediation, found: tuple[Finding, ...], end: End) -> Decision:
    status = _status(case, waiting, end)
    decision = Decision(findings=found, remediation=(waiting, status), look_again=_AGAIN)
    if case.incident is None or case.incident.metadata.uid != waiting.spec.incident_ref.uid:
        return decision
    story = _told(case, told(case, found), waiting, (end, status)).done()
    return replace(decision, status=story.status, notices=story.notices)


def _status(case: Case, waiting: Remediation, end: End) -> RemediationStatus:
    return ended(case, waiting, end.state, end.message, reason=end.reason)


def _told(case: Case, story: Story, waiting: Remediation, how: tuple[End, RemediationStatus]) -> Story:
    """Write the end into the incident's story, in the words in which triage tells of any intent that was not carried out."""
    end, status = how
    after = replace(
        case, remediations=tuple(one.model_copy(update={"status": status}) if one is waiting else one for one in case.remediations)
    )
    story = lifecycle.remediations(after, story)
    message = f"{waiting.spec.plan.summary} was not written: {status.message}"
    return story.announce(end.reason, message, warning=True, actor=end.actor)
