"""What is temporary is put back: when, when not yet, and what is told about it. Only what is still as Stopgap left it is ever touched."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stopgap.api.ladder import RevertOn
from stopgap.api.remediation import Remediation, RemediationStatus
from stopgap.api.revert import RevertState, RevertStatus
from stopgap.core import lifecycle, limits
from stopgap.core.case import IDLE_LOOK, Case, Decision, Lent, Notice, soonest
from stopgap.core.lifecycle import Story
from stopgap.core.marks import lent_by, orphan
from stopgap.model import duration
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

ASKED = "stopgap.dev/revert"
"""Annotation on a Remediation: `now` puts it back, `abandon` leaves it to the person who says so."""
AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Put:
    """How a restore went."""

    state: RevertState
    reason: Reason
    message: str
    claimed: Remediation | None = None
    """The record as it was last written, where it was taken on before anything was sent."""


def owed(one: Remediation, executed_at: datetime | None) -> RevertStatus | None:
    """Return what is owed from the moment at which the change was written; None for what stays."""
    revert = one.spec.plan.revert
    if revert is None or executed_at is None:
        return None
    due = executed_at + duration.parse(revert.after) if revert.after else None
    return RevertStatus(state=RevertState.PENDING, due_at=due)


def restore(case: Case, decision: Decision, found: tuple[Finding, ...]) -> Decision:
    """Add the next restore that is due, one at a time. Until every signal is quiet it is held, unless a person asks for it."""
    if next(_pending(case), None) is not None:
        decision = replace(decision, look_again=soonest([decision.look_again, _until_due(case), IDLE_LOOK]))
    if decision.remediation is not None:
        return replace(decision, look_again=soonest([decision.look_again, _next_turn(*decision.remediation)]))  # one record at a time
    one = next((one for one in _pending(case) if _due(case, one, decision)), None)
    if one is None:
        return _leftover(case, decision, found)
    unquiet = _unquiet(found)
    if unquiet is not None and not _asked(one) and not _begun(one):
        return _held(case, decision, one, unquiet)
    if limits.killed(case):
        return decision
    return replace(decision, restore=replace(lent_by(one), abandoned=_asked(one) == "abandon"), look_again=AGAIN)


def _next_turn(one: Remediation, status: RemediationStatus) -> timedelta | None:
    """Say when to look again where a record that is being written will owe something."""
    after = one.model_copy(update={"status": status})
    return AGAIN if after.state.ended and (after.owes_restore or after.owes_resume) else None


def afterwards(case: Case) -> timedelta:
    """Say when to look again after an incident was closed: soon where something is to be put back."""
    return IDLE_LOOK if next(_pending(case), None) is None and orphan(case) is None else AGAIN


def waits_for(case: Case) -> bool:
    """Whether the open incident may not be closed yet, because something of it is to be put back first."""
    return orphan(case) is not None or any(one.owes_restore and not _manual(one) for one in case.of_incident())


def _pending(case: Case) -> Iterator[Remediation]:
    """Yield what is to be put back, newest first: later changes were made on top of earlier ones. A failed one waits for a person."""
    for one in (*reversed(case.remediations), *reversed(case.left)):
        if one.owes_restore and one.state.ended and _may_be_tried(one):
            yield one


def _may_be_tried(one: Remediation) -> bool:
    """Whether it is not left to a person. Where nobody can tell whether it was put back, it never is again, whoever asks for it."""
    if one.revert_state is RevertState.OUTCOME_UNKNOWN:
        return _asked(one) == "abandon"
    return one.revert_state is not RevertState.FAILED or bool(_asked(one))


def _begun(one: Remediation) -> bool:
    """Whether a copy has taken it on that never said what became of it: that is found out first, whatever fires."""
    return one.revert_state is RevertState.EXECUTING


def _due(case: Case, one: Remediation, decision: Decision) -> bool:
    due_at = one.status.revert.due_at if one.status and one.status.revert else None
    if _asked(one) or _vanished(case, one) or _begun(one):
        return True
    if due_at is not None:
        return case.now >= due_at
    if _manual(one):
        return False
    of_this = _holds(case) and case.incident is not None and one.spec.incident_ref.uid == case.incident.metadata.uid
    return not of_this or decision.closed or _is_over(case, decision) or (case.policy is None and _well_for_long(case, one))


def _holds(case: Case) -> bool:
    """Whether there is an incident that may have to be over first. That of a workload that is gone is about nothing any more."""
    return case.incident is not None and case.seen.workload is not None


def _vanished(case: Case, one: Remediation) -> bool:
    """Whether what was changed is gone together with the workload; what was changed on its autoscaler or elsewhere is not."""
    work = case.seen.workload
    return not one.spec.plan.outlives and (work is None or work.uid != one.spec.target_ref.uid)


def _is_over(case: Case, decision: Decision) -> bool:
    return decision.status is not None and lifecycle.is_over(case, decision.status)


def _well_for_long(case: Case, one: Remediation) -> bool:
    """Without a policy no signal is judged, and the incident never ends by itself: then being available has to do."""
    work, ended = case.seen.workload, one.status.ended_at if one.status else None
    if work is None or ended is None or work.available_replicas < work.least_available:
        return False
    return case.now - ended >= lifecycle.resolves_after(case)


def _manual(one: Remediation) -> bool:
    return one.spec.plan.revert is not None and one.spec.plan.revert.upon is RevertOn.MANUAL


def _asked(one: Remediation) -> str:
    said = one.metadata.annotations.get(ASKED, "")
    return said if said in {"now", "abandon"} else ""


def _unquiet(found: tuple[Finding, ...]) -> Finding | None:
    """Return what fires, or else what is not known: after a restart a signal is Unknown at first, however loud it is."""
    return next((one for state in (State.FIRING, State.UNKNOWN) for one in found if one.state is state), None)


def _until_due(case: Case) -> timedelta | None:
    times = [one.status.revert.due_at for one in _pending(case) if one.status and one.status.revert and one.status.revert.due_at]
    return min((at - case.now for at in times if at > case.now), default=None)


def _held(case: Case, decision: Decision, one: Remediation, why: Finding) -> Decision:
    """Say what it waits for, once. That a signal is not known is no news for an Event: mostly it is known a moment later."""
    status, firing = one.status, why.state is State.FIRING
    if status is None or status.revert is None:
        return decision
    message = f"trigger {why.trigger} {'fires' if firing else 'is Unknown'}, so it stays until that is quiet"
    if status.revert.state is RevertState.HELD and (status.revert.message == message or not firing):
        return decision
    held = status.revert.model_copy(update={"state": RevertState.HELD, "message": message})
    decision = replace(decision, remediation=(one, status.model_copy(update={"revert": held})))
    return _announced(decision, case.now, Notice(Reason.RestoreHeld, f"{one.spec.plan.summary}: {message}", True)) if firing else decision


def _announced(decision: Decision, now: datetime, notice: Notice) -> Decision:
    """Tell it in the story of the open incident, or where there is none on the workload alone."""
    if decision.status is None:
        return replace(decision, notices=(*decision.notices, notice))
    story = Story(decision.status, now, decision.notices).announce(notice.reason, notice.message, warning=notice.warning).done()
    return replace(decision, status=story.status, notices=story.notices)


def _leftover(case: Case, decision: Decision, found: tuple[Finding, ...]) -> Decision:
    """An object says that something was lent to it, and no record would put it back: then it is put back once all is quiet."""
    lent = orphan(case)
    if lent is None:
        return decision
    decision = replace(decision, look_again=soonest([decision.look_again, IDLE_LOOK]))
    if _unquiet(found) or decision.opening or limits.killed(case):
        return decision
    if _holds(case) and not decision.closed and not _is_over(case, decision):
        return decision
    return replace(decision, restore=lent, look_again=soonest([decision.look_again, IDLE_LOOK if case.incident is None else AGAIN]))


def settled(one: Remediation, put: Put, now: datetime) -> RemediationStatus:
    """Return the status of a Remediation after its restore."""
    status = one.status or RemediationStatus()
    before = status.revert or RevertStatus(state=put.state)
    ended = None if put.state.open else now
    revert = before.model_copy(update={"state": put.state, "message": put.message[:1024], "ended_at": ended})
    # The restore is a write as well: what it owns since is given back once more.
    returned = status.fields_returned and put.state is not RevertState.DONE
    return status.model_copy(update={"revert": revert, "fields_returned": returned})


def told(case: Case, decision: Decision, lent: Lent, put: Put) -> Decision:
    """Write down how a restore went, on the Remediation and in the incident's story."""
    one, failed = put.claimed or lent.remediation, put.state in {RevertState.FAILED, RevertState.OUTCOME_UNKNOWN}
    if one is None:
        notice = Notice(put.reason, f"{lent.field} of {case.seen.target}: {put.message}", failed)
        # No record would keep a failure from being told at every look; the Event of it is posted once.
        again = replace(decision, notices=(*decision.notices, notice), look_again=IDLE_LOOK)
        return again if failed else _announced(decision, case.now, notice)
    told_before = failed and lent.remediation is not None and lent.remediation.revert_state is RevertState.FAILED
    if told_before and put.claimed is None:
        return replace(decision, look_again=IDLE_LOOK)  # it was told, and is tried for as long as a person asks for it
    decision = replace(decision, remediation=(one, settled(one, put, case.now)))
    if told_before:
        return replace(decision, look_again=IDLE_LOOK)
    return _announced(decision, case.now, Notice(put.reason, f"{one.spec.plan.summary}: {put.message}", failed))
