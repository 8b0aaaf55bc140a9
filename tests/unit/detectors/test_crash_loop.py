"""`crashLoop`: exits are counted, not readiness."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import NEW, OLD, ago, crashing_container, make_container, make_exits, make_pod, make_seen, make_workload

from stopgap.detectors import CrashLoop
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import End, Exit, Pod, State

MINUTE = timedelta(minutes=1)


def judge(seen: Observation, *, after: datetime | None = None, **fields: Any) -> Finding:
    return CrashLoop.model_validate(fields).judge(seen, "crash", after=after, quiet_for=MINUTE)


def exits_at(*times: datetime, pod: str = "p1", **changes: Any) -> tuple[tuple[str, Exit], ...]:
    made = make_exits(len(times), pod=pod, **changes)
    return tuple((owner, msgspec.structs.replace(one, at=at)) for (owner, one), at in zip(made, times, strict=True))


def of_pods(pods: tuple[Pod, ...], *, running: int, crashing: tuple[str, ...]) -> Observation:
    """A newest revision of so many pods, of which those named exit again and again."""
    newest = msgspec.structs.replace(NEW, wanted=running, replicas=running)
    exits = tuple(one for name in crashing for one in make_exits(pod=name))
    return make_seen(pods=pods, exits=exits, revisions=(newest, OLD), workload=make_workload(replicas=running))


def running(since: datetime, **changes: Any) -> Pod:
    end = End(1, "Error", ago(minutes=3), since)
    return make_pod(
        ready=True, ready_since=since, containers=(make_container(ready=True, restarts=1, running_since=since, last_ended=end),), **changes
    )


def test_the_third_exit_of_a_container_within_the_window_fires() -> None:
    finding = judge(make_seen())
    assert (finding.state, finding.type) == (State.FIRING, Reason.CrashLoop)
    assert finding.message == "3 exits in 20s of container app, last in p1, code 1; 1 of 1 started pods"
    assert finding.since == ago(seconds=30)
    assert (finding.revision, finding.nodes) == ("rs-2", frozenset({"node-1"}))
    assert finding.cause is None


def test_two_exits_of_three_do_not_fire() -> None:
    seen = make_seen(pods=(make_pod(containers=(crashing_container(2),)),), exits=make_exits(2))
    assert judge(seen).state is not State.FIRING


def test_a_pod_that_turns_ready_between_its_exits_is_caught() -> None:
    seen = make_seen(pods=(running(ago(seconds=5)),), exits=exits_at(ago(minutes=4), ago(minutes=2), ago(seconds=6)))
    assert judge(seen).state is State.FIRING


def test_exits_outside_the_window_are_no_crash_loop() -> None:
    seen = make_seen(pods=(running(ago(seconds=5)),), exits=exits_at(ago(minutes=9), ago(minutes=6), ago(seconds=6)))
    assert judge(seen).state is not State.FIRING
    assert judge(seen, within="10m").state is State.FIRING


def test_a_container_that_waits_in_back_off_counts_without_the_window() -> None:
    seen = make_seen(exits=exits_at(ago(minutes=14), ago(minutes=10), ago(minutes=5, seconds=1)))
    assert judge(seen).state is State.FIRING


def test_a_container_that_waits_in_back_off_after_fewer_restarts_does_not_count_without_the_window() -> None:
    seen = make_seen(pods=(make_pod(containers=(crashing_container(2),)),), exits=exits_at(ago(minutes=14), ago(minutes=10)))
    assert judge(seen).state is not State.FIRING


def test_a_leaving_pod_in_back_off_does_not_count_without_the_window() -> None:
    exits = exits_at(ago(minutes=14), ago(minutes=10), ago(minutes=6))
    assert judge(make_seen(pods=(make_pod(leaving=True),), exits=exits)).state is State.QUIET


def test_exits_of_several_containers_are_not_added_up() -> None:
    exits = make_exits(2) + make_exits(2, container="sidecar")
    pod = make_pod(containers=(make_container(restarts=2), make_container(name="sidecar", restarts=2)))
    assert judge(make_seen(pods=(pod,), exits=exits)).state is not State.FIRING


def test_exits_of_another_revision_are_not_counted() -> None:
    assert judge(make_seen(exits=make_exits(owner="rs-1"))).state is State.QUIET


def test_the_exits_of_a_pod_that_is_gone_stay_counted() -> None:
    assert judge(make_seen(pods=())).state is State.FIRING


def test_one_exit_is_enough_for_a_policy_that_asks_for_one() -> None:
    assert judge(make_seen(exits=make_exits(1)), exits=1).state is State.FIRING


def test_an_exit_with_code_zero_counts() -> None:
    finding = judge(make_seen(exits=make_exits(code=0, reason="Completed")))
    assert finding.state is State.FIRING
    assert "code 0" in finding.message


# ------------------------------------------------------------------------------------------------- how many pods


def test_one_bad_pod_of_fifty_does_not_fire() -> None:
    finding = judge(of_pods((make_pod(),), running=50, crashing=("p1",)))
    assert finding.state is not State.FIRING


def test_two_of_three_pods_fire_and_are_counted_in_the_message() -> None:
    finding = judge(of_pods((make_pod(), make_pod("p2")), running=3, crashing=("p1", "p2")))
    assert finding.state is State.FIRING
    assert "6 exits" in finding.message
    assert finding.message.endswith("2 of 3 started pods")


def test_exactly_the_share_that_the_policy_asks_for_fires() -> None:
    seen = of_pods((make_pod(), make_pod("p2")), running=4, crashing=("p1", "p2"))
    assert judge(seen, podsAtLeast="50%").state is State.FIRING
    assert judge(seen, podsAtLeast="51%").state is not State.FIRING


def test_pods_in_which_nothing_was_started_are_not_compared_with() -> None:
    idle = tuple(make_pod(f"idle-{number}", phase="Pending", containers=(make_container(),)) for number in range(3))
    finding = judge(of_pods((make_pod(), *idle), running=4, crashing=("p1",)))
    assert finding.state is State.FIRING
    assert finding.message.endswith("1 of 1 started pods")


# ------------------------------------------------------------------------------------------------- what it is called


def test_a_loop_of_out_of_memory_kills_is_named_so() -> None:
    finding = judge(make_seen(exits=make_exits(code=137, reason="OOMKilled")))
    assert finding.type is Reason.OOMKilled
    assert "out of memory" in finding.message


def test_a_single_out_of_memory_kill_among_others_is_a_crash_loop() -> None:
    exits = make_exits()
    mixed = (*exits[:2], ("rs-2", msgspec.structs.replace(exits[2][1], code=137, reason="OOMKilled")))
    assert judge(make_seen(exits=mixed)).type is Reason.CrashLoop


def test_an_init_container_that_fails_is_named() -> None:
    template_pod = make_pod(containers=(make_container(name="app"), crashing_container(init=True)))
    finding = judge(make_seen(pods=(template_pod,), exits=make_exits(init=True)))
    assert finding.type is Reason.InitCrashLoop
    assert "init container app" in finding.message


def test_a_container_that_is_not_in_the_template_is_found_and_the_release_not_blamed() -> None:
    finding = judge(make_seen(exits=make_exits(container="mesh")))
    assert finding.state is State.FIRING
    assert finding.cause is Reason.InjectedContainer
    assert "injected container mesh" in finding.message


def test_the_applications_own_crash_is_told_before_that_of_an_injected_container() -> None:
    finding = judge(make_seen(exits=make_exits() + make_exits(container="mesh")))
    assert finding.cause is None
    assert "of container app" in finding.message


# ------------------------------------------------------------------------------------------------- after an action


def test_exits_from_before_the_action_are_ignored() -> None:
    seen = make_seen(pods=(), exits=make_exits())
    assert judge(seen, after=ago(seconds=10)).state is State.QUIET
    assert judge(seen, after=ago(seconds=31)).state is State.FIRING


def test_an_exit_at_the_very_moment_of_the_action_is_ignored() -> None:
    assert judge(make_seen(pods=()), after=ago(seconds=30)).state is State.QUIET


def test_back_off_from_before_the_action_is_ignored() -> None:
    assert judge(make_seen(), after=ago(seconds=5)).state is not State.FIRING


# ------------------------------------------------------------------------------------------------- quiet and unknown


def test_a_container_that_exited_and_runs_for_too_short_a_time_is_unknown_and_looked_at_again() -> None:
    finding = judge(make_seen(pods=(running(ago(seconds=59)),), exits=make_exits(1)))
    assert finding.state is State.UNKNOWN
    assert finding.look_again == MINUTE
    assert "p1 exited within the last 1m" in finding.message


def test_a_container_that_has_run_for_long_enough_since_its_exit_is_quiet() -> None:
    finding = judge(make_seen(pods=(running(ago(seconds=60)),), exits=exits_at(ago(seconds=61))))
    assert finding.state is State.QUIET


def test_a_container_that_exited_and_waits_is_not_quiet() -> None:
    assert judge(make_seen(pods=(make_pod(containers=(crashing_container(1),)),), exits=make_exits(1))).state is State.UNKNOWN


def test_an_init_container_that_ended_well_after_a_failure_is_quiet() -> None:
    done = make_container(init=True, restarts=1, ended=End(0, "Completed", ago(minutes=2), ago(minutes=2)))
    assert judge(make_seen(pods=(make_pod(containers=(done,)),), exits=make_exits(1, init=True))).state is State.QUIET


def test_a_leaving_pod_does_not_keep_the_signal_from_being_quiet() -> None:
    assert judge(make_seen(pods=(make_pod(leaving=True),), exits=make_exits(1))).state is State.QUIET


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(make_seen(synced=False), id="before every watch has its first list"),
        pytest.param(make_seen(workload=make_workload(generation=5)), id="while the newest template has no replica set yet"),
        pytest.param(make_seen(revisions=(OLD,)), id="while the replica set was not seen yet"),
    ],
)
def test_what_cannot_be_told_is_unknown(seen: Observation) -> None:
    finding = judge(seen)
    assert finding.state is State.UNKNOWN
    assert finding.message == "the newest revision is not known yet"
