"""What a PostgreSQL server shows of itself, and whose queries count: words of the detector and of whoever tells of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel
from stopgap.model.duration import Duration, spell
from stopgap.model.refs import SecretKeyRef
from stopgap.model.time import MicroTime

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

    def __str__(self) -> str:
        """Read as a person would want it named."""
        client = f" ({self.application})" if self.application else ""
        return f"{spell(_whole(self.running_for))} by {self.user}{client}: {self.text}"


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


def _whole(length: timedelta) -> timedelta:
    return timedelta(seconds=int(length.total_seconds()))
