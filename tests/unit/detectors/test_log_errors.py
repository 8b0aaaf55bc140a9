"""`logErrors`: what counted lines mean. The same on a kubelet's logs: tests/cluster/test_polled_pods.py."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, TARGET

from stopgap.detectors import LogErrors
from stopgap.model.logs import LogDigest
from stopgap.model.query import Asking, LogRequest, Sample, Silence
from stopgap.model.workload import State

REFUSED = ("ERROR db: connection refused", 48)


def lines(**fields: Any) -> LogErrors:
    return LogErrors.model_validate({"pattern": "ERROR", "above": 50, **fields})


def assess(reply: LogDigest | Silence, **fields: Any) -> Sample:
    return lines(**fields).assess((reply,), NOW)


def test_it_asks_for_the_matching_lines_of_the_workload() -> None:
    (request,) = lines(within="2m", container="app").wants(Asking(TARGET, "shop")).requests
    assert request == LogRequest(TARGET, "ERROR", timedelta(minutes=2), "app")
    assert request.whom == "logs of shop"


@pytest.mark.parametrize(
    ("reply", "state", "says"),
    [
        pytest.param(
            LogDigest(3, 900, 51, (REFUSED,)),
            State.FIRING,
            "51 of 900 lines of 3 containers within 1m match ERROR; most frequent (48): 'ERROR db: connection refused'",
            id="one more than is allowed fires",
        ),
        pytest.param(
            LogDigest(1, 900, 50, (REFUSED,)), State.QUIET, "50 of 900 lines of 1 container within 1m match", id="as many are quiet"
        ),
        pytest.param(LogDigest(3, 0, 0), State.QUIET, "0 of 0 lines of 3 containers", id="silence is quiet"),
        pytest.param(
            LogDigest(3, 9000, 51, (REFUSED,), "a reason"), State.FIRING, "51 of 9000", id="enough were seen, whatever was missed"
        ),
        pytest.param(LogDigest(3, 9000, 50, (), "a reason"), State.UNKNOWN, "there may be more: a reason", id="too few of what was read"),
        pytest.param(LogDigest(0, 0, 0), State.UNKNOWN, "no container runs", id="where nothing runs nothing is known"),
        pytest.param(Silence("its pods are not known", theirs=False), State.UNKNOWN, "its pods are not known", id="no answer is unknown"),
    ],
)
def test_an_answer_is_judged(reply: LogDigest, state: State, says: str) -> None:
    sample = assess(reply)
    assert sample.state is state
    assert says in sample.message


def test_one_bad_answer_fires_where_no_more_are_asked_for() -> None:
    samples = (assess(LogDigest(3, 900, 51)),)
    assert lines().state(samples, NOW) is State.FIRING
    assert lines(failures=2).state(samples, NOW) is State.UNKNOWN


def test_what_it_says_fits_into_a_finding() -> None:
    sample = assess(LogDigest(999, 10**6, 10**6, (("x" * 160, 10**6),)), pattern="E" * 256)
    assert len(sample.message) < 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": "(a"},
        {"pattern": "(?=a)"},
        {"pattern": "((a{100}){100}){100}"},
        {"pattern": ""},
        {"within": "2h"},
        {"above": -1},
        {"container": "../x"},
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        lines(**wrong)
