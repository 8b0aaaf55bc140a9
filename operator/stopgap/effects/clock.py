"""What time it is for the API server: the only clock whose times are stored and compared."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerTimeUnknown(LookupError):  # noqa: N818 - says what is the matter
    """The API server has not answered yet, so nobody knows its time."""


class ServerClock:
    """The API server's time: what its Date headers allow, carried on by the monotonic clock. Never the host's clock.

    A Date is cut to the second: when it was written, between sending and receipt, the server's clock showed
    Date ≤ t < Date + 1 s. Each reply so gives a lower and an upper bound for (server time - monotonic time); their
    intersection is soon milliseconds wide.
    """

    DRIFT = 1e-5
    """Seconds per second by which two clocks may drift apart (10 ppm); the bounds widen that fast."""
    JUMP = 2.0
    """Seconds of contradiction from which we believe that the clock was set, not that several servers differ a little."""

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._at: float | None = None
        self._shown = 0.0

    def heard(self, date: str | None, *, sent: float, received: float) -> None:
        """Learn from the Date header of a reply; `sent` and `received` are monotonic seconds around it."""
        if date is None:
            return
        try:
            stamp = parsedate_to_datetime(date).timestamp()
        except ValueError:  # something between us and the server made it up
            return
        low, high = stamp - received, stamp + 1.0 - sent
        if self._at is None or low > self._high + self.JUMP or high < self._low - self.JUMP:
            self._low, self._high, self._shown = low, high, 0.0
        else:
            self._narrow(low, high, slack=(received - self._at) * self.DRIFT)
        self._at = received

    def now(self) -> datetime:
        """Return the server's present time in UTC. Runs backwards only if the server's clock did. Raises ServerTimeUnknown."""
        if self._at is None:
            raise ServerTimeUnknown("the API server has not answered yet")
        self._shown = max(self._shown, (self._low + self._high) / 2 + time.monotonic())
        return datetime.fromtimestamp(self._shown, UTC)

    @property
    def uncertainty(self) -> float:
        """Return by how many seconds `now()` may be off in either direction, as of the last reply."""
        return (self._high - self._low) / 2

    def _narrow(self, low: float, high: float, *, slack: float) -> None:
        wide_low, wide_high = self._low - slack, self._high + slack
        # A reply that just misses what we believed (two servers behind one address) moves us to its nearer edge only.
        self._low = min(max(wide_low, low), high)
        self._high = max(min(wide_high, high), low)
