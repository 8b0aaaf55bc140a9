"""Choose, guard, plan: which step of the ladder is meant, what stands against it, and the intent when nothing does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from stopgap.api.clusterpolicy import ClusterRemediationPolicy, Policy, called
from stopgap.api.incident import IncidentFinding
from stopgap.api.ladder import Mode, OnFailure, Revert, RevertOn, Source, Step
from stopgap.api.plan import PlannedRevert, PlannedScaler, RemediationPlan
from stopgap.api.remediation import ACT_WITHIN, Remediation, RemediationSpec, RemediationState
from stopgap.core import attribution, guards, knowngood, matching, ordering, severity, stateful, suspending
from stopgap.core.case import NOTHING, Case, Intent, Reads
from stopgap.core.situation import Situation
from stopgap.model import duration
from stopgap.model.change import Aim, Known, Plan
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import ObjectRef, TargetUidRef
from stopgap.model.workload import State

LASTING = frozenset(
    {
        Reason.NoRecentChange,
        Reason.NotAttributable,
        Reason.ConfigOnlyChange,
        Reason.NoHealthyRevision,
        Reason.RollbackForbidden,
        Reason.MutableImage,
        Reason.RecreateOutage,
        Reason.NoRollingUpdate,
        Reason.OrderedReady,
        Reason.NothingToDo,
        Reason.DatabaseUnknown,
        Reason.NotScalable,
        Reason.NoCapacity,
        Reason.AutoscalerDecides,
    }
)
"""Refusals that time alone does not end: a step that meets one is passed over. What stops every step is not among them."""


def lasting(refusal: Refusal) -> bool:
    """Whether waiting does not end it. What is lent is not put back while a signal fires, so that it stands in the way for as long."""
    return refusal.reason in LASTING or (refusal.reason is Reason.TargetBusy and refusal.until is None)


_NO_POLICY: Final = (
    "no policy matches this workload, or the one that does is not Ready; "
    "nothing watches over it until one does, so close this incident by hand (spec.resolution) when it is over"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The step that is meant, what it would do, and what stands against it."""

    step: Step | None
    summary: str
    refused: tuple[Refusal, ...]
    plan: Plan | None = None
    """The end state, once everything live was read and nothing stands against it."""
    reads: Reads = NOTHING
    passed: tuple[tuple[Step, Refusal], ...] = ()
    """Steps before it that are meant, and why each is passed over."""


def choose(case: Case, found: tuple[Finding, ...]) -> Choice:
    """Go up the ladder to the first step that is meant, has not failed in this incident, and is not ruled out for good."""
    policy = case.policy
    if policy is None:
        return Choice(None, "", (no_step(case),))
    remembered = replace(case, health=knowngood.with_stints(case))
    if case.waiting is not None:
        # It was chosen already: the ladder goes on when it has ended.
        return _ordered(remembered, policy, case.waiting.spec.step, found, ordered=bool(case.waiting.spec.request_id))
    if (order := ordering.pending(case)) is not None:
        return _ordered(remembered, policy, order.step, found)
    rungs = [_weigh(remembered, policy, step, found) for step in policy.spec.steps if _meant(case, step, found)]
    if not rungs:
        return Choice(None, "", (no_step(case),))
    passed: list[tuple[Step, Refusal]] = []
    for number, rung in enumerate(rungs):
        final = next((one for one in rung.refused if lasting(one)), None)
        if final is None or rung.step is None or number == len(rungs) - 1:
            return replace(rung, passed=tuple(passed), reads=_together(rungs[number:]))
        passed.append((rung.step, final))
    raise AssertionError("the last rung is always returned")


def asked(case: Case, step: str, found: tuple[Finding, ...] = ()) -> Choice:
    """Say what a step would do if a person ordered it now, and what stands against that: for who wants to know beforehand."""
    remembered = replace(case, health=knowngood.with_stints(case))
    return _ordered(remembered, case.policy, step, found) if case.policy else Choice(None, "", (no_step(case),))


def _ordered(case: Case, policy: Policy, name: str, found: tuple[Finding, ...], *, ordered: bool = True) -> Choice:
    step = next((one for one in policy.spec.steps if one.name == name), None)
    if step is None:
        names = ", ".join(one.name for one in policy.spec.steps) or "none"
        return Choice(None, "", (Refusal(Reason.NoStepApplies, f"{called(policy)} has no step {name}; its steps: {names}"),))
    return _weigh(case, policy, step, found, ordered=ordered)


def no_step(case: Case) -> Refusal:
    """Say why there is nothing that could be done."""
    named = case.incident.spec.policy_ref if case.incident else None
    done = sorted({f"{one.spec.step} ({one.state})" for one in case.of_incident() if _has_failed(one)})
    if case.policy is not None and done:
        text = f"tried in this incident already: {', '.join(done)}; no other step of the policy is meant for this"
    elif case.policy is not None:
        text = "no step of the policy is meant for this"
    elif named is not None:
        text = f"policy {named.name}, which spec.policyRef names, does not exist here, is not Ready, or is not about this workload"
    else:
        text = _NO_POLICY
    return Refusal(Reason.NoStepApplies, text)


def _weigh(case: Case, policy: Policy, step: Step, found: tuple[Finding, ...], *, ordered: bool = False) -> Choice:
    """Say what a step would do now, and everything that stands against it."""
    if step.action is None:
        return Choice(None, "", (no_step(case),))
    known = Known(knowngood.goods(case.health), knowngood.denied(case), isinstance(policy, ClusterRemediationPolicy))
    situation = Situation(case, policy, step, found, step.action.wants(case.seen, known), ordered)
    refused, aim, plan = guards.refusals(situation), situation.aim, situation.plan
    if isinstance(aim, Refusal):
        return Choice(step, f"step {step.name}: {step.action.name}", refused)
    summary = situation.summary
    if not situation.outside:
        summary = f"{summary}{_lasted(case, aim)}{suspending.said(case)}{stateful.said(case, step)}"
    return Choice(step, summary, refused, plan if isinstance(plan, Plan) else None, _reads(case, aim, refused))


def _lasted(case: Case, aim: Aim) -> str:
    good = next((one for one in case.health.known_good if aim.back_to and one.replica_set_uid == aim.back_to.uid), None)
    return f", last known healthy at {good.recorded_at:%Y-%m-%d %H:%M} after {duration.spell(_whole(good.healthy_for))}" if good else ""


def _whole(length: timedelta) -> timedelta:
    return timedelta(seconds=max(round(length.total_seconds()), 1))


def _meant(case: Case, step: Step, found: tuple[Finding, ...]) -> bool:
    when = step.when
    source = case.incident.spec.source.type if case.incident else Source.WORKLOAD
    firing = {one.trigger for one in found if one.state is State.FIRING}
    # A person's incident that the watch confirms is also one of the workload, and one that an alert joins is also one of an alert.
    said_by = {Source.ALERT if one.type is Reason.AlertFiring else Source.WORKLOAD for one in found if one.state is State.FIRING}
    return (
        step.name not in tried(case)
        and bool({source, *said_by} & set(when.sources))
        and (not when.triggers or bool(firing & set(when.triggers)))
        and (not when.severities or severity.in_force(case, found) in when.severities)
    )


def tried(case: Case) -> frozenset[str]:
    """Return the steps that are not tried again in this incident."""
    return frozenset(one.spec.step for one in case.of_incident() if _has_failed(one))


def _has_failed(one: Remediation) -> bool:
    """Whether a step is not tried again in this incident: it did not help, or the API server will not have it."""
    reason = one.status.conditions[-1].reason if one.status and one.status.conditions else ""
    if one.state is RemediationState.REFUSED:
        return reason == Reason.Refused
    if one.state is RemediationState.SUCCEEDED:
        # It helped, and the trouble is back: doing the same once more is no remedy, but going back to a healthy revision is another matter.
        return one.spec.action != "Rollback"
    over = {RemediationState.FAILED, RemediationState.INCONCLUSIVE, RemediationState.OUTCOME_UNKNOWN}
    over |= {RemediationState.REJECTED, RemediationState.EXPIRED}
    return one.state in over and reason != Reason.SupersededByRevision


def goes_on(case: Case, one: Remediation, found: tuple[Finding, ...]) -> bool:
    """Whether the ladder has another step after one that did not help; the next is taken only while a signal says so."""
    return leads_on(case, one) and any(each.state is State.FIRING for each in found) and _left(case, found)


def was_last(case: Case, one: Remediation, found: tuple[Finding, ...]) -> bool:
    """Whether the ladder would have gone on after this step, and has no other one that is meant for this."""
    return leads_on(case, one) and not _left(case, found)


def leads_on(case: Case, one: Remediation) -> bool:
    """Whether its step says that the next one is taken where it does not help."""
    steps = case.policy.spec.steps if case.policy else ()
    return any(step.name == one.spec.step and step.on_failure is OnFailure.NEXT for step in steps)


def _left(case: Case, found: tuple[Finding, ...]) -> bool:
    return case.policy is not None and any(_meant(case, step, found) for step in case.policy.spec.steps)


def _reads(case: Case, aim: Aim, refused: tuple[Refusal, ...]) -> Reads:
    """Read live only where an action may follow, or where Observe would otherwise promise one that cannot be."""
    if any(one.reason not in {Reason.ObserveOnly, Reason.TargetBusy} for one in refused):
        return Reads()
    seen = case.seen
    previous = next((one.uid for one in seen.revisions if seen.newest and one.uid != seen.newest.uid), "")
    sets = {aim.back_to.uid, previous or aim.back_to.uid} if aim.back_to else set()
    wanted = Reads(
        live=True,
        replica_sets=frozenset(sets),
        scaler=aim.scaler,
        objects=aim.objects,
        needs=aim.needs,
        lists=frozenset({aim.lists} if aim.lists else ()),
    )
    if (live := seen.live) is None:
        return wanted
    # What was read so far is read again with it, for by that the steps before this one are passed over.
    return Reads() if wanted.covered_by(live) else wanted.beside(live)


def _together(rungs: Sequence[Choice]) -> Reads:
    """Read at once what this step and those after it may need: whether it is passed over is known only then.

    But a database is asked for the step's own sake only: the others are not to wait for one that has too much to do.
    """
    wanted = [one.reads for one in rungs if one.reads]
    return Reads(
        live=bool(wanted),
        replica_sets=frozenset().union(*(one.replica_sets for one in wanted)),
        scaler=any(one.scaler for one in wanted),
        objects=frozenset().union(*(one.objects for one in wanted)),
        needs=frozenset().union(*(one.needs for one in wanted)),
        lists=rungs[0].reads.lists,
    )


def intent(case: Case, choice: Choice, found: tuple[Finding, ...]) -> Intent | None:
    """Turn a choice that nothing stands against into what is to be recorded before it is done."""
    work, policy, plan, step = case.seen.workload, case.policy, choice.plan, choice.step
    if choice.refused or choice.reads or plan is None or step is None or policy is None or work is None or case.incident is None:
        return None
    verification_, order = policy.spec.verification, ordering.pending(case)
    asks = guards.mode(case, policy, step, ordered=order is not None) is Mode.APPROVE
    spec = RemediationSpec(
        incident_ref=ObjectRef(name=case.incident.metadata.name, uid=case.incident.metadata.uid or ""),
        target_ref=TargetUidRef(kind=work.kind, name=work.name, uid=work.uid),
        policy_ref=matching.reference(policy),
        step=step.name,
        attempt=len(case.of_incident()) + 1,
        action=plan.action,
        plan=suspending.with_pause(case, stored(plan, choice.summary, step)),
        generation=work.generation,
        not_after=case.now + ACT_WITHIN,
        expires_at=case.now + policy.spec.guards.approval_timeout if asks else None,
        healthy_for=duration.spell(verification_.healthy_for),
        verify_until=case.now + verification_.timeout,
        requested_by=ordering.requested_by(case),
        request_id=order.request_id if order else "",
        finding=_loudest(found),
        suspected_change=attribution.suspected_change(case),
    )
    return Intent(spec)


def stored(plan: Plan, summary: str, step: Step) -> RemediationPlan:
    """Return a plan as it stands in the record."""
    scaler = plan.scaler
    return RemediationPlan(
        summary=summary,
        field=plan.field,
        from_revision=plan.from_revision,
        to_revision=plan.to_revision,
        from_digest=plan.from_digest,
        to_digest=plan.to_digest,
        replica_set_uid=plan.replica_set,
        replica_set=plan.replica_set_name,
        restarted_at=plan.restarted_at,
        scaler=PlannedScaler(kind=scaler.kind, name=scaler.name, uid=scaler.uid) if scaler else None,
        before=plan.before,
        ours=plan.ours,
        outside=plan.outside,
        revert=_planned_revert(plan, step.revert),
    )


def _planned_revert(plan: Plan, declared: Revert | None) -> PlannedRevert | None:
    """Say when it is put back; None for what stays. What is outside the workload is put back by a person where nothing else is said."""
    if plan.ours is None and not (plan.outside and plan.outside.deed.returnable):
        return None
    revert = declared or Revert(upon=RevertOn.MANUAL if plan.outside else RevertOn.RESOLVED)
    return PlannedRevert(upon=revert.upon, after=duration.spell(revert.after) if revert.after else "")


def _loudest(found: tuple[Finding, ...]) -> IncidentFinding | None:
    """The finding that the intent is for: whoever resumes it can tell the story from it."""
    one = next((one for one in found if one.state is State.FIRING), None)
    return (
        IncidentFinding(trigger=one.trigger, type=one.type, state=one.state, since=one.since, message=one.message[:1024]) if one else None
    )
