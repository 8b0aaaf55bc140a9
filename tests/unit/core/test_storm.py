"""The storm breaker as a table: a census and the state before give the state after."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import NOW, ago, executed, make_incident, make_remediation

from stopgap.api import Incident, Remediation
from stopgap.api.config import StormBreaker
from stopgap.api.incident import IncidentStatus
from stopgap.core import explaining, storm
from stopgap.core.lifecycle import Story
from stopgap.core.storm import CLUSTER, Breaker, Census, Count, Stage, advance
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

CONFIG = StormBreaker()


def census(**namespaces: tuple[int, int]) -> Census:
    """`shop=(5, 10)`: five of ten are ill; a namespace without an ill one counts for its managed ones only."""
    counts = {name: Count(managed, ill) for name, (ill, managed) in namespaces.items()}
    return Census({name: count for name, count in counts.items() if count.ill}, sum(one.managed for one in counts.values()))


def stages(before: Mapping[str, Breaker], found: Census, now: datetime = NOW, **config: Any) -> dict[str, Stage]:
    after = advance(before, found, StormBreaker.model_validate(config), now)
    return {scope: one.stage for scope, one in after.items()}


def opened(scope: str = "shop", *, since: datetime = NOW, told: bool = False) -> dict[str, Breaker]:
    return {scope: Breaker(scope, Stage.OPEN, since, told=told)}


def cooling(scope: str = "shop", *, since: datetime = NOW, told: bool = False) -> dict[str, Breaker]:
    return {scope: Breaker(scope, Stage.COOLING_DOWN, since, told=told)}


@pytest.mark.parametrize(
    ("found", "open_scopes"),
    [
        pytest.param(census(), set(), id="an empty cluster is calm"),
        pytest.param(census(shop=(2, 2)), set(), id="two of two are below the floor"),
        pytest.param(census(shop=(3, 3)), {"shop"}, id="three of three are a storm"),
        pytest.param(census(shop=(3, 7)), set(), id="three of seven are below the percentage"),
        pytest.param(census(shop=(9, 20)), {"shop"}, id="nine of twenty are exactly the percentage"),
        pytest.param(census(shop=(44, 100)), set(), id="44 of 100 are below the percentage"),
        pytest.param(census(shop=(45, 100)), {"shop"}, id="45 of 100 are the percentage"),
        pytest.param(census(shop=(50, 50), bank=(0, 50)), {"shop"}, id="one namespace alone does not open it for the others"),
        pytest.param(census(shop=(500, 500), bank=(1, 50)), {"shop"}, id="nor with one ill workload elsewhere, however many it has"),
        pytest.param(census(shop=(50, 50), bank=(21, 50)), {"shop"}, id="the others have to be half of what is needed"),
        pytest.param(census(shop=(50, 50), bank=(22, 50)), {"shop", CLUSTER}, id="and then it is a matter of the cluster"),
        pytest.param(
            census(a=(1, 2), b=(1, 2), c=(1, 2), d=(0, 0)), {CLUSTER}, id="many small namespaces open the cluster and none of their own"
        ),
        pytest.param(census(a=(1, 1), b=(1, 1)), set(), id="the floor holds for the cluster: two of two are no storm"),
        pytest.param(census(a=(1, 1), b=(1, 1), c=(1, 1)), {CLUSTER}, id="everything is ill: suspect ourselves"),
        pytest.param(census(a=(2, 9), b=(2, 9), c=(2, 9)), set(), id="the percentage holds for the cluster"),
    ],
)
def test_it_opens_by_floor_and_percentage(found: Census, open_scopes: set[str]) -> None:
    assert stages({}, found) == dict.fromkeys(open_scopes, Stage.OPEN)


@pytest.mark.parametrize(
    ("before", "ill", "after"),
    [
        pytest.param({}, 4, None, id="closed and calm stays closed"),
        pytest.param({}, 5, Stage.OPEN, id="closed and ill opens"),
        pytest.param(opened(since=ago(hours=1)), 5, Stage.OPEN, id="open and ill stays open, however long"),
        pytest.param(opened(since=ago(hours=1)), 0, Stage.COOLING_DOWN, id="open and calm cools down, and never closes at once"),
        pytest.param(cooling(since=ago(minutes=10, seconds=-1)), 0, Stage.COOLING_DOWN, id="it cools down for the whole window"),
        pytest.param(cooling(since=ago(minutes=10)), 0, None, id="and closes at its end"),
        pytest.param(cooling(since=ago(minutes=9)), 5, Stage.OPEN, id="a relapse opens it"),
        pytest.param(cooling(since=ago(minutes=11)), 5, Stage.OPEN, id="also at the very end"),
    ],
)
def test_it_moves_from_stage_to_stage(before: Mapping[str, Breaker], ill: int, after: Stage | None) -> None:
    assert stages(before, census(shop=(ill, 10))).get("shop") is after


def test_a_recovery_that_flaps_starts_the_quiet_window_anew_each_time() -> None:
    state: dict[str, Breaker] = {}
    for minute in range(60):
        state = advance(state, census(shop=(5 if minute % 9 == 0 else 4, 10)), CONFIG, NOW + timedelta(minutes=minute))
        assert state["shop"].stage is (Stage.OPEN if minute % 9 == 0 else Stage.COOLING_DOWN)
    assert state["shop"].until == NOW + timedelta(minutes=55 + 10)
    for minute in range(60, 66):
        closed = "shop" not in advance(state, census(), CONFIG, NOW + timedelta(minutes=minute))
        assert closed == (minute == 65)


def test_a_relapse_is_the_same_storm_and_calls_nobody_again() -> None:
    after = advance(cooling(told=True), census(shop=(5, 10)), CONFIG, NOW)
    assert (after["shop"].stage, after["shop"].told) == (Stage.OPEN, True)


def test_the_floor_the_percentage_and_the_window_are_the_platforms() -> None:
    assert stages({}, census(shop=(3, 10)), minUnhealthy=3, percent=30) == {"shop": Stage.OPEN}
    assert stages({}, census(shop=(3, 10)), minUnhealthy=4, percent=30) == {}
    assert stages(cooling(since=ago(minutes=1)), census(), cooldown="1m") == {}


def test_more_breakers_than_the_lease_can_hold_are_a_matter_of_the_cluster() -> None:
    many = census(**{f"n{number}": (3, 3) for number in range(storm.MOST_NAMESPACES + 1)}, calm=(0, 1_000_000))
    after = advance({}, many, CONFIG, NOW)
    assert len(after) == storm.MOST_NAMESPACES + 1
    assert after[CLUSTER].stage is Stage.OPEN


# ---------------------------------------------------------------------------------------------------------------- annotations


def test_what_is_written_is_read_again() -> None:
    state = {**opened(CLUSTER, told=True), **cooling("shop", since=ago(minutes=3, microseconds=7))}
    written = storm.written(state)
    assert written == {
        "stopgap.dev/storm": "Open since 2026-11-23T10:00:00.000000Z",
        "storm.stopgap.dev/shop": "CoolingDown since 2026-11-23T09:56:59.999993Z, not told yet",
    }
    assert storm.read(written, NOW) == (state, ())


@pytest.mark.parametrize(
    "text", ["", "open", "Closed since 2026-11-23T09:00:00Z", "Open since yesterday", "Open since 2026-11-23T09:00:00", "Open since "]
)
def test_what_cannot_be_read_is_a_storm_that_ends_now(text: str) -> None:
    found, malformed = storm.read({"storm.stopgap.dev/shop": text, "another": "note"}, NOW)
    assert found == cooling(told=True)
    assert malformed == ("storm.stopgap.dev/shop",)


def test_a_time_to_come_holds_nothing_up_for_longer_than_the_window() -> None:
    found, malformed = storm.read({"storm.stopgap.dev/shop": "CoolingDown since 2099-01-01T00:00:00Z"}, NOW)
    assert (found["shop"].since, malformed) == (NOW, ())


def test_the_end_of_a_storm_is_written_into_the_incident_once() -> None:
    def decided(until: datetime | None) -> Story:
        refusal = Refusal(Reason.StormActive, "many workloads are ill", until)
        return explaining.decision(Story(status, NOW), "undo", "roll back 2 → 1", (refusal,), allowed=False)

    status = IncidentStatus()
    status = decided(None).status
    told = decided(NOW + timedelta(minutes=1, microseconds=7))
    assert (told.status != status, told.notices) == (True, ())
    # As it is read back: times in manifests are whole seconds.
    status = IncidentStatus.model_validate(told.status.model_dump(mode="json", by_alias=True))
    assert decided(NOW + timedelta(minutes=1, microseconds=7)).status == status
    assert decided(NOW + timedelta(minutes=2)).status != status


# ------------------------------------------------------------------------------------------------------------- what counts


MITIGATED = {"type": "Mitigated", "status": "True", "reason": "Mitigated", "message": "", "lastTransitionTime": ago(minutes=1)}
FIRED = [{"trigger": "crash", "type": "CrashLoop", "state": "Unknown"}]


@pytest.mark.parametrize(
    ("incident", "ill"),
    [
        pytest.param(make_incident(), True, id="opened by the watch a moment ago"),
        pytest.param(make_incident(status={"findings": FIRED}), True, id="not proved to be well"),
        pytest.param(make_incident(status={"findings": FIRED, "conditions": [MITIGATED]}), False, id="mitigated"),
        pytest.param(make_incident(status={"findings": FIRED, "duplicateOf": "api-1"}), False, id="a duplicate"),
        pytest.param(make_incident(source={"type": "Manual"}), False, id="a person's word alone"),
        pytest.param(make_incident(source={"type": "Manual"}, status={}), False, id="a person's word that was looked at"),
        pytest.param(make_incident(source={"type": "Manual"}, status={"findings": FIRED}), True, id="a person's word that is confirmed"),
    ],
)
def test_an_open_incident_makes_its_workload_ill_until_it_is_mitigated(incident: Incident, ill: bool) -> None:  # noqa: FBT001 - a column
    assert storm.is_ill(incident) is ill


@pytest.mark.parametrize(
    ("remediation", "counts"),
    [
        pytest.param(make_remediation(), True, id="only intended"),
        pytest.param(make_remediation(status=executed()), True, id="written and not proved"),
        pytest.param(make_remediation(status=executed(state="Succeeded")), False, id="proved"),
        pytest.param(make_remediation(status=executed(state="Failed")), False, id="failed"),
        pytest.param(make_remediation(verifyUntil=ago(minutes=59), status=executed()), True, id="late, for its rollout is slow"),
        pytest.param(make_remediation(verifyUntil=ago(minutes=60), status=executed()), False, id="left behind long ago"),
    ],
)
def test_an_action_is_unverified_until_it_ends(remediation: Remediation, counts: bool) -> None:  # noqa: FBT001 - a column
    assert storm.unverified([remediation], NOW) == (frozenset({"d-uid"}) if counts else frozenset())


# --------------------------------------------------------------------------------------------------------------- changes, words


def test_each_change_is_noted_once() -> None:
    shop = opened()
    assert list(storm.changes({}, {}, shop)) == [("shop", Stage.CLOSED, shop["shop"])]
    assert list(storm.changes(shop, shop, shop)) == []
    assert list(storm.changes(shop, shop, cooling())) == [("shop", Stage.OPEN, cooling()["shop"])]
    assert list(storm.changes(cooling(), cooling(), {})) == [("shop", Stage.COOLING_DOWN, None)]


def test_what_the_leader_before_us_wrote_is_no_new_storm() -> None:
    assert list(storm.changes({}, opened(), opened())) == [("shop", Stage.OPEN, opened()["shop"])]
    assert list(storm.changes({}, cooling(), {})) == [("shop", Stage.COOLING_DOWN, None)]


def test_what_a_person_removes_is_closed() -> None:
    assert list(storm.changes(cooling(), {}, {})) == [("shop", Stage.COOLING_DOWN, None)]


def test_people_are_told_what_is_ill_where_and_what_to_look_for() -> None:
    breakers = [Breaker("shop", Stage.OPEN, NOW, count=Count(50, 23)), Breaker(CLUSTER, Stage.OPEN, NOW, count=Count(100, 45))]
    said = storm.opening(breakers, CONFIG)
    assert said.startswith("45 of 100 workloads are ill in the whole cluster; 23 of 50 workloads are ill in namespace shop. ")
    assert "until fewer than 45 % or 3 have been ill for 10m" in said
    assert storm.closing(["shop", CLUSTER]) == "actions are allowed again in the whole cluster, namespace shop"


def test_what_people_are_told_fits_into_an_event() -> None:
    breakers = [Breaker(f"{number:063}", Stage.OPEN, NOW, count=Count(10_000, 9_999)) for number in range(100)]
    assert "and many in 95 namespaces more" in storm.opening(breakers, CONFIG)
    assert len(storm.opening(breakers, CONFIG)) < 1000
    assert len(storm.closing([one.scope for one in breakers])) < 1000
