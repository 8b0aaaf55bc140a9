"""The verbs that only read: list, get, status, timeline, update, postmortem."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Group
from rich.text import Text

from stopgap.api import Incident, PostMortem
from stopgap.api.remediation import RemediationState
from stopgap.cli import tables
from stopgap.cli.printing import lines
from stopgap.cli.refusals import Refused
from stopgap.cli.session import Desk, Session, read
from stopgap.cli.tables import is_over, status_of
from stopgap.cli.tree import next_steps, tree
from stopgap.cli.verbs import Name, verb
from stopgap.core import lifecycle
from stopgap.effects.errors import Gone, Unanswered
from stopgap.effects.kube import collection
from stopgap.model.base import API_VERSION
from stopgap.model.conditions import find, holds
from stopgap.model.duration import parse
from stopgap.model.reasons import Reason

OPEN_ONLY: Final = {"labelSelector": "stopgap.dev/closed!=true"}
_UNDER_WAY: Final = frozenset(str(one) for one in RemediationState if not one.ended)
AGAIN_SECONDS: Final = 0.5
"""After a watch broke."""


class Outcome(IntEnum):
    """Exit statuses of `status`, for scripts."""

    WELL = 0
    """Mitigated, or over."""
    BLEEDING = 3
    """Not yet: Stopgap has not ended its work."""
    PEOPLE = 4
    """People have to do something: it is escalated, waits for an approval, or something stands against every action."""


@verb
def list_(session: Session, *, every: Annotated[bool, typer.Option("--all", help="also those that are over")] = False) -> None:
    """List incidents, the worst first."""

    async def ask(desk: Desk) -> tuple[list[dict[str, Any]], Any]:
        bodies = await desk.owns(Incident, session.scope, None if every else OPEN_ONLY)
        return bodies, desk.now

    bodies, now = session.run(ask)
    raw = {one["metadata"]["uid"]: one for one in bodies}
    found = tables.by_severity(read(Incident, one) for one in bodies)
    found = found if every else [one for one in found if not is_over(one)]
    if session.asks_for_data():
        session.data([raw[one.metadata.uid or ""] for one in found])
        return
    if not found:
        where = "anywhere" if session.scope is None else f"in {session.scope}"
        session.say(f"No {'' if every else 'open '}incidents {where}.\n")
        return
    session.show(tables.incidents(found, now, namespaces=session.all_namespaces, wide=session.wide, width=session.paper.width))


@verb
def get(
    session: Session,
    name: Name,
    *,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="show it anew whenever it changes, until it is over")] = False,
) -> None:
    """Show one incident: signals, triage, decision with why and why not, action, verification, restore."""
    if session.asks_for_data():
        session.data(session.run(lambda desk: desk.own(Incident, name)))
        return

    async def ask(desk: Desk) -> None:
        async with aclosing(_states(desk, name, follow=watch)) as states:
            async for body in states:
                incident = read(Incident, body)
                await _show(desk, incident, between=watch)
                if is_over(incident):
                    return

    session.run(ask)


async def _show(desk: Desk, incident: Incident, *, between: bool) -> None:
    session, remediations = desk.session, await desk.remediations_of(incident)
    shown: list[Any] = [tree(incident, remediations, desk.now)]
    if steps := next_steps(incident, remediations):
        shown += [Text("\nWhat you can do now:"), *(Text(f"  {one}") for one in steps)]
    if between and session.paper.colour:
        session.say("\x1b[H\x1b[2J")  # a terminal that is watched shows the newest state only
    session.show(Group(*shown))
    if between and not session.paper.colour:
        session.say("---\n")


async def _states(desk: Desk, name: str, *, follow: bool) -> AsyncGenerator[dict[str, Any], None]:
    """Yield an incident as it is, and where it is followed again whenever it changes, until it is deleted."""
    body = await desk.own(Incident, name)
    path = collection(API_VERSION, Incident.plural, desk.session.namespace)
    while True:
        yield body
        if not follow:
            return
        version = body["metadata"]["resourceVersion"]
        params = {"watch": "1", "fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        try:
            async with aclosing(desk.kube.lines(path, params)) as events:
                async for line in events:
                    event = msgspec.json.decode(line)
                    if event["type"] == "DELETED":
                        return
                    if event["type"] == "ERROR":
                        break
                    yield event["object"]
        except (Unanswered, Gone):
            await asyncio.sleep(AGAIN_SECONDS)
        body = await desk.own(Incident, name)


def outcome(incident: Incident) -> tuple[Outcome, str]:
    """Say how an incident stands, for a script and in words."""
    status = status_of(incident)
    allowed = find(status.conditions, lifecycle.ALLOWED)
    if is_over(incident) or holds(status.conditions, lifecycle.MITIGATED):
        return Outcome.WELL, str(status.phase)
    if holds(status.conditions, lifecycle.ESCALATED):
        escalated = find(status.conditions, lifecycle.ESCALATED)
        return Outcome.PEOPLE, f"Escalated: {escalated.message if escalated else ''}"
    if allowed and allowed.reason == Reason.ApprovalPending:
        return Outcome.PEOPLE, f"ApprovalPending: {allowed.message}"
    return Outcome.BLEEDING, f"{status.phase or 'not looked at yet'}{f' ({allowed.reason}: {allowed.message})' if allowed else ''}"


@verb
def status(
    session: Session,
    name: Name,
    *,
    timeout: Annotated[str, typer.Option(help="wait so long until it is mitigated, such as 10m")] = "0s",
) -> int:
    """Say how an incident stands. Exit status: 0 mitigated or over, 3 not yet, 4 people have to do something, 1 it cannot be told."""
    seconds = parse(timeout).total_seconds()

    async def ask(desk: Desk) -> Incident:
        last: list[Incident] = []
        try:
            async with asyncio.timeout(seconds or None):
                async with aclosing(_states(desk, name, follow=seconds > 0)) as states:
                    async for body in states:
                        last = [read(Incident, body)]
                        if outcome(last[0])[0] is Outcome.WELL or _given_up(last[0]):
                            break
        except TimeoutError:
            if not last:
                raise Refused("the API server did not answer in time") from None
        return last[0]

    incident = session.run(ask)
    code, words = outcome(incident)
    if session.asks_for_data():
        session.data({"name": name, "outcome": code.name.capitalize(), "phase": status_of(incident).phase, "message": words})
    else:
        session.say(f"{incident.metadata.name}: {lines(words)}\n")
    return int(code)


def _given_up(incident: Incident) -> bool:
    """Whether waiting makes no sense: automation has ended, and nothing that a person ordered is under way. An approval may still come."""
    status = status_of(incident)
    under_way = any(one.state in _UNDER_WAY for one in status.remediations)
    return holds(status.conditions, lifecycle.ESCALATED) and not under_way


@verb
def timeline(session: Session, name: Name) -> None:
    """Show the story of an incident, oldest first."""

    async def ask(desk: Desk) -> tuple[dict[str, Any], Any]:
        return await desk.own(Incident, name), desk.now

    body, now = session.run(ask)
    if session.asks_for_data():
        session.data(body.get("status", {}).get("timeline", []))
        return
    session.show(tables.timeline(read(Incident, body), now))


@verb
def update(session: Session, name: Name) -> None:
    """Print the communication update, ready to be passed on."""
    incident = session.run(lambda desk: desk.incident(name))
    text = status_of(incident).update
    if not text:
        raise Refused(f"nothing was written about {name} yet; is the operator running? kubectl stopgap check tells", 3)
    session.say(f"{lines(text)}\n")


@verb
def postmortem(session: Session, name: Name) -> None:
    """Print the review of an incident, as far as it is written; what people owe goes to standard error."""
    found = session.run(lambda desk: review_of(desk, name))
    if found is None:
        raise Refused(f"there is no PostMortem of {name}; kubectl stopgap review {name} begins one")
    if session.asks_for_data():
        session.data(found)
        return
    told = read(PostMortem, found).status
    if told is None:
        raise Refused(
            f"PostMortem {found['metadata']['name']} has no document yet; is the operator running? kubectl stopgap check tells", 3
        )
    session.say(f"{lines(told.document)}\n")
    if told.owed:
        typer.echo(f"\nOwed: {'; '.join(lines(one) for one in told.owed)}", err=True)


async def review_of(desk: Desk, incident: str) -> dict[str, Any] | None:
    """Return the PostMortem of an incident, which may be gone by now, or None."""
    bodies = await desk.owns(PostMortem, desk.session.namespace)
    return next((one for one in bodies if one["spec"]["incidentRef"]["name"] == incident), None)
