"""GitOps tools own workloads: one that would undo a change is a reason to refuse, one that would not is a reason to warn."""

import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.cluster import gitops
from tests.cluster.harness import USER, Operator, Shop, wait_for
from tests.cluster.reading import condition, refused_only, told, wait_for_reason, wait_for_restarts
from tests.cluster.test_admission import may

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
Tool = Callable[[Shop], None]


def owned(shop: Shop, tool: Tool, **spec: Any) -> None:
    """Let a tool own a healthy workload, and then release the bad version."""
    gitops.install_tools(shop.plane)
    shop.policy(**spec)
    shop.deploy(GOOD)
    tool(shop)
    shop.settle()
    shop.release(BAD)


def argo(automated: dict[str, Any] | None, **meta: Any) -> Tool:
    return lambda shop: gitops.application(shop, automated=automated, **meta)


def flux(**options: Any) -> Tool:
    return lambda shop: gitops.kustomization(shop, **options)


def helm(**options: Any) -> Tool:
    return lambda shop: gitops.helm_release(shop, **options)


# ----------------------------------------------------------------------------------------------------- one that would undo it

SELF_HEAL = {"prune": True, "selfHeal": True}
SYNCS = "Argo CD application web syncs this by itself; revert the change in shop/api of https://git.example/fleet"
RECONCILES = "Flux Kustomization apps reconciles this; revert the change in ./shop of fleet"
CORRECTS = "Flux HelmRelease api corrects drift; revert the change in its values or chart"
APPLICATION_SET = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "fleet", "uid": "1", "controller": True}
UNLESS = "unless its ignoreApplicationDifferences names /spec/syncPolicy"
OF_ROOT = {"labels": {"app.kubernetes.io/instance": "root"}}
OF_FLUX = {"labels": {f"{gitops.KUSTOMIZE}/name": "root", f"{gitops.KUSTOMIZE}/namespace": "flux-system"}}


WOULD_UNDO_IT: list[tuple[Tool, str]] = [
    # Each has a say before those above it, so that the workload is never without an owner.
    (helm(drift_detection="enabled"), CORRECTS),
    (
        helm(drift_detection="enabled", **OF_FLUX),
        f"{CORRECTS}. api is itself managed by Kustomization root, which would undo a pause of it",
    ),
    (flux(), RECONCILES),
    (flux(**OF_FLUX), f"{RECONCILES}. apps is itself managed by Kustomization root, which would undo a pause of it"),
    (argo(SELF_HEAL), SYNCS),
    (argo(SELF_HEAL, **OF_ROOT), f"{SYNCS}. web is itself managed by Application root, which would undo a pause of it"),
    (
        argo(SELF_HEAL, ownerReferences=[APPLICATION_SET]),
        f"{SYNCS}. web is itself managed by ApplicationSet fleet, which would undo a pause of it, {UNLESS}",
    ),
]


def test_an_owner_that_would_undo_it_is_a_reason_to_refuse_that_says_what_to_revert_where(shop: Shop) -> None:
    owned(shop, WOULD_UNDO_IT[0][0])
    for seconds, (tool, message) in enumerate(WOULD_UNDO_IT, start=2):
        tool(shop)
        shop.policy(guards={"cooldown": f"{seconds}s"})  # so that everything is read afresh at once
        refused_only(shop, "GitOpsOwned", message)

    # Suspending it is no way out where something above it would undo that.
    may_suspend(shop)
    shop.policy(gitOps="SuspendOwner")
    generation = shop.get("rpol", "web")["metadata"]["generation"]
    wait_for("it is decided by that", lambda: shop.incident()["status"]["policyRef"]["generation"] == generation)
    assert shop.refusals() == {"GitOpsOwned": WOULD_UNDO_IT[-1][1]}
    assert shop.image() == BAD
    assert shop.items("remediations") == []
    assert shop.deployment_writes() == ([], [])
    assert shop.foreign_writes() == []


# ------------------------------------------------------------------------------------------------- one that would not undo it


@pytest.mark.parametrize(
    ("tool", "who", "then"),
    [
        pytest.param(argo(None), "Argo CD application web", "its next sync brings it back", id="an application without automated sync"),
        pytest.param(
            flux(suspend=True), "Flux Kustomization apps", "its next reconciliation brings it back", id="a suspended Kustomization"
        ),
        pytest.param(helm(), "Flux HelmRelease api", "its next upgrade brings it back", id="a HelmRelease that leaves drift alone"),
    ],
)
def test_an_owner_that_would_not_undo_it_is_acted_beside_and_warned_of(shop: Shop, tool: Tool, who: str, then: str) -> None:
    owned(shop, tool)
    shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    assert shop.foreign_writes() == []
    drift = condition(wait_for_reason(shop, "GitOpsDrift", "GitOpsDrift"), "GitOpsDrift")
    assert drift["status"] == "True"
    assert who in drift["message"]
    assert f"still holds the bad version: {then}" in drift["message"]


# --------------------------------------------------------------------------------------------------------- one that does it


@contextmanager
def reconciling(shop: Shop, image: str, after: float) -> Iterator[list[float]]:
    """Play a GitOps tool: whenever the workload wants another image for `after` seconds, apply this one. Yields when it did."""
    applied: list[float] = []
    ended = threading.Event()

    def run() -> None:
        other_since: float | None = None
        while not ended.wait(0.2):
            if shop.image() == image:
                other_since = None
                continue
            other_since = other_since or time.monotonic()
            if time.monotonic() - other_since >= after:
                shop.release(image)
                applied.append(time.monotonic())

    tool = threading.Thread(target=run)
    tool.start()
    try:
        yield applied
    finally:
        ended.set()
        tool.join()


def test_where_the_policy_acts_all_the_same_and_the_owner_undoes_it_nothing_is_written_twice(shop: Shop) -> None:
    owned(shop, flux(), gitOps="Act", verification={"healthyFor": "20s", "timeout": "90s"})
    with reconciling(shop, BAD, after=5) as applied:
        incident = wait_for_reason(shop, "Escalated", "Contested")
        wait_for_restarts(shop, 6)
        wait_for("it was put back", lambda: applied)
    assert condition(incident, "Contested")["status"] == "True"
    assert "put the bad template back; Stopgap does not fight" in condition(incident, "Contested")["message"]
    assert len(shop.deployment_writes()[0]) == 1
    assert len(applied) == 1
    assert shop.image() == BAD
    assert told(shop.incident(phase="Escalated")).count("Escalated") == 1
    assert shop.foreign_writes() == []


# ------------------------------------------------------------------------------------------------------- one that is suspended

ACCOUNT = "stopgap-system:stopgap"
TOOLS = {"Application": ("application", "web"), "Kustomization": ("kustomization", "apps"), "HelmRelease": ("helmrelease", "api")}


def may_suspend(shop: Shop) -> None:
    """Let Stopgap pause the GitOps objects of this namespace, as the refusal tells it."""
    shop.kubectl(*f"create rolebinding stopgap-suspend-owner --clusterrole=stopgap-action-suspend-owner --serviceaccount={ACCOUNT}".split())


def owner_writes(shop: Shop) -> list[list[dict[str, Any]]]:
    """Return what was written to GitOps objects, patch by patch."""
    owners = {"applications", "kustomizations", "helmreleases"}
    return [one["requestObject"] for one in shop.writes() if one["objectRef"]["resource"] in owners]


def suspension(shop: Shop, state: str, *, seconds: float = 90) -> dict[str, Any]:
    """Wait until the one remediation says so of the owner that it paused."""

    def found() -> dict[str, Any] | None:
        listed = [one for one in shop.items("remediations") if one.get("status", {}).get("suspension", {}).get("state") == state]
        return listed[0] if len(listed) == 1 else None

    return wait_for(f"a suspension that is {state}", found, seconds=seconds) or {}


def look_again(shop: Shop, remediation: dict[str, Any]) -> None:
    """Have the suspended owner looked at now; by itself that is every 30 s."""
    shop.kubectl("annotate", "remediation", remediation["metadata"]["name"], f"looked-at={time.monotonic()}", "--overwrite")


def looked_at(shop: Shop, remediation: dict[str, Any]) -> None:
    """Have it looked at, and wait until that was done: what is read of it leaves a line in the audit log."""

    def reads() -> int:
        wanted = {"resource": "applications", "namespace": shop.name}
        asked = (one.get("objectRef", {}).items() for one in shop.plane.audit() if (one["user"]["username"], one["verb"]) == (USER, "get"))
        return sum(each >= wanted.items() for each in asked)

    before = reads()
    look_again(shop, remediation)
    wait_for("the owner is read", lambda: reads() > before, seconds=20)


def tool(shop: Shop, kind: str) -> dict[str, Any]:
    plural, name = TOOLS[kind]
    return shop.get(plural, name)


def test_an_application_of_two_workloads_is_suspended_once_and_resumes_only_when_git_holds_the_bad_version_of_neither(shop: Shop) -> None:
    def of_two(shop: Shop) -> None:
        shop.deploy(GOOD, name="web")
        gitops.application(shop, "api", "web", automated=SELF_HEAL)
        shop.settle("web")

    may_suspend(shop)
    owned(shop, of_two, gitOps="SuspendOwner", resolution={"after": "1s"})
    shop.release(BAD, name="web")
    incidents = [shop.incident(name=f"{name}-1", phase="Resolved") for name in ("api", "web")]
    assert [shop.image(name) for name in ("api", "web")] == [GOOD, GOOD]
    assert len(shop.deployment_writes()[0]) == 2
    (pause,) = owner_writes(shop)
    assert [one["path"] for one in pause if one["op"] == "test"][:3] == [
        "/metadata/uid",
        "/metadata/generation",
        "/spec/syncPolicy/automated",
    ]
    paused = tool(shop, "Application")
    assert paused["spec"]["syncPolicy"]["automated"] == {**SELF_HEAL, "enabled": False}
    remediation = suspension(shop, "Suspended")
    assert remediation["spec"]["plan"]["summary"].endswith(", after suspending Argo CD Application web")
    assert json.loads(remediation["spec"]["plan"]["suspends"]["before"]) == SELF_HEAL
    incident = remediation["spec"]["incidentRef"]["name"]
    assert paused["metadata"]["annotations"]["stopgap.dev/suspended-for"].startswith(f"incident {shop.name}/{incident}, until ")
    drifts = {one["metadata"]["name"]: condition(one, "GitOpsDrift")["message"] for one in incidents}
    assert drifts[incident].startswith(
        f"Argo CD Application web in {shop.name} is suspended and still holds the bad version: revert it in Git"
    )
    assert all("still holds the bad version" in one for one in drifts.values())

    for found in ({"api": "OutOfSync", "web": "Synced"}, {"api": "Synced", "web": "OutOfSync"}):
        gitops.compared(shop, **found)
        looked_at(shop, remediation)
        assert tool(shop, "Application")["spec"]["syncPolicy"]["automated"]["enabled"] is False
    gitops.compared(shop, api="Synced", web="Synced")
    look_again(shop, remediation)
    after = suspension(shop, "Resumed")
    assert after["status"]["suspension"]["message"] == "resumed: Git no longer holds the bad version"
    resumed = tool(shop, "Application")
    assert resumed["spec"]["syncPolicy"] == {"automated": SELF_HEAL}
    assert not [one for one in resumed["metadata"].get("annotations", {}) if one.startswith("stopgap.dev/")]
    assert len(owner_writes(shop)) == 2
    assert len(shop.deployment_writes()[0]) == 2


def suspended(shop: Shop, kind: str, owner: Tool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Have what Flux deploys suspended and the incident over; return the owner's spec of before, and the record."""
    may_suspend(shop)
    before = {}

    def marked(shop: Shop) -> None:
        owner(shop)
        before.update(tool(shop, kind)["spec"])

    owned(shop, marked, gitOps="SuspendOwner", resolution={"after": "1s"})
    shop.incident(phase="Resolved")
    assert shop.image() == GOOD
    assert tool(shop, kind)["spec"] == {**before, "suspend": True}
    remediation = suspension(shop, "Suspended")
    assert "it does not resume by itself" in remediation["status"]["suspension"]["message"]
    assert len(owner_writes(shop)) == 1
    return before, remediation


def test_what_flux_deploys_stays_suspended_until_a_person_resumes_it(shop: Shop) -> None:
    before, remediation = suspended(shop, "Kustomization", flux())
    shop.kubectl("annotate", "remediation", remediation["metadata"]["name"], "stopgap.dev/revert=now")
    assert suspension(shop, "Resumed")["status"]["suspension"]["message"] == "resumed: a person asked for it"
    assert tool(shop, "Kustomization")["spec"] == before
    assert len(owner_writes(shop)) == 2
    assert len(shop.deployment_writes()[0]) == 1


def test_where_the_record_of_a_suspension_is_lost_it_is_told_how_to_end_it_and_nothing_resumes_by_itself(
    shop: Shop, operator: Operator
) -> None:
    before, remediation = suspended(shop, "HelmRelease", helm(drift_detection="enabled"))
    operator.stop()
    shop.kubectl("delete", "remediation", remediation["metadata"]["name"])
    operator.start()

    def lost() -> list[str]:
        return [one["note"] for one in shop.items("events.events.k8s.io") if one["reason"] == "RecordLost"]

    (note,) = wait_for("people are told", lost, seconds=30) or []
    assert note.startswith(f"Flux HelmRelease api in {shop.name} is suspended (incident {shop.name}/api-1, until ")
    assert f"Remediation {remediation['metadata']['name']} in {shop.name}, was deleted: nothing resumes it any more" in note
    assert tool(shop, "HelmRelease")["spec"] == {**before, "suspend": True}
    assert len(owner_writes(shop)) == 1
    shop.plane.kubectl(*shlex.split(note.partition(": kubectl ")[2]))
    wait_for("the marks are taken away", lambda: "stopgap.dev/restore" not in tool(shop, "HelmRelease")["metadata"].get("annotations", {}))
    assert tool(shop, "HelmRelease")["spec"] == {**before, "suspend": False}
    assert lost() == [note]


def test_without_the_right_nothing_is_suspended_and_the_command_that_grants_it_is_told(shop: Shop) -> None:
    owned(shop, argo(SELF_HEAL), gitOps="SuspendOwner")
    refused = shop.refusals(reason="NotAuthorized")
    assert refused == {
        "NotAuthorized": f"Stopgap may not suspend Argo CD Application web; it needs to patch applications in {shop.name}; allow it with: "
        f"kubectl create rolebinding stopgap-suspend-owner -n {shop.name} --clusterrole=stopgap-action-suspend-owner "
        f"--serviceaccount={ACCOUNT}"
    }
    assert shop.items("remediations") == []
    assert owner_writes(shop) == []
    assert shop.deployment_writes() == ([], [])
    shop.plane.kubectl(*shlex.split(refused["NotAuthorized"].partition(": kubectl ")[2]))
    may(shop, USER, "patch", "applications.argoproj.io")
