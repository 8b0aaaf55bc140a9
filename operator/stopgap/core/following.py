"""An action is out: whether it helped, and what follows for the incident."""

from dataclasses import replace
from datetime import timedelta

from stopgap.api.incident import PassedStep
from stopgap.api.jobstatus import JobState
from stopgap.api.remediation import Remediation, RemediationState, RemediationStatus
from stopgap.core import choosing, consent, drift, explaining, knowngood, lifecycle, unblocking, verification
from stopgap.core.case import IDLE_LOOK, Case, Decision, soonest
from stopgap.core.lifecycle import Story
from stopgap.core.memory import remembered
from stopgap.core.triage import nothing_left, told
from stopgap.model.conditions import Truth, condition, put
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason

_MAY_GO_ON = frozenset({Reason.Failed, Reason.NotTheRelease, Reason.NoCapacity})
"""What leaves the next step its chance. Contested or an unknown outcome never does: another step would fight, or build on sand."""


_ENDS_THE_LADDER = _MAY_GO_ON - {Reason.NotTheRelease}
"""That the release was not to blame says more than that no step is left."""


def verify(case: Case, active: Remediation, found: tuple[Finding, ...]) -> Decision:
    """Judge the action that is out, and tell what became of it."""
    verdict = verification.verify(case, active, found)
    status = active.status or RemediationStatus()
    new = status.model_copy(update={"healthy_since": verdict.healthy_since})
    if verdict.state is not status.state:
        new = ended(case, active, verdict.state, verdict.message, reason=verdict.reason).model_copy(
            update={"healthy_since": verdict.healthy_since}
        )
    stuck = unblocking.look(case, active, found) if verdict.state is RemediationState.VERIFYING else None
    pod = stuck.pod if stuck else None
    if pod and pod not in new.replaced:
        new = new.model_copy(update={"replaced": (*new.replaced, pod)})
    after = replace(
        case,
        remediations=tuple(one.model_copy(update={"status": new}) if one is active else one for one in case.remediations),
    )
    health = remembered(after, found) or case.health
    if verdict.reason is Reason.NotTheRelease:
        health = knowngood.forgive(health, active.spec.plan.from_digest)
    decision = Decision(
        findings=found,
        remediation=(active, new) if new != status else None,
        replace=(active, pod) if pod else None,
        running=active if verdict.state is RemediationState.VERIFYING and active.awaits_job else None,
        health=health if health != case.health else None,
        look_again=soonest(
            [
                verdict.look_again,
                _until_over(case, verdict),
                _until_next(after, active, verdict, found),
                unblocking.AGAIN if pod else IDLE_LOOK,
                *(one.look_again for one in found),
            ]
        ),
    )
    if case.incident is None:
        return decision
    story = _after_verdict(case, after, found, verdict)
    if stuck:
        story = story.tell(stuck.reason, stuck.message)
    return replace(decision, status=story.done().status, notices=story.notices)


def _until_over(case: Case, verdict: verification.Verdict) -> timedelta | None:
    """When the incident may be over although nothing happens any more; None: it is not mitigated."""
    return lifecycle.resolves_after(case) if verdict.state is RemediationState.SUCCEEDED else None


def _until_next(case: Case, one: Remediation, verdict: verification.Verdict, found: tuple[Finding, ...]) -> timedelta | None:
    """When the next step of the ladder is taken; a signal that goes on firing brings no event of its own. None: there is none."""
    return timedelta(seconds=1) if verdict.reason in _MAY_GO_ON and choosing.goes_on(case, one, found) else None


def _after_verdict(case: Case, after: Case, found: tuple[Finding, ...], verdict: verification.Verdict) -> Story:
    story, active = told(after, found), case.active
    if active is not None:
        story = _job_told(consent.credited(lifecycle.remembered(story, active), active), active)
    if verdict.state is RemediationState.VERIFYING:
        if active and story.reason(lifecycle.MITIGATED) != Reason.Mitigating and not _told_of_the_end(case, active):
            by = f"{active.spec.plan.summary} ({active.metadata.name})"
            passed = _passed_over(story, active)
            story = explaining.decision(story, active.spec.step, active.spec.plan.summary, (), allowed=True, passed=passed)
            story = story.observe(lifecycle.MITIGATED, False, Reason.Mitigating, f"{by}; being verified").announce(Reason.Executed, by)
            story = _mutated(story, active)
        return story
    if verdict.state is RemediationState.SUCCEEDED:
        story = lifecycle.mitigated(story, Reason.Mitigated, verdict.message).set(quiet_since=after.now)
        held = drift.drifting(after)
        return story.observe(lifecycle.DRIFT, bool(held), Reason.GitOpsDrift if held else Reason.NoGitOpsDrift, held)
    if verdict.reason is Reason.SupersededByRevision:
        return story.observe(lifecycle.MITIGATED, False, Reason.SupersededByRevision, verdict.message).announce(
            Reason.SupersededByRevision, verdict.message
        )
    if verdict.reason is Reason.Contested:
        story = lifecycle.contested(story, verdict.message)
    story = story.observe(lifecycle.MITIGATED, False, verdict.reason, verdict.message).tell(verdict.reason, verdict.message)
    if active and verdict.reason in _MAY_GO_ON and choosing.goes_on(after, active, found):
        return story
    if active and verdict.reason in _ENDS_THE_LADDER and choosing.was_last(after, active, found):
        why = nothing_left(after, [(one.step, one.message) for one in _passed_over(story, active)])
        return lifecycle.escalated(story, Reason.LadderExhausted, why)
    return lifecycle.escalated(story, verdict.reason, verdict.message)


def _job_told(story: Story, active: Remediation) -> Story:
    """Tell once how the Job ended."""
    job = active.status.job if active.status else None
    if job is None:
        return story
    message = f"{job}{f'; its last line: {job.log[-1]}' if job.log else ''}"[:512]
    if any((one.type, one.message) == (Reason.JobEnded, message) for one in story.status.timeline):
        return story
    return story.announce(Reason.JobEnded, message, warning=job.state is not JobState.COMPLETE)


def _mutated(story: Story, active: Remediation) -> Story:
    """Note that what runs is not what was written: the healthy revision of the record may be another one."""
    plan, written = active.spec.plan, active.status.written_digest if active.status else ""
    if not written or not plan.to_digest or written == plan.to_digest:
        return story
    return story.tell(
        Reason.MutatedByAdmission, f"admission changed the template that {active.metadata.name} wrote; what was stored is judged"
    )


def _passed_over(story: Story, active: Remediation) -> tuple[PassedStep, ...]:
    """Why the steps before it were passed over is still what the decision was made on."""
    before = story.status.decision
    return before.passed if before and before.step == active.spec.step else ()


def _told_of_the_end(case: Case, active: Remediation) -> bool:
    """Whether the incident knows already that it has ended: then our copy of the Remediation is older than that of the incident."""
    return any(one.name == active.metadata.name and RemediationState(one.state).ended for one in case.status.remediations)


def ended(case: Case, one: Remediation, state: RemediationState, message: str, reason: Reason | None = None) -> RemediationStatus:
    """Return the status of a remediation that ends in this state."""
    status = one.status or RemediationStatus()
    truth = Truth.TRUE if state is RemediationState.SUCCEEDED else Truth.FALSE
    settled = condition("Succeeded", truth, reason or Reason[state.value], message, case.now)
    return status.model_copy(
        update={
            "state": state,
            "message": message[:1024],
            "ended_at": case.now,
            "conditions": put(status.conditions, settled),
        }
    )
