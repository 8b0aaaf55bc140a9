"""Who else deploys a workload, and what they would do about a change of ours."""

from typing import Any

import pytest
from tests.conftest import make_case, make_seen, make_workload

from stopgap.core import drift
from stopgap.core.owners import Owner, OwnerKind, judge, owner, source_revision
from stopgap.model.workload import Workload

TRACKING, RELEASE, RELEASE_NAMESPACE = "argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
ARGO = Owner(OwnerKind.ARGO_CD, "", "web")
KUSTOMIZE, HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"


def marked(labels: dict[str, str] | None = None, **annotations: str) -> Workload:
    return make_workload(labels=labels or {}, annotations=annotations)


def annotated(**marks: str) -> Workload:
    names = {"argo": TRACKING, "helm": RELEASE, "where": RELEASE_NAMESPACE}
    return make_workload(annotations={names[key]: value for key, value in marks.items()})


@pytest.mark.parametrize(
    ("work", "found"),
    [
        pytest.param(make_workload(), None, id="no mark is no owner"),
        pytest.param(annotated(argo="web:apps/Deployment:shop/api"), Owner(OwnerKind.ARGO_CD, "", "web"), id="Argo CD by its tracking id"),
        pytest.param(
            annotated(argo="argo_web:apps/Deployment:shop/api"), Owner(OwnerKind.ARGO_CD, "argo", "web"), id="an application elsewhere"
        ),
        pytest.param(annotated(argo="web:apps/Deployment:shop/other"), None, id="a mark copied from another workload is none"),
        pytest.param(annotated(argo="web:apps/Deployment:prod/api"), None, id="a mark copied from another namespace is none"),
        pytest.param(annotated(argo="web:apps/StatefulSet:shop/api"), None, id="a mark of another kind is none"),
        pytest.param(annotated(argo="nonsense"), None, id="a mark that cannot be read is none"),
        pytest.param(
            marked({f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": "flux"}),
            Owner(OwnerKind.FLUX_KUSTOMIZATION, "flux", "apps"),
            id="a Flux Kustomization by its labels",
        ),
        pytest.param(
            marked({f"{HELM}/name": "api", f"{HELM}/namespace": "flux"}),
            Owner(OwnerKind.FLUX_HELM_RELEASE, "flux", "api"),
            id="a Flux HelmRelease by its labels",
        ),
        pytest.param(marked({f"{KUSTOMIZE}/name": "apps"}), None, id="half a mark is none"),
        pytest.param(annotated(helm="api", where="releases"), Owner(OwnerKind.HELM, "releases", "api"), id="Helm by its annotations"),
        pytest.param(annotated(helm="api"), Owner(OwnerKind.HELM, "shop", "api"), id="Helm without a namespace is in the workload's own"),
    ],
)
def test_an_owner_is_known_by_marks_that_name_this_very_object(work: Workload, found: Owner | None) -> None:
    assert owner(work) == found


def test_a_tool_that_reconciles_is_stronger_evidence_than_the_chart_it_uses() -> None:
    both = make_workload(annotations={RELEASE: "api", TRACKING: "web:apps/Deployment:shop/api"})
    found = owner(both)
    assert found is not None
    assert found.kind is OwnerKind.ARGO_CD


def application(**spec: Any) -> dict[str, Any]:
    listed = [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "api"}]
    source = {"repoURL": "https://git.example/apps", "path": "shop/api"}
    return {"spec": {"source": source, **spec}, "status": {"resources": listed}}


FLUX = Owner(OwnerKind.FLUX_KUSTOMIZATION, "flux", "apps")
RELEASED = Owner(OwnerKind.FLUX_HELM_RELEASE, "flux", "api")
KUSTOMIZATION: dict[str, Any] = {"path": "./shop", "sourceRef": {"name": "fleet"}}


@pytest.mark.parametrize(
    ("found", "body", "reconciles", "facts"),
    [
        pytest.param(
            ARGO,
            application(syncPolicy={"automated": {}}),
            True,
            "Argo CD application web syncs this by itself; revert the change in shop/api of https://git.example/apps",
            id="automated sync would undo it",
        ),
        pytest.param(
            ARGO,
            application(syncPolicy={"automated": {"enabled": False}}),
            False,
            "its next sync",
            id="sync that is switched off would not",
        ),
        pytest.param(ARGO, application(), False, "Revert it in shop/api of https://git.example/apps", id="manual sync would not"),
        pytest.param(
            ARGO,
            application(source=None, sources=[{"repoURL": "https://charts.example", "chart": "api"}], syncPolicy={"automated": {}}),
            True,
            "revert the change in api of https://charts.example",
            id="several sources are named by their first",
        ),
        pytest.param(ARGO, None, True, "could not be read", id="one that cannot be read is taken to reconcile"),
        pytest.param(
            FLUX, {"spec": KUSTOMIZATION}, True, "Flux Kustomization apps reconciles this; revert the change in ./shop of fleet", id="Flux"
        ),
        pytest.param(
            FLUX, {"spec": {**KUSTOMIZATION, "suspend": True}}, False, "resuming it brings it back", id="suspended Flux would not"
        ),
        pytest.param(
            RELEASED, {"spec": {"driftDetection": {"mode": "enabled"}}}, True, "corrects drift", id="a HelmRelease that corrects drift"
        ),
        pytest.param(
            RELEASED,
            {"spec": {"driftDetection": {"mode": "enabled"}, "suspend": True}},
            False,
            "its next upgrade brings it back",
            id="a suspended HelmRelease would not",
        ),
        pytest.param(
            RELEASED,
            {"spec": {"driftDetection": {"mode": "warn"}}},
            False,
            "its next upgrade",
            id="a HelmRelease that only warns would not",
        ),
        pytest.param(RELEASED, {"spec": {}}, False, "its next upgrade", id="a plain HelmRelease would not"),
    ],
)
def test_what_an_owner_would_do_is_said_with_where_to_revert(
    found: Owner,
    body: dict[str, Any] | None,
    reconciles: bool,  # noqa: FBT001 - a column of the table
    facts: str,
) -> None:
    ownership = judge(found, make_workload(), body)
    assert ownership is not None
    assert ownership.reconciles is reconciles
    assert facts in ownership.message


@pytest.mark.parametrize(
    ("found", "body", "above"),
    [
        pytest.param(ARGO, application(syncPolicy={"automated": {}}), "", id="nobody"),
        pytest.param(
            ARGO,
            {
                **application(syncPolicy={"automated": {}}),
                "metadata": {"name": "web", "ownerReferences": [{"kind": "ApplicationSet", "name": "fleet", "controller": True}]},
            },
            "ApplicationSet fleet, which would undo a pause of it, unless its ignoreApplicationDifferences names /spec/syncPolicy",
            id="an ApplicationSet",
        ),
        pytest.param(
            ARGO,
            {
                **application(syncPolicy={"automated": {}}),
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {
                    "name": "web",
                    "namespace": "argocd",
                    "annotations": {TRACKING: "argocd_root:argoproj.io/Application:argocd/web"},
                },
            },
            "Application root, which would undo a pause of it",
            id="an application of applications",
        ),
        pytest.param(
            ARGO,
            {
                **application(syncPolicy={"automated": {}}),
                "kind": "Application",
                "metadata": {"name": "web", "labels": {"app.kubernetes.io/instance": "root"}},
            },
            "Application root, which would undo a pause of it",
            id="an application of applications, marked in the older way",
        ),
        pytest.param(
            ARGO,
            {
                **application(syncPolicy={"automated": {}}),
                "kind": "Application",
                "metadata": {"name": "web", "namespace": "argocd", "annotations": {TRACKING: "root:argoproj.io/Application:argocd/other"}},
            },
            "",
            id="not whom a copied mark names",
        ),
        pytest.param(
            FLUX,
            {"spec": KUSTOMIZATION, "kind": "Kustomization", "metadata": {"name": "apps", "labels": {f"{KUSTOMIZE}/name": "root"}}},
            "Kustomization root, which would undo a pause of it",
            id="another Kustomization",
        ),
        pytest.param(
            FLUX,
            {"spec": KUSTOMIZATION, "kind": "Kustomization", "metadata": {"name": "apps", "labels": {f"{KUSTOMIZE}/name": "apps"}}},
            "",
            id="not the Kustomization itself: paused, it applies nothing",
        ),
        pytest.param(
            FLUX,
            {
                "spec": KUSTOMIZATION,
                "kind": "Kustomization",
                "metadata": {"name": "apps", "labels": {f"{KUSTOMIZE}/name": "root", f"{KUSTOMIZE}/reconcile": "disabled"}},
            },
            "",
            id="not one that is told to leave it alone",
        ),
        pytest.param(
            RELEASED,
            {
                "spec": {"driftDetection": {"mode": "enabled"}},
                "kind": "HelmRelease",
                "metadata": {"name": "api", "labels": {f"{KUSTOMIZE}/name": "apps"}},
            },
            "Kustomization apps, which would undo a pause of it",
            id="the Kustomization of a HelmRelease",
        ),
    ],
)
def test_whoever_manages_the_owner_itself_is_named(found: Owner, body: dict[str, Any], above: str) -> None:
    ownership = judge(found, make_workload(), body)
    assert ownership is not None
    assert ownership.parent == above.partition(",")[0]
    expected = f". {found.name} is itself managed by {above}" if above else ""
    assert ownership.message.endswith(expected)
    assert ("itself managed" in ownership.message) is bool(above)


def test_an_application_that_does_not_list_the_workload_does_not_own_it() -> None:
    body = application(syncPolicy={"automated": {}})
    body["status"]["resources"][0]["name"] = "another"
    assert judge(ARGO, make_workload(), body) is None


def test_a_workload_may_opt_out_of_flux() -> None:
    work = make_workload(annotations={f"{KUSTOMIZE}/reconcile": "disabled"})
    ownership = judge(FLUX, work, {"spec": KUSTOMIZATION})
    assert ownership is not None
    assert not ownership.reconciles


def test_plain_helm_reconciles_nothing() -> None:
    assert judge(Owner(OwnerKind.HELM, "shop", "api"), make_workload(), None) is None


@pytest.mark.parametrize(
    ("marks", "fact"),
    [
        pytest.param(
            {"annotations": {TRACKING: "web:apps/Deployment:shop/api"}},
            "by its marks this is deployed by Argo CD application web, which still",
            id="Argo CD",
        ),
        pytest.param(
            {"labels": {"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "flux"}},
            "by its marks this is deployed by Flux HelmRelease web in flux, which still",
            id="Flux",
        ),
        pytest.param({"annotations": {RELEASE: "web"}}, "Helm release web in shop still", id="Helm"),
        pytest.param({}, "", id="nobody"),
    ],
)
def test_whoever_brings_the_bad_version_back_is_named_without_reading_it_again(marks: dict[str, Any], fact: str) -> None:
    found = drift.drifting(make_case(seen=make_seen(workload=make_workload(**marks))))
    assert found.startswith(fact)
    assert bool(found) is bool(fact)


LISTS_IT = [{"kind": "Deployment", "namespace": "shop", "name": "api"}]
TRACKED = {TRACKING: "shop:apps/Deployment:shop/api"}
OF_FLUX = {f"{KUSTOMIZE}/name": "shop", f"{KUSTOMIZE}/namespace": "flux"}
OF_FLUX_HELM = {f"{HELM}/name": "shop", f"{HELM}/namespace": "flux"}
CHART = {"helm.sh/chart": "api-1.4.0", "app.kubernetes.io/version": "2.0"}


@pytest.mark.parametrize(
    ("marks", "body", "told"),
    [
        pytest.param({}, None, "", id="nobody deploys it"),
        pytest.param(
            {"annotations": TRACKED},
            {"status": {"resources": LISTS_IT, "sync": {"revision": "4f2a"}}},
            "4f2a (Argo CD application shop)",
            id="Argo CD",
        ),
        pytest.param(
            {"annotations": TRACKED},
            {"status": {"resources": LISTS_IT, "sync": {"revisions": ["4f2a", "1.2"]}}},
            "4f2a, 1.2 (Argo CD application shop)",
            id="Argo CD, of several sources",
        ),
        pytest.param(
            {"annotations": TRACKED}, {"status": {"resources": [], "sync": {"revision": "4f2a"}}}, "", id="an application of others"
        ),
        pytest.param({"annotations": TRACKED}, None, "", id="an application that cannot be read"),
        pytest.param(
            {"labels": OF_FLUX}, {"status": {"lastAppliedRevision": "main@sha1:4f"}}, "main@sha1:4f (Flux Kustomization shop)", id="Flux"
        ),
        pytest.param(
            {"labels": OF_FLUX_HELM},
            {"status": {"history": [{"chartName": "api", "chartVersion": "1.4.0"}, {"chartName": "api", "chartVersion": "1.3.0"}]}},
            "api 1.4.0 (Flux HelmRelease shop)",
            id="Flux, by Helm",
        ),
        pytest.param(
            {"annotations": {RELEASE: "shop"}, "labels": CHART}, None, "chart api-1.4.0, version 2.0 (Helm release shop)", id="Helm"
        ),
        pytest.param({"annotations": {RELEASE: "shop"}}, None, "", id="Helm without its labels"),
    ],
)
def test_what_was_deployed_is_told_by_its_owner(marks: dict[str, Any], body: dict[str, Any] | None, told: str) -> None:
    assert source_revision(make_workload(**marks), body) == told
