"""Did the action help? Success, failure and Inconclusive, judged from the facts; a reply of 200 is never success."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from stopgap.api.jobstatus import JobState
from stopgap.api.remediation import Remediation, RemediationState
from stopgap.core import lifecycle, stateful
from stopgap.core.case import Case
from stopgap.model import duration
from stopgap.model.change import Field
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import State, Workload

_POD_TROUBLE = frozenset(
    {
        Reason.CrashLoop,
        Reason.OOMKilled,
        Reason.InitCrashLoop,
        Reason.ErrImagePull,
        Reason.ImagePullBackOff,
        Reason.InvalidImageName,
        Reason.CreateContainerConfigError,
    }
)
LONGEST_ROLLOUT = timedelta(hours=1)
"""Some set an endless progress deadline, and pods that come and go count as progress; a verification ends all the same."""
LOOK_AT_JOBS = timedelta(seconds=2)
"""How often a Job is looked at that has not ended."""
UNSEEN = timedelta(minutes=1)
"""So long after its deadline the end of a Job is known, if ever."""
_DEADLINE = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about an action so far."""

    state: RemediationState
    reason: Reason
    message: str
    healthy_since: datetime | None = None
    look_again: timedelta | None = None


def verify(case: Case, remediation: Remediation, findings: tuple[Finding, ...]) -> Verdict:
    """Judge an executed remediation now."""
    if (running := _running(remediation, case.now)) is not None:
        return running
    if remediation.spec.plan.field is Field.TEMPLATE:
        return _overruled(case, remediation) or _same_trouble(remediation, findings) or _proof(case, remediation, findings)
    return _rescaled(case, remediation) or _proof(case, remediation, findings)


def _running(remediation: Remediation, now: datetime) -> Verdict | None:
    """Judge what a Job alone tells; None: there is none, or it ended well, which is not yet a proof."""
    outside, status = remediation.spec.plan.outside, remediation.status
    if outside is None or outside.job is None or status is None:
        return None
    if status.job is None:
        if now < (status.executed_at or now) + outside.job.deadline + UNSEEN:
            return Verdict(RemediationState.VERIFYING, Reason.Executed, "its Job has not ended yet", look_again=LOOK_AT_JOBS)
        return Verdict(RemediationState.INCONCLUSIVE, Reason.Inconclusive, "the end of its Job was not seen in time; look at the Job")
    match status.job.state:
        case JobState.FAILED:
            return Verdict(RemediationState.FAILED, Reason.Failed, str(status.job))
        case JobState.GONE:
            return Verdict(RemediationState.INCONCLUSIVE, Reason.Inconclusive, str(status.job))
    return None


def _rescaled(case: Case, remediation: Remediation) -> Verdict | None:
    """Somebody else has changed the replicas since."""
    work, plan = case.seen.workload, remediation.spec.plan
    if work is None or plan.field is not Field.REPLICAS or work.replicas == plan.ours:
        return None
    by = work.changed_by or "somebody"
    if work.replicas == plan.before:
        message = (
            f"{by} put {plan.before} replicas back; Stopgap does not fight. Find out who decides about the number, and stop that first"
        )
        return Verdict(RemediationState.FAILED, Reason.Contested, message)
    message = f"{by} wants {work.replicas} replicas now, so whether {plan.ours} would have helped cannot be told"
    return Verdict(RemediationState.INCONCLUSIVE, Reason.NotOurs, message)


def _overruled(case: Case, remediation: Remediation) -> Verdict | None:
    template, status, work = case.seen.template, remediation.status, case.seen.workload
    if template is None or status is None or work is None or template.digest == status.written_digest:
        return None
    by = work.changed_by or "somebody"
    if template.digest == remediation.spec.plan.from_digest and remediation.spec.action == "Rollback":
        message = f"{by} put the bad template back; Stopgap does not fight. Find out who deploys it, and stop that first"
        return Verdict(RemediationState.FAILED, Reason.Contested, message)
    message = f"{by} rolled out another template; it is judged afresh"
    return Verdict(RemediationState.INCONCLUSIVE, Reason.SupersededByRevision, message)


def _same_trouble(remediation: Remediation, findings: tuple[Finding, ...]) -> Verdict | None:
    again = next((one for one in findings if one.state is State.FIRING and one.type in _POD_TROUBLE and one.cause is None), None)
    if again is None:
        return None
    if remediation.spec.action != "Rollback":
        return Verdict(RemediationState.FAILED, Reason.Failed, f"the new pods fail in the same way ({again.message})")
    message = f"the older revision fails in the same way ({again.message}), so the release was not to blame; look for what else changed"
    return Verdict(RemediationState.FAILED, Reason.NotTheRelease, message)


def _proof(case: Case, remediation: Remediation, findings: tuple[Finding, ...]) -> Verdict:
    healthy_for = duration.parse(remediation.spec.healthy_for)
    if lacking := _lacking(case, remediation):
        return _not_yet(case, remediation, findings, (Reason.Inconclusive, lacking))
    if loud := next((one for one in findings if one.state is not State.QUIET), None):
        # Where nothing fires when the time is over, it was one that is Unknown.
        return _not_yet(case, remediation, findings, (Reason.SignalUnknown, f"trigger {loud.trigger} is {loud.state}: {loud.message}"))
    since = (remediation.status.healthy_since if remediation.status else None) or case.now
    if case.now - since < healthy_for:
        message = f"available and quiet since {since:%H:%M:%S}; proven after {duration.spell(healthy_for)}"
        return Verdict(RemediationState.VERIFYING, Reason.Executed, message, since, healthy_for - (case.now - since))
    if case.policy is None:
        return Verdict(RemediationState.INCONCLUSIVE, Reason.Inconclusive, "the policy is gone, so nothing proves that it helped", since)
    if not lifecycle.fired(case):
        return Verdict(
            RemediationState.INCONCLUSIVE,
            Reason.Inconclusive,
            "no signal ever fired, so none can prove that it helped; judge by hand",
            since,
        )
    message = f"available and every signal quiet for {duration.spell(healthy_for)}"
    return Verdict(RemediationState.SUCCEEDED, Reason.Succeeded, message, since)


def _not_yet(case: Case, remediation: Remediation, findings: tuple[Finding, ...], lacks: tuple[Reason, str]) -> Verdict:
    wait = min(max(remediation.prove_until - case.now, timedelta(seconds=1)), timedelta(seconds=30))
    return _out_of_time(case, remediation, findings, lacks) or Verdict(
        RemediationState.VERIFYING, Reason.Executed, lacks[1], look_again=wait
    )


def _lacking(case: Case, remediation: Remediation) -> str:
    """Say what is missing from the proof apart from quiet signals, or nothing."""
    work, seen = case.seen.workload, case.seen
    if work is None or seen.newest is None:
        return "the controller has not taken up the change yet"
    if work.replicas == 0 and remediation.spec.plan.ours != 0:
        return "it was scaled to zero, so that nothing can be proved"
    if short := _short(work, remediation.spec.plan.ours):
        return f"{short}{_no_room(seen)}"
    left = [one for one in seen.revisions if one.uid != seen.newest.uid and one.replicas > 0 and not work.held_back]
    if left or not work.rolled_out:
        counts = f"{work.updated_replicas} of {work.replicas} replicas are updated, {work.available_replicas} available"
        return f"rolling out: {counts}{stateful.held_up(seen, remediation)}"
    if work.available_replicas < max(work.least_available, min(1, work.replicas)):
        return f"{work.available_replicas} of {work.replicas} replicas are available, {work.least_available} are needed"
    return ""


def _short(work: Workload, ours: int | None) -> str:
    """Say how many of the replicas that an action asked for are missing, or nothing."""
    if ours is None or (work.replicas >= ours and work.available_replicas >= ours):
        return ""
    return f"{work.available_replicas} of the {ours} replicas that were asked for are available, {work.replicas} are wanted now"


def _no_room(seen: Observation) -> str:
    """Say why replicas that are wanted cannot be, as the quota and the scheduler tell it, or nothing."""
    flags = (seen.workload.replica_failure if seen.workload else None, seen.newest.replica_failure if seen.newest else None)
    failed = next((flag for flag in flags if flag and flag.holds), None)
    unplaced = next((pod.unschedulable for pod in seen.pods if pod.unschedulable and not pod.leaving), "")
    return f"; {failed.message[:300]}" if failed else (f"; no node for a pod: {unplaced[:300]}" if unplaced else "")


def _out_of_time(case: Case, remediation: Remediation, findings: tuple[Finding, ...], lacks: tuple[Reason, str]) -> Verdict | None:
    why, lacking = lacks
    left = remediation.prove_until - case.now
    if left > timedelta(0):
        return None
    work = case.seen.workload
    if work is not None and _short(work, remediation.spec.plan.ours) and _no_room(case.seen):
        return Verdict(RemediationState.FAILED, Reason.NoCapacity, f"there is no room for the replicas: {lacking}")
    if left > -LONGEST_ROLLOUT and still_rolling(case.seen):
        return None
    if any(one.state is State.FIRING for one in findings):
        return Verdict(RemediationState.FAILED, Reason.Failed, f"it did not help in time: {lacking}")
    return Verdict(
        RemediationState.INCONCLUSIVE,
        why,
        f"the time for the proof ran out, though nothing fires: {lacking}",
    )


def still_rolling(seen: Observation) -> bool:
    """Whether a rollout makes progress within the workload's deadline: a slow rollout is not a failed one."""
    work = seen.workload
    if work is None or work.rolled_out or work.progressing is None or work.progressing.reason == _DEADLINE:
        return False
    return work.progressing.updated is not None and seen.now - work.progressing.updated < min(work.progress_deadline, LONGEST_ROLLOUT)
