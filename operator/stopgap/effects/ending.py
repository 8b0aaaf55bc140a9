"""Ends queries of databases, as `postgres` steps plan it. Which ones is in the record; here it is only done, and said what came of each."""

from collections.abc import Iterator

from stopgap.effects.databases import Databases
from stopgap.effects.outside import Fate, Order, Receipt, Send
from stopgap.model.database import End, Ended, EndQueries
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Silence
from stopgap.model.reasons import Reason


class Ender:
    """Does what `postgres` steps declare."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def ready(self, order: Order) -> Send | Receipt | Refusal:
        """Nothing is fetched beforehand: the DSN is read when it is used, and what is not the same query any more is left alone."""
        deed = order.outside.postgres
        if deed is None or order.inverse:
            return Refusal(Reason.Refused, "an ended query cannot be put back")
        scope = PLATFORM if order.platform else order.namespace

        async def send() -> Receipt:
            return judged(deed, await self._databases.end(scope, deed), again=order.again)

        return send


def judged(deed: EndQueries, ended: Ended | Silence, *, again: bool) -> Receipt:
    """Say what came of it."""
    if isinstance(ended, Silence):
        return Receipt(Fate.UNKNOWN if ended.sent else Fate.NOT_DONE, f"the database: {ended.why}")
    details = (*_each(deed, ended), *(f"candidate for caching: {one}" for one in deed.hot))
    # The second time, what is gone may well be what the first one ended.
    if ended.any_told or (again and ended.all_gone):
        return Receipt(Fate.DONE, f"{ended}; there is nothing to put back", details=details)
    if ended.all_gone:
        return Receipt(Fate.NOT_DONE, "each of them had ended before", Reason.Superseded, details)
    return Receipt(Fate.NOT_DONE, f"the database: {ended}", details=details)


def _each(deed: EndQueries, ended: Ended) -> Iterator[str]:
    for one in deed.queries:
        yield f"pid {one.pid} {ended.by_pid.get(one.pid, End.GONE).value}, after {one}"
