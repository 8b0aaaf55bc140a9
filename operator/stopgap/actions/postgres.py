"""`postgres`: end queries of a database that have been running for too long."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from stopgap.model.base import ApiModel, Permission
from stopgap.model.change import Aim, Known, Outside, Plan
from stopgap.model.change import Field as Written
from stopgap.model.database import MOST_ENDED, EndQueries, Exempt, Listing, Wanted
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Observation, Refusal, Right
from stopgap.model.query import PLATFORM, Silence
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef
from stopgap.model.text import abridged

_MOST_NAMED, _MOST_TEXT = 3, 900


class Postgres(ApiModel):
    """Cancel queries of a PostgreSQL database that have been running for too long. Their clients get an error, and what they did is undone.

    Nothing puts an ended query back. Those of superusers and of roles that may replicate, autovacuum, replication and Stopgap itself are
    never touched; a query is ended only while it is the very one that was listed.
    """

    name: ClassVar[str] = "postgres"
    rolls_pods: ClassVar[bool] = False
    outside: ClassVar[bool] = True
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = ()

    secret_ref: SecretKeyRef
    """Where to connect: a DSN such as postgresql://stopgap:…@db.shop.svc:5432/shop?sslmode=require. Its user needs the roles pg_monitor and
    pg_signal_backend. Only queries of the DSN's database are ended."""
    queries_longer_than: Annotated[Duration, Field(ge=timedelta(seconds=1))]
    """Queries that have been running for longer than this are cancelled, whatever they do: also a migration, unless it is exempt."""
    most: Annotated[int, Field(ge=1, le=MOST_ENDED)] = 5
    """No more than so many at once, the oldest first."""
    terminate_after: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=30))] | None = None
    """What has not ended so long after it was cancelled loses its connection (pg_terminate_backend). Default: it is left alone."""
    exempt: Exempt = Exempt()
    """Whose queries are left alone."""

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:
        """Say which queries are looked for."""
        ref = self.secret_ref
        wanted = Wanted(PLATFORM if known.platform else seen.target.namespace, ref, self.queries_longer_than, self.exempt, self.most)
        right = Right("get", "", "secrets", ref.name, platform=known.platform)
        return Aim(f"cancel queries that have been running for more than {self._long}", needs=frozenset({right}), lists=wanted)

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:
        """Name the very queries, as they were just listed."""
        if seen.live is None or aim.lists is None or (listed := seen.live.listings.get(aim.lists)) is None:
            raise ValueError("which queries are ended is planned without their list")
        if isinstance(listed, Silence):
            return Refusal(Reason.DatabaseUnknown, f"the database: {listed.why}")
        if not listed.queries:
            spared = f" ({listed.spared} that do are left alone)" if listed.spared else ""
            return Refusal(Reason.NothingToDo, f"no query that may be ended has been running for more than {self._long}{spared}")
        if listed.forbidden:
            return Refusal(Reason.NotAuthorized, "the DSN's user may not end queries of others: GRANT pg_signal_backend TO it")
        deed = EndQueries(
            secret_ref=self.secret_ref,
            queries=listed.queries,
            terminate_after=self.terminate_after,
            exempt=self.exempt,
            hot=listed.hot,
        )
        return Plan(action="Postgres", summary=self._summary(listed), field=Written.ELSEWHERE, outside=Outside(postgres=deed))

    @property
    def _long(self) -> str:
        return spell(self.queries_longer_than)

    def _summary(self, listed: Listing) -> str:
        one = len(listed.queries) == 1
        named = "; ".join(each.named for each in listed.queries[:_MOST_NAMED])
        more = ", …" if len(listed.queries) > _MOST_NAMED else ""
        beyond = f" (of {len(listed.queries) + listed.more})" if listed.more else ""
        what = "1 query that has" if one else f"{len(listed.queries)} queries that have"
        return abridged(f"cancel {what} been running for more than {self._long}{beyond}: {named}{more}", _MOST_TEXT)
