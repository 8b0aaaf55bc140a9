"""One duration type for every manifest: Go-style strings such as `90s`, `15m`, `1h30m`."""

import re
from datetime import timedelta
from typing import Annotated, Final

import durationpy
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

LONGEST: Final = timedelta(days=366)
PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"


def parse(text: str | timedelta) -> timedelta:
    """Return the duration that a Go-style string means. Raises ValueError with the offending text."""
    if isinstance(text, timedelta):
        return text
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 15m or 1h30m")
    try:
        length = durationpy.from_str(text)
    except (durationpy.DurationError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 15m or 1h30m") from error
    if not timedelta(0) <= length <= LONGEST:
        raise ValueError(f"{text!r} is out of bounds; at most {LONGEST.days} days ({LONGEST.days * 24}h) make sense here")
    return length


def spell(length: timedelta) -> str:
    """Write a duration the way a person would in a manifest: `1h30m`, `1m30s`; fractions of a second only where there are any."""
    seconds = length.total_seconds()
    if abs(seconds) < 1 or seconds != int(seconds):
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    minutes, rest = divmod(int(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{value}{unit}" for value, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if value]
    return ("-" if seconds < 0 else "") + "".join(parts)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse),
    PlainSerializer(spell, return_type=str),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": 32}),
]
