"""The mark on an object that something was lent to it for a while: it explains itself even when every record of it is lost."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from stopgap.api.plan import PlannedScaler
from stopgap.api.remediation import Remediation
from stopgap.core.case import Case, Lent
from stopgap.model import patch
from stopgap.model.change import Field
from stopgap.model.workload import Workload

RESTORE: Final = patch.RESTORE
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
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if field in {Field.TEMPLATE, Field.ELSEWHERE} or not _counts(ours) or not (before is None or _counts(before)):
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
    """Return what the workload or its autoscaler says was lent to it, where no record would ever put it back."""
    said = (lent_by_mark(case.seen.workload), *case.lost)
    return next((found for lent in said if lent and (found := _unowned(case, lent))), None)


def _unowned(case: Case, lent: Lent) -> Lent | None:
    """Return it where it is nobody's: the record is gone, or has ended and never heard that its write has taken effect after all."""
    record = next((one for one in (*case.remediations, *case.left) if one.metadata.uid == lent.remediation_uid), None)
    if record is None:
        return lent
    return replace(lent, remediation=record) if unheard(record) else None


def unheard(record: Remediation) -> bool:
    """Whether it has ended without ever hearing that its write took effect, so that it owes no restore."""
    return record.state.ended and (record.status is None or record.status.revert is None)


def still_lent(case: Case) -> Remediation | None:
    """Return what is to be put back first on what is there now; what was changed on an earlier workload itself is gone with it."""
    return next((one for one in _owing(case) if one.spec.plan.outside is None), None)


def still_done(case: Case, step: str) -> Remediation | None:
    """Return what this step has done outside the workload before, and what is to be put back first."""
    return next((one for one in _owing(case) if one.spec.plan.outside is not None and one.spec.step == step), None)


def _owing(case: Case) -> Iterator[Remediation]:
    left = (one for one in case.left if one.spec.plan.outlives)
    return (one for one in (*case.remediations, *left) if one.owes_restore)
