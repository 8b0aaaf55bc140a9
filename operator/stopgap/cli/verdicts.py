"""How a decision about recorded objects is shown. Pure."""

from typing import Any, Final

from rich.tree import Tree

from stopgap.api.clusterpolicy import called
from stopgap.cli.replay import Verdict
from stopgap.cli.tree import NO, WAIT, YES, line
from stopgap.core.choosing import Choice
from stopgap.detectors.alert import AlertTrigger
from stopgap.model.workload import State

_NOTHING: Final = "nothing: no signal fires"


def shown(verdict: Verdict) -> Tree:
    """Lay out one decision."""
    case, decision = verdict.case, verdict.decision
    top = Tree(line(f"{case.seen.target}"), guide_style="dim")
    top.add(line(f"{called(case.policy)} decides, mode {case.policy.spec.mode}" if case.policy else "no policy that works decides"))
    signals = top.add("Signals")
    for one in decision.findings:
        signals.add(line(f"{one.trigger}: ", one.state, f": {one.message}" if one.message else ""))
    if decision.resume is not None:
        top.add(line(f"{WAIT} ", f"{decision.resume.metadata.name} was intended: it is looked at, and finished or given up"))
    elif decision.intent is not None:
        spec = decision.intent.spec
        asked = ", once a person approves it" if spec.expires_at else ""
        top.add(line(f"{YES} ", f"step {spec.step} would be done{asked}: {spec.plan.summary}"))
    else:
        _refused(top, verdict)
    if unknown := unknowns(verdict):
        branch = top.add("Not known here")
        for text in unknown:
            branch.add(line(text))
    return top


def _refused(top: Tree, verdict: Verdict) -> None:
    told = verdict.told
    refused = [(str(one.reason), one.message) for one in (told.refusals if told else verdict.decision.refusals)]
    if not refused:
        top.add(line("nothing new: what is under way goes on" if verdict.case.incident else _NOTHING))
        return
    words = f"step {told.step} would not be done: {told.message}" if told and told.step else "nothing would be done"
    branch = top.add(line(f"{NO} ", words))
    for reason, message in refused:
        branch.add(line(f"{reason}: {message}"))
    for passed in told.passed if told else ():
        branch.add(line(f"passed over {passed.step}: {passed.reason}: {passed.message}"))


def choice(top: Tree, name: str, mode: str, what: Choice) -> None:
    """Add what a step would do if a person ordered it, and what stands against that."""
    mark = NO if what.refused else YES
    branch = top.add(line(f"{mark} ", f"{name} ({mode}): {what.summary}"))
    for one in what.refused:
        branch.add(line(f"{one.reason}: {one.message}"))


def unknowns(verdict: Verdict) -> list[str]:
    """Say what a live operator may know beside the objects."""
    policy = verdict.case.policy
    triggers = policy.spec.triggers if policy else ()
    unread = [one.trigger for one in verdict.decision.findings if one.state is State.UNKNOWN]
    alerts = [one.name for one in triggers if isinstance(one.detector, AlertTrigger)]
    told = []
    if unread:
        told.append(f"what {', '.join(unread)} would say: the objects do not tell")
    if alerts and not verdict.case.seen.alerts:
        told.append(f"whether an alert of {', '.join(alerts)} fires: no incident says so")
    if verdict.decision.intent is not None:
        told.append("whether Stopgap may do it: kubectl stopgap check tells")
    return told


def as_data(verdict: Verdict) -> dict[str, Any]:
    """Return a decision for a program."""
    case, decision = verdict.case, verdict.decision
    target = {"namespace": case.seen.target.namespace, "kind": case.seen.target.kind, "name": case.seen.target.name}
    told = verdict.told.model_dump(mode="json", by_alias=True, exclude_none=True) if verdict.told else None
    plan = decision.intent.spec.plan.model_dump(mode="json", by_alias=True, exclude_none=True) if decision.intent else None
    return {
        "target": target,
        "policy": case.policy.metadata.name if case.policy else None,
        "findings": [{"trigger": one.trigger, "type": one.type, "state": one.state, "message": one.message} for one in decision.findings],
        "decision": told,
        "intends": {"step": decision.intent.spec.step, "plan": plan} if decision.intent else None,
        "refusals": [{"reason": one.reason, "message": one.message} for one in decision.refusals],
        "notKnown": unknowns(verdict),
    }
