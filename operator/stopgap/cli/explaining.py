"""`explain deploy/api`: which policy decides, what would be done now, which guards hold, and which revisions are known to be good."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from rich.tree import Tree

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationConfig, RemediationPolicy, WorkloadHealth
from stopgap.api.clusterpolicy import Policy, called
from stopgap.cli.printing import clock
from stopgap.cli.reading import OPEN_ONLY
from stopgap.cli.recording import Beside, Body
from stopgap.cli.refusals import Refused
from stopgap.cli.replay import Replay, Verdict, known_good
from stopgap.cli.session import Desk, Session, target_of
from stopgap.cli.tree import NO, YES, line
from stopgap.cli.verbs import Workload, verb
from stopgap.cli.verdicts import as_data, choice, shown
from stopgap.core import choosing, guards, knowngood
from stopgap.effects.kube import collection
from stopgap.effects.rights import Rights
from stopgap.effects.written import PLURALS
from stopgap.model.duration import spell
from stopgap.model.observation import Right
from stopgap.model.refs import Target
from stopgap.settings import DEFAULT_NAMESPACE

_FOREIGN: Final = (
    ("Pod", "v1", "pods"),
    ("ReplicaSet", "apps/v1", "replicasets"),
    ("ControllerRevision", "apps/v1", "controllerrevisions"),
)


class OperatorRights(Rights):
    """What the operator's ServiceAccount may do, not who asks. Where that is not told, a yes is assumed, as by the operator."""

    async def _ask(self, namespace: str, right: Right) -> bool:
        attributes = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": right.resource, "name": right.name}
        user = f"system:serviceaccount:{self.own_namespace}:stopgap"
        spec = {"user": user, "resourceAttributes": attributes}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = msgspec.json.decode(await self._kube.create(collection("authorization.k8s.io/v1", "subjectaccessreviews"), body))
        return bool(answer["status"]["allowed"])


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known about one workload."""

    verdict: Verdict
    steps: list[tuple[str, choosing.Choice]]
    policies: list[Policy]
    denied: list[str]
    """What you may not see, so that less is known."""


@verb
def explain(session: Session, workload: Workload) -> None:
    """Explain a workload: which policy decides, what would be done now and what stands against it, and the revisions known to be good."""
    kind, name = target_of(workload)
    target = Target(session.namespace, kind, name)
    found = session.run(lambda desk: _explained(desk, target))
    if session.asks_for_data():
        session.data(_data(found))
    else:
        session.show(explanation(found))


async def _explained(desk: Desk, target: Target) -> Explained:
    recording = Beside(await gathered(desk, target), desk.kube, desk.denied)
    replay = Replay(recording, desk.now, rights=OperatorRights(recording, DEFAULT_NAMESPACE))
    verdict = await replay.verdict(target)
    if verdict.case.seen.workload is None:
        raise Refused(f"there is no {target}")
    labels = verdict.case.seen.workload.labels
    return Explained(verdict, await replay.asked(target), replay.rosters.fitting(target, labels), desk.denied)


async def gathered(desk: Desk, target: Target) -> list[Body]:
    """Read everything that is about one workload. What you may not read is left out."""
    place = target.namespace
    found = [
        {**await desk.raw("apps/v1", PLURALS[target.kind], target.name, namespace=place), "kind": target.kind, "apiVersion": "apps/v1"}
    ]
    space = await desk.allowed(desk.raw("v1", "namespaces", place), None)
    found += [{**space, "kind": "Namespace", "apiVersion": "v1"}] if space else []
    for kind, version, plural in _FOREIGN:
        bodies = await desk.allowed(desk.listed(version, plural, place), [])
        found += [{**one, "kind": kind, "apiVersion": version} for one in bodies]
    found += await desk.owns(RemediationPolicy, place)
    for own in (WorkloadHealth, Remediation):
        found += _about(target, await desk.allowed(desk.owns(own, place), []))
    found += _about(target, await desk.allowed(desk.owns(Incident, place, OPEN_ONLY), []))
    found += await desk.allowed(desk.owns(ClusterRemediationPolicy, None), [])
    return found + await desk.allowed(desk.owns(RemediationConfig, DEFAULT_NAMESPACE), [])


def _about(target: Target, bodies: Iterable[Body]) -> list[Body]:
    refs = ((one, one["spec"].get("targetRef") or {}) for one in bodies)
    return [one for one, ref in refs if (ref.get("kind", "Deployment"), ref.get("name")) == (target.kind, target.name)]


def explanation(found: Explained) -> Tree:
    """Lay it out."""
    case, top = found.verdict.case, shown(found.verdict)
    if case.incident is not None and not (case.incident.metadata.uid or "").startswith("simulated-"):
        top.add(
            line(
                f"incident {case.incident.metadata.name} is open: kubectl stopgap get -n {case.seen.target.namespace} ",
                case.incident.metadata.name,
            )
        )
    for other in found.policies:
        if case.policy is None or other.metadata.uid != case.policy.metadata.uid:
            top.add(line(f"{called(other)} is about it too, and does not decide"))
    branch = top.add("If a person ordered a step now")
    for name, what in found.steps:
        step = next(one for one in case.policy.spec.steps if one.name == name) if case.policy else None
        mode = guards.mode(case, case.policy, step) if case.policy and step else "?"
        choice(branch, name, f"by itself: {mode}", what)
    if not branch.children:
        branch.add(line("there is none"))
    _revisions(top, found.verdict)
    if found.denied:
        unseen = top.add("What you may not see may change this")
        for one in dict.fromkeys(found.denied):
            unseen.add(line(one))
    return top


def _revisions(top: Tree, verdict: Verdict) -> None:
    case, branch = verdict.case, top.add("Revisions")
    health, seen = knowngood.with_stints(case), case.seen
    good = {one.replica_set_uid: one for one in health.known_good}
    denied = {one.digest: one for one in health.denied}
    for one in seen.revisions[:10]:
        current = " (present)" if seen.newest and one.uid == seen.newest.uid else ""
        record = good.get(one.uid)
        if record and record.digest in denied:
            why = denied[record.digest]
            branch.add(line(f"{NO} ", f"{one.number} {one.name}{current}: denied since incident {why.incident}: {why.reason}"))
        elif record:
            when = clock(record.recorded_at, seen.now)
            branch.add(line(f"{YES} ", f"{one.number} {one.name}{current}: healthy for {spell(record.healthy_for)}, noted {when}"))
        else:
            branch.add(line(f"{one.number} {one.name}{current}: not known to have been healthy"))
    if not seen.revisions:
        branch.add(line("none that you may see"))


def _data(found: Explained) -> dict[str, Any]:
    steps = [
        {
            "step": name,
            "would": what.summary,
            "refusals": [{"reason": one.reason, "message": one.message} for one in what.refused],
        }
        for name, what in found.steps
    ]
    good = [{"revision": number, "replicaSet": name, "record": record} for number, name, record in known_good(found.verdict.case)]
    policies = [one.metadata.name for one in found.policies]
    return {**as_data(found.verdict), "policies": policies, "notSeen": found.denied, "ifOrdered": steps, "knownGood": good}
