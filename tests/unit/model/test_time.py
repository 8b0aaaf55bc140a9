"""Times in manifests: whatever the schema lets through can be written again."""

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from stopgap.model.time import MicroTime, Time

TIME: TypeAdapter[datetime] = TypeAdapter(Time)
MICRO: TypeAdapter[datetime] = TypeAdapter(MicroTime)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("2026-11-23T10:02:00Z", "2026-11-23T10:02:00Z", id="as it is"),
        pytest.param("2026-11-23T12:02:00+02:00", "2026-11-23T10:02:00Z", id="in UTC"),
        pytest.param("2026-11-23t10:02:00.123456789z", "2026-11-23T10:02:00Z", id="to the second"),
        pytest.param("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", id="Go's empty time, with all four digits of its year"),
        pytest.param("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", id="before the first year"),
        pytest.param("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", id="after the last year"),
    ],
)
def test_a_time_that_the_schema_lets_through_can_be_written(text: str, written: str) -> None:
    assert TIME.dump_python(TIME.validate_python(text), mode="json") == written


def test_where_moments_are_compared_microseconds_are_kept() -> None:
    moment = datetime(2026, 11, 23, 10, 2, 0, 7, tzinfo=UTC)
    assert MICRO.dump_python(moment, mode="json") == "2026-11-23T10:02:00.000007Z"
