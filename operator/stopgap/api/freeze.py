"""FreezeWindow: a time in which nothing new is done. Part of policies and of the config."""

from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints

from stopgap.model import schedule
from stopgap.model.base import ApiModel, Rule
from stopgap.model.duration import Duration, spell
from stopgap.model.schedule import Schedule
from stopgap.model.severity import Severity

SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=31)
"""How far a window reaches back at most; it bounds what looking for its beginning costs."""
_CRON_PATTERN: Final = "^[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}$"


class FreezeWindow(ApiModel):
    """A time that comes again and again, in which no action begins, however bad it gets. Incidents are still opened, told and escalated.

    An action that was sent before the window opened is still verified and tidied up after.
    """

    cel: ClassVar = (
        Rule(
            f"self.cron.matches('{_CRON_PATTERN}')",
            "cron has five fields, such as 0 18 * * FRI: minute, hour, day of month, month, day of week",
        ),
        Rule(
            f"duration(self.duration) >= duration('{spell(SHORTEST)}') && duration(self.duration) <= duration('{spell(LONGEST)}')",
            f"a freeze window lasts between {spell(SHORTEST)} and {spell(LONGEST)} ({LONGEST.days} days)",
        ),
        Rule(f"self.timeZone.matches('{schedule.ZONE_PATTERN}')", "timeZone is a name such as Europe/Berlin, or UTC"),
    )
    cron: Annotated[str, StringConstraints(min_length=9, max_length=100)]
    """When it opens: minute, hour, day of month, month, day of week, such as `0 18 * * FRI`. A time that summer time skips comes when the
    clock has jumped; one that it repeats comes the first time only. If minute or hour begins with `*`, it follows the hours that there are.
    """
    duration: Duration
    """How long it stays open, in time that really passes, 1m to 744h. Over a change of the clocks `60h` from Friday 18:00 ends at 05:00 or
    07:00 on Monday. Windows that overlap or touch are one.
    """
    time_zone: Annotated[str, StringConstraints(min_length=3, max_length=64)] = "UTC"
    """Whose clock `cron` is read by, such as Europe/Berlin."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Why; shown wherever an action is held back for it."""
    allow_severities: Annotated[tuple[Severity, ...], Field(max_length=4)] = ()
    """Incidents of these severities are acted on all the same, unless another open window does not let them through. Empty: none is."""

    @cached_property
    def schedule(self) -> Schedule:
        """When it opens. Raises ValueError where there is `trouble`."""
        return schedule.read(self.cron, self.time_zone)

    @cached_property
    def trouble(self) -> str:
        """Why it cannot work, in words for its author; empty when it can."""
        if not SHORTEST <= self.duration <= LONGEST:
            return f"duration {spell(self.duration)} is not between {spell(SHORTEST)} and {spell(LONGEST)} ({LONGEST.days} days)"
        try:
            schedule.read(self.cron, self.time_zone)
        except ValueError as error:
            return str(error)
        return ""

    def closes(self, at: datetime) -> datetime | None:
        """Say when the window that is open at this moment closes, were it alone; None while it is not open."""
        opened = self.schedule.last(at, self.duration)
        return opened + self.duration if opened else None


FreezeWindows = Annotated[tuple[FreezeWindow, ...], Field(max_length=16)]
