"""Times in manifests: RFC 3339 in UTC, always aware. Whole seconds for people; microseconds only where two moments are compared."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, PlainSerializer, WithJsonSchema

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC. One beyond the first or last year that we can count becomes the nearest that we can."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        # The schema takes any year with any offset, so that somebody will write one.
        return _FIRST if moment.year == _FIRST.year else _LAST


def whole(moment: datetime) -> datetime:
    """Drop fractions of a second: a Time that is stored has none, and what is decided from it must not differ before and after."""
    return moment.replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """Write a moment as the API server does: `2026-11-23T10:02:00Z`."""
    return in_utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def exact(moment: datetime) -> str:
    """Write a moment as a `metav1.MicroTime`: `2026-11-23T10:02:00.123456Z`."""
    return in_utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})

Time = Annotated[AwareDatetime, AfterValidator(in_utc), PlainSerializer(stamp, return_type=str), _SCHEMA]
MicroTime = Annotated[AwareDatetime, AfterValidator(in_utc), PlainSerializer(exact, return_type=str), _SCHEMA]
