"""What people outside the cluster are told of an incident, and what became of telling them. Plain values: notifiers speak only in these."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from stopgap.model.query import Response, Silence


class Occasion(StrEnum):
    """Something in the way of an incident that people may want to hear of. Each is read from the record, not from an event."""

    OPENED = "Opened"
    """It began."""
    ACKNOWLEDGED = "Acknowledged"
    """A person has taken it."""
    ACTION_TAKEN = "ActionTaken"
    """Something was written to the workload."""
    APPROVAL_NEEDED = "ApprovalNeeded"
    """An action waits for a person. Told only while it waits."""
    MITIGATED = "Mitigated"
    """The bleeding has stopped. Told only while that holds."""
    RELAPSED = "Relapsed"
    """It bleeds again after it had stopped. Told only while that holds."""
    ESCALATED = "Escalated"
    """Automation has ended; people are called, once."""
    ACK_OVERDUE = "AckOverdue"
    """Nobody has taken it within the time of its severity. Told only while that holds."""
    UPDATE_DUE = "UpdateDue"
    """Those who wait were to hear again by now, and nothing has changed. Told while it is open."""
    RESOLVED = "Resolved"
    """It is over, or was a false alarm."""


ASKS: Final = frozenset({Occasion.ESCALATED, Occasion.ACK_OVERDUE, Occasion.APPROVAL_NEEDED, Occasion.UPDATE_DUE})
"""Occasions on which people are wanted beyond what they know already."""


@dataclass(frozen=True, slots=True)
class News:
    """One occasion of one incident. All text may be hostile: whoever sends it escapes it for where it is shown."""

    occasion: Occasion
    key: str
    """Names it among those of its incident; the same however often it is told."""
    at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """How the incident stands now."""

    uid: str
    namespace: str
    name: str
    title: str
    severity: str
    """P1 to P4, or empty while nobody has said."""
    standing: str
    """Investigating, Identified, Mitigated or Resolved."""
    target: str
    """Such as `deployment/api`; empty where it is about no workload."""
    policy: str
    started_at: datetime | None
    lasted: str
    """For people: `5 hours 20 minutes`."""
    summary: str
    """What is wrong, in a line."""
    impact: str
    """What people said about it, or empty."""
    actions: tuple[str, ...]
    """What was done and how it ended, oldest first."""
    acknowledged_by: str
    next_update_due: datetime | None
    update: str
    """The communication update, in Markdown, escaped already."""
    over: bool

    @property
    def where(self) -> str:
        """Name the incident as people find it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Telling:
    """One attempt to tell one channel."""

    secret: str
    """What the channel's Secret holds; empty where it has none."""
    reference: str
    """What an answer of the channel left to be remembered for this incident; empty at first."""
    occasions: frozenset[Occasion]
    """All that this channel is told of."""
    now: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """It was taken."""

    reference: str | None = None
    """To be remembered for this incident, where nothing is yet."""


@dataclass(frozen=True, slots=True)
class Later:
    """It was not taken, and may be another time."""

    why: str
    after: timedelta | None = None
    """Not before; None: as usual after a failure."""
    forget: bool = False
    """What was remembered leads nowhere any more."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """It will not be taken however often it is sent, before people change something."""

    why: str


Verdict = Delivered | Later | GivenUp
TOO_MANY: Final = 429
_SUCCESS: Final = range(200, 300)
_TIMEOUT: Final = 408
LONGEST_PAUSE: Final = timedelta(hours=1)


def verdict(reply: Response | Silence, whom: str, *, too_many: timedelta | None = None) -> Verdict:
    """Say what an answer means by its status alone: 429, 408, 5xx and silence pass; any other refusal does not.

    `too_many`: the shortest pause after a 429, where the service is known to want one.
    """
    if isinstance(reply, Silence):
        return Later(reply.why)
    if reply.status in _SUCCESS:
        return Delivered()
    if reply.status == TOO_MANY:
        asked = reply.retry_after
        pause = max((one for one in (asked, too_many) if one is not None), default=None)
        return Later(f"{whom} wants fewer messages (429)", min(pause, LONGEST_PAUSE) if pause else None)
    if reply.status >= 500 or reply.status == _TIMEOUT:  # noqa: PLR2004 - the class of errors of a server
        return Later(f"{whom} answers with status {reply.status}", min(reply.retry_after, LONGEST_PAUSE) if reply.retry_after else None)
    return GivenUp(f"{whom} refuses it with status {reply.status}")
