"""The decision: detect, attribute, triage, choose, guard, plan. `decide` is the only way from facts to changes."""

from dataclasses import replace
from datetime import timedelta

from stopgap.api.remediation import Remediation, RemediationState
from stopgap.core import (
    alerts,
    approving,
    communication,
    duplicates,
    explaining,
    lifecycle,
    memory,
    ordering,
    restoring,
    reviewing,
    suspending,
)
from stopgap.core.calm import calm, ended_with_its_alerts
from stopgap.core.case import Case, Decision
from stopgap.core.following import ended, verify
from stopgap.core.triage import close, firing, reported, told
from stopgap.model.conditions import find
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

SOON = timedelta(milliseconds=100)
RECORD_ONLY = "Incident"
"""Kind in the key of an incident that names no workload."""


def decide(case: Case) -> Decision:
    """Say everything that follows from a case. Pure: the same case gives the same decision."""
    if not case.seen.synced or alerts.on_its_way(case):
        return Decision(look_again=timedelta(seconds=1))
    decision = _record_only(case) if case.seen.target.kind == RECORD_ONLY else approving.conclude(case, _about_a_workload(case))
    if case.others and not _makes_way(decision):
        decision = replace(decision, duplicates=duplicates.duplicates(case, closed=decision.closed))
    if decision.intent or decision.approved or decision.reads:
        return decision  # it is decided afresh before anything is told: the act does not wait for prose
    return communication.kept_current(case, reviewing.owed(case, decision))


def _makes_way(decision: Decision) -> bool:
    """Whether it ends because another release fails now: that is what the others may be about, and one of them is handled next."""
    ended = find(decision.status.conditions, lifecycle.RESOLVED) if decision.closed and decision.status else None
    return ended is not None and ended.reason == Reason.SupersededByRevision


def _about_a_workload(case: Case) -> Decision:
    if (stranded := _stranded(case)) is not None:
        return stranded
    if case.seen.workload is None or case.seen.workload.deleting or case.status.target_uid not in {"", case.seen.workload.uid}:
        return _put_back(case, _gone(case), ())
    found = judge(case)
    if (over := _over(case, found)) is not None:
        return over
    if case.active is not None and case.active.state is not RemediationState.VERIFYING:
        return Decision(findings=found, resume=case.active)
    if case.active is not None:
        return verify(case, case.active, found)
    return approving.answered(case, found) or _afresh(case, found)


def _over(case: Case, found: tuple[Finding, ...]) -> Decision | None:
    """Close an incident that a person has ended, or whose end is written already; None: it goes on. What is owed has its turn soon."""
    if case.incident is None:
        return None
    begun, again = lifecycle.begin(case), restoring.afterwards(case)
    if closed := lifecycle.closed_by_person(case, begun):
        # Looked at once more without an event: what is out is to be judged, and a silence lifted when it is quiet.
        return replace(close(case, closed, found), health=memory.silenced(case, found), look_again=again)
    # Its end is written, only the label is missing: nothing begins again in an incident that is over.
    return replace(close(case, begun, found), look_again=again) if begun.says(lifecycle.RESOLVED) else None


def _afresh(case: Case, found: tuple[Finding, ...]) -> Decision:
    """Nothing is out and nothing was answered: say what the signals and the orders ask for."""
    waiting = case.waiting
    ordered = ordering.pending(case) is not None or bool(waiting and waiting.spec.request_id)
    loud = any(one.state is State.FIRING for one in found) or reported(case) or ordered
    decision = firing(case, found) if loud else calm(case, found)
    return decision if decision.intent or decision.reads else _put_back(case, decision, found)


def _put_back(case: Case, decision: Decision, found: tuple[Finding, ...]) -> Decision:
    """See to what is temporary, wherever it was lent."""
    return decision if decision.resume else suspending.look(case, restoring.restore(case, decision, found))


def _stranded(case: Case) -> Decision | None:
    """End what is out on an earlier workload of this name, one at a time, so that what it owes has its turn; None: nothing is."""
    one = next((one for one in case.left if not one.state.ended), None)
    return _without_target(case, one, f"{case.seen.target} was deleted") if one else None


def _without_target(case: Case, one: Remediation, why: str) -> Decision:
    """End an action whose workload is gone. Whether it was written is looked up where that outlives the workload."""
    plan, written = one.spec.plan, one.state is RemediationState.VERIFYING
    if one.state is RemediationState.EXECUTING or (one.state is RemediationState.PENDING and (plan.scaler or plan.suspends)):
        return Decision(resume=one, look_again=SOON)
    state = RemediationState.INCONCLUSIVE if written else RemediationState.SUPERSEDED
    return Decision(remediation=(one, ended(case, one, state, why)), look_again=SOON)


def _record_only(case: Case) -> Decision:
    """An incident without a workload is kept for people: it is told, acknowledged and closed, and nothing is done."""
    if case.incident is None:
        return Decision()
    if closed := lifecycle.closed_by_person(case, lifecycle.begin(case)):
        return close(case, closed, ())
    refusal = Refusal(Reason.NoStepApplies, "it names no workload (spec.targetRef), so it is a record only")
    story = explaining.decision(told(case, ()), "", "", (refusal,), allowed=False)
    if alerts.reported(case):
        return ended_with_its_alerts(case, story)
    return Decision(status=story.done().status, notices=story.notices)


def judge(case: Case) -> tuple[Finding, ...]:
    """Ask every trigger of the policy. What happened before the last action of this incident does not count any more."""
    if case.policy is None:
        return ()
    after = max((one.status.executed_at for one in case.acts() if one.status and one.status.executed_at), default=None)
    quiet_for = case.policy.spec.verification.healthy_for
    return tuple(
        trigger.detector.judge(case.seen, trigger.name, after=after, quiet_for=quiet_for)
        for trigger in case.policy.spec.triggers
        if trigger.detector is not None
    )


def _gone(case: Case) -> Decision:
    if case.incident is None:
        return Decision()
    why = f"{case.seen.target} does not exist"
    if not case.status.target_uid and case.seen.workload is None:
        if closed := lifecycle.closed_by_person(case, lifecycle.begin(case)):
            return close(case, closed, ())
        refusal = Refusal(Reason.TargetGone, f"{why}; check the name in spec.targetRef")
        story = explaining.decision(told(case, ()), "", "", (refusal,), allowed=False).done()
        return Decision(status=story.status, notices=story.notices)
    there = case.seen.workload is not None and not case.seen.workload.deleting
    why = f"{case.seen.target} was deleted, and another of the same name is there" if there else f"{why} any more"
    last = _without_target(case, case.active, why) if case.active else Decision()
    if last.resume:
        return last
    decision = close(case, lifecycle.resolved(lifecycle.begin(case), Reason.TargetGone, why), ())
    return replace(decision, remediation=last.remediation, look_again=restoring.afterwards(case))
