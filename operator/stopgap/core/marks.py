"""The mark on an object that something was lent to it for a while: it explains itself even when every record of it is lost."""

import json
from typing import Final

from stopgap.api.remediation import PlannedScaler
from stopgap.core.case import Lent
from stopgap.model.change import Field
from stopgap.model.workload import Workload

RESTORE: Final = "stopgap.dev/restore"


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
    if field is Field.TEMPLATE or not isinstance(ours, int) or not isinstance(before, int | None):
        return None
    return Lent(field, scaler, before, ours, uid)


def lent_by_mark(work: Workload | None) -> Lent | None:
    """Return what a workload says was lent to it."""
    text = work.annotations.get(RESTORE) if work else None
    return read_mark(text) if text else None
