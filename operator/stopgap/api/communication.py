"""What those who wait are told about an incident: the four words of a status page, and the text."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import StringConstraints

UPDATE_BYTES: Final = 2048
"""The longest update, in bytes of UTF-8, so that it fits where it is passed on."""
Update = Annotated[str, StringConstraints(max_length=UPDATE_BYTES)]


class CommunicationStatus(StrEnum):
    """How an incident stands, for those who wait."""

    INVESTIGATING = "Investigating"
    """Neither what changed nor what fails is known."""
    IDENTIFIED = "Identified"
    """A suspected change or the failing component is known."""
    MITIGATED = "Mitigated"
    """The bleeding has stopped; it is not over."""
    RESOLVED = "Resolved"
    """It is over."""
