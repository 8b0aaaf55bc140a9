"""Alerts as other systems tell them: the words that receiver, records and detector share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

FORGOTTEN_AFTER: Final = timedelta(hours=12)
"""An alert that nobody has repeated for so long may be over without a word: its sender repeats it every few hours."""


class AlertState(StrEnum):
    """What the sender last said about an alert."""

    FIRING = "Firing"
    """It fires."""
    RESOLVED = "Resolved"
    """The sender has said that it is over."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, as it was last told."""

    fingerprint: str
    """What makes it the same alert when it is told again."""
    name: str
    state: AlertState
    since: datetime
    """When it began to fire."""
    heard_at: datetime
    """When it was last told."""
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    ended: datetime | None = None
    """When it ended, where that is told."""

    @property
    def firing(self) -> bool:
        """Whether it fires, as far as it was told."""
        return self.state is AlertState.FIRING
