"""The keeper of the storm breaker: its state is in annotations, its changes are told once, and a restart forgets nothing."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.conftest import NOW
from tests.unit.effects.test_census import World

from stopgap.api import RemediationConfig
from stopgap.core.case import Notice
from stopgap.core.storm import Stage
from stopgap.effects.errors import Unreachable
from stopgap.effects.record import Recorder
from stopgap.effects.storm import NEXT_TRY, TOGETHER, StormKeeper
from stopgap.effects.telemetry import Telemetry
from stopgap.model.reasons import Reason

TEN_MINUTES = timedelta(minutes=10)


class Posted(Recorder):
    """Keeps what would be posted; `away`: the API server does not answer."""

    def __init__(self) -> None:
        self.notices: list[tuple[str, Notice]] = []
        self.away = False

    async def event(self, regarding: Any, notice: Notice, now: datetime) -> None:  # noqa: ARG002 - the shape of the recorder
        if self.away:
            raise Unreachable("create", "/events", message="no route")
        self.notices.append((f"{type(regarding).__name__} {regarding.metadata.namespace}/{regarding.metadata.name}", notice))


@dataclass
class Copy:
    """One copy of the operator, as far as the storm breaker is concerned."""

    world: World
    annotations: dict[str, str] = field(default_factory=dict)
    now: datetime = NOW
    ready: bool = True
    woken: list[str] = field(default_factory=list)
    posted: Posted = field(default_factory=Posted)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.keeper = StormKeeper(
            self.world.headcount,
            self.world.records,
            self.annotations,
            telemetry=Telemetry(self.registry),
            ready=lambda: self.ready,
            now=lambda: self.now,
            changed=self.woken.append,
        )

    def state(self, namespace: str = "shop") -> list[Stage]:
        return [one.stage for one in self.keeper.breakers(namespace)]

    async def later(self, length: timedelta) -> None:
        self.now += length
        self.keeper.evaluate()
        await self.keeper.tell(self.posted, "stopgap-system")

    @property
    def told(self) -> list[Reason]:
        return [notice.reason for _, notice in self.posted.notices]

    def gauge(self, state: Stage, namespace: str = "shop") -> float | None:
        return self.registry.get_sample_value("stopgap_storm_breaker", {"namespace": namespace, "state": state})


def five_workloads() -> World:
    world = World()
    world.policy("shop", there=True)
    for number in range(5):
        world.deploy("shop", f"w{number}")
    return world


def struck(world: World, count: int = 3) -> None:
    for number in range(5):
        world.look("shop", f"w{number}", firing=number < count)


@pytest.fixture
def copy() -> Copy:
    return Copy(five_workloads())


def test_the_third_of_five_opens_it_at_once_for_the_next_case(copy: Copy) -> None:
    struck(copy.world, 2)
    assert copy.state() == []
    struck(copy.world, 3)
    assert copy.state() == [Stage.OPEN]
    assert copy.state("bank") == []
    assert copy.annotations == {"storm.stopgap.dev/shop": "Open since 2026-11-23T10:00:00.000000Z, not told yet"}
    assert copy.gauge(Stage.OPEN) == 1
    assert copy.woken == ["shop"]


async def test_it_cools_down_and_closes_and_leaves_nothing_behind(copy: Copy) -> None:
    copy.annotations["note"] = "by hand"
    struck(copy.world)
    await copy.later(timedelta(minutes=1))
    struck(copy.world, 0)
    await copy.later(timedelta(seconds=1))
    assert copy.state() == [Stage.COOLING_DOWN]
    assert (copy.gauge(Stage.OPEN), copy.gauge(Stage.COOLING_DOWN)) == (None, 1)
    await copy.later(TEN_MINUTES - timedelta(milliseconds=1))
    assert copy.state() == [Stage.COOLING_DOWN]
    await copy.later(timedelta(milliseconds=1))
    assert copy.state() == []
    assert copy.annotations == {"note": "by hand"}
    assert copy.gauge(Stage.COOLING_DOWN) is None
    assert copy.woken == ["shop", "shop"]


async def test_people_are_told_once_that_it_began_and_once_that_it_is_over(copy: Copy) -> None:
    struck(copy.world)
    await copy.later(timedelta(0))
    assert copy.told == [], "what opens in the next seconds belongs to the same storm"
    await copy.later(TOGETHER)
    for turn in range(6):
        struck(copy.world, 0 if turn % 2 else 3)
        await copy.later(timedelta(minutes=1))
    assert copy.told == [Reason.StormActive]
    struck(copy.world, 0)
    for _ in range(30):
        await copy.later(timedelta(minutes=1))
    assert copy.told == [Reason.StormActive, Reason.StormOver]
    where, notice = copy.posted.notices[0]
    assert where == "RemediationConfig stopgap-system/stopgap"
    assert notice.message.startswith("3 of 5 workloads are ill in namespace shop.")
    assert notice.warning


async def test_what_opens_together_is_told_together(copy: Copy) -> None:
    copy.world.policy("bank", there=True)
    for number in range(4):
        copy.world.deploy("bank", f"w{number}")
        copy.world.look("bank", f"w{number}", firing=True)
    await copy.later(timedelta(seconds=1))
    struck(copy.world, 5)
    await copy.later(TOGETHER)
    [(_, notice)] = copy.posted.notices
    assert notice.message.startswith("9 of 9 workloads are ill in the whole cluster; 4 of 4 workloads are ill in namespace bank; 5 of 5")


async def test_an_event_that_cannot_be_posted_is_posted_later(copy: Copy) -> None:
    copy.posted.away = True
    struck(copy.world)
    await copy.later(timedelta(0))
    await copy.later(TOGETHER)
    copy.posted.away = False
    await copy.later(NEXT_TRY - timedelta(seconds=1))
    assert copy.told == []
    await copy.later(timedelta(seconds=1))
    assert copy.told == [Reason.StormActive]


async def test_the_next_leader_goes_on_where_the_last_one_was_and_calls_nobody_again(copy: Copy) -> None:
    struck(copy.world)
    await copy.later(timedelta(0))
    await copy.later(TOGETHER)
    assert copy.annotations == {"storm.stopgap.dev/shop": "Open since 2026-11-23T10:00:00.000000Z"}

    following = Copy(five_workloads(), dict(copy.annotations), copy.now)
    await following.later(timedelta(minutes=1))
    assert following.state() == [Stage.COOLING_DOWN], "nothing is ill any more, but the quiet window begins only now"
    assert following.told == []
    await following.later(TEN_MINUTES)
    assert following.told == [Reason.StormOver]


async def test_the_next_leader_calls_people_where_the_last_one_could_not(copy: Copy) -> None:
    struck(copy.world)
    await copy.later(timedelta(0))
    following = Copy(copy.world, dict(copy.annotations), copy.now)
    await following.later(TOGETHER)
    assert following.told == [Reason.StormActive]


async def test_a_person_ends_the_quiet_window_by_removing_the_annotation(copy: Copy) -> None:
    struck(copy.world)
    await copy.later(timedelta(0))
    await copy.later(TOGETHER)
    struck(copy.world, 0)
    await copy.later(timedelta(seconds=1))
    copy.annotations.clear()
    await copy.later(timedelta(seconds=1))
    assert copy.state() == []
    assert copy.told == [Reason.StormActive, Reason.StormOver]


async def test_an_annotation_that_cannot_be_read_holds_up_for_one_quiet_window_and_is_said(
    copy: Copy, caplog: pytest.LogCaptureFixture
) -> None:
    copy.annotations["storm.stopgap.dev/shop"] = "whatever"
    with caplog.at_level(logging.WARNING, "stopgap"):
        await copy.later(timedelta(0))
        await copy.later(timedelta(seconds=1))
    assert [one.message for one in caplog.records].count(
        "an annotation of the Lease cannot be read; it counts as a storm that ends now"
    ) == 1
    assert copy.state() == [Stage.COOLING_DOWN]
    await copy.later(TEN_MINUTES)
    assert copy.state() == []


def test_before_everything_was_listed_nothing_is_concluded_from_a_share(copy: Copy) -> None:
    copy.ready = False
    struck(copy.world)
    assert copy.state() == []
    copy.ready = True
    assert copy.state() == [Stage.OPEN]


def test_a_copy_that_leads_no_more_shows_no_breakers(copy: Copy) -> None:
    struck(copy.world)
    assert copy.state() == [Stage.OPEN]
    copy.ready = False
    copy.keeper.forget()
    assert copy.state() == []
    assert copy.gauge(Stage.OPEN) is None


async def test_the_platform_raises_the_threshold_to_act_in_spite_of_it(copy: Copy) -> None:
    struck(copy.world)
    await copy.later(timedelta(0))
    body = {"metadata": {"name": "stopgap", "namespace": "stopgap-system"}, "spec": {"stormBreaker": {"minUnhealthy": 9, "cooldown": "1m"}}}
    copy.world.records.config = RemediationConfig.model_validate(body)
    await copy.later(timedelta(seconds=1))
    assert copy.state() == [Stage.COOLING_DOWN]
    await copy.later(timedelta(minutes=1))
    assert copy.state() == []
