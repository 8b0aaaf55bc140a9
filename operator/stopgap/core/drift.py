"""What the tool that deploys a workload will do about a change of Stopgap, later."""

from stopgap.core import owners
from stopgap.core.case import Case


def drifting(case: Case) -> str:
    """Say which tool will bring the old state back at its next deployment, or nothing."""
    work, live = case.seen.workload, case.seen.live
    if live and live.drifting_owner:
        return live.drifting_owner
    found = owners.owner(work) if work else None
    if found is None or found.kind is not owners.OwnerKind.HELM:
        return ""
    where = f"Helm release {found.name} in {found.namespace}"
    return f"{where} still holds the bad version: its next upgrade brings it back. helm rollback, or fix the chart"
