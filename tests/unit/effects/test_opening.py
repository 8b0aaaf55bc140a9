"""The opening of an incident: what is decided while it is being stored holds only if it was stored as foreseen."""

from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_live, make_policy

from stopgap.api import Incident
from stopgap.core.case import Case, Decision, Reads, Spent
from stopgap.core.decide import decide
from stopgap.effects.opening import Opener
from stopgap.model.observation import Live
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target


class World:
    """Memory, the API server and the figures, as far as an opening asks them."""

    def __init__(self, case: Case, stored: Incident, *, new: bool = True, spent: tuple[Spent, ...] = ()) -> None:
        self._case = case
        self._stored, self._new, self._spent = stored, new, spent
        self.spendings = 0
        self.judged: list[Incident | None] = []

    def case(self, target: Target, live: Live | None = None) -> Case:
        assert target == self._case.seen.target
        return replace(self._case, seen=replace(self._case.seen, live=live))

    async def open(self, announced: Incident, number: int) -> tuple[Incident, bool]:
        assert (announced.metadata.name, announced.metadata.uid, number) == ("api-1", None, 1)
        if self._spent:
            self._case = replace(self._case, spent=self._spent)
            self.spendings += 1
        return self._stored, self._new

    async def quick(self, case: Case, reads: Reads) -> Live:
        assert case.seen.target == self._case.seen.target
        return replace(make_live(), replica_sets=reads.replica_sets, confirmed=False)

    async def confirm(self, case: Case, live: Live) -> Live:
        assert case.seen.live is live
        return replace(live, confirmed=True)

    def opened(self, target: Target, trigger: str) -> None:
        assert (target.name, trigger) == ("api", "crash")


async def opened(**changes: Any) -> tuple[Case, Decision]:
    """Open the incident of a bad release about which nothing is known yet."""
    policy, keep = changes.pop("policy", make_policy()), ("stored", "new", "spent")
    case = make_case(incident=None, live=False, policy=policy)
    world: Any = World(case, **{"stored": make_incident(), **{key: changes[key] for key in keep if key in changes}})
    return await Opener(world, world, world, world).open(case, decide(case))


async def test_what_was_foreseen_is_intended_for_the_incident_that_was_stored() -> None:
    case, decision = await opened(stored=make_incident(status={"targetUid": "d-uid"}))
    assert decision.intent is not None
    assert decision.intent.spec.incident_ref.uid == "api-1-uid"
    assert case.incident is not None
    assert case.incident.metadata.uid == "api-1-uid"


async def test_an_incident_that_took_another_name_is_decided_on_anew() -> None:
    _case, decision = await opened(stored=make_incident(name="api-4"))
    assert decision.intent is not None
    assert (decision.intent.spec.incident_ref.name, decision.intent.spec.incident_ref.uid) == ("api-4", "api-4-uid")


async def test_an_adopted_incident_brings_its_own_story() -> None:
    closed_by_a_person = make_incident(resolution="FalseAlarm")
    _case, decision = await opened(stored=closed_by_a_person, new=False)
    assert decision.intent is None
    assert decision.closed


async def test_a_budget_that_was_spent_meanwhile_is_not_spent_twice() -> None:
    spent = tuple(Spent(f"r{number}", NOW, "shop", "another", "p-uid") for number in range(30))
    _case, decision = await opened(spent=spent)
    assert decision.intent is None
    assert Reason.RateLimited in {one.reason for one in decision.refusals}


@pytest.mark.parametrize("mode", ["Observe", "Automatic"])
async def test_what_is_remembered_of_an_incident_is_its_uid(mode: str) -> None:
    _case, decision = await opened(policy=make_policy(mode=mode))
    ref = decision.health.open_incident_ref if decision.health else None
    # Where something is done first, it is remembered after that.
    assert (ref.uid if ref else None) == {"Observe": "api-1-uid", "Automatic": None}[mode]
