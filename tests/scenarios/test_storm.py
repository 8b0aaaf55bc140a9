"""A storm over a hundred workloads: three actions at most, then none until it was quiet for the whole window, and everything is told."""

from datetime import datetime, timedelta

from tests.conftest import BAD, GOOD, NOW
from tests.scenarios.driver import NEXT, Operator, start

from stopgap.api.config import StormBreaker
from stopgap.core import storm
from stopgap.core.storm import CLUSTER, Breaker, Census, Count, Stage
from stopgap.model.conditions import find
from stopgap.model.reasons import Reason

CONFIG = StormBreaker()
LOOK = timedelta(seconds=10)


class Fleet:
    """Many workloads in namespaces, each with its records, under one storm breaker."""

    def __init__(self, **namespaces: int) -> None:
        self.places = {name: [start(GOOD) for _ in range(count)] for name, count in namespaces.items()}
        self.now: datetime = NOW
        self.breakers: dict[str, Breaker] = {}
        self.most_unverified = 0

    @property
    def all(self) -> list[Operator]:
        return [one for each in self.places.values() for one in each]

    @property
    def writes(self) -> int:
        return sum(one.writes for one in self.all)

    def live_through(self, length: timedelta) -> None:
        end = self.now + length
        while self.now < end:
            self.now += LOOK
            for one in self.all:
                one.cluster.pass_time(LOOK)
            for name, each in self.places.items():
                for one in each:
                    self._look(name, one)

    def _look(self, name: str, operator: Operator) -> None:
        self._evaluate()
        operator.storm = tuple(self.breakers[scope] for scope in (CLUSTER, name) if scope in self.breakers)
        operator.unverified = sum(self._unverified(one) for one in self.all if one is not operator)
        operator.look()
        self.most_unverified = max(self.most_unverified, sum(self._unverified(one) for one in self.all))

    def _evaluate(self) -> None:
        """With a restart between any two looks: only what is written survives."""
        before, malformed = storm.read(storm.written(self.breakers), self.now)
        assert malformed == ()
        counts = {name: Count(len(each), sum(map(is_ill, each))) for name, each in self.places.items()}
        found = Census({name: one for name, one in counts.items() if one.ill}, len(self.all))
        self.breakers = storm.advance(before, found, CONFIG, self.now)

    def _unverified(self, operator: Operator) -> bool:
        return bool(storm.unverified(operator.remediations, self.now))


def is_ill(operator: Operator) -> bool:
    return operator.incident is not None and storm.is_ill(operator.incident)


def why(operator: Operator) -> str:
    status = operator.incident.status if operator.incident else None
    found = find(status.conditions, "ActionAllowed") if status else None
    return found.reason if found else ""


def stormy(fleet: Fleet, name: str) -> list[Operator]:
    """All workloads of a namespace get a bad release at once, and a minute passes."""
    for one in fleet.places[name]:
        one.cluster.apply(BAD)
    fleet.live_through(timedelta(minutes=1))
    return fleet.places[name]


def test_of_fifty_that_turn_bad_at_once_three_are_acted_on_and_all_are_told() -> None:
    fleet = Fleet(shop=50, bank=50)
    ill = stormy(fleet, "shop")
    fleet.live_through(timedelta(minutes=4))
    assert fleet.writes == 3
    assert fleet.most_unverified == 3
    assert [one.incident is not None for one in ill] == [True] * 50
    held = [one for one in ill if one.writes == 0]
    assert {why(one) for one in held} == {Reason.StormActive}
    assert {one.incident.status.phase for one in held if one.incident and one.incident.status} == {"Triaged"}
    assert {one.reason for each in held for one in each.notices} == {Reason.Detected}, "what holds all back is not cried out for each"


def test_one_namespace_alone_stops_nothing_in_the_others() -> None:
    fleet = Fleet(shop=50, bank=50)
    stormy(fleet, "shop")
    fleet.live_through(timedelta(minutes=2))
    [other, *_] = fleet.places["bank"]
    other.cluster.apply(BAD)
    fleet.live_through(timedelta(minutes=1))
    assert (set(fleet.breakers), other.writes) == ({"shop"}, 1)


def test_a_storm_everywhere_is_a_matter_of_the_cluster() -> None:
    fleet = Fleet(a=2, b=2, c=2, d=2, calm=2)
    for name in "abcd":
        for one in fleet.places[name]:
            one.cluster.apply(BAD)
    fleet.live_through(timedelta(minutes=5))
    assert fleet.writes <= 3
    fleet.places["calm"][0].cluster.apply(BAD)
    fleet.live_through(timedelta(minutes=1))
    assert list(fleet.breakers) == [CLUSTER]
    assert fleet.places["calm"][0].writes == 0


def test_nothing_is_done_until_it_was_quiet_for_the_whole_window_and_then_three_at_a_time() -> None:
    fleet = Fleet(shop=20)
    ill = stormy(fleet, "shop")
    before = fleet.writes
    for one in [one for one in ill if one.writes == 0][:-6]:
        one.cluster.apply(NEXT)
    fleet.live_through(timedelta(minutes=3))
    assert fleet.breakers["shop"].stage is Stage.COOLING_DOWN
    until = fleet.breakers["shop"].until
    assert until is not None

    fleet.live_through(until - fleet.now - LOOK)
    assert fleet.writes == before
    [held, *_] = [one for one in ill if one.cluster.template == BAD]
    assert held.incident is not None
    assert held.incident.status is not None
    assert held.incident.status.decision is not None
    assert [(one.reason, one.until) for one in held.incident.status.decision.refusals] == [(Reason.StormActive, until)]

    fleet.live_through(timedelta(minutes=5))
    assert fleet.breakers == {}
    assert fleet.writes == before + 6
    assert fleet.most_unverified == 3


def test_while_it_flaps_around_the_threshold_nothing_is_done() -> None:
    fleet = Fleet(shop=20)
    ill = stormy(fleet, "shop")
    before = fleet.writes
    held = [one for one in ill if one.writes == 0]
    for turn in range(6):
        for one in held[:12]:
            one.cluster.apply(NEXT if turn % 2 == 0 else BAD)
        fleet.live_through(timedelta(minutes=4))
        assert fleet.breakers["shop"].stage is (Stage.COOLING_DOWN if turn % 2 == 0 else Stage.OPEN)
    assert fleet.writes == before
