"""Something is wrong: what is told about it, and what follows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from stopgap.api.evidence import SuspectedChange
from stopgap.api.incident import PassedStep, WouldHave
from stopgap.api.ladder import Source
from stopgap.api.remediation import Remediation, RemediationState
from stopgap.core import alerts, attribution, choosing, explaining, guards, lifecycle, matching, ordering, response, severity, verification
from stopgap.core.case import IDLE_LOOK, Case, Decision, Opening, soonest
from stopgap.core.lifecycle import Story
from stopgap.core.memory import remembered
from stopgap.model.conditions import find, holds
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

_BY_MODE = frozenset({Reason.ObserveOnly, Reason.ApprovalPending})
"""Where nothing else stands against an action, it would have been taken in mode Automatic."""
_SWITCHED_OFF: Final = frozenset(
    {Reason.NotLeader, Reason.Paused, Reason.Excluded, Reason.StormActive, Reason.UnverifiedActions, Reason.ObserveOnly}
)
"""Who is not to act, by a person's word or while a storm lasts, has come to the end of nothing."""
SETTLES_IN: Final = timedelta(minutes=1)
"""How long what rules out every step must stand before people are called, where nothing was tried."""


def reported(case: Case) -> bool:
    """Whether a person says that something is wrong which no signal has shown, and nothing was done about it yet.

    That is decided like a signal. Afterwards, and as soon as a signal has fired, the signals say whether it is over.
    """
    incident, status = case.incident, case.status
    if incident is None or case.policy is None or incident.spec.source.type is not Source.MANUAL:
        return False
    if any(one.fired for one in status.findings):
        return False
    if all(Source.MANUAL not in step.when.sources for step in case.policy.spec.steps):
        return False
    done = any(one.status and one.status.executed_at for one in case.of_incident())
    return not done and not holds(status.conditions, lifecycle.ESCALATED)


def firing(case: Case, found: tuple[Finding, ...]) -> Decision:
    """Something fires: open, tell, and do what is due."""
    silence = case.health.silence
    if case.incident is None and silence and case.seen.template and silence.digest == case.seen.template.digest:
        return Decision(findings=found, health=remembered(case, found))
    if case.incident is not None and alerts.another_release(case.status, case.seen.template, case.of_incident()):
        message = "another revision fails now; that is an incident of its own"
        closed = close(case, lifecycle.resolved(lifecycle.begin(case), Reason.SupersededByRevision, message), found)
        return replace(closed, look_again=timedelta(milliseconds=100))
    choice = choosing.choose(case, found)
    intent = choosing.intent(case, choice, found)
    decision = Decision(
        findings=found,
        opening=_opening(case, found) if case.incident is None else None,
        reads=choice.reads,
        refusals=choice.refused,
        intent=intent,
        health=remembered(case, found),
        look_again=_next_look(case, found, choice),
    )
    if case.incident is None:
        return decision
    story = _triaged(case, found, choice, allowed=intent is not None)
    return replace(decision, status=story.status, notices=story.notices)


def _opening(case: Case, found: tuple[Finding, ...]) -> Opening:
    first = min((one for one in found if one.state is State.FIRING), key=lambda one: one.since or case.now)
    work, template = case.seen.workload, case.seen.template
    uid, generation = (work.uid, work.generation) if work else ("", 0)
    digest = template.digest if template else ""
    return Opening(
        title=f"{first.type} in {case.seen.target.kind.lower()} {case.seen.target.name}"[:256],
        trigger=first.trigger,
        fingerprint=f"{uid}.{first.trigger}.{digest}.{generation}",
        started_at=first.since or case.now,
    )


def _triaged(case: Case, found: tuple[Finding, ...], choice: choosing.Choice, *, allowed: bool) -> Story:
    story = lifecycle.bleeding(lifecycle.still_open(told(case, found)))
    if (loudest := next((one for one in found if one.state is State.FIRING), None)) is not None:
        story = lifecycle.triaged(story, loudest.type, loudest.message)
    ordered = ordering.pending(case) is not None
    if story.says(lifecycle.ESCALATED) and not ordered:
        return story.done()
    story = _unwritten(case, story)
    if not choice.reads:
        story = _decided(story, choice, allowed=allowed)
        story = ordering.answered(case, story, () if allowed else choice.refused)
    if ordered:
        return story.done()
    if by := guards.put_back(case):
        return lifecycle.contested(story, by).done()
    if spent := next((one for one in choice.refused if one.reason is Reason.AttemptsExhausted), None):
        story = lifecycle.escalated(story, Reason.AttemptsExhausted, spent.message)
    if why := _exhausted(case, choice, story):
        story = lifecycle.escalated(story, Reason.LadderExhausted, why)
    return story.done()


def _decided(story: Story, choice: choosing.Choice, *, allowed: bool) -> Story:
    passed = tuple(PassedStep(step=step.name, reason=why.reason, message=why.message[:1024]) for step, why in choice.passed)
    step = choice.step.name if choice.step else ""
    story = explaining.decision(story, step, choice.summary, choice.refused, allowed=allowed, passed=passed)
    if story.status.would_have is None and choice.step and len(choice.refused) == 1 and choice.refused[0].reason in _BY_MODE:
        story = story.set(would_have=WouldHave(step=choice.step.name, message=choice.summary[:1024], time=story.now))
    return story


def _exhausted(case: Case, choice: choosing.Choice, story: Story) -> str:
    """Say what was tried and why nothing is left to try; nothing while something is, or while what stands against it may yet change."""
    if choice.reads or case.waiting is not None:
        return ""
    passed, ruled_out = choice.passed, next((one for one in choice.refused if choosing.lasting(one)), None)
    if choice.step is not None:
        if ruled_out is None or not (_acted(case) or _last_word(case, choice, story)):
            return ""
        passed = (*passed, (choice.step, ruled_out))
    elif not choosing.tried(case) and not _acted(case):
        return ""  # no step is meant for this at all, so that there is no ladder to come to the end of
    return nothing_left(case, tuple((step.name, why.message) for step, why in passed))


def _acted(case: Case) -> bool:
    return any(_was_sent(one) and one.state.ended for one in case.of_incident())


def _was_sent(one: Remediation) -> bool:
    return one.status is not None and one.status.executed_at is not None


def _last_word(case: Case, choice: choosing.Choice, story: Story) -> bool:
    """Whether steps that are ruled out before anything was tried will stay so: once people are called, automation is over.

    Nobody is called for what is switched off. And pods fail one after another, so that what speaks for or against a release changes in the
    first moments, and for as long as a rollout is under way; and that some still serve ends when the last one fails.
    """
    if any(one.reason in _SWITCHED_OFF for one in choice.refused):
        return False
    why = {one.reason for _, one in choice.passed} | {one.reason for one in choice.refused}
    if Reason.RecreateOutage in why or (Reason.NotAttributable in why and verification.still_rolling(case.seen)):
        return False
    mitigated = find(story.status.conditions, lifecycle.MITIGATED)
    began = mitigated.last_transition_time if mitigated else story.status.detected_at
    return began is not None and story.now - began >= SETTLES_IN


def nothing_left(case: Case, passed: Iterable[tuple[str, str]]) -> str:
    """Say that the ladder is at its end: how each step ended that was taken or offered, and why the others were not."""
    names = choosing.tried(case)
    ended = [one for one in case.of_incident() if one.state.ended and (_was_sent(one) or one.spec.step in names)]
    told = [f"{one.spec.step} ({one.spec.plan.summary}): {one.state}, {one.status.message if one.status else ''}" for one in ended]
    told += [f"{step}: not tried, {why}" for step, why in passed]
    return f"no step is left. Tried: {'; '.join(told)}" if ended else f"no step is left. {'; '.join(told)}"


def _unwritten(case: Case, story: Story) -> Story:
    """Tell why the last intent was not carried out; where the API server will not have it, or nobody can know, people are called."""
    last = next(reversed(case.of_incident()), None)
    if last is None or last.status is None or last.status.executed_at is not None or not last.state.ended or not last.status.conditions:
        return story
    reason = Reason[last.status.conditions[-1].reason]
    message = f"{last.spec.plan.summary} was not written: {last.status.message}"
    if all(entry.message != message[:512] for entry in story.status.timeline):
        story = story.announce(reason, message, warning=True)
    in_vain = last.state is RemediationState.FAILED and not choosing.leads_on(case, last)
    return lifecycle.escalated(story, reason, message) if in_vain or reason in {Reason.Refused, Reason.OutcomeUnknown} else story


def _next_look(case: Case, found: tuple[Finding, ...], choice: choosing.Choice) -> timedelta | None:
    waits = [one.look_again for one in found]
    waits += [one.until - case.now for one in choice.refused if one.until]
    if case.incident is not None:
        waits.append(IDLE_LOOK)
    return soonest(waits)


def told(case: Case, found: tuple[Finding, ...]) -> Story:
    """What is told at every look, whatever else is decided."""
    story = lifecycle.acknowledge(case, lifecycle.begin(case))
    firing = any(one.state is State.FIRING for one in found)
    story = lifecycle.remediations(case, lifecycle.findings(story, found))
    story = severity.graded(case, _dated(case, story, attribution.onset(found)), found)
    ref = case.policy
    # It is the one that is handled, also if it was the duplicate of one that has ended.
    updates: dict[str, object] = {"duplicate_of": ""}
    if ref is not None:
        updates["policy_ref"] = matching.reference(ref)
    if (firing or reported(case)) and (change := attribution.suspected_change(case)) and not case.of_incident():
        updates["suspected_change"] = _kept(story.status.suspected_change, change)
    if firing:
        updates |= {"quiet_since": None, "unknown_since": None}
    return response.overdue(case, ordering.carried_over(case, story.set(**updates)))


def _kept(old: SuspectedChange | None, new: SuspectedChange) -> SuspectedChange:
    """Keep what this look does not tell again: the images without live reads, and what the owner says."""
    if old is None or (old.images and not new.images):
        return old or new
    return new.model_copy(update={"source_revision": old.source_revision if old.revision == new.revision else ""})


def _dated(case: Case, story: Story, began: datetime | None) -> Story:
    """Move the beginning back to the first bad sample that is known by now, unless a person has said when it began."""
    spec, known = case.incident.spec if case.incident else None, story.status.started_at
    said = spec is not None and spec.started_at is not None and spec.source.type is Source.MANUAL
    if said or began is None or known is None or began >= known:
        return story
    return story.set(started_at=began)


def close(case: Case, story: Story, found: tuple[Finding, ...]) -> Decision:
    """End an incident: its status is written for the last time."""
    story = lifecycle.remediations(case, story).done()
    return Decision(findings=found, status=story.status, closed=True, notices=story.notices, health=remembered(case, found))
