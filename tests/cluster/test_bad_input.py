"""Bad input: refused by the API server in words that help, or told in a condition; either way nobody else notices."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, policy, wait_for

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
API = "stopgap.dev/v1alpha1"
STEP: dict[str, Any] = {"name": "undo", "when": {}, "rollback": {}}
UID = "6f1c6c0e-0000-4000-8000-000000000000"


def incident(name: str = "odd", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "Incident", "metadata": {"name": name}, "spec": spec}


def trigger(**detectors: Any) -> dict[str, Any]:
    return {"triggers": [{"name": "crash", **detectors}]}


def window(**changes: Any) -> dict[str, Any]:
    return {"guards": {"freezeWindows": [{"cron": "0 18 * * FRI", "duration": "60h", "reason": "freeze", **changes}]}}


def config(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "RemediationConfig", "metadata": {"name": "stopgap"}, "spec": spec}


def remediation() -> dict[str, Any]:
    plan = {"summary": "roll back", "fromDigest": "a", "toDigest": "b", "replicaSetUid": UID, "replicaSet": "gone-1"}
    spec = {
        "incidentRef": {"name": "gone-1"},
        "targetRef": {"name": "gone", "uid": UID},
        "policyRef": {"name": "gone"},
        "step": "undo",
        "action": "Rollback",
        "generation": 1,
        "plan": plan,
        "notAfter": "2026-01-01T00:00:00Z",
        "verifyUntil": "2026-01-01T00:00:00Z",
    }
    return {"apiVersion": API, "kind": "Remediation", "metadata": {"name": "gone-6f1c6c0e-g1-1"}, "spec": spec}


def refusal_of(plane: Cluster, *arguments: str, stdin: str | None = None) -> str:
    """Return the words in which the API server refuses; nothing is stored, also where it does not."""
    with pytest.raises(KubectlError) as error:
        plane.kubectl("-n", "default", *arguments, "--dry-run=server", stdin=stdin)
    return str(error.value)


# ------------------------------------------------------------------------------------------------- what the API server refuses

MALFORMED = [
    pytest.param(trigger(crashLoop={}, imagePull={}), ("triggers[0]", "exactly one detector; make a second trigger"), id="two detectors"),
    pytest.param(trigger(), ("triggers[0]", "exactly one detector"), id="a trigger without a detector"),
    pytest.param(trigger(latency={}), ("latency: field not declared in schema",), id="a detector that does not exist"),
    pytest.param({"triggers": []}, ("spec.triggers", "at least 1 items"), id="no trigger"),
    pytest.param({"targets": {"selector": {"matchLabels": {}}}}, ("matchLabels", "at least 1 properties"), id="an empty selector"),
    pytest.param({"targets": {"selector": {}}}, ("spec.targets.selector.matchLabels: Required",), id="a selector of nothing"),
    pytest.param(
        {"targets": {"names": ["api"], "selector": {"matchLabels": {"a": "b"}}}},
        ("spec.targets", "either by selector or by names; exactly one"),
        id="names and a selector",
    ),
    pytest.param({"targets": {}}, ("spec.targets", "exactly one of the two is needed"), id="neither names nor a selector"),
    pytest.param({"targets": {"names": ["a" * 300]}}, ("spec.targets.names[0]: Too long", "253"), id="a target of 300 characters"),
    pytest.param({"targets": {"kinds": ["CronJob"], "names": ["a"]}}, ('"CronJob"', '"Deployment"'), id="a kind that is not handled"),
    pytest.param({"steps": [{"name": "undo", "when": {}}]}, ("spec.steps[0]", "exactly one action, such as rollback: {}"), id="no action"),
    pytest.param({"steps": [{"name": "undo", "rollback": {}}]}, ("spec.steps[0].when: Required value",), id="a step without when"),
    pytest.param(
        {"steps": [{**STEP, "when": {"triggers": ["crush"]}}]}, ("a step names a trigger that",), id="a trigger that does not exist"
    ),
    pytest.param({"steps": [{**STEP, "name": f"s{n}"} for n in range(9)]}, ("spec.steps: Too many: 9", "at most 8"), id="too many steps"),
    pytest.param({"steps": [STEP, STEP]}, ("spec.steps: duplicate entries", '"undo"'), id="two steps of one name"),
    pytest.param(trigger(crashLoop={"within": "2d"}), ('crashLoop.within: Invalid value: "2d"', "(ms|s|m|h)"), id="a duration in days"),
    pytest.param(trigger(crashLoop={"podsAtLeast": "150%"}), ('crashLoop.podsAtLeast: Invalid value: "150%"',), id="more than all pods"),
    pytest.param(
        trigger(crashLoop={"exits": -1}), ("crashLoop.exits: Invalid value: -1", "or equal to 1"), id="a negative number of exits"
    ),
    pytest.param({"guards": {"maxActions": {"count": -1, "within": "1h"}}}, ("maxActions.count", "or equal to 1"), id="a negative budget"),
    pytest.param(
        {"mode": "Wild"}, ('spec.mode: Unsupported value: "Wild"', '"Observe", "Approve", "Automatic"'), id="a mode that does not exist"
    ),
    pytest.param({"guards": {"maxActionsPerIncident": 0}}, ("maxActionsPerIncident", "or equal to 1"), id="no action at all"),
    pytest.param({"guards": {"cooldown": "-5m"}}, ('guards.cooldown: Invalid value: "-5m"', "(ms|s|m|h)"), id="a negative pause"),
    pytest.param(
        {"steps": [{"name": "more", "when": {}, "scale": {"by": "2", "max": 1_000_000}}]}, ("scale.max", "10000"), id="a million replicas"
    ),
    pytest.param(
        {"steps": [{"name": "more", "when": {}, "scale": {"by": "2", "max": 5, "min": -1}}]}, ("scale.min", "or equal to 0"), id="minus one"
    ),
    pytest.param(
        {"guards": {"approvalTimeout": "10s"}}, ("spec.guards", "a person gets at least 1m to approve"), id="ten seconds to approve"
    ),
    pytest.param(window(cron="@daily"), ("cron has five fields, such as 0 18 * * FRI",), id="a cron that is a word"),
    pytest.param(window(duration="2000h"), ("a freeze window lasts between 1m and 744h (31 days)",), id="a window of months"),
    pytest.param(window(timeZone="Local"), ("timeZone is a name such as Europe/Berlin, or UTC",), id="a zone that means what it likes"),
    pytest.param({"moode": "Observe"}, (".spec.moode: field not declared in schema",), id="a typo"),
]


@pytest.mark.parametrize(("spec", "facts"), MALFORMED)
def test_a_malformed_policy_is_refused_with(
    control_plane: Cluster, operator: Operator, spec: dict[str, Any], facts: tuple[str, ...]
) -> None:
    assert operator.is_ready()
    told = refusal_of(control_plane, "apply", "--server-side", "-f", "-", stdin=json.dumps(policy("odd", **spec)))
    assert all(fact in told for fact in facts), told


@pytest.mark.parametrize(
    ("made", "facts"),
    [
        pytest.param(policy("a" * 300), ("metadata.name: Invalid value", "no more than 253"), id="a policy with a name of 300 characters"),
        pytest.param(incident(), ("spec.title: Required value",), id="an incident without a title"),
        pytest.param(incident(title=""), ("spec.title", "at least 1 chars"), id="an incident with an empty title"),
        pytest.param(incident(title="x" * 257), ("spec.title: Too long", "256"), id="an incident with a title too long"),
        pytest.param(incident(title="x", severity="P0"), ('spec.severity: Unsupported value: "P0"', '"P1"'), id="an unknown severity"),
        pytest.param(incident(title="x", startedAt="noon"), ("spec.startedAt", "date-time"), id="a time that is none"),
        pytest.param(
            incident(title="x", resolution="Done"), ('spec.resolution: Unsupported value: "Done"', '"FalseAlarm"'), id="an ending"
        ),
        pytest.param(incident(title="x", targetRef={"name": "../api"}), ("spec.targetRef.name", '"../api"'), id="a target that is a path"),
        pytest.param(
            {"apiVersion": API, "kind": "RemediationConfig", "metadata": {"name": "mine"}, "spec": {}},
            ("stopgap",),
            id="a second config",
        ),
        pytest.param(
            config(budgets={"cluster": {"count": -1, "within": "1h"}}), ("budgets.cluster.count", "or equal to 1"), id="a negative budget"
        ),
        pytest.param(config(stormBreaker={"percent": 101}), ("stormBreaker.percent", "or equal to 100"), id="a storm of more than all"),
        pytest.param(
            config(stormBreaker={"maxUnverifiedActions": 0}), ("maxUnverifiedActions", "or equal to 1"), id="no action that is not proved"
        ),
    ],
)
def test_refused_is(control_plane: Cluster, operator: Operator, made: dict[str, Any], facts: tuple[str, ...]) -> None:
    assert operator.is_ready()
    told = refusal_of(control_plane, "apply", "--server-side", "-f", "-", stdin=json.dumps(made))
    assert all(fact in told for fact in facts), told


@pytest.mark.parametrize(
    ("made", "change", "fact"),
    [
        pytest.param(
            incident(title="x", targetRef={"name": "api"}),
            {"targetRef": {"name": "other"}},
            "the target of an Incident does not change; open another Incident",
            id="another target",
        ),
        pytest.param(incident(title="x", targetRef={"name": "api"}), {"targetRef": None}, "does not change", id="no target any more"),
        pytest.param(incident(title="x"), {"targetRef": {"name": "api"}}, "does not change", id="a target after all"),
        pytest.param(
            incident(title="x", resolution="Resolved"),
            {"resolution": None},
            "a resolution is final; open a new Incident",
            id="not over after all",
        ),
        pytest.param(
            incident(title="x", resolution="Resolved"), {"resolution": "FalseAlarm"}, "a resolution is final", id="over otherwise"
        ),
        pytest.param(remediation(), {"step": "another"}, "the intent of a Remediation does not change", id="another intent"),
    ],
)
def test_what_does_not_change_is_refused_with_what_to_do(shop: Shop, made: dict[str, Any], change: dict[str, Any], fact: str) -> None:
    shop.apply(made)
    with pytest.raises(KubectlError, match=fact):
        shop.kubectl("patch", made["kind"], made["metadata"]["name"], "--type=merge", "-p", json.dumps({"spec": change}))


# ------------------------------------------------------------------------------------------------- what is told in a condition

CANNOT_WORK: dict[str, tuple[dict[str, Any], str]] = {
    "a-cron": (
        window(cron="0 0 31 2 *"),
        "guards.freezeWindows[0] (freeze): cron '0 0 31 2 *' cannot be understood or never comes true (bad day-of-month)",
    ),
    "a-place": (
        window(timeZone="Europe/Atlantis"),
        "guards.freezeWindows[0] (freeze): time zone 'Europe/Atlantis' is not known; write it like Europe/Berlin, or UTC",
    ),
    "a-proof": (
        {"verification": {"healthyFor": "2m", "timeout": "1m"}},
        "verification.healthyFor is longer than verification.timeout, so no action could ever succeed; make the timeout longer",
    ),
    "a-window": (
        {"guards": {"maxActions": {"count": 1, "within": "169h"}}},
        "guards.maxActions.within is longer than 7 days, for which actions are counted",
    ),
    "a-year": (
        {"resolution": {"after": "8785h"}},
        "spec.resolution.after: '8785h' is out of bounds; at most 366 days (8784h) make sense here",
    ),
    "an-eternity": (
        {"resolution": {"after": "99999999999999999999h"}},
        "spec.resolution.after: '99999999999999999999h' is not a duration; write it like 90s, 15m or 1h30m",
    ),
}


def ready(shop: Shop, name: str) -> dict[str, Any]:
    """Return the condition Ready of a policy, once it speaks of its present spec."""

    def told() -> dict[str, Any] | None:
        found = shop.get("rpol", name)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return None
        return next((one for one in status["conditions"] if one["type"] == "Ready"), None)

    return wait_for(f"a word about policy {name}", told) or {}


def turned(shop: Shop, name: str, kind: str) -> dict[str, Any] | None:
    """Return a condition of a policy where it is True."""
    conditions = shop.get("rpol", name).get("status", {}).get("conditions", [])
    return next((one for one in conditions if (one["type"], one["status"]) == (kind, "True")), None)


def acts(shop: Shop, *, by: str = "web") -> None:
    """Prove that a bad release is undone here, and which policy did it."""
    shop.release(BAD)
    mitigated = shop.incident(phase="Mitigated")
    assert mitigated["status"]["policyRef"]["name"] == by
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1


def test_a_policy_that_cannot_work_says_why_and_its_neighbour_acts(shop: Shop) -> None:
    # By their names these would come first.
    for name, (spec, _) in CANNOT_WORK.items():
        shop.policy(name, **spec)
    shop.policy("web")
    shop.deploy(GOOD)
    shop.settle()
    for name, (_, message) in CANNOT_WORK.items():
        assert {key: ready(shop, name)[key] for key in ("status", "reason", "message")} == {
            "status": "False",
            "reason": "InvalidPolicy",
            "message": message,
        }
    shop.policy("zz-twin", mode="Observe")
    acts(shop)
    overlap = wait_for("the one that does not decide says so", lambda: turned(shop, "zz-twin", "Overlapping")) or {}
    assert overlap["message"] == f"policy web decides about 1 of its 1 workloads instead, such as deployment/api in {shop.name}"
    shop.policy("a-proof", verification={"healthyFor": "1s", "timeout": "1m"})
    assert ready(shop, "a-proof")["status"] == "True"


@contextmanager
def newer_schema(plane: Cluster) -> Iterator[None]:
    """Let the API server take what a newer version would know: one more mode, and one more detector."""
    name = "remediationpolicies.stopgap.dev"
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    items = f"{spec}/triggers/items"
    detector = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = plane.get("crd", name)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    modes, rules = schema["mode"]["enum"], schema["triggers"]["items"]
    added = [
        {"op": "add", "path": f"{spec}/mode/enum/-", "value": "Rehearse"},
        {"op": "add", "path": f"{items}/properties/latency", "value": detector},
        {"op": "remove", "path": f"{items}/x-kubernetes-validations"},
    ]
    removed = [
        {"op": "replace", "path": f"{spec}/mode/enum", "value": modes},
        {"op": "remove", "path": f"{items}/properties/latency"},
        {"op": "add", "path": f"{items}/x-kubernetes-validations", "value": rules["x-kubernetes-validations"]},
    ]
    plane.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(added))
    try:
        yield
    finally:
        plane.kubectl("patch", "crd", name, "--type=json", "-p", json.dumps(removed))


def takes(shop: Shop, made: dict[str, Any]) -> bool:
    """Apply; say whether the API server, which takes up a changed schema a moment later, has taken it."""
    try:
        shop.apply(made)
    except KubectlError:
        return False
    return True


def test_a_policy_of_a_newer_version_says_so_and_its_neighbour_acts(shop: Shop) -> None:
    detector = policy("a-detector", triggers=[{"name": "slow", "latency": {"above": "1s"}}], steps=[])
    mode = policy("a-mode", mode="Rehearse")
    with newer_schema(shop.plane):
        for made in (detector, mode):
            wait_for("the new schema is in force", lambda made=made: takes(shop, made))  # type: ignore[misc]  # mypy cannot infer a lambda's default
        shop.policy("web")
        shop.deploy(GOOD)
        shop.settle()
        for name, message in (
            ("a-detector", "trigger slow uses a detector that this version of Stopgap does not know"),
            ("a-mode", "spec.mode: this version of Stopgap does not know 'Rehearse'"),
        ):
            told = ready(shop, name)
            assert (told["status"], told["reason"], told["message"]) == ("False", "NewerThanOperator", message)
        acts(shop)
        shop.kubectl("delete", "rpol", "a-detector", "a-mode")


def test_a_config_that_cannot_be_understood_pauses_everything_and_says_which_field(shop: Shop) -> None:
    shop.policy("web")
    shop.deploy(GOOD)
    shop.settle()
    config = {"budgets": {"cluster": {"count": 5, "within": "9999h"}}}
    made = {"apiVersion": API, "kind": "RemediationConfig", "metadata": {"name": "stopgap", "namespace": OWN_NAMESPACE}, "spec": config}
    shop.plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(made))
    try:
        shop.release(BAD)
        told = shop.refusals(reason="Paused")["Paused"]
        assert "RemediationConfig cannot be read or understood (spec.budgets.cluster.within: '9999h' is out of bounds" in told
        assert "repair or delete it" in told
        assert shop.deployment_writes() == ([], [])
    finally:
        shop.plane.kubectl("delete", "rcfg", "stopgap", "-n", OWN_NAMESPACE)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD


# ------------------------------------------------------------------------------------------------- what is meant to hurt

HOSTILE = "🔥\u202e<script>alert(1)</script>\x1b[31m\x07\r\n---\n{{ .Values }} ${HOME} %s"
ODD_TIMES = {
    "empty": "0001-01-01T00:00:00Z",
    "early": "0001-01-01T00:00:00+14:00",
    "late": "9999-12-31T23:59:59-14:00",
    "old": "0800-01-01T00:00:00Z",
}


def test_an_annotation_of_a_megabyte_is_refused_by_the_api_server(shop: Shop) -> None:
    made = {**incident("big", title="x"), "metadata": {"name": "big", "annotations": {"note": "x" * 1_000_000}}}
    with pytest.raises(KubectlError, match=r"metadata.annotations: Too long"):
        shop.apply(made)


def test_hostile_incidents_and_policies_are_told_as_they_are_and_disturb_nobody(shop: Shop) -> None:
    huge = (HOSTILE * 5000)[:60_000]
    shop.policy("web")
    shop.deploy(GOOD)
    shop.settle()
    shop.apply({**incident("markup", title=HOSTILE, description=HOSTILE), "metadata": {"name": "markup", "annotations": {"note": huge}}})
    shop.apply(incident("wide", title="🔥" * 256, targetRef={"name": "nowhere"}))
    for name, moment in ODD_TIMES.items():
        shop.apply(incident(name, title=name, startedAt=moment))
    forever = {"name": "ana", "reason": HOSTILE, "until": ODD_TIMES["late"]}
    shop.policy("paused", targets={"names": ["nowhere"]}, pauseRequests=[forever])
    shop.kubectl("annotate", "rpol", "paused", f"note={huge}")
    for name in ("markup", *ODD_TIMES):
        assert shop.incident(name=name, phase="Detected")["status"]["decision"]["refusals"][0]["reason"] == "NoStepApplies"
    assert shop.incident(name="markup", phase="Detected")["status"]["timeline"][0]["message"] == HOSTILE
    assert shop.incident(name="wide", phase="Detected")["status"]["decision"]["refusals"][0]["reason"] == "TargetGone"
    wait_for("an Event about each", lambda: {"markup", "wide", *ODD_TIMES} <= told_by_events(shop))
    conditions = wait_for("a word about the policy", lambda: shop.get("rpol", "paused").get("status", {}).get("conditions"))
    assert {one["type"]: one["message"] for one in conditions or []}["Paused"] == f"ana: {HOSTILE}"
    acts(shop)


def told_by_events(shop: Shop) -> set[str]:
    """Return the names of what Stopgap posted an Event about."""
    return {one["regarding"]["name"] for one in shop.items("events.events.k8s.io") if one["reportingController"] == "stopgap.dev/operator"}


def test_a_pause_in_a_hostile_hand_is_honoured_and_cut(shop: Shop) -> None:
    shop.policy("web")
    shop.deploy(GOOD)
    shop.settle()
    shop.kubectl("annotate", "deployment", "api", f"stopgap.dev/pause={'🔥' * 20_000}", f"kubernetes.io/change-cause={HOSTILE * 100}")
    shop.release(BAD)
    told = shop.refusals(reason="Paused")["Paused"]
    assert told.endswith("🔥" * 300)
    assert len(told) < 400
    found = shop.incident(phase="Triaged")
    assert found["status"]["suspectedChange"]["cause"].startswith(HOSTILE)
    wait_for("the refusal is told in an Event too", lambda: any(one["reason"] == "Paused" for one in shop.items("events.events.k8s.io")))
    assert shop.deployment_writes() == ([], [])
    shop.kubectl("annotate", "deployment", "api", "stopgap.dev/pause-")
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
