"""`check`: whether everything is installed, allowed and reachable, and what was left behind. Looks, and changes nothing."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from stopgap.api import KINDS, ClusterRemediationPolicy, Remediation, RemediationConfig, RemediationPolicy
from stopgap.api.config import NAME as CONFIG
from stopgap.api.ladder import Mode
from stopgap.cli.enabling import RBAC, policies_of, roles
from stopgap.cli.printing import length
from stopgap.cli.refusals import sentence
from stopgap.cli.session import Desk, Session, read
from stopgap.cli.tree import NO, YES, line
from stopgap.cli.verbs import verb
from stopgap.core import limits
from stopgap.core.marks import RESTORE, read_mark
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.written import PLURALS, SCALERS
from stopgap.model.base import API_VERSION, SUSPEND_ROLE
from stopgap.settings import DEFAULT_NAMESPACE

ADMISSION: Final = (
    "stopgap-approval",
    "stopgap-daemonsets",
    "stopgap-incidents",
    "stopgap-pods",
    "stopgap-policies",
    "stopgap-policies-notify",
    "stopgap-policies-scaler",
    "stopgap-policies-suspend-owner",
    "stopgap-records",
    "stopgap-signals",
    "stopgap-statefulsets",
    "stopgap-workloads",
)
"""What manifests/admission/ installs (ValidatingAdmissionPolicies)."""
SILENT: Final = timedelta(seconds=15)
"""A leader renews its Lease every few seconds; nobody leads who has not done so for this long."""


class Health(StrEnum):
    """What a check says."""

    WELL = YES
    """As it should be."""
    ODD = "!"
    """Worth a look; or it could not be looked at."""
    WRONG = NO
    """Stopgap cannot do its work like this."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, and what to do about it."""

    health: Health
    what: str
    then: str = ""


Check = Callable[[Desk, str], Awaitable[list[Result]]]


@verb
def check(
    session: Session,
    *,
    operator_namespace: Annotated[str, typer.Option("--operator-namespace", help="where Stopgap runs")] = DEFAULT_NAMESPACE,
) -> int:
    """Look whether everything is installed, allowed and reachable, and what was left behind. Exit status 1: something is wrong."""

    async def ask(desk: Desk) -> list[Result]:
        found = await _reached(desk)
        for one in CHECKS:
            found += await _looked(one, desk, operator_namespace)
        return found

    results = session.run(ask)
    if session.asks_for_data():
        session.data([{"health": one.health.name.capitalize(), "what": one.what, "then": one.then} for one in results])
    else:
        for one in results:
            session.show(report(one))
    return int(any(one.health is Health.WRONG for one in results))


def report(one: Result) -> Text:
    """Lay out one result."""
    return line(f"{one.health} ", one.what, f". {one.then}" if one.then else "")


async def _reached(desk: Desk) -> list[Result]:
    """Without this, nothing else needs to be asked."""
    version = msgspec.json.decode(await desk.kube.get("/version"))["gitVersion"]
    return [Result(Health.WELL, f"the API server answers, Kubernetes {version}")]


async def _looked(one: Check, desk: Desk, own: str) -> list[Result]:
    try:
        return await one(desk, own)
    except Forbidden as error:
        return [Result(Health.ODD, f"not looked at: {sentence(error)}")]
    except KubeError as error:
        return [Result(Health.WRONG, f"{(one.__doc__ or '').rstrip('.')}: {sentence(error)}")]


async def kinds(desk: Desk, _own: str) -> list[Result]:
    """Whether the API server knows our kinds."""
    try:
        served = msgspec.json.decode(await desk.kube.get(f"/apis/{API_VERSION}"))["resources"]
    except NotFound:
        return [Result(Health.WRONG, "none of Stopgap's kinds is installed", "kubectl apply --server-side -f crds/")]
    missing = sorted({kind.plural for kind in KINDS} - {one["name"] for one in served})
    if missing:
        return [Result(Health.WRONG, f"kinds are missing: {', '.join(missing)}", "kubectl apply --server-side -f crds/")]
    return [Result(Health.WELL, f"all {len(KINDS)} kinds are installed ({API_VERSION})")]


async def admission(desk: Desk, _own: str) -> list[Result]:
    """Whether the admission policies are there."""
    found = await desk.listed("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", None)
    bound = await desk.listed("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", None)
    in_force = {one["metadata"]["name"] for one in found} & {one["spec"]["policyName"] for one in bound}
    if missing := [one for one in ADMISSION if one not in in_force]:
        why = f"admission policies are not in force: {', '.join(missing)}"
        return [Result(Health.WRONG, why, "kubectl apply --server-side -f manifests/admission/")]
    return [Result(Health.WELL, f"all {len(ADMISSION)} admission policies are in force")]


async def leader(desk: Desk, own: str) -> list[Result]:
    """Whether a copy of the operator leads."""
    install = "kubectl apply -f manifests/install/, or look at its log"
    try:
        spec = (await desk.raw("coordination.k8s.io/v1", "leases", "stopgap", namespace=own))["spec"]
    except NotFound:
        return [Result(Health.WRONG, f"no copy of the operator has ever led in {own}", install)]
    silent = desk.now - datetime.fromisoformat(spec["renewTime"])
    if not spec.get("holderIdentity") or silent > SILENT:
        return [Result(Health.WRONG, f"nobody leads: the Lease was last renewed {length(silent)} ago", install)]
    return [Result(Health.WELL, f"{spec['holderIdentity']} leads")]


async def config(desk: Desk, own: str) -> list[Result]:
    """Whether the platform's config lets anything happen."""
    bodies = await desk.owns(RemediationConfig, own)
    body = next((one for one in bodies if one["metadata"]["name"] == CONFIG), None)
    if body is None:
        return [Result(Health.WELL, "there is no RemediationConfig, so the defaults hold")]
    try:
        one = read(RemediationConfig, body)
    except ValueError:
        return [Result(Health.WRONG, "the RemediationConfig cannot be understood, which pauses everything", "kubectl stopgap lint -f")]
    holding = [f"{each.name}: {each.reason}" for each in one.spec.pause_requests if each.holds(desk.now)]
    mark = limits.pause_mark(one.metadata.annotations)
    if paused := "; ".join([*holding, *([mark] if mark else [])]):
        return [Result(Health.ODD, f"everything is paused: {paused}", "kubectl stopgap resume everything")]
    return [Result(Health.WELL, f"the RemediationConfig allows up to mode {one.spec.max_mode}")]


async def policies(desk: Desk, _own: str) -> list[Result]:
    """Whether the policies are understood."""
    scope = desk.session.scope
    bodies = await desk.owns(RemediationPolicy, scope) + await desk.allowed(desk.owns(ClusterRemediationPolicy, None), [])
    results = []
    for body in bodies:
        name = "/".join(filter(None, (body["metadata"].get("namespace"), body["metadata"]["name"])))
        told = {one["type"]: one for one in (body.get("status") or {}).get("conditions", [])}
        ready = told.get("Ready")
        if ready is None:
            results.append(Result(Health.ODD, f"policy {name} was not looked at yet"))
        elif ready["status"] != "True":
            results.append(Result(Health.WRONG, f"policy {name} is not Ready: {ready['message']}"))
        if (known := told.get("SignalsKnown")) and known["status"] == "False":
            results.append(Result(Health.ODD, f"policy {name}: {known['message']}"))
    return results or [Result(Health.WELL, f"{len(bodies)} policies are Ready")]


async def rights(desk: Desk, _own: str) -> list[Result]:
    """Whether the owners of the namespaces allow what the policies use."""
    scope = desk.session.scope
    spaces = [scope] if scope else sorted({one["metadata"]["namespace"] for one in await desk.owns(RemediationPolicy, None)})
    results = []
    for space in spaces:
        wanted = roles(one for one in await policies_of(desk, space) if one.spec.mode is not Mode.OBSERVE)
        bound = {one["roleRef"]["name"] for one in await desk.listed(f"{RBAC}/v1", "rolebindings", space)}
        if missing := [one for one in wanted if one not in bound and one != SUSPEND_ROLE]:
            what = f"in {space} Stopgap may not do what its policies use: {', '.join(missing)}"
            results.append(Result(Health.WRONG, what, f"kubectl stopgap enable -n {space} --apply"))
    return results or [Result(Health.WELL, f"what the policies use is allowed in {', '.join(spaces) or 'no namespace'}")]


async def leftovers(desk: Desk, _own: str) -> list[Result]:
    """Whether something temporary was left behind."""
    scope = desk.session.scope
    owed = {one.metadata.uid for one in map(_remediation, await desk.owns(Remediation, scope)) if one.unfinished}
    found = []
    for kind, (version, plural) in {**{kind: ("apps/v1", plural) for kind, plural in PLURALS.items()}, **SCALERS}.items():
        for body in await desk.allowed(desk.listed(version, plural, scope), []):
            text = (body["metadata"].get("annotations") or {}).get(RESTORE)
            lent = read_mark(text) if text else None
            if text and (lent is None or lent.remediation_uid not in owed):
                said = f"{lent.field} was set to {lent.ours} for a while (before: {lent.before})" if lent else "its mark cannot be read"
                name = f"{kind.lower()}/{body['metadata']['name']} in {body['metadata']['namespace']}"
                found.append(
                    Result(
                        Health.ODD, f"{name}: {said}, and no record would put it back", "the operator looks for it when it begins to lead"
                    )
                )
    return found or [Result(Health.WELL, f"nothing temporary was left behind; {len(owed)} actions are under way or owe something")]


def _remediation(body: dict[str, Any]) -> Remediation:
    return read(Remediation, body)


CHECKS: Final[Iterable[Check]] = (kinds, admission, leader, config, policies, rights, leftovers)
