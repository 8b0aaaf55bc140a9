"""The ledger of exits: each counted once, never double, at worst late."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
from tests.conftest import NOW, ago, make_container, make_pod

from stopgap.core.ledger import MOST_KEPT, dated, new_exits
from stopgap.model.workload import Container, End, Exit, Pod


def ended(*, code: int = 1, seconds: float = 10, reason: str = "Error") -> End:
    return End(code, reason, ago(seconds=seconds + 5), ago(seconds=seconds))


def pod_with(**container: Any) -> Pod:
    return make_pod(containers=(make_container(**container),))


def new(before: Pod | None, after: Pod) -> list[Exit]:
    return list(new_exits(before, after, NOW))


def told_over(states: Iterable[Pod]) -> list[Exit]:
    """Everything that a sequence of states adds, each state beside the one before."""
    counted: list[Exit] = []
    before: Pod | None = None
    for state in states:
        counted += new(before, state)
        before = state
    return counted


FRESH = pod_with(running_since=ago(minutes=1))
TERMINATED = pod_with(ended=ended())
RESTARTED = pod_with(restarts=1, last_ended=ended(), running_since=ago(seconds=1))
BACKING_OFF = pod_with(restarts=1, last_ended=ended(), waiting="CrashLoopBackOff")


def test_a_container_that_runs_for_the_first_time_adds_nothing() -> None:
    assert new(None, FRESH) == []


def test_a_container_that_ended_is_one_exit_with_its_code_time_and_place() -> None:
    [exit_] = new(FRESH, pod_with(ended=ended(code=137, reason="OOMKilled")))
    assert exit_ == Exit("p1-uid", "p1", "node-1", "app", False, 1, ago(seconds=10), 137, "OOMKilled")


def test_the_same_state_twice_adds_nothing() -> None:
    for state in (FRESH, TERMINATED, RESTARTED, BACKING_OFF):
        assert new(state, state) == []


def test_terminated_and_then_restarted_is_one_exit() -> None:
    assert [one.ordinal for one in told_over([FRESH, TERMINATED, RESTARTED])] == [1]


def test_restarted_without_the_end_being_seen_is_one_exit() -> None:
    [exit_] = told_over([FRESH, RESTARTED])
    assert (exit_.ordinal, exit_.at, exit_.code) == (1, ago(seconds=10), 1)


def test_waiting_for_the_restart_after_running_adds_nothing() -> None:
    assert told_over([RESTARTED, msgspec.structs.replace(RESTARTED, ready=True), RESTARTED]) == told_over([RESTARTED])


def test_three_exits_seen_in_every_state_are_three() -> None:
    states = [FRESH]
    for count in range(3):
        states.append(pod_with(restarts=count, ended=ended(seconds=30 - 10 * count), last_ended=ended() if count else None))
        states.append(pod_with(restarts=count + 1, last_ended=ended(seconds=30 - 10 * count), waiting="CrashLoopBackOff"))
        states.append(pod_with(restarts=count + 1, last_ended=ended(seconds=30 - 10 * count), running_since=ago(seconds=29 - 10 * count)))
    assert [one.ordinal for one in told_over(states)] == [1, 2, 3]


def test_a_jump_of_the_restart_count_counts_every_exit_once() -> None:
    after = pod_with(restarts=4, last_ended=ended(), waiting="CrashLoopBackOff")
    assert [one.ordinal for one in new(RESTARTED, after)] == [2, 3, 4]
    assert new(after, after) == []


def test_a_jump_to_a_state_that_has_ended_again_counts_that_end_too() -> None:
    after = pod_with(restarts=2, last_ended=ended(seconds=20), ended=ended())
    assert [one.ordinal for one in new(RESTARTED, after)] == [2, 3]


def test_an_end_that_follows_another_of_the_same_container_is_a_new_exit() -> None:
    again = pod_with(restarts=1, last_ended=ended(seconds=20), ended=ended(seconds=2))
    assert [one.ordinal for one in told_over([FRESH, TERMINATED, again])] == [1, 2]


def test_at_first_sight_the_restarts_of_a_pod_that_started_within_the_window_count() -> None:
    first = make_pod(started=ago(minutes=2), containers=(make_container(restarts=3, last_ended=ended()),))
    assert [(one.ordinal, one.at) for one in new(None, first)] == [(1, ago(minutes=2)), (2, ago(minutes=2)), (3, ago(seconds=10))]


def test_at_first_sight_the_restarts_of_an_old_pod_are_as_old_as_the_pod_but_for_the_one_that_is_proved() -> None:
    first = make_pod(created=ago(days=2), started=ago(days=2), containers=(make_container(restarts=3, last_ended=ended()),))
    assert [one.at for one in new(None, first)] == [ago(days=2), ago(days=2), ago(seconds=10)]


def test_at_first_sight_the_creation_stands_for_a_start_that_is_not_known() -> None:
    first = make_pod(created=ago(days=2), started=None, containers=(make_container(restarts=2, last_ended=ended()),))
    assert [one.at for one in new(None, first)] == [ago(days=2), ago(seconds=10)]


def test_an_end_without_a_time_counts_at_the_moment_it_was_seen() -> None:
    [exit_] = new(FRESH, pod_with(ended=End(1, "Error", None, None)))
    assert exit_.at == NOW


def test_the_exits_of_a_leaving_pod_do_not_count() -> None:
    assert new(FRESH, msgspec.structs.replace(TERMINATED, leaving=True)) == []


def test_an_init_container_that_ends_well_does_not_count() -> None:
    assert new(None, pod_with(init=True, ended=ended(code=0, reason="Completed"))) == []


def test_an_init_container_that_fails_counts_and_is_marked_as_one() -> None:
    [exit_] = new(None, pod_with(init=True, ended=ended(code=1)))
    assert (exit_.init, exit_.code) == (True, 1)


def test_a_container_that_ends_with_code_zero_counts() -> None:
    [exit_] = new(FRESH, pod_with(ended=ended(code=0, reason="Completed")))
    assert exit_.code == 0


def test_each_container_has_an_account_of_its_own() -> None:
    pod = make_pod(containers=(make_container(ended=ended()), make_container(name="sidecar", ended=ended())))
    assert [(one.container, one.ordinal) for one in new(FRESH, pod)] == [("app", 1), ("sidecar", 1)]


def test_a_pod_that_restarted_thousands_of_times_adds_no_more_than_is_kept() -> None:
    first = pod_with(restarts=5000, last_ended=ended())
    assert len(new(None, first)) <= MOST_KEPT + 1


def test_how_long_a_container_waits_is_counted_from_the_first_look() -> None:
    pod = dated(None, pod_with(waiting="ErrImagePull"), NOW)
    assert pod.containers[0].waiting_since == NOW


def test_pull_errors_that_alternate_do_not_start_the_clock_again() -> None:
    first: Container = dated(None, pod_with(waiting="ErrImagePull"), ago(seconds=30)).containers[0]
    before = make_pod(containers=(first,))
    assert dated(before, pod_with(waiting="ImagePullBackOff"), NOW).containers[0].waiting_since == ago(seconds=30)


def test_a_container_that_no_longer_waits_forgets_since_when_it_did() -> None:
    before = dated(None, pod_with(waiting="ErrImagePull"), ago(seconds=30))
    after = dated(before, FRESH, NOW)
    assert after.containers[0].waiting_since is None
    assert dated(after, pod_with(waiting="ErrImagePull"), NOW + timedelta(seconds=1)).containers[0].waiting_since == NOW + timedelta(
        seconds=1
    )
