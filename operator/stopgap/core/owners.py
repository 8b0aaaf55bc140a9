"""Who else deploys a workload, as far as its own labels and annotations tell."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from stopgap.core.parents import ARGO_TRACKING, FLUX_HELM, KUSTOMIZE, parent
from stopgap.model.workload import Workload

HELM_RELEASE = "meta.helm.sh/release-name"
HELM_NAMESPACE = "meta.helm.sh/release-namespace"


class OwnerKind(StrEnum):
    """Tools that deploy workloads."""

    ARGO_CD = "ArgoCD"
    FLUX_KUSTOMIZATION = "FluxKustomization"
    FLUX_HELM_RELEASE = "FluxHelmRelease"
    HELM = "Helm"


@dataclass(frozen=True, slots=True)
class Owner:
    """A tool's own object that deploys the workload. `namespace` may be empty where the mark does not say."""

    kind: OwnerKind
    namespace: str
    name: str


def owner(work: Workload) -> Owner | None:
    """Return the strongest evidence of an owner that the object itself carries, or None."""
    return _argo(work) or _flux(work) or _helm(work)


def _argo(work: Workload) -> Owner | None:
    # <app>:<group>/<kind>:<namespace>/<name>; a copied object keeps the mark of the original, so it must name this very object.
    parts = work.annotations.get(ARGO_TRACKING, "").split(":")
    if len(parts) != 3 or parts[1:] != [f"apps/{work.kind}", f"{work.namespace}/{work.name}"]:  # noqa: PLR2004 - the three parts above
        return None
    namespace, _, name = parts[0].rpartition("_")
    return Owner(OwnerKind.ARGO_CD, namespace, name)


def _flux(work: Workload) -> Owner | None:
    for prefix, kind in ((KUSTOMIZE, OwnerKind.FLUX_KUSTOMIZATION), (FLUX_HELM, OwnerKind.FLUX_HELM_RELEASE)):
        name, namespace = work.labels.get(f"{prefix}/name"), work.labels.get(f"{prefix}/namespace")
        if name and namespace:
            return Owner(kind, namespace, name)
    return None


def _helm(work: Workload) -> Owner | None:
    name = work.annotations.get(HELM_RELEASE)
    return Owner(OwnerKind.HELM, work.annotations.get(HELM_NAMESPACE, work.namespace), name) if name else None


@dataclass(frozen=True, slots=True)
class Ownership:
    """What an owner would do about a change of ours, in words for a person."""

    reconciles: bool
    message: str
    parent: str = ""
    """What manages the owner itself and would undo a pause of it, as `ApplicationSet shop`; or empty."""


def judge(found: Owner, work: Workload, body: dict[str, Any] | None) -> Ownership | None:
    """Say whether an owner would undo our change. `body` is the owner's own object, None when it could not be read.

    An owner that cannot be read is taken to reconcile: being wrong in that direction costs a page, not a fight. None: it owns nothing.
    """
    if found.kind is OwnerKind.HELM:
        return None
    if body is None:
        return Ownership(True, f"{found.kind} {found.name} is said to deploy this and could not be read; revert the change there")
    judges = {
        OwnerKind.ARGO_CD: _judge_argo,
        OwnerKind.FLUX_KUSTOMIZATION: _judge_kustomization,
        OwnerKind.FLUX_HELM_RELEASE: _judge_helm_release,
    }
    ownership = judges[found.kind](found, work, body)
    return _with_parent(found, ownership, parent(body)) if ownership and ownership.reconciles else ownership


def _with_parent(found: Owner, ownership: Ownership, above: str) -> Ownership:
    """Warn of what a person tries next: pausing the owner by hand."""
    if not above:
        return ownership
    unless = ", unless its ignoreApplicationDifferences names /spec/syncPolicy" if above.startswith("ApplicationSet ") else ""
    message = f"{ownership.message}. {found.name} is itself managed by {above}, which would undo a pause of it{unless}"
    return replace(ownership, message=message, parent=above)


_WORDS: Final = {
    OwnerKind.ARGO_CD: ("Argo CD application", "its next sync brings it back. Revert it in Git"),
    OwnerKind.FLUX_KUSTOMIZATION: ("Flux Kustomization", "its next reconciliation brings it back. Revert it in Git"),
    OwnerKind.FLUX_HELM_RELEASE: ("Flux HelmRelease", "its next upgrade brings it back. Revert it in its values or chart"),
    OwnerKind.HELM: ("Helm release", "its next upgrade brings it back. helm rollback, or fix the chart"),
}


def drift(found: Owner) -> str:
    """Say what an owner will do to our change, by the marks on the workload alone: verification does not read the owner again."""
    what, then = _WORDS[found.kind]
    where = f"{what} {found.name} in {found.namespace}" if found.namespace else f"{what} {found.name}"
    if found.kind is not OwnerKind.HELM:
        where = f"by its marks this is deployed by {where}, which"
    return f"{where} still holds the bad version: {then}"


def _judge_argo(found: Owner, work: Workload, body: dict[str, Any]) -> Ownership | None:
    listed = body.get("status", {}).get("resources") or ()
    if not any((one.get("kind"), one.get("namespace"), one.get("name")) == (work.kind, work.namespace, work.name) for one in listed):
        return None
    spec = body.get("spec", {})
    automated = (spec.get("syncPolicy") or {}).get("automated")
    source: dict[str, Any] = spec.get("source") or next(iter(spec.get("sources") or ()), {})
    where = f"{source.get('path') or source.get('chart') or '.'} of {source.get('repoURL', 'its repository')}"
    if automated is not None and automated.get("enabled") is not False:
        return Ownership(True, f"Argo CD application {found.name} syncs this by itself; revert the change in {where}")
    return Ownership(
        False, f"Argo CD application {found.name} still wants the bad version: its next sync brings it back. Revert it in {where}"
    )


def _judge_kustomization(found: Owner, work: Workload, body: dict[str, Any]) -> Ownership | None:
    spec = body.get("spec", {})
    where = f"{spec.get('path', '.')} of {spec.get('sourceRef', {}).get('name', 'its source')}"
    if spec.get("suspend") or work.annotations.get(f"{KUSTOMIZE}/reconcile") == "disabled":
        return Ownership(
            False, f"Flux Kustomization {found.name} still wants the bad version: resuming it brings it back. Revert it in {where}"
        )
    return Ownership(True, f"Flux Kustomization {found.name} reconciles this; revert the change in {where}")


def _judge_helm_release(found: Owner, work: Workload, body: dict[str, Any]) -> Ownership | None:  # noqa: ARG001 - one shape for all owners
    spec = body.get("spec", {})
    if not spec.get("suspend") and (spec.get("driftDetection") or {}).get("mode") == "enabled":
        return Ownership(True, f"Flux HelmRelease {found.name} corrects drift; revert the change in its values or chart")
    return Ownership(
        False, f"Flux HelmRelease {found.name} still wants the bad version: its next upgrade brings it back. Revert it in its values"
    )


def source_revision(work: Workload, body: dict[str, Any] | None) -> str:
    """Say what an owner has deployed: a Git revision, or a chart and its version; nothing where neither it nor its marks tell."""
    found = owner(work)
    tells = {
        OwnerKind.ARGO_CD: _synced,
        OwnerKind.FLUX_KUSTOMIZATION: _applied,
        OwnerKind.FLUX_HELM_RELEASE: _released,
        OwnerKind.HELM: _charted,
    }
    return tells[found.kind](found, work, body or {}) if found else ""


def _synced(found: Owner, work: Workload, body: dict[str, Any]) -> str:
    if not body or _judge_argo(found, work, body) is None:
        return ""
    sync = body.get("status", {}).get("sync") or {}
    revision = sync.get("revision") or ", ".join(sync.get("revisions") or ())
    return f"{revision} (Argo CD application {found.name})" if revision else ""


def _applied(found: Owner, work: Workload, body: dict[str, Any]) -> str:  # noqa: ARG001 - one shape for all owners
    revision = body.get("status", {}).get("lastAppliedRevision")
    return f"{revision} (Flux Kustomization {found.name})" if revision else ""


def _released(found: Owner, work: Workload, body: dict[str, Any]) -> str:
    last: dict[str, Any] = next(iter(body.get("status", {}).get("history") or ()), {})
    chart = " ".join(str(last[name]) for name in ("chartName", "chartVersion") if last.get(name))
    return f"{chart} (Flux HelmRelease {found.name})" if chart else _charted(found, work, body)


def _charted(found: Owner, work: Workload, body: dict[str, Any]) -> str:  # noqa: ARG001 - one shape for all owners
    chart, version = work.labels.get("helm.sh/chart", ""), work.labels.get("app.kubernetes.io/version", "")
    app = f", version {version}" if version else ""
    return f"chart {chart}{app} (Helm release {found.name})" if chart else (f"version {version}" if version else "")
