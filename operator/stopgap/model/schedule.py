"""When a cron expression last came true in a time zone. What freeze windows begin by; it has no clock, the moment is given.

cronsim reads the expression and says which days it means, the way Debian's cron does. The way back from a moment is our own, for two
reasons: going back, cronsim does not tell the first from the second pass through a repeated hour, and it searches up to fifty years, where
a window is never looked for any further back than it is long.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

ZONE_PATTERN: Final = "^(UTC|[A-Z][A-Za-z_]*/[A-Za-z0-9_+/-]+)$"
"""A place or UTC. Not what means something else on each machine (`localtime`) and not the abbreviations (`EST` knows no summer)."""
FIELDS: Final = 5
_DAY, _MINUTE = timedelta(days=1), timedelta(minutes=1)
_MIDNIGHT: Final = (24, 0)
_SOME_DAY: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EVERY_CALENDAR: Final = 28 * 366
"""Days after which every pairing of date and weekday has come, leap days too."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a cron expression means in a zone.

    Summer time is handled as Debian's cron does. A start in a skipped hour comes when the clock has jumped; one in a repeated hour comes
    once, the first time. An expression whose minute or hour begins with `*` follows the hours that there are: none skipped, both repeated.
    """

    zone: ZoneInfo
    months: frozenset[int]
    hours: tuple[int, ...]
    """Latest first."""
    minutes: tuple[int, ...]
    """Latest first."""
    follows_hours: bool
    means: Callable[[date], bool]
    """Whether a day of the right month is one of its days."""

    def last(self, at: datetime, within: timedelta) -> datetime | None:
        """Return the latest start up to this moment and less than `within` before it. Looks at each day of `within` once or twice."""
        passes = (0, 1) if self.follows_hours else (0,)
        found = [start for fold in passes if (start := self._last(at, at - within, fold))]
        return max(found, default=None)

    def ever(self) -> bool:
        """Say whether it comes true at all: 31 February does not."""
        days = (_SOME_DAY.date() + number * _DAY for number in range(_EVERY_CALENDAR))
        return any(self._on(day) for day in days)

    def _on(self, day: date) -> bool:
        return day.month in self.months and self.means(day)

    def _last(self, at: datetime, after: datetime, fold: int) -> datetime | None:
        local = at.astimezone(self.zone)
        # In the second pass through a repeated hour, the whole first pass has been, also what the clock shows as later than now.
        latest = local.replace(tzinfo=None) + (at - local.replace(fold=0).astimezone(UTC))
        for wall in self._walls(latest, after.astimezone(self.zone).date() - _DAY):
            start = self._moment(wall, fold)
            if start is not None and start <= at:
                return start if start > after else None
        return None

    def _walls(self, latest: datetime, first: date) -> Iterator[datetime]:
        """Yield the wall times that are meant, latest first."""
        day = latest.date()
        while day >= first:
            if self._on(day):
                end = (latest.hour, latest.minute) if day == latest.date() else _MIDNIGHT
                times = ((hour, minute) for hour in self.hours if hour <= end[0] for minute in self.minutes if (hour, minute) <= end)
                yield from (datetime.combine(day, time(*one)) for one in times)
            day -= _DAY

    def _moment(self, wall: datetime, fold: int) -> datetime | None:
        """Return when the clock shows this; of a time that is skipped, when it has jumped."""
        while True:
            moment = wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
            if moment.astimezone(self.zone).replace(tzinfo=None) == wall:
                return moment
            if self.follows_hours:
                return None
            wall += _MINUTE


def read(cron: str, zone: str) -> Schedule:
    """Return what a cron expression means in a zone. Raises ValueError, in words for the author, where it means nothing."""
    fields = cron.split()
    if len(fields) != FIELDS:
        raise ValueError(f"cron {cron!r} has {len(fields)} fields; it needs five: minute, hour, day of month, month, day of week")
    try:
        parsed = CronSim(cron, _SOME_DAY)
    except CronSimError as error:
        raise ValueError(f"cron {cron!r} cannot be understood or never comes true ({str(error).lower()})") from error
    schedule = Schedule(
        zone=_zone(zone),
        months=frozenset(parsed.months),
        hours=tuple(sorted(parsed.hours, reverse=True)),
        minutes=tuple(sorted(parsed.minutes, reverse=True)),
        follows_hours=fields[0].startswith("*") or fields[1].startswith("*"),
        means=parsed.match_day,
    )
    if not schedule.ever():
        raise ValueError(f"cron {cron!r} never comes true: there is no such day")
    return schedule


def _zone(name: str) -> ZoneInfo:
    try:
        if re.fullmatch(ZONE_PATTERN, name):
            return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        # A directory such as America/Indiana is an OSError.
        raise ValueError(f"time zone {name!r} is not known; write it like Europe/Berlin, or UTC") from error
    raise ValueError(f"time zone {name!r} is not known; write it like Europe/Berlin, or UTC")
