"""The trust record as it is counted: whole or not at all, whatever happens while it is read."""

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.conftest import make_incident

from stopgap.api import Incident
from stopgap.effects.errors import Unreachable
from stopgap.effects.record import dumped
from stopgap.effects.trust import TrustKeeper

POLICY = {"kind": "RemediationPolicy", "name": "web", "uid": "p-uid", "generation": 1}


def closed(name: str) -> Incident:
    """An incident in which one action was taken."""
    listed = [{"name": "r", "step": "undo", "action": "Rollback", "state": "Succeeded"}]
    made = make_incident(status={"policyRef": POLICY, "remediations": listed})
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"name": name, "uid": name})})


class Listing:
    """Answers a list with these incidents; `between` runs when the first of them was sent."""

    def __init__(self, *incidents: Incident) -> None:
        self.incidents = incidents
        self.between: Callable[[], None] = lambda: None

    async def items(self, *_: Any) -> AsyncIterator[msgspec.Raw]:
        for one in self.incidents:
            yield msgspec.Raw(msgspec.json.encode(dumped(one)))
            self.between()


def keeper(listing: Listing) -> TrustKeeper:
    return TrustKeeper(listing, SimpleNamespace(paths=lambda *_: ["/incidents"]))  # type: ignore[arg-type]  # stands in for it


def acted(keeper: TrustKeeper) -> int | None:
    record = keeper.of("p-uid")
    return None if record is None else record.acted


def close(keeper: TrustKeeper, incident: Incident) -> None:
    assert incident.status is not None
    keeper.closed(incident, incident.status)


async def test_while_it_is_read_again_the_last_whole_count_is_told() -> None:
    listing = Listing(closed("a"), closed("b"))
    one = keeper(listing)
    seen: list[int | None] = []
    listing.between = lambda: seen.append(acted(one))
    await one.read()
    await one.read()
    assert seen == [None, None, 2, 2]
    assert acted(one) == 2


async def test_what_is_closed_while_it_is_read_counts_once() -> None:
    listing = Listing(closed("a"), closed("b"))
    one = keeper(listing)
    listing.between = lambda: close(one, closed("b"))
    await one.read()
    assert acted(one) == 2


async def test_what_is_closed_while_it_cannot_be_read_counts() -> None:
    listing = Listing(closed("a"))
    one = keeper(listing)
    await one.read()

    def broken() -> None:
        close(one, closed("b"))
        raise Unreachable("list", "/incidents", message="no answer")

    listing.between = broken
    with pytest.raises(Unreachable):
        await one.read()
    assert acted(one) == 2


async def test_a_copy_that_does_not_lead_any_more_knows_nothing_until_it_has_read_again() -> None:
    one = keeper(Listing(closed("a")))
    await one.read()
    one.forget()
    assert acted(one) is None
