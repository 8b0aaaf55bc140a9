"""From one status of an incident to the next: conditions, the derived phase, the timeline, and the Events that go with them."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stopgap.api.incident import (
    Closing,
    IncidentDecision,
    IncidentFinding,
    IncidentRefusal,
    IncidentStatus,
)
from stopgap.api.ladder import Source
from stopgap.api.phase import Phase
from stopgap.api.remediation import Remediation
from stopgap.core import listing, timeline
from stopgap.core.case import Case, Notice
from stopgap.model.conditions import Truth, condition, find, holds, put
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

TRIAGED, ACKNOWLEDGED, ALLOWED = "Triaged", "Acknowledged", "ActionAllowed"
MITIGATED, CONTESTED, DRIFT, ESCALATED, RESOLVED = "Mitigated", "Contested", "GitOpsDrift", "Escalated", "Resolved"
REVIEWED = "Reviewed"

NOT_OVER = "it is not over"
HANDED_OVER = "people were called; automation has ended for this incident"


@dataclass(frozen=True, slots=True)
class Story:
    """A status in the making, with the Events that its changes are worth."""

    status: IncidentStatus
    now: datetime
    notices: tuple[Notice, ...] = field(default_factory=tuple)

    def tell(self, reason: Reason, message: str, *, actor: str = "stopgap") -> "Story":
        """Add a line to the timeline."""
        return replace(self, status=timeline.tell(self.status, self.now, reason, message, actor=actor))

    def announce(self, reason: Reason, message: str, *, warning: bool = False, actor: str = "stopgap") -> "Story":
        """Add a line to the timeline and an Event."""
        return replace(self.tell(reason, message, actor=actor), notices=(*self.notices, Notice(reason, message, warning)))

    def set(self, **fields: object) -> "Story":
        """Replace fields of the status."""
        return replace(self, status=self.status.model_copy(update=fields))

    def observe(self, kind: str, truth: bool, reason: Reason, message: str) -> "Story":  # noqa: FBT001 - a condition is True or False
        """Set a condition."""
        status = Truth.TRUE if truth else Truth.FALSE
        return self.set(conditions=put(self.status.conditions, condition(kind, status, reason, message, self.now)))

    def says(self, kind: str) -> bool:
        """Whether a condition holds."""
        return holds(self.status.conditions, kind)

    def reason(self, kind: str) -> str:
        """The present reason of a condition, or nothing."""
        found = find(self.status.conditions, kind)
        return found.reason if found else ""

    def done(self) -> "Story":
        """Derive the phase, last of all."""
        return self.set(phase=_phase(self))


def _phase(story: Story) -> Phase:
    if story.says(RESOLVED):
        if story.reason(RESOLVED) == Reason.FalseAlarm:
            return Phase.FALSE_ALARM
        return Phase.REVIEWED if story.says(REVIEWED) else Phase.RESOLVED
    if story.says(MITIGATED):
        return Phase.MITIGATED
    if story.says(ESCALATED):
        return Phase.ESCALATED
    if story.reason(MITIGATED) == Reason.Mitigating:
        return Phase.MITIGATING
    return Phase.TRIAGED if story.says(TRIAGED) else Phase.DETECTED


def begin(case: Case) -> Story:
    """Start from the stored status; at the very first look the beginning is told."""
    story = Story(case.status, case.now)
    if story.status.detected_at is not None or case.incident is None:
        return story
    spec, template, newest = case.incident.spec, case.seen.template, case.seen.newest
    # An action may have been taken before anything of the incident was written down: the onset is what it left.
    left = next((one.spec.plan for one in case.of_incident()), None)
    digest = left.from_digest if left else (template.digest if template else "")
    story = story.set(
        detected_at=case.now,
        started_at=spec.started_at or case.now,
        severity=spec.severity,
        recurrence_of=listing.undone_before(case, digest),
        target_uid=case.seen.workload.uid if case.seen.workload else "",
        digest=digest,
        revision=left.from_revision if left else (newest.number if newest else 0),
    )
    story = story.observe(RESOLVED, False, Reason.Open, NOT_OVER)
    return story.announce(Reason.Detected, spec.title, warning=True)


def acknowledge(case: Case, story: Story) -> Story:
    """Note who has taken the incident, and who takes it over."""
    by = case.incident.spec.acknowledged_by if case.incident else None
    known, message = find(story.status.conditions, ACKNOWLEDGED), f"{by} has taken it"
    taken = story.says(ACKNOWLEDGED)
    if not by or (taken and known and known.message == message):
        return story
    story = story.set(acknowledged_at=story.status.acknowledged_at or case.now).observe(ACKNOWLEDGED, True, Reason.Acknowledged, message)
    return story.tell(Reason.Acknowledged, f"{by} has taken the incident{' over' if taken else ''}", actor=by)


def triaged(story: Story, kind: Reason, message: str) -> Story:
    """What is wrong is known; it is told once."""
    if story.says(TRIAGED):
        return story
    return story.observe(TRIAGED, True, Reason.Triaged, message).tell(kind, message)


def remembered(story: Story, one: Remediation) -> Story:
    """Tell from the intent what was found, where a crash kept it from being told when it was decided."""
    finding, change = one.spec.finding, one.spec.suspected_change
    if finding is None or story.says(TRIAGED):
        return story
    quiet = finding.model_copy(update={"state": State.UNKNOWN})
    kept = tuple(known for known in story.status.findings if known.trigger != finding.trigger)
    story = story.set(findings=(quiet, *kept)[:16], suspected_change=story.status.suspected_change or change)
    return triaged(story, Reason[finding.type], finding.message)


def findings(story: Story, found: tuple[Finding, ...]) -> Story:
    """Write down what the triggers say: those that ever fired, and those that are unknown."""
    if not found:
        # No policy is left that would ask: what was known stays readable, and says that it is not known any more.
        return story.set(findings=tuple(one.model_copy(update={"state": State.UNKNOWN}) for one in story.status.findings))
    before = {one.trigger: one for one in story.status.findings if one.fired}
    listed = [told for one in found if (told := _told(one, before.get(one.trigger)))]
    # What only cannot be read comes last: the first is shown as the cause.
    return story.set(findings=tuple(sorted(listed, key=lambda one: not one.fired))[:16])


def _told(one: Finding, old: IncidentFinding | None) -> IncidentFinding | None:
    """Return what is written down of one trigger, or None where it never fired and can be read."""
    because = one.message[:256] if one.type is Reason.SignalUnknown else ""
    if one.state is not State.FIRING and old is not None:
        # What it was stays readable after it went quiet.
        return old.model_copy(update={"state": one.state, "unknown_because": because})
    if one.state is not State.FIRING:
        return IncidentFinding(trigger=one.trigger, type=one.type, state=one.state, unknown_because=because) if because else None
    if old is not None and (old.state, old.type) == (one.state, one.type):
        # Its figures move by themselves ("3 m", "12 exits"); that alone is not worth a write.
        return old
    since = old.since if old and old.since and old.state is not State.QUIET else one.since
    return IncidentFinding(trigger=one.trigger, type=one.type, state=one.state, since=since, message=one.message[:1024])


def remediations(case: Case, story: Story) -> Story:
    """List the actions of this incident."""
    return story.set(remediations=listing.actions(case))


def mitigated(story: Story, reason: Reason, message: str) -> Story:
    """The bleeding has stopped."""
    if story.says(MITIGATED):
        return story
    story = story.set(mitigated_at=story.now).observe(MITIGATED, True, reason, message)
    return story.announce(reason, message)


def bleeding(story: Story) -> Story:
    """It bleeds (again)."""
    if not story.says(MITIGATED):
        return story
    story = story.set(mitigated_at=None, quiet_since=None)
    story = story.observe(MITIGATED, False, Reason.Detected, "the signals fire again")
    return story.announce(Reason.Detected, "the signals fire again after they were quiet", warning=True)


def escalated(story: Story, reason: Reason, message: str) -> Story:
    """Automation has ended; people are called, once."""
    if story.says(ESCALATED):
        return story
    story = story.observe(ESCALATED, True, reason, message)
    if story.says(ALLOWED):
        # The last word was that nothing stands against an action; from here on everything does.
        over = IncidentRefusal(reason=Reason.Escalated, message=HANDED_OVER)
        old = story.status.decision or IncidentDecision()
        story = story.set(decision=old.model_copy(update={"allowed": False, "refusals": (over,)}))
        story = story.observe(ALLOWED, False, Reason.Escalated, HANDED_OVER)
    return story.announce(Reason.Escalated, f"{reason}: {message}", warning=True)


def contested(story: Story, message: str) -> Story:
    """Somebody undid the action."""
    return escalated(story.observe(CONTESTED, True, Reason.Contested, message), Reason.Contested, message)


def still_open(story: Story, unknown: str = "") -> Story:
    """Say why it is not over yet: `unknown` is a trigger that cannot be told, where that is what it waits for."""
    if story.says(RESOLVED) or not story.reason(RESOLVED):
        return story
    if unknown:
        message = f"trigger {unknown} is Unknown: nothing is concluded from that, so it is not over before it is known to be quiet"
        return story.observe(RESOLVED, False, Reason.SignalUnknown, message)
    return story.observe(RESOLVED, False, Reason.Open, NOT_OVER)


def resolves_after(case: Case) -> timedelta:
    """How long everything must be quiet after the mitigation."""
    return case.policy.spec.resolution.after if case.policy else timedelta(minutes=15)


def is_over(case: Case, status: IncidentStatus) -> bool:
    """Whether it was quiet for long enough to be closed."""
    return holds(status.conditions, MITIGATED) and status.quiet_since is not None and case.now - status.quiet_since >= resolves_after(case)


def resolved(story: Story, reason: Reason, message: str, *, actor: str = "stopgap") -> Story:
    """It is over."""
    if story.says(RESOLVED):
        return story
    story = story.set(resolved_at=story.now).observe(RESOLVED, True, reason, message)
    story = story.tell(reason, message, actor=actor)
    return replace(story, notices=(*story.notices, Notice(reason, message)))


def fired(case: Case) -> bool:
    """Whether a signal ever fired: what Stopgap opened itself began with one, also where a crash kept it from being written down."""
    return any(one.fired for one in case.status.findings) or case.incident is None or case.incident.spec.source.type is Source.WORKLOAD


def closed_by_person(case: Case, story: Story) -> Story | None:
    """Honour a person's resolution; None while there is none."""
    incident = case.incident
    if incident is None or incident.spec.resolution is None:
        return None
    who = incident.spec.acknowledged_by or "a person"
    if incident.spec.resolution is Closing.FALSE_ALARM:
        return resolved(story, Reason.FalseAlarm, f"{who} says that it was a false alarm", actor=who)
    return resolved(story, Reason.Resolved, f"{who} closed it", actor=who)
