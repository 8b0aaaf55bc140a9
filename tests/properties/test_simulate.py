"""`simulate` says what the operator does: its own loop, told of the same objects in any order, against a server that holds them."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from tests.conftest import BAD_IMAGE, GOOD_IMAGE, NOW, ago, make_template

from stopgap.api import Incident, Remediation, RemediationPolicy, WorkloadHealth
from stopgap.api.incident import IncidentStatus
from stopgap.cli.offline import simulated
from stopgap.cli.recording import Body, Recording
from stopgap.core.case import Case, Decision
from stopgap.effects import sinks, wire
from stopgap.effects.census import Headcount
from stopgap.effects.execute import Executor
from stopgap.effects.firstsight import FirstSight
from stopgap.effects.index import Index
from stopgap.effects.live import LiveReads
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.observe import Observer
from stopgap.effects.reconcile import Reconciler
from stopgap.effects.record import Recorder
from stopgap.effects.records import Records
from stopgap.effects.rights import Rights
from stopgap.effects.rosters import Rosters
from stopgap.effects.storm import StormKeeper
from stopgap.effects.telemetry import Telemetry
from stopgap.model.refs import Target
from stopgap.model.template import digest
from stopgap.model.time import stamp

TARGET = Target("shop", "Deployment", "api")
GOOD, BAD = make_template(GOOD_IMAGE), make_template(BAD_IMAGE)


class IntendedError(Exception):
    """The operator has recorded an intent: this is where a simulation ends."""


class Server(Recording):
    """Holds the objects, notes what the operator writes, and is gone when an action would follow."""

    def __init__(self, bodies: list[Body]) -> None:
        super().__init__(bodies)
        self.told: dict[str, Any] = {}
        self.intended: Remediation | None = None

    async def _ask(self, verb: str, path: str, *, params: Any = None, body: Any = None, media: str = "") -> bytes:
        if verb == "create" and "/remediations" in path:
            self.intended = Remediation.model_validate({**body, "metadata": {"name": "r", "namespace": "shop"}})
            raise IntendedError
        if verb == "patch":
            if path.endswith("/status"):
                self.told[path] = body[-1]["value"]
            raise IntendedError  # the first write of a status says what was decided
        return await super()._ask(verb, path, params=params, body=body, media=media)


class Operator:
    """The parts of the runtime, connected as it connects them."""

    def __init__(self, server: Server, events: list[Body], now: datetime) -> None:
        headcount: Headcount
        rosters: Rosters

        def looked_at(target: Target) -> None:
            headcount.look_at(target)

        def policies_changed(place: str) -> None:
            rosters.forget(place)
            headcount.policies_changed(place)

        index = Index(lambda _: None, lambda: now, lambda work, *, there: headcount.listed(work, there=there))
        records = Records(looked_at, policies_changed)
        namespaces = Namespaces(lambda _: None)
        rosters = Rosters(records, namespaces)
        headcount = Headcount(index, records, rosters)

        telemetry, rights = Telemetry(CollectorRegistry()), Rights(server, "stopgap-system")
        live = LiveReads(
            server,
            records,
            rights,
            databases=_Nobody(),  # type: ignore[arg-type]  # nobody asks
            own_namespace="stopgap-system",
            argocd_namespace="argocd",
        )
        storm = StormKeeper(headcount, records, {}, telemetry=telemetry, ready=lambda: True, now=lambda: now, changed=lambda _: None)
        observer = Observer(
            index,
            records,
            storm=storm,
            headcount=headcount,
            rosters=rosters,
            namespaces=namespaces,
            samples=lambda _target, _policy: {},
            synced=lambda _: True,
            leading=lambda: True,
        )
        self.reconcile = Reconciler(
            observer=observer,
            live=live,
            recorder=Recorder(server, records, "operator"),
            executor=Executor(server, index, rights, _Nobody()),  # type: ignore[arg-type]  # nothing is done here
            first_sight=FirstSight(server, index, live),
            telemetry=telemetry,
            afterwards=_Nobody(),  # type: ignore[arg-type]  # nothing ends here
            leading=lambda: True,
            now=lambda: now,
        )
        known: dict[str, tuple[Any, type]] = {
            "Deployment": (sinks.DeploymentSink(index), wire.Deployment),
            "ReplicaSet": (sinks.ReplicaSetSink(index), wire.ReplicaSet),
            "Pod": (sinks.PodSink(index), wire.PodObject),
            "Namespace": (namespaces, wire.Namespace),
        }
        own: dict[str, Any] = {one.__name__: one for one in (RemediationPolicy, Incident, Remediation, WorkloadHealth)}
        for body in events:
            if body["kind"] in own:
                records.take(own[body["kind"]], body)
            else:
                sink, shape = known[body["kind"]]
                sink.put(msgspec.json.decode(msgspec.json.encode(body), type=shape))


class _Nobody:
    """Nobody works beside the queue."""

    trust = reviews = None

    @property
    def inquiries(self) -> "_Nobody":
        return self

    notifications = inquiries

    def joined(self, _case: Case, decision: Decision) -> Decision:
        return decision


# ---------------------------------------------------------------------------------------------------------------- objects


def meta(name: str, *, owner: str = "", kind: str = "", **more: Any) -> dict[str, Any]:
    owners = (
        {"ownerReferences": [{"kind": kind, "name": owner, "uid": owner, "controller": True, "apiVersion": "apps/v1"}]} if owner else {}
    )
    made = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "7", "creationTimestamp": stamp(ago(days=9))}
    return {**made, **owners, **more}


def deployment(draw: st.DrawFn) -> Body:
    strategy = draw(st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate"]))
    available = draw(st.integers(0, 3))
    marks = draw(st.sampled_from([{}, {}, {}, {"stopgap.dev/pause": "audit"}, {"meta.helm.sh/release-name": "api"}]))
    annotations = {"deployment.kubernetes.io/revision": "2", **marks}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta("d-uid", labels={"app": "api"}, annotations=annotations, generation=4) | {"name": "api"},
        "spec": {"replicas": 3, "template": BAD, "strategy": {"type": strategy}, "paused": draw(st.integers(0, 15)) == 15},
        "status": {
            "observedGeneration": draw(st.sampled_from([4, 4, 4, 4, 4, 4, 3])),
            "replicas": 4,
            "updatedReplicas": draw(st.sampled_from([1, 1, 3])),
            "readyReplicas": available,
            "availableReplicas": available,
            "conditions": [
                {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "lastUpdateTime": stamp(ago(minutes=2))},
            ],
        },
    }


def replica_set(number: int, template: dict[str, Any], *, pods: int, created: datetime) -> Body:
    made = meta(f"rs-{number}", owner="d-uid", kind="Deployment", labels={"pod-template-hash": f"h{number}"})
    made |= {"annotations": {"deployment.kubernetes.io/revision": str(number)}, "creationTimestamp": stamp(created)}
    status = {"replicas": pods, "readyReplicas": pods if number == 1 else 0, "availableReplicas": pods if number == 1 else 0}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": made,
        "spec": {"replicas": pods, "template": template},
        "status": status,
    }


def pod(name: str, owner: str, image: str, *, restarts: int, ready: bool, waits: str = "") -> Body:  # noqa: PLR0913 - how it is
    end = {"exitCode": 1, "reason": "Error", "startedAt": stamp(ago(seconds=40)), "finishedAt": stamp(ago(seconds=20))}
    state = {"waiting": {"reason": waits}} if waits else {"running": {"startedAt": stamp(ago(seconds=15))}}
    last = {"terminated": end} if restarts else {}
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": stamp(ago(days=1))}]
    container = {"name": "app", "image": image, "ready": ready, "restartCount": restarts, "state": state, "lastState": last}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, owner=owner, kind="ReplicaSet", labels={"pod-template-hash": owner.replace("rs-", "h")}),
        "spec": {"nodeName": f"node-{name}"},
        "status": {"phase": "Running", "startTime": stamp(ago(minutes=2)), "conditions": conditions, "containerStatuses": [container]},
    }


def policy(draw: st.DrawFn) -> Body:
    triggers = [
        {"name": "crash", "crashLoop": {}},
        {"name": "down", "unavailable": {"below": "100%", "for": draw(st.sampled_from(["0s", "1m"]))}},
        {"name": "pull", "imagePull": {"for": "0s"}},
        {"name": "http", "httpProbe": {"url": "http://api.shop.svc/"}},
    ]
    steps: list[dict[str, Any]] = [
        {"name": "undo", "when": {"changedWithin": draw(st.sampled_from(["30m", "30m", "1m"]))}, "rollback": {"minHealthyFor": "1m"}},
        {"name": "kick", "when": {}, "restart": {}},
        {"name": "more", "when": {}, "scale": {"by": "1", "max": 9}},
    ]
    spec = {
        "targets": {"selector": {"matchLabels": {"app": "api"}}},
        "mode": draw(st.sampled_from(["Automatic", "Automatic", "Automatic", "Approve", "Approve", "Observe"])),
        "triggers": triggers[: draw(st.integers(1, 4))],
        "steps": draw(st.permutations(steps))[: draw(st.sampled_from([3, 2, 1, 3, 0]))],
    }
    body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationPolicy", "metadata": meta("web", generation=1), "spec": spec}
    if draw(st.integers(0, 9)) == 9:
        spec["pauseRequests"] = [{"name": "ana", "reason": "audit"}]
    return body


def health(draw: st.DrawFn) -> list[Body]:
    if draw(st.integers(0, 3)) == 3:
        return []
    times = {"healthySince": stamp(ago(days=3)), "recordedAt": stamp(ago(days=2))}
    good = {"replicaSetUid": "rs-1", "digest": digest(GOOD), "revision": 1, "healthyFor": "24h", **times}
    denied = [{"digest": digest(GOOD), "time": stamp(ago(hours=1))}] if draw(st.integers(0, 5)) == 5 else []
    spec = {"targetRef": {"kind": "Deployment", "name": "api", "uid": "d-uid"}}
    made = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "WorkloadHealth", "metadata": meta("api"), "spec": spec}
    return [{**made, "status": {"knownGood": [good], "denied": denied}}]


@st.composite
def worlds(draw: st.DrawFn) -> list[Body]:
    waits = draw(st.sampled_from(["CrashLoopBackOff", "CrashLoopBackOff", "", "ImagePullBackOff"]))
    restarts = draw(st.sampled_from([5, 4, 3, 3, 2, 0]))
    old_ill = draw(st.integers(0, 7)) == 7
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "shop", "resourceVersion": "1"}}
    if draw(st.integers(0, 9)) == 9:
        namespace["metadata"] |= {"annotations": {"stopgap.dev/pause": "moving"}}  # type: ignore[operator]  # a literal of mixed values
    incident = {"title": "it is slow", "targetRef": {"kind": "Deployment", "name": "api"}, "source": {"type": "Manual"}}
    found = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": meta("told"), "spec": incident}
    return [
        namespace,
        deployment(draw),
        replica_set(1, GOOD, pods=3, created=ago(days=3)),
        replica_set(2, BAD, pods=1, created=draw(st.sampled_from([ago(minutes=2), ago(minutes=2), ago(minutes=2), ago(hours=2)]))),
        *(pod(f"old-{number}", "rs-1", GOOD_IMAGE, restarts=4 if old_ill else 0, ready=not old_ill) for number in range(3)),
        pod("new-0", "rs-2", BAD_IMAGE, restarts=restarts, ready=False, waits=waits),
        policy(draw),
        *health(draw),
        *([found] if draw(st.integers(0, 5)) == 5 else []),
    ]


steady = settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def live(bodies: list[Body], events: list[Body], now: datetime) -> Server:
    """Let the operator look once, until it has written what it decided."""
    server = Server(bodies)
    with suppress(IntendedError):
        await Operator(server, events, now).reconcile(TARGET)
    return server


def in_order(events: list[Body]) -> list[Body]:
    """A workload is known before what hangs on it, as by the operator's start: it lists one kind after the other."""
    ranks = ("Namespace", "RemediationPolicy", "WorkloadHealth", "Incident", "Deployment", "ReplicaSet", "Pod")
    return sorted(events, key=lambda one: ranks.index(one["kind"]))


@steady
@given(worlds(), st.data())
def test_a_simulation_decides_what_the_operator_decides(bodies: list[Body], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(bodies))
    events = data.draw(st.sampled_from([in_order(bodies), in_order(shuffled)]))
    server = run(live(bodies, events, NOW))
    (verdict,) = run(simulated(shuffled, NOW, timedelta(0)))
    decision = verdict.decision
    event("acts" if decision.intent else "refuses" if decision.refusals else "waits")
    if decision.intent:
        assert server.intended is not None
        loose = {"incident_ref": server.intended.spec.incident_ref}
        assert decision.intent.spec.model_copy(update=loose) == server.intended.spec
        return
    assert server.intended is None
    told = [IncidentStatus.model_validate(value) for path, value in server.told.items() if "/incidents/" in path]
    said = [decision.status] if decision.status else []
    assert [(one.decision, one.findings, one.severity) for one in told] == [(one.decision, one.findings, one.severity) for one in said]


@steady
@given(worlds())
def test_a_simulation_says_the_same_twice(bodies: list[Body]) -> None:
    first, second = run(simulated(bodies, NOW)), run(simulated(bodies, NOW))
    assert [one.decision for one in first] == [one.decision for one in second]
