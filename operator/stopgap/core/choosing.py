"""Choose, guard, plan: which step is meant, what stands against it, and the intent when nothing does."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from stopgap.actions import Rollback
from stopgap.api.incident import IncidentFinding
from stopgap.api.policy import Source, Step
from stopgap.api.remediation import Remediation, RemediationPlan, RemediationSpec, RemediationState
from stopgap.core import attribution, guards, knowngood, severity
from stopgap.core.case import Case, Intent
from stopgap.core.situation import Situation
from stopgap.model import duration
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import ObjectRef, PolicyUidRef, TargetUidRef
from stopgap.model.workload import Revision, State

ACT_WITHIN = timedelta(minutes=1)
"""An intent that was not carried out by then never is: what it was decided on is too old."""

_NO_POLICY: Final = (
    "no policy matches this workload, or the one that does is not Ready; "
    "nothing watches over it until one does, so close this incident by hand (spec.resolution) when it is over"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The step that is meant, what it would do, and what stands against it."""

    step: Step | None
    back_to: Revision | None
    summary: str
    refused: tuple[Refusal, ...]


def choose(case: Case, found: tuple[Finding, ...]) -> Choice:
    """Pick the first step that is meant and has not failed in this incident, and hold every guard against it."""
    policy = case.policy
    step = next((one for one in policy.spec.steps if _meant(case, one, found)), None) if policy else None
    if policy is None or step is None or step.rollback is None:
        return Choice(None, None, "", (no_step(case),))
    remembered = replace(case, health=knowngood.with_stints(case))
    back_to = step.rollback.wants(case.seen, knowngood.goods(remembered.health), knowngood.denied(case))
    refused = guards.refusals(Situation(remembered, policy, step, found, back_to))
    newest = case.seen.newest
    if isinstance(back_to, Refusal) or newest is None:
        return Choice(step, None, f"step {step.name}: {step.rollback.name}", refused)
    return Choice(step, back_to, _summary(remembered, newest, back_to), refused)


def no_step(case: Case) -> Refusal:
    """Say why there is nothing that could be done."""
    named = case.incident.spec.policy_ref if case.incident else None
    text = _NO_POLICY
    if case.policy is not None:
        text = "no step of the policy is meant for this"
    elif named is not None:
        text = f"policy {named.name}, which spec.policyRef names, does not exist here, is not Ready, or is not about this workload"
    return Refusal(Reason.NoStepApplies, text)


def _summary(case: Case, newest: Revision, back_to: Revision) -> str:
    good = next((one for one in case.health.known_good if one.replica_set_uid == back_to.uid), None)
    lasted = f", last known healthy at {good.recorded_at:%Y-%m-%d %H:%M} after {duration.spell(_whole(good.healthy_for))}" if good else ""
    return f"roll back {newest.number} → {back_to.number}{lasted}"


def _whole(length: timedelta) -> timedelta:
    return timedelta(seconds=max(round(length.total_seconds()), 1))


def _meant(case: Case, step: Step, found: tuple[Finding, ...]) -> bool:
    when = step.when
    source = case.incident.spec.source.type if case.incident else Source.WORKLOAD
    firing = {one.trigger for one in found if one.state is State.FIRING}
    failed = {one.spec.step for one in case.of_incident() if _has_failed(one)}
    return (
        step.name not in failed
        # A person's incident that the watch confirms is also one of the workload.
        and (source in when.sources or (bool(firing) and Source.WORKLOAD in when.sources))
        and (not when.triggers or bool(firing & set(when.triggers)))
        and (not when.severities or severity.severity(case, found) in when.severities)
    )


def _has_failed(one: Remediation) -> bool:
    """Whether a step is not tried again in this incident: it did not help, or the API server will not have it."""
    reason = one.status.conditions[-1].reason if one.status and one.status.conditions else ""
    if one.state is RemediationState.REFUSED:
        return reason == Reason.Refused
    tried = {RemediationState.FAILED, RemediationState.INCONCLUSIVE, RemediationState.OUTCOME_UNKNOWN}
    return one.state in tried and reason != Reason.SupersededByRevision


def reads(case: Case, choice: Choice) -> frozenset[str]:
    """Read live only where an action may follow, or where Observe would otherwise promise one that cannot be."""
    if case.seen.live is not None or choice.back_to is None:
        return frozenset()
    if any(one.reason not in {Reason.ObserveOnly, Reason.TargetBusy} for one in choice.refused):
        return frozenset()
    previous = next(
        (one.uid for one in case.seen.revisions if case.seen.newest and one.uid != case.seen.newest.uid),
        choice.back_to.uid,
    )
    return frozenset({choice.back_to.uid, previous})


def intent(case: Case, choice: Choice, found: tuple[Finding, ...]) -> Intent | None:
    """Turn a choice that nothing stands against into what is to be recorded before it is done."""
    seen, work, policy, template = case.seen, case.seen.workload, case.policy, case.seen.template
    if choice.refused or choice.step is None or choice.back_to is None or seen.live is None or case.incident is None:
        return None
    if work is None or policy is None or template is None or not isinstance(choice.step.rollback, Rollback):
        return None
    plan = choice.step.rollback.plan(seen, choice.back_to, template.digest)
    verification_ = policy.spec.verification
    spec = RemediationSpec(
        incident_ref=ObjectRef(name=case.incident.metadata.name, uid=case.incident.metadata.uid or ""),
        target_ref=TargetUidRef(name=work.name, uid=work.uid),
        policy_ref=PolicyUidRef(name=policy.metadata.name, uid=policy.metadata.uid or "", generation=policy.metadata.generation or 0),
        step=choice.step.name,
        attempt=len(case.of_incident()) + 1,
        action=plan.action,
        plan=RemediationPlan(
            summary=choice.summary,
            from_revision=plan.from_revision,
            to_revision=plan.to_revision,
            from_digest=plan.from_digest,
            to_digest=plan.to_digest,
            replica_set_uid=plan.replica_set,
            replica_set=plan.replica_set_name,
        ),
        generation=work.generation,
        not_after=case.now + ACT_WITHIN,
        healthy_for=duration.spell(verification_.healthy_for),
        verify_until=case.now + verification_.timeout,
        finding=_loudest(found),
        suspected_change=attribution.suspected_change(case),
    )
    return Intent(spec, choice.back_to.uid)


def _loudest(found: tuple[Finding, ...]) -> IncidentFinding | None:
    """The finding that the intent is for: whoever resumes it can tell the story from it."""
    one = next((one for one in found if one.state is State.FIRING), None)
    return (
        IncidentFinding(trigger=one.trigger, type=one.type, state=one.state, since=one.since, message=one.message[:1024]) if one else None
    )
