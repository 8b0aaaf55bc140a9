"""The mark on an object that something was lent to it for a while: it explains itself even when every record of it is lost."""

import json
from typing import Final

from stopgap.api.remediation import PlannedScaler, Remediation
from stopgap.core.case import Case, Lent
from stopgap.model.change import Field
from stopgap.model.workload import Workload

RESTORE: Final = "stopgap.dev/restore"
_MOST: Final = 2**31 - 1


def mark(lent: Lent) -> str:
    """Return the annotation's text."""
    return json.dumps({"field": lent.field, "before": lent.before, "ours": lent.ours, "remediationUID": lent.remediation_uid})


def read_mark(text: str, scaler: PlannedScaler | None = None) -> Lent | None:
    """Understand an annotation; None for one that somebody wrote by hand and that says nothing."""
    try:
        said = json.loads(text)
        field, before, ours = Field(said["field"]), said["before"], said["ours"]
        uid = str(said["remediationUID"])
    except (ValueError, KeyError, TypeError):
        return None
    if field is Field.TEMPLATE or not _counts(ours) or not (before is None or _counts(before)):
        return None
    return Lent(field, scaler, before, ours, uid)


def _counts(value: object) -> bool:
    """Whether it is a number of replicas: true and false are not, and neither is what no field can hold."""
    return type(value) is int and 0 <= value <= _MOST


def lent_by(remediation: Remediation) -> Lent:
    """Return what a remediation changes for a while."""
    plan = remediation.spec.plan
    return Lent(plan.field, plan.scaler, plan.before, plan.ours, remediation.metadata.uid or "", remediation)


def lent_by_mark(work: Workload | None) -> Lent | None:
    """Return what a workload says was lent to it."""
    text = work.annotations.get(RESTORE) if work else None
    return read_mark(text) if text else None


def orphan(case: Case) -> Lent | None:
    """Return what the workload says was lent to it, where no record of that is left."""
    lent = lent_by_mark(case.seen.workload)
    return lent if lent and all(one.metadata.uid != lent.remediation_uid for one in case.remediations) else None
