"""Pausing the owner of a workload around an action: whether, and when it is resumed. Never by time alone: that would deploy it again."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from stopgap.api.plan import RemediationPlan
from stopgap.api.policy import GitOps
from stopgap.api.remediation import Remediation, RemediationState, RemediationStatus
from stopgap.api.suspension import PlannedSuspension, SuspensionState, SuspensionStatus
from stopgap.core import lifecycle, limits, pausing
from stopgap.core.case import Case, Decision, Notice, soonest
from stopgap.core.lifecycle import Story
from stopgap.core.pausing import LostPause
from stopgap.core.restoring import ASKED
from stopgap.core.situation import Situation
from stopgap.model.base import SUSPEND_ROLE
from stopgap.model.observation import Live, Pausable, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.time import stamp

EXPIRES_AFTER: Final = timedelta(hours=4)
"""So long a pause is nobody's business. Then people are called, once; the owner stays paused."""
LOOK: Final = timedelta(seconds=30)
"""How often a paused owner is looked at."""
_WORDS: Final = {"Application": "Argo CD Application", "Kustomization": "Flux Kustomization", "HelmRelease": "Flux HelmRelease"}


# ------------------------------------------------------------------------------------------------------------- before the act


def blocks(answer: GitOps, live: Live) -> bool:
    """Whether a reconciling owner is a reason not to act: one that nothing can be told about, or whose pause would be undone, always is."""
    if answer is GitOps.SUSPEND_OWNER:
        return live.pausable is None or bool(live.pausable.parent)
    return answer is not GitOps.ACT


def to_pause(case: Case) -> Pausable | None:
    """Return the owner that is to be paused before anything is done; None where none is, or where it cannot be."""
    live = case.seen.live
    if live is None or not live.owner or case.policy is None or case.policy.spec.git_ops is not GitOps.SUSPEND_OWNER:
        return None
    return None if blocks(GitOps.SUSPEND_OWNER, live) else live.pausable


def said(case: Case) -> str:
    """Say in an action's summary that an owner is paused for it."""
    found = to_pause(case)
    return f", after suspending {_WORDS[found.kind]} {found.name}" if found else ""


def may_not_pause(situation: Situation) -> Refusal | None:
    """The owner of the namespace of a GitOps object grants the right to pause it."""
    found = to_pause(situation.case)
    if found is None or found.may_patch or situation.outside:
        return None
    return Refusal(Reason.NotAuthorized, f"Stopgap may not suspend {_WORDS[found.kind]} {found.name}; {grant(found.kind, found.namespace)}")


def grant(kind: str, namespace: str) -> str:
    """Say how to allow it."""
    return (
        f"it needs to patch {pausing.OWNERS[kind][1]} in {namespace}; allow it with: kubectl create rolebinding stopgap-suspend-owner "
        f"-n {namespace} --clusterrole={SUSPEND_ROLE} --serviceaccount=stopgap-system:stopgap"
    )


def with_pause(case: Case, plan: RemediationPlan) -> RemediationPlan:
    """Add to a plan which owner is paused first, and what is put back there."""
    found = to_pause(case)
    if found is None or plan.outside is not None:
        return plan
    suspends = PlannedSuspension.model_validate(
        {
            "apiVersion": found.api_version,
            "kind": found.kind,
            "namespace": found.namespace,
            "name": found.name,
            "uid": found.uid,
            "before": found.before,
            "expiresAt": case.now + EXPIRES_AFTER,
        }
    )
    return plan.model_copy(update={"suspends": suspends})


@dataclass(frozen=True, slots=True)
class Pause:
    """How pausing went."""

    refusal: Refusal | None = None
    """Why the action is not taken."""
    sure: bool = True
    """Whether it is certain that a refused pause was not written after all."""


def begun(one: Remediation, pause: Pause | None, now: datetime) -> SuspensionStatus | None:
    """Return what is owed to the owner once the action's outcome is known. What is not certain is owed; the next look settles it."""
    plan = one.spec.plan.suspends
    if plan is None:
        return None
    if pause is not None and pause.refusal and pause.sure:
        return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message="it was not suspended")
    return SuspensionStatus(state=SuspensionState.SUSPENDED, at=now, expires_at=plan.expires_at, message=how_to_resume(one))


def how_to_resume(one: Remediation) -> str:
    """Say what ends a pause."""
    by_hand = _by_hand(one)
    if one.spec.plan.suspends is not None and one.spec.plan.suspends.kind == "Application":
        return (
            f"it resumes by itself once Argo CD finds in Git what is live (the revert); to deploy a fix that is already in Git: {by_hand}"
        )
    return (
        f"while it is suspended Flux compares nothing, so it does not resume by itself; once Git no longer holds the bad version: {by_hand}"
    )


def _by_hand(one: Remediation) -> str:
    return f"kubectl annotate remediation {one.metadata.name} -n {one.metadata.namespace} {ASKED}=now"


# -------------------------------------------------------------------------------------------------------------- after the act


def look(case: Case, decision: Decision) -> Decision:
    """Ask for a look at a paused owner, one at a time, and not while something else of it is written. The kill switch stops it."""
    paused = [one for one in (*case.remediations, *case.left) if one.owes_resume and one.state.ended]
    if not paused:
        return decision
    # One that stays as it is must not keep a person's word on another one, or its news, from being heard.
    one = min(paused, key=lambda each: (each.metadata.annotations.get(ASKED) not in {"now", "abandon"}, bereft(case, each) is None))
    if decision.remediation or decision.restore or limits.killed(case):
        return replace(decision, look_again=soonest([decision.look_again, LOOK]))
    return replace(decision, paused=one, look_again=soonest([decision.look_again, LOOK]))


def due(one: Remediation, body: dict[str, Any], digest: str, changed_at: datetime | None) -> str:
    """Say why the owner may be resumed, or nothing. `digest`: of the live template; `changed_at`: of the last change in what it deploys.

    Its own desired template must not be the denied one any more. While an application is paused Argo CD still compares: what it finds
    Synced with the workload, and the workload is not the bad release, is not the bad release either. Nothing else can tell.
    """
    plan, status = one.spec.plan, one.status or RemediationStatus()
    if one.metadata.annotations.get(ASKED) == "now":
        return "a person asked for it"
    if plan.suspends is None or (status.suspension and status.suspension.state is SuspensionState.FAILED):
        return ""
    if status.executed_at is None and status.state is RemediationState.OUTCOME_UNKNOWN:
        return ""  # whether anything would be brought back cannot be told, so a person decides
    same = digest in {"", plan.from_digest or digest} and (changed_at is None or changed_at < _begun(one))
    if status.executed_at is None and same:
        return "the action was not taken"  # and what runs is what ran then: resuming brings nothing back
    if plan.suspends.kind != "Application" or not digest or digest == plan.from_digest or changed_at is None:
        return ""
    ref = one.spec.target_ref
    target = Target(one.metadata.namespace or "", ref.kind, ref.name)
    since = max(status.executed_at or changed_at, changed_at)
    return "Git no longer holds the bad version" if pausing.wants_what_is_there(body, target, since) else ""


def _begun(one: Remediation) -> datetime:
    """Return a time before the pause."""
    approved_at = one.status.approved_at if one.status else None
    return approved_at or datetime.fromisoformat(one.metadata.creation_timestamp or "0001-01-01T00:00:00Z")


def unmarked(one: Remediation, body: dict[str, Any], now: datetime) -> SuspensionStatus:
    """Judge an owner that does not say any more that it is paused: by us before a crash, by a person, or it never was."""
    plan, acted = one.spec.plan.suspends, one.status is not None and one.status.executed_at is not None
    if plan is not None and acted and pausing.value(plan.kind, body) == pausing.before(plan):
        return SuspensionStatus(state=SuspensionState.RESUMED, at=now, message="it deploys again as before")
    message = "somebody changed it since, so it is left as it is" if acted else "it is not suspended"
    return SuspensionStatus(state=SuspensionState.NOT_NEEDED, at=now, message=message)


def expired(one: Remediation, now: datetime) -> SuspensionStatus | None:
    """Return the next status where the time is over for which it was planned: people are called, once, and nothing is resumed."""
    plan = one.spec.plan.suspends
    current = one.status.suspension if one.status else None
    if plan is None or current is None or current.state is not SuspensionState.SUSPENDED or now < plan.expires_at:
        return None
    message = f"it was to be suspended until {stamp(plan.expires_at)} and still is; nothing resumes it by time alone. {how_to_resume(one)}"
    return current.model_copy(update={"state": SuspensionState.HELD, "at": now, "message": message[:1024]})


def bereft(case: Case, one: Remediation) -> SuspensionStatus | None:
    """Return the next status where the workload is gone for which it was paused: people are called, once, for nobody else can tell.

    What it holds may still be the bad release, and making the workload anew from that is what the pause is against.
    """
    current, work = one.status.suspension if one.status else None, case.seen.workload
    if current is None or current.state is not SuspensionState.SUSPENDED or not _is_gone(case, one):
        return None
    how = "was deleted and made anew" if work is not None else "was deleted"
    message = (
        f"{case.seen.target}, for which it was suspended, {how}, and it still is suspended: resumed, it deploys what it holds, perhaps "
        f"the bad version again, so it does not resume by itself. Once it no longer holds that: {_by_hand(one)}"
    )
    return current.model_copy(update={"state": SuspensionState.HELD, "at": case.now, "message": message[:1024]})


def _is_gone(case: Case, one: Remediation) -> bool:
    return case.seen.workload is None or case.seen.workload.uid != one.spec.target_ref.uid


_REASONS: Final = {
    SuspensionState.HELD: Reason.SuspensionExpired,
    SuspensionState.RESUMED: Reason.OwnerResumed,
    SuspensionState.FAILED: Reason.RestoreFailed,
    SuspensionState.NOT_NEEDED: Reason.NotOurs,
}


def told(case: Case, decision: Decision, one: Remediation, now: SuspensionStatus) -> tuple[Decision, Notice]:
    """Write down what became of a pause, on the Remediation and in the story of its incident while that is open."""
    plan, status = one.spec.plan.suspends, one.status or RemediationStatus()
    reason, who = _REASONS[now.state], f"{_WORDS[plan.kind]} {plan.name} in {plan.namespace}" if plan else "the owner"
    if now.state is SuspensionState.HELD and _is_gone(case, one):
        reason = Reason.TargetGone
    loud = now.state in {SuspensionState.HELD, SuspensionState.FAILED}
    notice = Notice(reason, f"{who}: {now.message}", loud)
    decision = replace(decision, remediation=(one, status.model_copy(update={"suspension": now})))
    if decision.status is None or case.incident is None or one.spec.incident_ref.uid != case.incident.metadata.uid:
        return decision, notice
    story = Story(decision.status, case.now, decision.notices).announce(reason, notice.message, warning=loud)
    if now.state is SuspensionState.RESUMED:
        story = story.observe(lifecycle.DRIFT, False, Reason.NoGitOpsDrift, "")
    return replace(decision, status=story.done().status, notices=story.notices), notice


def forsaken(lost: LostPause, body: dict[str, Any]) -> str:
    """Say that nobody is left who would resume an owner: without the record nothing tells which version was the bad one."""
    version, plural = pausing.OWNERS[lost.kind]
    spec = '{"syncPolicy":{"automated":{"enabled":true}}}' if lost.kind == "Application" else '{"suspend":false}'
    return (
        f"{_WORDS[lost.kind]} {lost.name} in {lost.namespace} is suspended ({body['metadata']['annotations'].get(pausing.SUSPENDED_FOR)}), "
        f"and the record of that, Remediation {lost.mark.name} in {lost.mark.namespace}, was deleted: nothing resumes it any more. "
        f"Once Git no longer holds the bad version: kubectl patch {plural}.{version.partition('/')[0]} {lost.name} -n {lost.namespace} "
        f"""--type=merge -p '{{"spec":{spec}}}'"""
    )


def drifting(case: Case) -> str:
    """Say of a paused owner what is to be done, or nothing where none is."""
    for one in case.acts():
        plan = one.spec.plan.suspends
        if plan is not None and one.owes_resume:
            who = f"{_WORDS[plan.kind]} {plan.name} in {plan.namespace}"
            return f"{who} is suspended and still holds the bad version: revert it in Git. {how_to_resume(one)}"
    return ""
