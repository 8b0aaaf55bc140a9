"""How each kind of GitOps owner is paused: which field, what it is set to, and how a paused one is known again. Pure.

Argo CD: `spec.syncPolicy.automated.enabled: false` (3.1 and later) keeps prune and selfHeal beside it, and comparing goes on. An older one
drops the field, which shows in what the API server stored. Flux: `spec.suspend: true`; nothing is compared meanwhile.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self, get_args

from stopgap.api import Remediation
from stopgap.api.suspension import PlannedSuspension
from stopgap.core.marks import RESTORE
from stopgap.model.refs import Target, WorkloadKind
from stopgap.model.time import stamp

OWNERS: Final = {
    "Application": ("argoproj.io/v1alpha1", "applications"),
    "Kustomization": ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    "HelmRelease": ("helm.toolkit.fluxcd.io/v2", "helmreleases"),
}
"""Version and resource of each kind of owner that can be paused."""
SUSPENDED_FOR: Final = "stopgap.dev/suspended-for"
SLACK: Final = timedelta(seconds=10)
"""A comparison must be so much younger than what it is to have seen: times are whole seconds, and a cache lags."""


def pointer(kind: str) -> str:
    """Return the JSON pointer of the field that pauses an owner."""
    return "/spec/syncPolicy/automated" if kind == "Application" else "/spec/suspend"


def value(kind: str, body: dict[str, Any]) -> Any:
    """Return what an owner's field holds now; None: not set."""
    spec = body.get("spec") or {}
    return (spec.get("syncPolicy") or {}).get("automated") if kind == "Application" else spec.get("suspend")


def is_paused(kind: str, body: dict[str, Any]) -> bool:
    """Whether an owner deploys nothing by itself, whoever said so."""
    now = value(kind, body)
    return now is True if kind != "Application" else now is None or now.get("enabled") is False


def before(plan: PlannedSuspension) -> Any:
    """Return what was there before."""
    return json.loads(plan.before or "null")


def ours(plan: PlannedSuspension) -> Any:
    """Return what the pause sets."""
    return {**(before(plan) or {}), "enabled": False} if plan.kind == "Application" else True


def marks(remediation: Remediation, plan: PlannedSuspension) -> dict[str, str]:
    """Return the annotations that let the pause explain itself, also where every record of it is lost."""
    meta = remediation.metadata
    said = {"field": pointer(plan.kind), "before": before(plan), "ours": ours(plan), "remediationUID": meta.uid, "remediation": meta.name}
    incident = f"{meta.namespace}/{remediation.spec.incident_ref.name}"
    return {RESTORE: json.dumps(said), SUSPENDED_FOR: f"incident {incident}, until {stamp(plan.expires_at)}"}


@dataclass(frozen=True, slots=True)
class Mark:
    """What an owner says about its pause: under which remediation, in the namespace of which incident."""

    uid: str
    name: str
    namespace: str


def read_mark(annotations: Mapping[str, str] | None) -> Mark | None:
    """Understand the annotations of an owner; None where they do not say that it is paused."""
    found = annotations or {}
    try:
        said = json.loads(found.get(RESTORE, ""))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    namespace = found.get(SUSPENDED_FOR, "").removeprefix("incident ").partition("/")[0]
    return Mark(str(said.get("remediationUID", "")), str(said.get("remediation", "")), namespace)


def is_marked(uid: str | None, body: dict[str, Any]) -> bool:
    """Whether an owner says that it was paused under this very remediation."""
    mark = read_mark((body.get("metadata") or {}).get("annotations"))
    return mark is not None and mark.uid == uid


@dataclass(frozen=True, slots=True)
class LostPause:
    """A GitOps owner that was paused under a remediation whose record may be gone."""

    kind: str
    namespace: str
    name: str
    mark: Mark
    until: datetime | None = None
    """Until then the pause may still be written, so that its absence proves nothing."""

    @classmethod
    def of(cls, one: Remediation, plan: PlannedSuspension) -> Self:
        """Return what was paused under a remediation."""
        mark = Mark(one.metadata.uid or "", one.metadata.name, one.metadata.namespace or "")
        return cls(plan.kind, plan.namespace, plan.name, mark, one.write_until)


def deploys(body: dict[str, Any]) -> list[Target]:
    """Return the workloads that an Argo CD application lists as its own and that Stopgap may change; none for what lists nothing."""
    listed = [one for one in (body.get("status") or {}).get("resources") or () if one.get("group") == "apps"]
    of_them = [one for one in listed if one.get("kind") in get_args(WorkloadKind)]
    return [Target(str(one.get("namespace", "")), one["kind"], str(one.get("name", ""))) for one in of_them]


def wants_what_is_there(body: dict[str, Any], target: Target, since: datetime) -> bool:
    """Whether an Argo CD application has compared after `since` and found in Git what is live. False for what cannot be told.

    It resumes as a whole, so no other workload of it may differ either: that may be a bad release that was rolled back as well.
    """
    status = body.get("status") or {}
    try:
        compared = datetime.fromisoformat(str(status.get("reconciledAt", "")))
    except ValueError:
        return False
    if compared.tzinfo is None or compared < since + SLACK:
        return False
    workloads = [one for one in status.get("resources") or () if one.get("group") == "apps"]
    this = (target.kind, target.namespace, target.name)
    known = any((one.get("kind"), one.get("namespace"), one.get("name")) == this for one in workloads)
    return known and all(one.get("status") == "Synced" for one in workloads)
