"""`unavailable`: fewer replicas are available than the policy wants, for long enough."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import ago, make_seen, make_workload

from stopgap.detectors import Unavailable
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Level, State


def judge(seen: Observation, **fields: Any) -> Finding:
    return Unavailable.model_validate(fields).judge(seen, "down", after=None, quiet_for=timedelta(minutes=1))


def seen_with(available: int, wanted: int, *levels: Level) -> Observation:
    work = make_workload(replicas=wanted, available_replicas=available)
    return make_seen(workload=work, levels=levels, exits=(), pods=())


def test_too_few_replicas_for_long_enough_fire() -> None:
    finding = judge(seen_with(2, 3, Level(ago(minutes=1), 2, 3)))
    assert (finding.state, finding.type) == (State.FIRING, Reason.Unavailable)
    assert finding.message == "2 of 3 replicas available for 1m"
    assert finding.since == ago(minutes=1)


def test_too_few_replicas_for_a_moment_are_unknown_and_looked_at_again_in_time() -> None:
    finding = judge(seen_with(2, 3, Level(ago(seconds=40), 2, 3)))
    assert finding.state is State.UNKNOWN
    assert finding.look_again == timedelta(seconds=20)
    assert finding.message == "2 of 3 replicas are available, for less than 1m"


def test_exactly_the_share_that_is_wanted_is_quiet() -> None:
    finding = judge(seen_with(4, 5, Level(ago(minutes=9), 4, 5)))
    assert finding.state is State.QUIET
    assert finding.message == "4 of 5 replicas are available"
    assert judge(seen_with(4, 5, Level(ago(minutes=9), 4, 5)), below="81%").state is State.FIRING


def test_a_workload_scaled_to_zero_is_quiet() -> None:
    assert judge(seen_with(0, 0, Level(ago(minutes=9), 0, 3))).state is State.QUIET


def test_the_shortage_is_counted_from_its_beginning_and_not_from_its_worst() -> None:
    levels = (Level(ago(minutes=5), 2, 3), Level(ago(seconds=10), 0, 3))
    finding = judge(seen_with(0, 3, *levels))
    assert finding.state is State.FIRING
    assert finding.since == ago(minutes=5)


def test_a_moment_of_enough_replicas_starts_the_clock_again() -> None:
    levels = (Level(ago(minutes=5), 2, 5), Level(ago(seconds=50), 4, 5), Level(ago(seconds=40), 2, 5))
    assert judge(seen_with(2, 5, *levels)).state is State.UNKNOWN


def test_replicas_that_were_asked_for_a_moment_ago_do_not_count() -> None:
    levels = (Level(ago(minutes=5), 9, 10), Level(ago(seconds=30), 9, 20))
    assert judge(seen_with(9, 20, *levels)).state is State.UNKNOWN


def test_replicas_that_were_asked_for_long_enough_ago_count() -> None:
    assert judge(seen_with(9, 20, Level(ago(minutes=1), 9, 20))).state is State.FIRING


def test_a_scale_up_does_not_hide_a_shortage_that_was_there_before() -> None:
    levels = (Level(ago(minutes=5), 2, 10), Level(ago(seconds=30), 2, 20))
    assert judge(seen_with(2, 20, *levels)).state is State.FIRING


def test_a_scale_down_to_what_is_available_is_quiet() -> None:
    assert judge(seen_with(2, 2, Level(ago(minutes=5), 2, 10))).state is State.QUIET


def test_without_history_nothing_is_concluded_yet() -> None:
    finding = judge(seen_with(0, 3))
    assert finding.state is State.UNKNOWN
    assert finding.look_again == timedelta(minutes=1)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(make_seen(synced=False), id="before every watch has its first list"),
        pytest.param(make_seen(workload=None), id="while the workload was not seen"),
    ],
)
def test_what_cannot_be_told_is_unknown(seen: Observation) -> None:
    finding = judge(seen)
    assert finding.state is State.UNKNOWN
    assert finding.message == "the workload is not known yet"
