"""GitOps tools own workloads: one that would undo a change is a reason to refuse, one that would not is a reason to warn."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.cluster import gitops
from tests.cluster.harness import Shop, wait_for
from tests.cluster.reading import condition, told, wait_for_reason, wait_for_restarts

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


def plain_helm(shop: Shop) -> None:
    shop.kubectl("annotate", "deployment", "api", "meta.helm.sh/release-name=web", f"meta.helm.sh/release-namespace={shop.name}")


# ----------------------------------------------------------------------------------------------------- one that would undo it

SELF_HEAL = {"prune": True, "selfHeal": True}
SYNCS = "Argo CD application web syncs this by itself; revert the change in shop/api of https://git.example/fleet"
RECONCILES = "Flux Kustomization apps reconciles this; revert the change in ./shop of fleet"
CORRECTS = "Flux HelmRelease api corrects drift; revert the change in its values or chart"
APPLICATION_SET = {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "fleet", "uid": "1", "controller": True}
OF_ROOT = {"labels": {"app.kubernetes.io/instance": "root"}}
OF_FLUX = {"labels": {f"{gitops.KUSTOMIZE}/name": "root", f"{gitops.KUSTOMIZE}/namespace": "flux-system"}}


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        pytest.param(argo(SELF_HEAL), SYNCS, id="an application that syncs by itself"),
        pytest.param(flux(), RECONCILES, id="a Kustomization"),
        pytest.param(helm(drift_detection="enabled"), CORRECTS, id="a HelmRelease that corrects drift"),
        pytest.param(
            argo(SELF_HEAL, ownerReferences=[APPLICATION_SET]),
            f"{SYNCS}. web is itself managed by ApplicationSet fleet, which would undo a pause of it, "
            "unless its ignoreApplicationDifferences names /spec/syncPolicy",
            id="an application of an ApplicationSet",
        ),
        pytest.param(
            argo(SELF_HEAL, **OF_ROOT),
            f"{SYNCS}. web is itself managed by Application root, which would undo a pause of it",
            id="an application of another application",
        ),
        pytest.param(
            flux(**OF_FLUX),
            f"{RECONCILES}. apps is itself managed by Kustomization root, which would undo a pause of it",
            id="a Kustomization of another Kustomization",
        ),
        pytest.param(
            helm(drift_detection="enabled", **OF_FLUX),
            f"{CORRECTS}. api is itself managed by Kustomization root, which would undo a pause of it",
            id="a HelmRelease of a Kustomization",
        ),
    ],
)
def test_an_owner_that_would_undo_it_is_a_reason_to_refuse_that_says_what_to_revert_where(shop: Shop, tool: Tool, message: str) -> None:
    owned(shop, tool)
    assert shop.refusals(reason="GitOpsOwned") == {"GitOpsOwned": message}
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
            argo({**SELF_HEAL, "enabled": False}),
            "Argo CD application web",
            "its next sync brings it back",
            id="an application whose automated sync is off",
        ),
        pytest.param(
            flux(suspend=True), "Flux Kustomization apps", "its next reconciliation brings it back", id="a suspended Kustomization"
        ),
        pytest.param(helm(), "Flux HelmRelease api", "its next upgrade brings it back", id="a HelmRelease that leaves drift alone"),
        pytest.param(plain_helm, "Helm release web", "its next upgrade brings it back", id="Helm"),
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
