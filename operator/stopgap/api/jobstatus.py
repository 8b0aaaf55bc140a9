"""How the Job of a `job` step goes; a part of a Remediation's status."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Message

MOST_LINES: Final = 10
LONGEST_LINE: Final = 200


class JobState(StrEnum):
    """How far a Job is."""

    COMPLETE = "Complete"
    """It ended well. Whether that helped, the signals say."""
    FAILED = "Failed"
    """It ended otherwise, or not before its deadline."""
    GONE = "Gone"
    """It was removed before its end was seen, so that nobody can tell."""


class JobStatus(ApiModel):
    """How the Job ended."""

    name: Annotated[str, StringConstraints(max_length=253)]
    state: JobState
    message: Message = ""
    """Why, in the words of its controller."""
    log: Annotated[tuple[Annotated[str, StringConstraints(max_length=LONGEST_LINE)], ...], Field(max_length=MOST_LINES)] = ()
    """The last lines that its newest pod wrote, without what looks like a secret."""

    def __str__(self) -> str:
        """Read as a person would say it: `job/x failed: BackoffLimitExceeded`."""
        said = {JobState.COMPLETE: "ended well", JobState.FAILED: "failed", JobState.GONE: "is gone"}[self.state]
        return f"job/{self.name} {said}{f': {self.message}' if self.message else ''}"
