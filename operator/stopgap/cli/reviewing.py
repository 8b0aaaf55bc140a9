"""`review`: fills in the PostMortem of an incident, by flags or by asking."""

import sys
from typing import Annotated, Any, Final

import typer

from stopgap.api import PostMortem
from stopgap.api.postmortem import ActionItem
from stopgap.cli.printing import lines
from stopgap.cli.reading import review_of
from stopgap.cli.refusals import Refused
from stopgap.cli.session import Desk, Session
from stopgap.cli.verbs import Name, verb
from stopgap.effects.kube import collection
from stopgap.model.base import API_VERSION

_QUESTIONS: Final = (
    ("rootCause", "Why did it happen?"),
    ("impact.usersAffected", "Who was affected, and how many?"),
    ("impact.revenue", "What did it cost?"),
    ("impact.dataLoss", "Which data was lost, or may be wrong?"),
    ("lessons", "What was learned?"),
)


@verb
def review(  # noqa: PLR0913 - the parts of a review
    session: Session,
    name: Name,
    *,
    root_cause: Annotated[str, typer.Option(help="why it happened")] = "",
    users_affected: Annotated[str, typer.Option(help="who was affected, and how many; `none` is an answer")] = "",
    revenue: Annotated[str, typer.Option(help="what it cost; `none` is an answer")] = "",
    data_loss: Annotated[str, typer.Option(help="which data was lost; `none` is an answer")] = "",
    lessons: Annotated[str, typer.Option(help="what was learned")] = "",
    action_item: Annotated[
        list[str] | None, typer.Option(metavar="TITLE;OWNER;DUE", help="what is done, by whom, by 2026-12-01; repeatable")
    ] = None,
    no_action_items: Annotated[bool, typer.Option("--no-action-items", help="nothing is to be done")] = False,
    completed: Annotated[bool, typer.Option("--completed", help="the review is finished")] = False,
) -> None:
    """Fill in the review of an incident. Without flags, at a terminal, it asks for what is owed."""
    said = _spec(root_cause, {"usersAffected": users_affected, "revenue": revenue, "dataLoss": data_loss}, lessons)
    items = [item_of(one) for one in action_item or []]

    async def ask(desk: Desk) -> dict[str, Any]:
        found = await review_of(desk, name) or await _begun(desk, name)
        spec = found["spec"]
        changes = said
        if not (changes or items or no_action_items or completed):
            changes = asked(spec)
        more: dict[str, Any] = {}
        if new := changes.pop("actionItems", []) + items:
            # A merge patch replaces lists, so that what others wrote in between is guarded by the version.
            more["actionItems"] = [*spec.get("actionItems", []), *new]
        flags = {"noActionItems": no_action_items, "completed": completed or changes.pop("completed", False)}
        body = {"spec": {**changes, **more, **{key: True for key, value in flags.items() if value}}}
        if more:
            body["metadata"] = {"resourceVersion": found["metadata"]["resourceVersion"]}
        return await desk.change(PostMortem, found["metadata"]["name"], body)

    made = session.run(ask)
    if session.asks_for_data():
        session.data(made)
        return
    session.say(f"postmortem.stopgap.dev/{made['metadata']['name']}: written\n")
    session.say(f"kubectl stopgap postmortem -n {session.namespace} {name} prints it, and says what is still owed\n")


def _spec(root_cause: str, impact: dict[str, str], lessons: str) -> dict[str, Any]:
    given = {key: value for key, value in impact.items() if value}
    said = {"rootCause": root_cause, "lessons": lessons, "impact": given}
    return {key: value for key, value in said.items() if value}


def item_of(text: str) -> dict[str, str]:
    """Understand an action item, `title;owner;due`. Raises Refused."""
    parts = [one.strip() for one in text.rsplit(";", 2)]
    try:
        made = ActionItem.model_validate(dict(zip(("title", "owner", "due"), parts, strict=False)))
    except ValueError as error:
        raise Refused(f"{text!r}: write an action item as TITLE;OWNER;DUE, such as 'add a probe;ana;2026-12-01'", 2) from error
    return made.model_dump(mode="json", by_alias=True, exclude_none=True)


async def _begun(desk: Desk, name: str) -> dict[str, Any]:
    """Begin the review of an incident that has none."""
    incident = await desk.incident(name)
    spec = {"incidentRef": {"name": name, "uid": incident.metadata.uid}}
    body = {"apiVersion": API_VERSION, "kind": "PostMortem", "metadata": {"name": name}, "spec": spec}
    return await desk.create(collection(API_VERSION, PostMortem.plural, desk.session.namespace), body)


def asked(spec: dict[str, Any]) -> dict[str, Any]:
    """Ask a person for what is missing. Raises Refused where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Refused("say what is to be written with flags (--help lists them): there is no terminal to ask at", 2)
    said: dict[str, Any] = {}
    for path, question in _QUESTIONS:
        outer, _, inner = path.partition(".")
        known = (spec.get(outer) or {}).get(inner) if inner else spec.get(outer)
        if known:
            typer.echo(f"{question} {lines(str(known))}")
        elif answer := typer.prompt(question, default="", show_default=False).strip():
            said |= {outer: {**said.get(outer, {}), inner: answer} if inner else answer}
    while text := typer.prompt("An action item, as TITLE;OWNER;DUE (empty: no more)", default="", show_default=False).strip():
        said["actionItems"] = [*said.get("actionItems", []), item_of(text)]
    if typer.confirm("Is the review finished?", default=False):
        said["completed"] = True
    return said
