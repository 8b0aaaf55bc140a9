"""How the restore of something temporary goes; a part of a Remediation's status."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from stopgap.model.base import ApiModel, Message
from stopgap.model.time import Time


class RevertState(StrEnum):
    """How far the restore of something temporary is."""

    NOT_NEEDED = "NotNeeded"
    """Nothing is to be put back any more: somebody changed the value since, or the workload is gone."""
    PENDING = "Pending"
    """It will be put back."""
    EXECUTING = "Executing"
    """One copy of Stopgap has taken it on, and perhaps sent what puts it back outside the workload."""
    HELD = "Held"
    """It is due, and a signal fires: it stays until that is quiet."""
    DONE = "Done"
    """It was put back."""
    FAILED = "Failed"
    """It could not be put back. A person does it, and says so: `kubectl annotate rem NAME stopgap.dev/revert=abandon`."""

    OUTCOME_UNKNOWN = "OutcomeUnknown"
    """Whether it was put back cannot be told; it is never sent again. A person looks, and says so: `stopgap.dev/revert=abandon`."""

    @property
    def open(self) -> bool:
        """Whether something is left to put back."""
        return self not in {RevertState.NOT_NEEDED, RevertState.DONE}


class RevertStatus(ApiModel):
    """How the restore went."""

    state: RevertState
    due_at: Time | None = None
    """When it is due; empty where an event decides."""
    ended_at: Time | None = None
    tries: Annotated[int, Field(ge=0, le=100)] = 0
    """How often what puts it back outside the workload was sent, or was about to be."""
    message: Message = ""
