"""When a cron expression last came true: over the nights on which the clocks change, and at what cost."""

from datetime import UTC, date, datetime, timedelta

import pytest

from stopgap.model import schedule

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
HALF_A_DAY = timedelta(hours=12)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "at", "start"),
    [
        # Berlin, 29 March 2026: at 02:00 CET (01:00 UTC) the clock jumps to 03:00 CEST.
        pytest.param("30 2 * * *", BERLIN, "2026-03-29 00:59:59", None, id="spring: not before the jump"),
        pytest.param("30 2 * * *", BERLIN, "2026-03-29 01:00", "2026-03-29 01:00", id="spring: a skipped start comes with the jump"),
        pytest.param("30 2 * * *", BERLIN, "2026-03-29 05:00", "2026-03-29 01:00", id="spring: and only then"),
        pytest.param("0 2,3 * * *", BERLIN, "2026-03-29 05:00", "2026-03-29 01:00", id="spring: together with the one that is there"),
        pytest.param("59 1 * * *", BERLIN, "2026-03-29 01:30", "2026-03-29 00:59", id="spring: the minute before the jump"),
        pytest.param("0 * * * *", BERLIN, "2026-03-29 01:59", "2026-03-29 01:00", id="spring: hours go on"),
        pytest.param("*/30 2 * * *", BERLIN, "2026-03-29 05:00", None, id="spring: what follows the hours follows none that is skipped"),
        # Berlin, 25 October 2026: at 03:00 CEST (01:00 UTC) the clock goes back to 02:00 CET.
        pytest.param("30 2 * * *", BERLIN, "2026-10-25 00:30", "2026-10-25 00:30", id="autumn: the first time"),
        pytest.param(
            "30 2 * * *", BERLIN, "2026-10-25 01:15", "2026-10-25 00:30", id="autumn: has been, though the clock is before it again"
        ),
        pytest.param("30 2 * * *", BERLIN, "2026-10-25 01:45", "2026-10-25 00:30", id="autumn: not a second time"),
        pytest.param("0 3 * * *", BERLIN, "2026-10-25 01:59", None, id="autumn: three o'clock comes once, after both"),
        pytest.param("0 3 * * *", BERLIN, "2026-10-25 02:00", "2026-10-25 02:00", id="autumn: three o'clock"),
        pytest.param("30 * * * *", BERLIN, "2026-10-25 01:15", "2026-10-25 00:30", id="autumn: every hour, the first pass"),
        pytest.param("30 * * * *", BERLIN, "2026-10-25 01:45", "2026-10-25 01:30", id="autumn: every hour, the second pass"),
        # New York, 8 March 2026: at 02:00 EST (07:00 UTC) to 03:00 EDT; 1 November 2026: at 02:00 EDT (06:00 UTC) back to 01:00 EST.
        pytest.param("15 2 * * SUN", NEW_YORK, "2026-03-08 07:00", "2026-03-08 07:00", id="New York, spring: with the jump"),
        pytest.param("15 2 * * SUN", NEW_YORK, "2026-03-08 06:59", None, id="New York, spring: not before"),
        pytest.param("15 1 * * SUN", NEW_YORK, "2026-11-01 06:10", "2026-11-01 05:15", id="New York, autumn: has been"),
        pytest.param("15 1 * * SUN", NEW_YORK, "2026-11-01 06:20", "2026-11-01 05:15", id="New York, autumn: not a second time"),
        # Zones of half an hour, and none.
        pytest.param("0 9 * * MON", "Asia/Kolkata", "2026-11-23 03:30", "2026-11-23 03:30", id="Kolkata: half past in UTC"),
        pytest.param("0 9 * * MON", "Asia/Kolkata", "2026-11-23 03:29", None, id="Kolkata: not before"),
        pytest.param("30 1 * * *", "Australia/Lord_Howe", "2026-04-04 15:20", "2026-04-04 14:30", id="Lord Howe: back by half an hour"),
        pytest.param("*/10 * * * *", "Australia/Lord_Howe", "2026-04-04 15:20", "2026-04-04 15:20", id="Lord Howe: the second pass"),
        pytest.param("30 2 * * *", "UTC", "2026-03-29 02:30", "2026-03-29 02:30", id="UTC: on time in spring"),
        pytest.param("30 2 * * *", "UTC", "2026-10-25 14:30", None, id="UTC: as long ago as the window is long is over"),
    ],
)
def test_the_last_start_in_the_last_twelve_hours(cron: str, zone: str, at: str, start: str | None) -> None:
    assert schedule.read(cron, zone).last(utc(at), HALF_A_DAY) == (utc(start) if start else None)


@pytest.mark.parametrize(
    ("cron", "zone", "length", "days_at_most"),
    [
        pytest.param("0 0 29 2 *", "UTC", timedelta(days=31), 33, id="a leap day, far away"),
        pytest.param("0 0 */30 * 1#5", "UTC", timedelta(days=31), 33, id="a day that comes once a year"),
        pytest.param("0 18 * * FRI", BERLIN, timedelta(hours=60), 4, id="a weekend"),
        pytest.param("* * * * *", BERLIN, timedelta(days=31), 2, id="every minute of a month"),
        pytest.param("0 * * * *", BERLIN, timedelta(days=31), 2, id="every hour of a month"),
    ],
)
def test_no_more_days_are_looked_at_than_the_window_is_long(cron: str, zone: str, length: timedelta, days_at_most: int) -> None:
    asked: list[date] = []
    known = schedule.read(cron, zone)

    def means(day: date) -> bool:
        asked.append(day)
        return known.means(day)

    counting = schedule.Schedule(known.zone, known.months, known.hours, known.minutes, follows_hours=known.follows_hours, means=means)
    counting.last(utc("2026-11-23 10:00"), length)
    assert len(asked) <= days_at_most
