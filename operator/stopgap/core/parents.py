"""What manages a GitOps owner itself, and so would undo a pause of it: its object bears the same kinds of marks as a workload."""

from collections.abc import Iterator
from typing import Any, Final

ARGO_TRACKING: Final = "argocd.argoproj.io/tracking-id"
_INSTANCE: Final = "app.kubernetes.io/instance"
KUSTOMIZE: Final = "kustomize.toolkit.fluxcd.io"
FLUX_HELM: Final = "helm.toolkit.fluxcd.io"
_LEFT_ALONE: Final = frozenset({"disabled", "Disabled"})


def parent(body: dict[str, Any]) -> str:
    """Name what would put an owner's own spec back, as `ApplicationSet shop`, or nothing.

    An owner that applies itself (the Kustomization of a Flux bootstrap) is none: once it is paused it applies nothing.
    """
    return next((f"{kind} {name}" for kind, name in _parents(body) if (kind, name) != (_kind(body), _name(body))), "")


def _parents(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    meta = body.get("metadata") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    for one in meta.get("ownerReferences") or ():
        if one.get("controller") or one.get("kind") == "ApplicationSet":
            yield str(one.get("kind")), str(one.get("name"))
    if app := _tracked_by(body, annotations.get(ARGO_TRACKING, "")):
        yield "Application", app
    elif _kind(body) == "Application" and _INSTANCE in labels:
        # The older way in which Argo CD marks what it applies. Charts set it too; being wrong here costs a page and not a fight.
        yield "Application", labels[_INSTANCE]
    for prefix, kind in ((KUSTOMIZE, "Kustomization"), (FLUX_HELM, "HelmRelease")):
        told_off = {labels.get(f"{prefix}/reconcile"), annotations.get(f"{prefix}/reconcile")} & _LEFT_ALONE
        if (name := labels.get(f"{prefix}/name")) and not told_off:
            yield kind, name


def _tracked_by(body: dict[str, Any], mark: str) -> str:
    # <app>:<group>/<kind>:<namespace>/<name>; a copied object keeps the mark of the original, so it must name this very object.
    app, _, about = mark.partition(":")
    group = str(body.get("apiVersion", "")).partition("/")[0]
    namespace = (body.get("metadata") or {}).get("namespace", "")
    return app.rpartition("_")[2] if about == f"{group}/{_kind(body)}:{namespace}/{_name(body)}" else ""


def _kind(body: dict[str, Any]) -> str:
    return str(body.get("kind", ""))


def _name(body: dict[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("name", ""))
