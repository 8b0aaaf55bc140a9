"""Where an incident is, in one word for people."""

from enum import StrEnum


class Phase(StrEnum):
    """Where an incident is, derived from its conditions and for people only: no code is driven by it."""

    DETECTED = "Detected"
    """It was opened; nothing is concluded yet."""
    TRIAGED = "Triaged"
    """What is wrong, how bad, and what changed is known; nothing was done."""
    MITIGATING = "Mitigating"
    """An action was taken and is being verified."""
    MITIGATED = "Mitigated"
    """The bleeding has stopped."""
    ESCALATED = "Escalated"
    """Automation has ended; people take over."""
    RESOLVED = "Resolved"
    """It is over."""
    REVIEWED = "Reviewed"
    """It is over, and people have written down why it happened and what they do about it."""
    FALSE_ALARM = "FalseAlarm"
    """A person says there was none."""
