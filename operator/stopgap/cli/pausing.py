"""pause and resume: a person's order to stop, by the annotation that every place takes, also where the spec is held in Git."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from stopgap.api import ClusterRemediationPolicy, RemediationConfig, RemediationPolicy
from stopgap.api.config import NAME as CONFIG
from stopgap.cli.refusals import Refused
from stopgap.cli.session import WORKLOADS, Desk, Session
from stopgap.cli.verbs import verb
from stopgap.core.limits import PAUSE
from stopgap.effects.errors import NotFound
from stopgap.effects.kube import collection, item
from stopgap.effects.written import PLURALS
from stopgap.model.base import API_VERSION
from stopgap.settings import DEFAULT_NAMESPACE

_OURS = {"rpol": RemediationPolicy, "remediationpolicy": RemediationPolicy, "crpol": ClusterRemediationPolicy}
_OURS |= {"clusterremediationpolicy": ClusterRemediationPolicy}
Place_ = Annotated[str, typer.Argument(metavar="[KIND/NAME]", help="deploy/NAME, sts/NAME, ns/NAME, rpol/NAME, crpol/NAME, or everything")]
Own = Annotated[str, typer.Option("--operator-namespace", help="where Stopgap runs")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the annotation goes."""

    path: str
    words: str


def place(text: str, namespace: str, own_namespace: str) -> Place:
    """Understand where to pause. Raises Refused."""
    if text == "everything":
        path = item(API_VERSION, RemediationConfig.plural, CONFIG, namespace=own_namespace)
        return Place(path, "everything: no action and no restore happens anywhere")
    if not text:
        return Place(item("v1", "namespaces", namespace), f"namespace {namespace}")
    kind, _, name = text.rpartition("/")
    if kind.lower() in {"ns", "namespace", "namespaces"}:
        return Place(item("v1", "namespaces", name), f"namespace {name}")
    if (workload := WORKLOADS.get(kind.lower())) and name:
        return Place(item("apps/v1", PLURALS[workload], name, namespace=namespace), f"{workload.lower()}/{name} in {namespace}")
    if (own := _OURS.get(kind.lower().removesuffix("s"))) and name:
        within = namespace if own.scope == "Namespaced" else None
        return Place(item(API_VERSION, own.plural, name, namespace=within), f"policy {name}")
    raise Refused(f"{text!r}: write deploy/NAME, sts/NAME, ns/NAME, rpol/NAME, crpol/NAME, or everything; nothing means the namespace", 2)


@verb
def pause(
    session: Session,
    where: Place_ = "",
    *,
    reason: Annotated[str, typer.Option("-m", "--reason", help="why; shown wherever an action is held back for it")],
    operator_namespace: Own = DEFAULT_NAMESPACE,
) -> None:
    """Stop every action on a workload, in a namespace, under a policy, or everywhere. Signals are watched and told as ever."""
    at = place(where, session.namespace, operator_namespace)
    session.run(lambda desk: _annotate(desk, at, reason, operator_namespace))
    session.say(f"paused: {at.words}\n")


@verb
def resume(session: Session, where: Place_ = "", *, operator_namespace: Own = DEFAULT_NAMESPACE) -> None:
    """End a pause that was made with the annotation. What is in a spec (pauseRequests) is ended there."""
    at = place(where, session.namespace, operator_namespace)
    body = session.run(lambda desk: _annotate(desk, at, None, operator_namespace))
    session.say(f"not paused any more by its annotation: {at.words.partition(':')[0]}\n")
    if requests := body.get("spec", {}).get("pauseRequests"):
        who = "; ".join(f"{one['name']}: {one['reason']}" for one in requests)
        raise Refused(f"it is still paused by spec.pauseRequests ({who})", 3)


async def _annotate(desk: Desk, at: Place, reason: str | None, own_namespace: str) -> dict[str, Any]:
    changes = {"metadata": {"annotations": {PAUSE: reason}}}
    try:
        return await desk.merge(at.path, changes)
    except NotFound as error:
        config = item(API_VERSION, RemediationConfig.plural, CONFIG, namespace=own_namespace)
        if at.path != config or reason is None or "not found" not in error.message:
            raise
    body = {
        "apiVersion": API_VERSION,
        "kind": "RemediationConfig",
        "metadata": {"name": CONFIG, "annotations": {PAUSE: reason}},
        "spec": {},
    }
    return await desk.create(collection(API_VERSION, RemediationConfig.plural, own_namespace), body)
