"""Nothing fires: whether it is over."""

from datetime import datetime, timedelta

from stopgap.api.clusterpolicy import called
from stopgap.core import alerts, choosing, explaining, guards, knowngood, lifecycle, restoring
from stopgap.core.case import IDLE_LOOK, Case, Decision, soonest
from stopgap.core.lifecycle import Story
from stopgap.core.memory import all_quiet, remembered
from stopgap.core.triage import told
from stopgap.model import duration
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.workload import State


def calm(case: Case, found: tuple[Finding, ...]) -> Decision:
    """Nothing fires. Quiet is not the same as Unknown: only quiet time resolves an incident."""
    health = remembered(case, found)
    waits = [one.look_again for one in found]
    if case.incident is None:
        return Decision(findings=found, health=health, look_again=soonest([*waits, _until_good(case)]))
    story = _undecided(case, told(case, found))
    if by := guards.put_back(case):
        story = lifecycle.contested(story, by)
    # Only what was written down as a finding: its state is news anyway, so that this costs no write of its own.
    story = lifecycle.still_open(story, next((one.trigger for one in story.status.findings if one.state is State.UNKNOWN), ""))
    silent = all_quiet(found) or (case.policy is None and alerts.reported(case))
    quiet = silent and not alerts.pending(case) and _available(case)
    unknown = not silent and all(one.state is State.UNKNOWN for one in found)
    story = _lost(case, _quiet(case, story, quiet=quiet), unknown=unknown)
    closed = story.says(lifecycle.RESOLVED)
    story = story.done()
    return Decision(
        findings=found,
        status=story.status,
        closed=closed,
        health=health,
        notices=story.notices,
        look_again=soonest([*waits, _until_resolved(case, story.status.quiet_since), _until_good(case), IDLE_LOOK]),
    )


def _undecided(case: Case, story: Story) -> Story:
    """Tell why nothing is done, where it was never told: a person's incident that no signal confirms, or a policy that is gone."""
    if case.policy is None:
        text = "no policy matches this workload, or the one that does is not Ready: nothing is done, and it is over once its alerts are"
        refusal = Refusal(Reason.NoStepApplies, text) if alerts.reported(case) else choosing.no_step(case)
        return explaining.decision(story, "", "", (refusal,), allowed=False)
    if story.status.decision is not None or story.says(lifecycle.MITIGATED) or case.acts():
        return story
    if alerts.reported(case):
        text = f"no trigger of {called(case.policy)} asks for this alert (alert: {{matchLabels: …}}), and no other signal of it fires"
        return explaining.decision(story, "", "", (Refusal(Reason.NoStepApplies, text),), allowed=False)
    text = f"no signal of {called(case.policy)} fires, and no step of it is meant for what a person reports (when.sources: [Manual])"
    return explaining.decision(story, "", "", (Refusal(Reason.NoStepApplies, text),), allowed=False)


def ended_with_its_alerts(case: Case, story: Story) -> Decision:
    """An incident without a workload: it is over once its alerts have been for long enough."""
    quiet = bool(case.seen.alerts) and not any(one.firing for one in case.seen.alerts)
    since = (story.status.quiet_since or case.now) if quiet else None
    story = story.set(quiet_since=since)
    left = since + lifecycle.resolves_after(case) - case.now if since else None
    if left is not None and left <= timedelta(0):
        after = duration.spell(lifecycle.resolves_after(case))
        story = lifecycle.resolved(story, Reason.Resolved, f"every alert has been resolved for {after}")
    closed = story.says(lifecycle.RESOLVED)
    return Decision(status=story.done().status, closed=closed, notices=story.notices, look_again=soonest([left, IDLE_LOOK]))


def _available(case: Case) -> bool:
    work = case.seen.workload
    return work is not None and work.available_replicas >= work.least_available and (work.available_replicas > 0 or work.replicas == 0)


def _quiet(case: Case, story: Story, *, quiet: bool) -> Story:
    status = story.status
    if not quiet:
        return story.set(quiet_since=None)
    since = status.quiet_since or case.now
    story = story.set(quiet_since=since)
    if (lifecycle.fired(case) or alerts.reported(case)) and case.now - since >= _healthy_for(case):
        reason = Reason.SupersededByRevision if story.reason(lifecycle.MITIGATED) == Reason.SupersededByRevision else Reason.Recovered
        story = lifecycle.mitigated(story, reason, "available and every signal quiet, without an action of Stopgap")
    if lifecycle.is_over(case, story.status) and not restoring.waits_for(case):
        after = duration.spell(lifecycle.resolves_after(case))
        return lifecycle.resolved(story, Reason.Resolved, f"available and every signal quiet for {after}")
    return story


def _lost(case: Case, story: Story, *, unknown: bool) -> Story:
    """Call people where nothing can be told for too long: neither quiet nor trouble would ever end such an incident."""
    if not unknown or not lifecycle.fired(case):
        return story.set(unknown_since=None)
    since = story.status.unknown_since or case.now
    story = story.set(unknown_since=since)
    after = case.policy.spec.resolution.unknown_after if case.policy else timedelta(hours=24)
    if case.now - since < after:
        return story
    message = f"every signal has been unknown for {duration.spell(after)}; look by hand, and close it with spec.resolution"
    return lifecycle.escalated(story, Reason.SignalLost, message)


def _healthy_for(case: Case) -> timedelta:
    return case.policy.spec.verification.healthy_for if case.policy else timedelta(minutes=1)


def _until_resolved(case: Case, quiet_since: datetime | None) -> timedelta | None:
    if quiet_since is None or case.policy is None:
        return None
    waits = (_healthy_for(case), case.policy.spec.resolution.after)
    return soonest(left for wait in waits if (left := quiet_since + wait - case.now) > timedelta(0))


def _until_good(case: Case) -> timedelta | None:
    """When the newest revision will have been healthy for long enough to be remembered."""
    since = knowngood.healthy_since(case.seen)
    if since is None or case.policy is None or not case.seen.changed_under_watch:
        return None
    left = since + knowngood.needed_for(case.policy) - case.now
    return left if left > timedelta(0) else None
