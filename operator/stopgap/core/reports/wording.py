"""How times, lengths of time and the states of an action are put into words."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

STATES: Final[Mapping[str, str]] = {
    "AwaitingApproval": "waits for a person to approve it",
    "Pending": "is being carried out",
    "Executing": "is being carried out",
    "Verifying": "done, and being verified",
    "Succeeded": "done, and it helped",
    "Failed": "done, and it did not help",
    "Inconclusive": "done; whether it helped cannot be told",
    "Refused": "not done, something stood against it in the end",
    "Superseded": "not done, the workload was changed first",
    "Rejected": "not done, a person rejected it",
    "Expired": "not done, nobody approved it in time",
    "OutcomeUnknown": "whether it was done cannot be told, and it is not repeated",
}
"""What each state of a Remediation means to somebody who waits."""
REVERTS: Final[Mapping[str, str]] = {
    "Pending": "it is put back later",
    "Executing": "it is being put back",
    "Held": "it stays until the signals are quiet",
    "Failed": "it could not be put back by itself",
    "OutcomeUnknown": "whether it was put back cannot be told",
    "Done": "it was put back",
}


def dated(moment: datetime) -> str:
    """Write a moment for people: `2026-11-23 10:02 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def timed(moment: datetime, beside: datetime) -> str:
    """Write the time of day, with the date only where it is another one than that of the moment beside it."""
    return f"{moment:%H:%M} UTC" if moment.date() == beside.date() else dated(moment)


def lasting(length: timedelta) -> str:
    """Write a length of time for people, in its two largest units: `5 hours 20 minutes`."""
    seconds = int(length.total_seconds())
    if seconds < _MINUTE:
        return "less than a minute"
    days, hours, minutes = seconds // _DAY, seconds % _DAY // _HOUR, seconds % _HOUR // _MINUTE
    parts = ((days, "day"), (hours, "hour")) if days else ((hours, "hour"), (minutes, "minute"))
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def sentence(text: str) -> str:
    """Begin with a capital and end with a full stop, as far as the text lets it."""
    text = text.rstrip(" .;:")
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('!', '?', '…')) else '.'}"
