"""What GitOps tools leave in a cluster: their objects, and their marks on what they deploy. No tool runs; the tests play it."""

import json
import time
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.harness import Shop

CRDS = Path(__file__).parent / "crds"
TRACKING = "argocd.argoproj.io/tracking-id"
KUSTOMIZE, HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
AHEAD = 15
"""Seconds: a comparison must be so much younger than the last change of a workload."""
REPOSITORY = "https://git.example/fleet"


def install_tools(plane: Cluster) -> None:
    """Install the tools' CRDs, as far as Stopgap reads them."""
    plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


def application(shop: Shop, *names: str, automated: dict[str, Any] | None, **meta: Any) -> None:
    """Apply an Argo CD application beside its workloads (by default one, api), which it lists, and mark them as its own."""
    policy = {"syncPolicy": {"automated": automated}} if automated is not None else {}
    listed = [_listed(shop, name, "Synced") for name in names or ("api",)]
    shop.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "web", **meta},
            "spec": {"project": "default", "source": {"repoURL": REPOSITORY, "path": "shop/api"}, **policy},
            "status": {"resources": listed},
        }
    )
    for one in listed:
        shop.kubectl("annotate", "deployment", one["name"], f"{TRACKING}={shop.name}_web:apps/Deployment:{shop.name}/{one['name']}")


def _listed(shop: Shop, name: str, status: str) -> dict[str, str]:
    return {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": shop.name, "name": name, "status": status}


def kustomization(shop: Shop, *, suspend: bool = False, **meta: Any) -> None:
    """Apply a Flux Kustomization, and mark the workload as its own."""
    spec = {"path": "./shop", "sourceRef": {"kind": "GitRepository", "name": "fleet"}, "prune": True, "interval": "10m", "suspend": suspend}
    shop.apply({"apiVersion": f"{KUSTOMIZE}/v1", "kind": "Kustomization", "metadata": {"name": "apps", **meta}, "spec": spec})
    shop.kubectl("label", "deployment", "api", f"{KUSTOMIZE}/name=apps", f"{KUSTOMIZE}/namespace={shop.name}")


def helm_release(shop: Shop, *, drift_detection: str = "", **meta: Any) -> None:
    """Apply a Flux HelmRelease, and mark the workload as its own."""
    spec: dict[str, Any] = {"interval": "10m", **({"driftDetection": {"mode": drift_detection}} if drift_detection else {})}
    shop.apply({"apiVersion": f"{HELM}/v2", "kind": "HelmRelease", "metadata": {"name": "api", **meta}, "spec": spec})
    shop.kubectl("label", "deployment", "api", f"{HELM}/name=api", f"{HELM}/namespace={shop.name}")


def compared(shop: Shop, **found: str) -> None:
    """Play Argo CD, which compares also while automated sync is off; `api="Synced"` says what it found of a workload."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + AHEAD))
    body = {"status": {"resources": [_listed(shop, *one) for one in found.items()], "reconciledAt": at}}
    shop.kubectl("patch", "application", "web", "--type=merge", "-p", json.dumps(body))
