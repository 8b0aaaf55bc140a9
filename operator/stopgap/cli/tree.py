"""`get`: one incident as a tree: signals → triage → decision, with why and why not → action → verification → restore. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.text import Text
from rich.tree import Tree

from stopgap.api import Incident, Remediation
from stopgap.api.remediation import RemediationState
from stopgap.cli.printing import COLOURS, LONGEST, age, clock
from stopgap.cli.tables import about, severity_of, status_of
from stopgap.core import lifecycle
from stopgap.core.reports.times import spans
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason
from stopgap.model.text import plain

YES, NO, WAIT = "✔", "✘", "…"
_STYLES: Final = {YES: "green", NO: "red", WAIT: "yellow"}
_SHOWN: Final = (lifecycle.MITIGATED, lifecycle.CONTESTED, lifecycle.DRIFT, lifecycle.ESCALATED, lifecycle.RESOLVED, lifecycle.REVIEWED)


def tree(incident: Incident, remediations: Sequence[Remediation], now: datetime) -> Tree:
    """Lay out one incident."""
    status = status_of(incident)
    head = line(
        f"{incident.metadata.name}  ", severity_of(incident), f"  {status.phase or 'not looked at yet'}", f"  {incident.spec.title}"
    )
    top = Tree(head, guide_style="dim")
    _facts(top, incident, now)
    _signals(top, incident, now)
    _triage(top, incident, now)
    _decision(top, incident, now)
    for one in remediations:
        _action(top, one, now)
    _where_it_stands(top, incident, now)
    return top


def next_steps(incident: Incident, remediations: Sequence[Remediation]) -> list[str]:
    """Say what a person can do now, as commands."""
    status, name = status_of(incident), f"-n {incident.metadata.namespace} {incident.metadata.name}"
    reasons = {one.type: one.reason for one in status.conditions}
    over, steps = status.resolved_at is not None, []
    waiting = next((one for one in remediations if one.state is RemediationState.AWAITING_APPROVAL and one.spec.approval is None), None)
    if waiting is not None:
        steps.append(f"kubectl stopgap approve {name}      # or reject: {waiting.spec.plan.summary}")
    if not over and incident.spec.acknowledged_by is None:
        steps.append(f"kubectl stopgap ack {name}")
    if not over and (lifecycle.ESCALATED in reasons or waiting is None) and not status.mitigated_at:
        steps.append(f"kubectl stopgap mitigate {name} --step STEP      # the steps: kubectl stopgap explain {_workload(incident)}")
    lent = (one.metadata for one in remediations if one.owes_restore or one.owes_resume)
    steps += [f"kubectl stopgap undo -n {one.namespace} {one.name}      # puts back now what is temporary" for one in lent]
    if over and reasons.get(lifecycle.REVIEWED) == Reason.ReviewOwed:
        steps.append(f"kubectl stopgap review {name}")
    elif not over:
        steps.append(f"kubectl stopgap resolve {name}      # a person ends it; final")
    return steps


def _workload(incident: Incident) -> str:
    return f"-n {incident.metadata.namespace} {about(incident) or 'WORKLOAD'}"


def line(*parts: object) -> Text:
    """Put a line together; a part that is a word of state has its colour."""
    made = Text()
    for part in parts:
        text = str(part)
        shown = plain(text, LONGEST)
        lead = " " * (len(text) - len(text.lstrip())) if shown else ""
        tail = " " * (len(text) - len(text.rstrip())) if shown else text
        made.append(lead).append(shown, style=COLOURS.get(shown) or _STYLES.get(shown) or "").append(tail)
    return made


def _facts(top: Tree, incident: Incident, now: datetime) -> None:
    meta, spec, status = incident.metadata, incident.spec, status_of(incident)
    of = about(incident) or "no workload: a record only"
    top.add(line(f"{of} in {meta.namespace}, {age(meta.creation_timestamp, now)} old, from {spec.source.type} {spec.source.name}"))
    if spec.impact:
        top.add(line(f"impact: {spec.impact}"))
    others = {"duplicate of": status.duplicate_of, "recurrence of": status.recurrence_of}
    for what, name in others.items():
        if name:
            top.add(line(f"{what} {name}"))


def _signals(top: Tree, incident: Incident, now: datetime) -> None:
    status = status_of(incident)
    branch = top.add("Signals")
    for one in status.findings:
        since = f" since {clock(one.since, now)}" if one.since else ""
        said = one.unknown_because if one.state == "Unknown" and one.unknown_because else one.message
        branch.add(line(f"{one.trigger}: {one.type} ", one.state, f"{since}: {said}" if said else since))
    for alert in status.alerts:
        branch.add(line(f"alert {alert.name}: ", alert.state, f" since {clock(alert.since, now)}: {alert.summary}"))
    if not branch.children:
        branch.add(line("none has fired; " + ("a person says so" if incident.spec.source.type == "Manual" else "nothing is known yet")))


def _triage(top: Tree, incident: Incident, now: datetime) -> None:
    status, spec = status_of(incident), incident.spec
    branch = top.add("Triage")
    if status.communication_status:
        by = ", said by a person" if spec.severity else ""
        branch.add(line("severity ", severity_of(incident), f"{by}; told as {status.communication_status}"))
    if change := status.suspected_change:
        images = f": {'; '.join(change.images)}" if change.images else ""
        who = f" by {change.by}" if change.by else ""
        when = f" at {clock(change.changed_at, now)}" if change.changed_at else ""
        branch.add(line(f"suspected: revision {change.previous_revision} → {change.revision}{when}{who}{images}"))
    if spec.acknowledged_by:
        branch.add(line(f"{YES} ", f"taken by {spec.acknowledged_by}"))
    elif status.resolved_at is None and status.acknowledge_by:
        late = " (overdue)" if status.acknowledge_by < now else ""
        branch.add(line(f"{WAIT} ", f"nobody has taken it; somebody is to by {clock(status.acknowledge_by, now)}{late}"))
    if status.policy_ref:
        kind = "cluster policy" if status.policy_ref.kind != "RemediationPolicy" else "policy"
        branch.add(line(f"{kind} {status.policy_ref.name} decides"))


def _decision(top: Tree, incident: Incident, now: datetime) -> None:
    decision = status_of(incident).decision
    branch = top.add("Decision")
    if decision is None:
        branch.add(line("none yet"))
        return
    if decision.message or decision.step:
        waits = {one.reason for one in decision.refusals} == {Reason.ApprovalPending}
        mark = YES if decision.allowed else WAIT if waits else NO
        branch.add(line(f"{mark} ", f"{decision.step}: {decision.message}" if decision.step else decision.message))
    for one in decision.refusals:
        until = f" (until {clock(one.until, now)})" if one.until else ""
        branch.add(line(f"{NO} ", f"{one.reason}: {one.message}{until}"))
    for passed in decision.passed:
        branch.add(line(f"passed over {passed.step}: {passed.reason}: {passed.message}"))


_GOOD: Final = frozenset({RemediationState.SUCCEEDED})
_OPEN: Final = frozenset({RemediationState.PENDING, RemediationState.VERIFYING, RemediationState.AWAITING_APPROVAL})


def _action(top: Tree, one: Remediation, now: datetime) -> None:
    status, spec = one.status, one.spec
    mark = YES if one.state in _GOOD else WAIT if one.state in _OPEN else NO
    branch = top.add(line("Action ", f"{mark} ", f"{spec.step}: {spec.plan.summary}"))
    branch.add(line(f"{one.metadata.name}, asked for by {spec.requested_by}"))
    if spec.approval:
        said = f": {spec.approval.message}" if spec.approval.message else ""
        branch.add(line(f"{str(spec.approval.decision).lower()} by {spec.approval.by}{said}"))
    elif one.state is RemediationState.AWAITING_APPROVAL:
        branch.add(line(f"{WAIT} ", f"waits for a person until {clock(spec.expires_at, now)}"))
    if status and status.executed_at:
        branch.add(line(f"written {clock(status.executed_at, now)}"))
    proof = branch.add(line("Verification: " if status and status.executed_at else "State: ", one.state))
    if status and status.message:
        proof.add(line(status.message))
    if one.state is RemediationState.VERIFYING:
        proof.add(line(f"{spec.healthy_for} quiet and available is the proof; until {clock(one.prove_until, now)}"))
    _restore(branch, one, now)


def _restore(branch: Tree, one: Remediation, now: datetime) -> None:
    status = one.status
    if status and status.revert:
        due = f", due {clock(status.revert.due_at, now)}" if status.revert.due_at and status.revert.state.open else ""
        said = f": {status.revert.message}" if status.revert.message else ""
        branch.add(line("Restore: ", status.revert.state, f"{due}{said}"))
    elif plan := one.spec.plan.revert:
        branch.add(line(f"Restore: {'after ' + plan.after if plan.after else 'upon ' + str(plan.upon)}"))
    if status and status.suspension and (owner := one.spec.plan.suspends):
        said = f": {status.suspension.message}" if status.suspension.message else ""
        branch.add(line(f"{owner.kind} {owner.name} in {owner.namespace}: ", status.suspension.state, said))


def _where_it_stands(top: Tree, incident: Incident, now: datetime) -> None:
    status = status_of(incident)
    for kind in _SHOWN:
        found = find(status.conditions, kind)
        if found is None or (found.status != "True" and found.reason != Reason.ReviewOwed):
            continue
        mark = NO if kind in {lifecycle.ESCALATED, lifecycle.CONTESTED, lifecycle.DRIFT} else YES if found.status == "True" else WAIT
        top.add(line(f"{kind} ", f"{mark} ", f"{clock(found.last_transition_time, now)}: {found.message}"))
    told = [f"{one.name} {one}" for one in spans(incident.spec, status) if one.length is not None]
    if told:
        top.add(line("times: to " + ", to ".join(told)))
