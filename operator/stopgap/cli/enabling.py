"""`enable`: the RoleBindings by which the owner of a namespace allows the actions that its policies use."""

from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any, Final

import typer
from pydantic import BaseModel

from stopgap.api import ClusterRemediationPolicy, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.api.policy import GitOps
from stopgap.cli.printing import dumped
from stopgap.cli.refusals import Refused
from stopgap.cli.session import Desk, Session, read
from stopgap.cli.verbs import verb
from stopgap.core import matching
from stopgap.effects.errors import Conflict
from stopgap.effects.kube import collection
from stopgap.model.base import SUSPEND_ROLE, action_role
from stopgap.model.refs import SecretKeyRef
from stopgap.settings import DEFAULT_NAMESPACE

RBAC: Final = "rbac.authorization.k8s.io"
ACCOUNT: Final = "stopgap"
"""Needed where the GitOps object is, which the policy does not say."""
SECRETS: Final = "stopgap-secrets"
"""The Role of the Secrets that policies name. One that is there already is left as it is; names are added to it by hand."""


def roles(policies: Iterable[Policy]) -> list[str]:
    """Return the ClusterRoles of the actions that policies use, whatever their mode: one for each kind of action."""
    used: dict[str, None] = {}
    for policy in policies:
        for step in policy.spec.steps:
            if step.action is not None and step.action.rules:
                used[action_role(step.action.name)] = None
        if policy.spec.git_ops is GitOps.SUSPEND_OWNER and policy.spec.steps:
            used[SUSPEND_ROLE] = None
    return list(used)


def secrets(policies: Iterable[Policy]) -> list[str]:
    """Return the Secrets that a namespace's own policies name; those of cluster policies are in Stopgap's namespace."""
    return sorted({name for one in policies if isinstance(one, RemediationPolicy) for name in _named(one.spec)})


def _named(part: object) -> Iterator[str]:
    if isinstance(part, SecretKeyRef):
        yield part.name
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from _named(getattr(part, name))
    elif isinstance(part, tuple):
        for one in part:
            yield from _named(one)


def binding(role: str, namespace: str, own_namespace: str, *, kind: str = "ClusterRole") -> dict[str, Any]:
    """Return the RoleBinding that grants one of them to Stopgap."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": own_namespace}],
    }


def grants(policies: Collection[Policy], namespace: str, own_namespace: str) -> list[dict[str, Any]]:
    """Return everything by which a namespace's owner allows what its policies use."""
    made = [binding(role, namespace, own_namespace) for role in roles(policies)]
    if names := secrets(policies):
        rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"]}
        meta = {"name": SECRETS, "namespace": namespace}
        made.append({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": [rule]})
        made.append(binding(SECRETS, namespace, own_namespace, kind="Role"))
    return made


async def policies_of(desk: Desk, namespace: str) -> list[Policy]:
    """List the policies that are about a namespace, also those of the cluster as far as you may see them."""
    own: list[Policy] = [read(RemediationPolicy, one) for one in await desk.owns(RemediationPolicy, namespace)]
    space = await desk.allowed(desk.raw("v1", "namespaces", namespace), {"metadata": {}})
    labels = space["metadata"].get("labels") or {}
    bodies = await desk.allowed(desk.owns(ClusterRemediationPolicy, None), [])
    return own + [one for one in (read(ClusterRemediationPolicy, body) for body in bodies) if matching.selects(one, namespace, labels)]


@verb
def enable(
    session: Session,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="create them, instead of printing them")] = False,
    operator_namespace: Annotated[str, typer.Option("--operator-namespace", help="where Stopgap runs")] = DEFAULT_NAMESPACE,
) -> None:
    """Allow in a namespace what its policies use: prints the RoleBindings, or creates them."""

    async def ask(desk: Desk) -> list[tuple[dict[str, Any], bool]]:
        wanted = grants(await policies_of(desk, session.namespace), session.namespace, operator_namespace)
        return [(one, await _create(desk, one) if apply else False) for one in wanted]

    made = session.run(ask)
    if not made:
        raise Refused(f"no policy of {session.namespace} uses anything that has to be allowed", 3)
    if any(one["metadata"]["name"] == SUSPEND_ROLE for one, _ in made):
        typer.echo(
            f"{SUSPEND_ROLE} has to be bound where the Application, Kustomization or HelmRelease is, which may be elsewhere", err=True
        )
    if not apply:
        session.say("---\n".join(dumped(one, "json" if session.output == "json" else "yaml") for one, _ in made))
        return
    for one, new in made:
        session.say(
            f"{one['kind'].lower()}.{RBAC}/{one['metadata']['name']} in {session.namespace}: {'created' if new else 'there already'}\n"
        )


async def _create(desk: Desk, body: dict[str, Any]) -> bool:
    try:
        await desk.create(collection(f"{RBAC}/v1", f"{body['kind'].lower()}s", body["metadata"]["namespace"]), body)
    except Conflict as error:
        if not error.already_exists:
            raise
        return False
    return True
