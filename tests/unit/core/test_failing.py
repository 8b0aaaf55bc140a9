"""What fails, and why, from what the kubelets say."""

import pytest
from tests.conftest import (
    NEW,
    OLD,
    after_rollback,
    ago,
    crashing_container,
    make_case,
    make_container,
    make_pod,
    make_seen,
)

from stopgap.api.incident import IncidentStatus
from stopgap.core.failing import Scene, scene, why
from stopgap.model.workload import Container, End, Pod

BEGAN = IncidentStatus(started_at=ago(seconds=30), revision=2)


def ended(code: int, reason: str = "Error", **changes: object) -> Container:
    return make_container(restarts=2, last_ended=End(code, reason, None, ago(seconds=10)), **changes)


def looked_at(*pods: Pod, status: IncidentStatus = BEGAN) -> Scene:
    return scene(make_case(seen=make_seen(pods=pods)), status)


@pytest.mark.parametrize(
    ("container", "told"),
    [
        pytest.param(ended(1), "exit code 1, 2 restarts, last at 09:59:50", id="an error"),
        pytest.param(
            ended(0, "Completed"), "ends with exit code 0, though it is meant to go on, 2 restarts, last at 09:59:50", id="an end"
        ),
        pytest.param(
            ended(137, "OOMKilled"),
            "killed for using more memory than its limit (OOMKilled, exit code 137), 2 restarts, last at 09:59:50",
            id="memory",
        ),
        pytest.param(ended(139), "ended by signal 11 (SIGSEGV), exit code 139, 2 restarts, last at 09:59:50", id="a signal"),
        pytest.param(ended(200), "ended by signal 72, exit code 200, 2 restarts, last at 09:59:50", id="a signal without a name"),
        pytest.param(ended(128, "StartError"), "exit code 128 (StartError), 2 restarts, last at 09:59:50", id="never started"),
        pytest.param(
            make_container(waiting="ErrImagePull", waiting_message="not found"),
            "waits: ErrImagePull (not found)",
            id="an image that is not there",
        ),
        pytest.param(make_container(running_since=ago(minutes=1)), "runs and is not ready", id="a probe that does not pass"),
    ],
)
def test_why_a_container_fails_is_said_in_words(container: Container, told: str) -> None:
    assert why(container) == told


def test_of_several_containers_the_one_that_ends_is_what_fails() -> None:
    beside = make_container(name="mesh", running_since=ago(minutes=1))
    found = looked_at(make_pod(containers=[beside, crashing_container()]), make_pod("p2", containers=[beside]))
    assert (found.container, [pod.name for pod in found.pods]) == ("app", ["p1"])
    assert found.ended


def test_an_init_container_that_ended_well_does_not_fail() -> None:
    done = make_container(name="migrate", init=True, ended=End(0, "Completed", None, ago(minutes=1)))
    running = make_container(running_since=ago(minutes=1))
    assert looked_at(make_pod(containers=[done, running])).container == "app"
    broken = make_container(name="migrate", init=True, restarts=3, waiting="CrashLoopBackOff", last_ended=End(1, "Error", None, None))
    assert looked_at(make_pod(containers=[broken, make_container(waiting="PodInitializing")])).container == "migrate"


def test_after_the_rollback_it_is_still_the_revision_of_the_onset_that_failed() -> None:
    case = after_rollback(make_case(), pods=(make_pod(), make_pod("old", owner="rs-1")))
    found = scene(case, BEGAN)
    assert found.revision is not None
    assert (found.revision.number, [pod.name for pod in found.pods]) == (2, ["p1"])


def test_where_only_older_pods_fail_those_are_what_is_looked_at() -> None:
    found = looked_at(make_pod("old", owner=OLD.uid))
    assert (found.revision, [pod.name for pod in found.pods]) == (NEW, ["old"])


def test_pods_that_start_or_are_well_fail_nowhere() -> None:
    starting = make_pod(containers=[make_container(waiting="ContainerCreating")])
    well = make_pod("p2", ready=True, containers=[make_container(ready=True, running_since=ago(minutes=1))])
    once = make_container(ready=True, restarts=1, running_since=ago(hours=1), last_ended=End(137, "OOMKilled", None, ago(hours=1)))
    found = looked_at(starting, well, make_pod("p3", ready=True, containers=[once]))
    assert (found.pods, found.container, found.ended) == ((), "", False)


def test_a_container_that_turns_ready_between_its_exits_fails() -> None:
    flapping = make_container(ready=True, restarts=3, running_since=ago(seconds=3), last_ended=End(1, "Error", None, ago(seconds=4)))
    assert looked_at(make_pod(ready=True, containers=[flapping])).container == "app"
