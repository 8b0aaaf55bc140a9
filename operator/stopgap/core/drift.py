"""What the tool that deploys a workload will do about a change of Stopgap, later."""

from stopgap.core import owners, suspending
from stopgap.core.case import Case


def drifting(case: Case) -> str:
    """Say which tool will bring the old state back at its next deployment, or nothing."""
    if paused := suspending.drifting(case):
        return paused
    work, live = case.seen.workload, case.seen.live
    if live and live.drifting_owner:
        return live.drifting_owner
    found = owners.owner(work) if work else None
    return owners.drift(found) if found else ""
