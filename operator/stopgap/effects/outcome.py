"""What became of an action that was carried out, and how that stands in its record."""

from dataclasses import dataclass
from datetime import datetime

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState, RemediationStatus
from stopgap.core import restoring, suspending
from stopgap.core.suspending import Pause
from stopgap.model.conditions import Truth, condition, put
from stopgap.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a remediation's write."""

    state: RemediationState
    reason: Reason
    message: str
    tries: int
    executed_at: datetime | None = None
    written_digest: str = ""
    details: tuple[str, ...] = ()
    claimed: Remediation | None = None
    """The record as it was last written, where it was taken on before anything was sent."""

    def status(self, remediation: Remediation, now: datetime, pause: Pause | None) -> RemediationStatus:
        """Turn it into the remediation's status."""
        status = remediation.status or RemediationStatus()
        changes: dict[str, object] = {
            "state": self.state,
            "message": self.message[:1024],
            "tries": status.tries + self.tries,
            "executed_at": self.executed_at,
            "written_digest": self.written_digest,
            "details": self.details,
            "revert": restoring.owed(remediation, self.executed_at),
            "suspension": suspending.begun(remediation, pause, now),
        }
        if self.state is not RemediationState.VERIFYING:
            settled = condition("Succeeded", Truth.FALSE, self.reason, self.message, now)
            changes |= {"ended_at": now, "conditions": put(status.conditions, settled)}
        return status.model_copy(update=changes)
