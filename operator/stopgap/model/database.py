"""What a PostgreSQL server shows of itself, and which of its queries are ended: words of the detector, the action and the evidence."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel
from stopgap.model.deed import Deed
from stopgap.model.duration import Duration, spell
from stopgap.model.refs import SecretKeyRef
from stopgap.model.time import MicroTime

MOST_ENDED: Final = 20
PostgresName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Shown = Annotated[str, StringConstraints(max_length=200)]


class Exempt(ApiModel):
    """Whose queries may run as long as they like, such as those of backups, migrations and reports."""

    users: Annotated[tuple[PostgresName, ...], Field(max_length=32)] = ()
    """Database users, by their exact names."""
    applications: Annotated[tuple[PostgresName, ...], Field(max_length=32)] = ()
    """What clients call themselves (application_name), exactly. Anybody can choose that name, so a user is the surer word."""


@dataclass(frozen=True, slots=True)
class DatabaseRequest:
    """The question what clients do in a database."""

    secret_ref: SecretKeyRef
    """Where its DSN is read from."""
    exempt: Exempt
    """Whose queries do not count as long."""

    @property
    def whom(self) -> str:
        """Who answers: the server that the DSN names."""
        return f"database of {self.secret_ref.name}/{self.secret_ref.key}"


class RunningQuery(ApiModel):
    """One query of one client, pinned so that no later one is taken for it."""

    pid: Annotated[int, Field(ge=0, le=2**31)]
    """Of the server's process. Alone it is not enough: numbers are given away again."""
    backend_start: MicroTime
    """When the client connected."""
    query_start: MicroTime
    """When the query began."""
    user: Shown
    application: Shown = ""
    running_for: Duration
    """For how long, when it was listed."""
    text: Shown
    """The query without its literals and comments."""

    def same_as(self, other: "RunningQuery") -> bool:
        """Whether it is the same query of the same client, only listed at another time."""
        return (self.pid, self.backend_start, self.query_start) == (other.pid, other.backend_start, other.query_start)

    def __str__(self) -> str:
        """Read as a person would want it named."""
        return f"{spell(_whole(self.running_for))} {self._whose}"

    @property
    def named(self) -> str:
        """The same at every look, unlike for how long it has been running: what an incident says is written when it changes."""
        return f"since {self.query_start:%H:%M:%S} {self._whose}"

    @property
    def _whose(self) -> str:
        client = f" ({self.application})" if self.application else ""
        return f"by {self.user}{client}: {self.text}"


class HotQuery(ApiModel):
    """A reading statement that much of the time of its database goes into, as pg_stat_statements counts it."""

    text: Shown
    calls: Annotated[int, Field(ge=0, le=2**53)]
    mean: Duration
    """How long one call takes."""
    share: Annotated[int, Field(ge=0, le=100)]
    """Of the time of all statements, in percent."""

    def __str__(self) -> str:
        """Read as a person would want it named."""
        return f"{self.share} % of the time, {self.calls} calls of {self.mean / timedelta(milliseconds=1):.1f} ms: {self.text}"


@dataclass(frozen=True, slots=True)
class Blocker:
    """The connection that most others wait for."""

    pid: int
    state: str
    """As PostgreSQL calls it: `active`, `idle in transaction` …"""
    user: str
    application: str
    since: timedelta
    """How long its transaction has been open."""

    def __str__(self) -> str:
        """Read as a person would want it named."""
        client = f" ({self.application})" if self.application else ""
        return f"pid {self.pid} of {self.user}{client}, {self.state}, its transaction open for {spell(_whole(self.since))}"


@dataclass(frozen=True, slots=True)
class Activity:
    """What clients do in one database at one moment."""

    active: int
    """Connections that execute a query now."""
    in_transaction: int
    """Connections that keep a transaction open and do nothing."""
    connections: int
    """Connections of clients to the whole server."""
    most_connections: int
    """More than this the server does not take (max_connections)."""
    blocked: int
    """Connections that wait for a lock which another one holds."""
    longest: RunningQuery | None = None
    """Of those that are not exempt."""
    blocker: Blocker | None = None

    def __str__(self) -> str:
        """Say it in one line, for a finding or as evidence."""
        return "; ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f"{self.active} active, {self.in_transaction} idle in transaction, {self.connections} of {self.most_connections} connections"
        if self.blocked:
            yield f"{self.blocked} blocked" + (f", most by {self.blocker}" if self.blocker else "")
        if self.longest:
            yield f"longest: {self.longest}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which queries are to be listed, of which database."""

    scope: str
    """Namespace of the policy, where that Secret is and whose Services may be reached; PLATFORM for a cluster policy."""
    secret_ref: SecretKeyRef
    longer_than: timedelta
    exempt: Exempt
    most: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Which queries could be ended now."""

    queries: tuple[RunningQuery, ...]
    """Oldest first, at most as many as were asked for."""
    more: int = 0
    """Further ones, beyond that."""
    spared: int = 0
    """Queries that run as long and are not touched: exempt, of a superuser, or of replication."""
    forbidden: int = 0
    """Those among the listed that the user of the DSN may not end."""
    hot: tuple[HotQuery, ...] = ()
    """Where most of the time goes; empty where pg_stat_statements is not there."""


class EndQueries(Deed):
    """The queries of a database that are ended, each pinned: no other one ever is."""

    secret_ref: SecretKeyRef
    """Where the DSN is read from."""
    queries: Annotated[tuple[RunningQuery, ...], Field(max_length=MOST_ENDED)]
    """They are cancelled, if they are still running then."""
    terminate_after: Duration | None = None
    """What has not heeded that for so long has its connection ended; absent: nothing has."""
    exempt: Exempt = Exempt()
    """Asked again when each is ended."""
    hot: Annotated[tuple[HotQuery, ...], Field(max_length=3)] = ()
    """Where most of the time went when they were listed: candidates for caching."""

    def repeatable(self, *, inverse: bool) -> bool:  # noqa: ARG002 - the deeds' common shape
        """Twice is as good as once: a query that is not the same any more is left alone."""
        return True

    @property
    def returnable(self) -> bool:
        """Nobody can put an ended query back; its client may ask again."""
        return False

    def stands_for(self, planned: "Deed") -> bool:
        """Some of the queries of the record are still to be ended; only those of the record are."""
        return isinstance(planned, EndQueries) and any(one.same_as(other) for one in self.queries for other in planned.queries)


class End(Enum):
    """What became of one query."""

    CANCELLED = "cancelled"
    """It was told to end, and did."""
    TERMINATED = "terminated"
    """It did not heed that, so its connection was ended."""
    GONE = "not running any more"
    """Nothing was done to it."""
    FORBIDDEN = "refused by the server"
    """The DSN's user may not end it; it needs the role pg_signal_backend."""
    LEFT = "still running"
    """It was told to end, and has not done so yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of each query, by its pid."""

    by_pid: dict[int, End]

    @property
    def all_gone(self) -> bool:
        """Whether none of them was running any more."""
        return set(self.by_pid.values()) <= {End.GONE}

    @property
    def any_told(self) -> bool:
        """Whether any of them was told to end."""
        return bool(set(self.by_pid.values()) & {End.CANCELLED, End.TERMINATED, End.LEFT})

    def __str__(self) -> str:
        """Read as a person would count them."""
        counts = Counter(self.by_pid.values())
        named = ", ".join(str(pid) for pid, one in self.by_pid.items() if one is End.LEFT)
        told = ", ".join(f"{counts[one]} {one.value}" for one in End if counts[one])
        return f"{told} (pid {named})" if named else told


def _whole(length: timedelta) -> timedelta:
    return timedelta(seconds=int(length.total_seconds()))
