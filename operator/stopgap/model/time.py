"""Times in manifests: RFC 3339 in UTC, always aware. Whole seconds for people; microseconds only where two moments are compared."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, PlainSerializer, WithJsonSchema


def stamp(moment: datetime) -> str:
    """Write a moment as the API server does: `2026-11-23T10:02:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact(moment: datetime) -> str:
    """Write a moment as a `metav1.MicroTime`: `2026-11-23T10:02:00.123456Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})

Time = Annotated[AwareDatetime, PlainSerializer(stamp, return_type=str), _SCHEMA]
MicroTime = Annotated[AwareDatetime, PlainSerializer(exact, return_type=str), _SCHEMA]
