"""The verbs by which people say something about an incident: open, ack, approve, reject, mitigate, resolve, undo."""

import secrets
from typing import Annotated, Any

import typer

from stopgap.api import Incident, Remediation
from stopgap.api.incident import Closing
from stopgap.api.remediation import RemediationState, Verdict
from stopgap.cli.refusals import Refused
from stopgap.cli.session import Desk, Session, read, target_of
from stopgap.cli.verbs import Name, verb
from stopgap.core.restoring import ASKED
from stopgap.effects.errors import NotFound
from stopgap.effects.kube import collection
from stopgap.model.base import API_VERSION, GROUP
from stopgap.model.severity import Severity

LONGEST_NAME = 63
Message = Annotated[str, typer.Option("-m", "--message", help="why, for the record")]


def _done(session: Session, body: dict[str, Any], words: str) -> None:
    if session.asks_for_data():
        session.data(body)
    else:
        session.say(f"{body['kind'].lower()}.{GROUP}/{body['metadata']['name']}: {words}\n")


@verb
def open_(  # noqa: PLR0913 - the facts of an incident
    session: Session,
    title: Annotated[str, typer.Argument(help="one line that says what is wrong")],
    target: Annotated[str, typer.Argument(metavar="[KIND/NAME]", help="the workload that is ill, such as deploy/api")] = "",
    *,
    severity: Annotated[str, typer.Option(help="P1 to P4")] = "",
    impact: Annotated[str, typer.Option(help="who is affected, and how")] = "",
    description: Annotated[str, typer.Option(help="what is known so far")] = "",
    policy: Annotated[str, typer.Option(help="the RemediationPolicy that decides (default: the one that matches)")] = "",
    name: Annotated[str, typer.Option(help="name of the Incident (default: made up)")] = "",
) -> None:
    """Open an incident. Without a workload it is a record only: it is told and reviewed, and nothing is done."""
    if severity and severity not in set(Severity):
        raise Refused(f"{severity} is no severity; there are {', '.join(Severity)}", 2)
    spec: dict[str, Any] = {"title": title, "severity": severity, "impact": impact, "description": description}
    spec = {key: value for key, value in spec.items() if value}
    about = "incident"
    if target:
        kind, about = target_of(target)
        spec["targetRef"] = {"apiVersion": "apps/v1", "kind": kind, "name": about}
    if policy:
        spec["policyRef"] = {"kind": "RemediationPolicy", "name": policy}
    meta = {"name": name} if name else {"generateName": f"{about[:LONGEST_NAME]}-"}
    body = {"apiVersion": API_VERSION, "kind": "Incident", "metadata": meta, "spec": {**spec, "source": {"type": "Manual"}}}
    made = session.run(lambda desk: desk.create(collection(API_VERSION, Incident.plural, session.namespace), body))
    _done(session, made, f"opened; kubectl stopgap get -n {session.namespace} {made['metadata']['name']} -w shows what follows")


@verb
def ack(session: Session, name: Name, *, by: Annotated[str, typer.Option(help="who takes it (default: you)")] = "") -> None:
    """Take an incident. It stops no automation; nobody is called about it again for want of an answer."""

    async def ask(desk: Desk) -> dict[str, Any]:
        who = (by or await desk.whoami())[:LONGEST_NAME]
        if not who:
            raise Refused("the API server does not say who you are; say it with --by", 2)
        return await desk.change(Incident, name, {"spec": {"acknowledgedBy": who}})

    made = session.run(ask)
    _done(session, made, f"taken by {made['spec']['acknowledgedBy']}")


@verb
def approve(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="an Incident, or a Remediation")], *, message: Message = ""
) -> None:
    """Say yes to the action that waits. Every guard is asked again before it is done."""
    _answer(session, name, Verdict.APPROVED, message)


@verb
def reject(
    session: Session, name: Annotated[str, typer.Argument(metavar="NAME", help="an Incident, or a Remediation")], *, message: Message = ""
) -> None:
    """Say no to the action that waits. The step is not asked for again in this incident."""
    _answer(session, name, Verdict.REJECTED, message)


def _answer(session: Session, name: str, verdict: Verdict, message: str) -> None:
    async def ask(desk: Desk) -> tuple[Remediation, dict[str, Any]]:
        waiting = await _waiting(desk, name)
        said = {"decision": str(verdict), "by": await desk.whoami(), "message": message}
        changes = {"spec": {"approval": {key: value for key, value in said.items() if value}}}
        return waiting, await desk.change(Remediation, waiting.metadata.name, changes)

    waiting, made = session.run(ask)
    by = made["spec"]["approval"].get("by", "")
    _done(session, made, f"{str(verdict).lower()} by {by}: {waiting.spec.plan.summary}")


async def _waiting(desk: Desk, name: str) -> Remediation:
    """Find the remediation that waits, by its own name or by that of its incident."""
    try:
        one = read(Remediation, await desk.own(Remediation, name))
    except Refused as refused:
        if not isinstance(refused.__cause__, NotFound):
            raise
        incident = await desk.incident(name)
        waiting = [each for each in await desk.remediations_of(incident) if each.state is RemediationState.AWAITING_APPROVAL]
        if not waiting:
            raise Refused(f"nothing of incident {name} waits for an answer", 3) from None
        one = waiting[-1]
    if one.spec.approval is not None:
        raise Refused(f"{one.metadata.name} was {str(one.spec.approval.decision).lower()} by {one.spec.approval.by} already", 3)
    if one.state is not RemediationState.AWAITING_APPROVAL:
        raise Refused(f"{one.metadata.name} does not wait for an answer: it is {one.state}", 3)
    return one


@verb
def mitigate(
    session: Session,
    name: Name,
    *,
    step: Annotated[str, typer.Option(help="a step of the policy that decides")],
    request_id: Annotated[
        str, typer.Option("--request-id", help="names this order; the same one again does nothing (default: made up)")
    ] = "",
) -> None:
    """Order a step of the policy, once, now. Its `when` and mode do not matter; the guards and the platform's ceiling do."""
    order = {"step": step, "requestID": request_id or secrets.token_hex(4)}
    made = session.run(lambda desk: desk.change(Incident, name, {"spec": {"mitigate": order}}))
    _done(session, made, f"step {step} is ordered; kubectl stopgap get -n {session.namespace} {name} -w shows what comes of it")


@verb
def resolve(
    session: Session,
    name: Name,
    *,
    false_alarm: Annotated[
        bool, typer.Option("--false-alarm", help="there was no incident: what was denied for it is trusted again")
    ] = False,
) -> None:
    """End an incident. This is final; the same signal opens no other one before it was quiet or the template changed."""
    resolution = Closing.FALSE_ALARM if false_alarm else Closing.RESOLVED
    made = session.run(lambda desk: desk.change(Incident, name, {"spec": {"resolution": str(resolution)}}))
    _done(session, made, f"ended as {resolution}")


@verb
def undo(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="REMEDIATION", help="the action whose temporary change is put back")],
    *,
    abandon: Annotated[bool, typer.Option("--abandon", help="leave it as it is: you take care of it yourself")] = False,
) -> None:
    """Put back now what an action changed for a while, or resume the GitOps owner that it paused."""

    async def ask(desk: Desk) -> dict[str, Any]:
        one = read(Remediation, await desk.own(Remediation, name))
        if not one.owes_restore and not one.owes_resume:
            stays = f"it is {one.state}, and what it did is not temporary or was put back already"
            raise Refused(f"{name} has nothing to put back: {stays}. To go forward again, deploy a release, or kubectl rollout undo", 3)
        return await desk.change(Remediation, name, {"metadata": {"annotations": {ASKED: "abandon" if abandon else "now"}}})

    made = session.run(ask)
    _done(
        session,
        made,
        "left to you" if abandon else "is put back as soon as the operator sees it, only where it is still as Stopgap left it",
    )
