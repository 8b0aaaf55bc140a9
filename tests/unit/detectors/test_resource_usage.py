"""`resourceUsage`: what figures mean. The same by a real metrics-server: tests/cluster/test_polled_pods.py."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, TARGET, ago

from stopgap.detectors import ResourceUsage
from stopgap.model.query import Asking, Sample, Silence, UsageRequest
from stopgap.model.usage import Measured, Usage
from stopgap.model.workload import State

GIB = 2.0**30
FULL = {"cpu": 1.0, "memory": GIB}


def busy(**fields: Any) -> ResourceUsage:
    return ResourceUsage.model_validate({"cpuAbove": "90%", "memoryAbove": "90%", "for": "0s", **fields})


def measured(cpu: float = 0.5, memory: float = 0.5 * GIB, *, pod: str = "api-1", **changes: Any) -> Measured:
    return replace(Measured(pod, "app", ago(seconds=20), {"cpu": cpu, "memory": memory}, FULL, FULL), **changes)


def assess(*containers: Measured, unmeasured: int = 0, **fields: Any) -> Sample:
    return busy(**fields).assess((Usage(containers, unmeasured),), NOW)


def test_it_asks_for_the_figures_of_the_workload() -> None:
    (request,) = busy().wants(Asking(TARGET, "shop")).requests
    assert request == UsageRequest(TARGET)
    assert request.whom == "usage in shop"


@pytest.mark.parametrize(
    ("containers", "fields", "state", "says"),
    [
        pytest.param([measured()], {}, State.QUIET, "cpu is at 50 % of the requests of 1 pod", id="half of it is quiet"),
        pytest.param([measured(0.9)], {}, State.QUIET, "cpu is at 90 %", id="the threshold itself is quiet"),
        pytest.param([measured(0.95)], {}, State.FIRING, "cpu is at 95 % of the requests of 1 pod, above 90 %", id="above it fires"),
        pytest.param([measured(memory=0.95 * GIB)], {}, State.FIRING, "memory is at 95 %", id="memory too"),
        pytest.param([measured(memory=GIB)], {"memoryAbove": None}, State.QUIET, "cpu is at 50 %", id="the other is not judged"),
        pytest.param([measured(1.0), measured(0.5, pod="api-2")], {}, State.QUIET, "75 % of the requests of 2 pods", id="their sum counts"),
        pytest.param([measured(2.0)], {"cpuAbove": "150%"}, State.FIRING, "cpu is at 200 %", id="more than a request can be used"),
        pytest.param(
            [measured(0.95, limits={"cpu": 4.0, "memory": GIB})], {"of": "Limits"}, State.QUIET, "24 % of the limits", id="of the limits"
        ),
        pytest.param(
            [measured(requests={"memory": GIB})],
            {},
            State.UNKNOWN,
            "container app has no cpu request, so that nothing can be compared with it",
            id="without a request nothing is known",
        ),
        pytest.param([measured(limits={})], {"of": "Limits"}, State.UNKNOWN, "container app has no cpu limit", id="nor without a limit"),
        pytest.param([measured(memory=GIB, requests={"memory": GIB})], {}, State.FIRING, "memory is at 100 %", id="one is enough"),
        pytest.param([measured(at=ago(minutes=4))], {}, State.UNKNOWN, "there are no figures of the last 3m", id="old figures are none"),
        pytest.param([], {}, State.UNKNOWN, "no container runs", id="where nothing runs nothing is known"),
    ],
)
def test_figures_are_judged(containers: list[Measured], fields: dict[str, Any], state: State, says: str) -> None:
    sample = assess(*containers, **fields)
    assert sample.state is state
    assert says in sample.message


def test_figures_of_most_of_them_are_enough_and_of_few_are_not() -> None:
    assert assess(measured(0.95), unmeasured=1).state is State.FIRING
    assert assess(measured(0.95), unmeasured=2).message == "of 2 containers there are no figures of the last 3m"


def test_no_answer_is_unknown() -> None:
    assert busy().assess((Silence("install metrics-server", theirs=False),), NOW) == Sample(NOW, State.UNKNOWN, "install metrics-server")


def test_it_fires_when_it_has_lasted() -> None:
    detector = busy(**{"for": "1m", "interval": "15s"})
    samples = tuple(Sample(NOW - timedelta(seconds=15 * back), State.FIRING, "busy") for back in range(4, -1, -1))
    assert detector.state(samples, NOW) is State.FIRING
    assert detector.state(samples[1:], NOW) is State.UNKNOWN
    assert detector.state((*samples[:2], replace(samples[2], state=State.QUIET), *samples[3:]), NOW) is State.UNKNOWN


@pytest.mark.parametrize("wrong", [{"for": "10m"}, {"cpuAbove": "0%"}, {"cpuAbove": "1000%"}, {"of": "Wishes"}, {"cpuAbove": "0.9"}])
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        busy(**wrong)
