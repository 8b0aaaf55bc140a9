"""`postgres`: a database has too much to do, by what PostgreSQL itself shows of its clients."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from stopgap.detectors.polled import PolledInARow
from stopgap.model.base import Rule
from stopgap.model.database import Activity, DatabaseRequest, Exempt
from stopgap.model.duration import Duration, spell
from stopgap.model.query import Answer, Asking, Query, Sample, Silence, replies
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef
from stopgap.model.workload import State

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class PostgresTrigger(PolledInARow):
    """Fires when a PostgreSQL database has too much to do: too many active connections, a query that runs too long, or blocked sessions.

    A server that has no connection left fires too; one that cannot be reached, or shows too little, is Unknown. Only numbers and queries
    without their literals are shown.
    """

    cel: ClassVar = (
        Rule(
            "has(self.activeConnectionsAbove) || has(self.longestQueryAbove) || has(self.blockedSessionsAbove)",
            "say what is too much: activeConnectionsAbove, longestQueryAbove or blockedSessionsAbove",
        ),
    )
    reason: ClassVar = Reason.DatabaseOverloaded
    secret_ref: SecretKeyRef
    """Where to connect: a DSN such as postgresql://stopgap:…@db.shop.svc:5432/shop?sslmode=require. Its user needs the role pg_monitor.
    The database of the DSN is what is looked at."""
    active_connections_above: Count | None = None
    """More connections than this execute a query at this moment."""
    longest_query_above: Duration | None = None
    """A query has been running for longer than this."""
    blocked_sessions_above: Count | None = None
    """More connections than this wait for a lock that another one holds."""
    exempt: Exempt = Exempt()
    """Whose queries do not count for longestQueryAbove."""

    def wants(self, asking: Asking) -> Query:
        """Ask the database for its figures."""
        return Query((DatabaseRequest(self.secret_ref, self.exempt),), self.interval, self.deadline, asking.scope)

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say whether the figures are within what the policy allows."""
        (reply,) = replies(answer, Activity)
        if isinstance(reply, Silence):
            return Sample(at, State.FIRING if reply.theirs else State.UNKNOWN, reply.why)
        wrong = "; ".join(self._wrong(reply))
        return Sample(at, State.FIRING if wrong else State.QUIET, f"{wrong}: {reply}" if wrong else str(reply), str(reply.active))

    def _wrong(self, seen: Activity) -> Iterator[str]:
        if self.active_connections_above is not None and seen.active > self.active_connections_above:
            yield f"more than {self.active_connections_above} connections are active"
        longest = self.longest_query_above
        if longest is not None and seen.longest is not None and seen.longest.running_for > longest:
            yield f"a query has been running for more than {spell(longest)}"
        if self.blocked_sessions_above is not None and seen.blocked > self.blocked_sessions_above:
            yield f"more than {self.blocked_sessions_above} connections are blocked"
