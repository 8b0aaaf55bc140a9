"""`httpProbe`: what an answer means, and when the answers in a row fire."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, TARGET, make_seen, make_workload

from stopgap.detectors import HttpProbe
from stopgap.model.observation import Finding
from stopgap.model.query import Asking, Request, Response, Sample, Silence, Timing, appended
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

TIMING = Timing(lookup=0.001, connect=0.003, tls=None, first_byte=0.040, total=0.050)
ASKING = Asking(TARGET, "shop")


def probe(**fields: Any) -> HttpProbe:
    return HttpProbe.model_validate({"url": "http://api.shop.svc/health", "interval": "10s", **fields})


def answer(status: int = 200, body: bytes = b"fine", *, whole: bool = True) -> tuple[Response]:
    return (Response(status, body, whole, TIMING),)


def assess(reply: tuple[Response | Silence], **fields: Any) -> Sample:
    return probe(**fields).assess(reply, NOW)


def judged(states: str, *, after: datetime | None = None, replicas: int = 3, **fields: Any) -> Finding:
    """Judge one sample every ten seconds, the last of them now."""
    one = probe(**fields)
    samples: tuple[Sample, ...] = ()
    for number, letter in enumerate(states, start=1 - len(states)):
        at = NOW + number * one.interval
        reply: Response | Silence = (
            Silence("the name cannot be resolved", theirs=False) if letter == "U" else answer({"F": 500, "Q": 200}[letter])[0]
        )
        samples = appended(samples, one.assess((reply,), at), one.interval)
    seen = make_seen(samples={"http": samples}, workload=make_workload(replicas=replicas))
    return one.judge(seen, "http", after=after, quiet_for=timedelta(minutes=1))


def test_it_asks_the_url_of_the_workload_as_the_policy_s_namespace() -> None:
    query = probe(url="http://$(NAME).$(NAMESPACE).svc/").wants(ASKING)
    assert [one.url for one in query.requests if isinstance(one, Request)] == ["http://api.shop.svc/"]
    assert (query.scope, query.interval, query.deadline) == ("shop", timedelta(seconds=10), timedelta(seconds=5))


def test_an_answer_takes_at_most_an_interval() -> None:
    assert probe(interval="2s").wants(ASKING).deadline == timedelta(seconds=2)
    with pytest.raises(ValidationError, match="timeout is longer than interval"):
        probe(interval="2s", timeout="3s")


def test_by_default_every_success_is_good_and_nothing_else() -> None:
    assert [assess(answer(one)).state for one in (200, 204, 299)] == [State.QUIET] * 3
    assert [assess(answer(one)).state for one in (199, 301, 404, 500)] == [State.FIRING] * 4


def test_a_wrong_status_is_told_with_the_time_that_each_part_took() -> None:
    sample = assess(answer(500), status=[200, 201])
    assert sample.message == "status 500 is not 200, 201: status 500 (lookup 1 ms, connect 3 ms, first byte 40 ms, total 50 ms)"
    assert sample.value == "500"


def test_what_is_slow_is_bad() -> None:
    assert assess(answer(), slowerThan="49ms").message.startswith("slower than 0.049s: status 200")
    assert assess(answer(), slowerThan="50ms").state is State.QUIET


def test_the_body_must_match_and_is_never_told() -> None:
    assert assess(answer(body=b'{"status": "ok"}'), bodyMatches='"status": *"ok"').state is State.QUIET
    sample = assess(answer(body=b"secret"), bodyMatches="ok")
    assert sample.state is State.FIRING
    assert "the body does not match" in sample.message
    assert "secret" not in sample.message
    assert "in its first 64 KiB" in assess(answer(body=b"x", whole=False), bodyMatches="ok").message


def test_a_body_that_is_no_text_is_no_trouble() -> None:
    assert assess(answer(body=b"\xff\xfe ok"), bodyMatches="ok").state is State.QUIET


def test_an_expression_that_would_take_for_ever_elsewhere_is_quick() -> None:
    assert assess(answer(body=b"a" * 65536), bodyMatches="(a+)+$b").state is State.FIRING


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a{1,1001}"])
def test_what_re2_cannot_do_is_refused_when_the_policy_is_read(pattern: str) -> None:
    with pytest.raises(ValidationError, match="is no RE2 expression"):
        probe(bodyMatches=pattern)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "http:///x", "http://user:pass@x/", "http://x/a b", "file:///etc/passwd", "http://a\\@b/"]
)
def test_what_is_no_url_or_holds_a_password_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        probe(url=url)


def test_no_answer_is_bad_where_the_other_side_is_to_blame_and_unknown_otherwise() -> None:
    assert assess((Silence("refused", theirs=True),)).state is State.FIRING
    assert assess((Silence("not allowed", theirs=False),)).state is State.UNKNOWN


def test_so_many_bad_answers_in_a_row_fire_with_their_onset() -> None:
    found = judged("QQFFF")
    assert (found.state, found.type, found.since) == (State.FIRING, Reason.HttpProbeFailed, NOW - timedelta(seconds=20))
    assert found.message.endswith("; 3 times in a row")
    assert found.revision == ""


def test_fewer_are_neither_trouble_nor_health() -> None:
    found = judged("QQFF")
    assert (found.state, found.type) == (State.UNKNOWN, Reason.HttpProbeFailed)
    assert "fewer than 3 times in a row so far" in found.message
    assert judged("FFQFF").state is State.UNKNOWN
    assert judged("FFUFF").state is State.UNKNOWN


def test_one_good_answer_is_quiet() -> None:
    assert judged("FFFQ").state is State.QUIET


def test_what_cannot_be_told_is_said_with_its_reason_and_looked_at_again() -> None:
    found = judged("QQU")
    assert (found.state, found.type, found.message) == (State.UNKNOWN, Reason.SignalUnknown, "the name cannot be resolved")
    assert found.look_again == timedelta(seconds=10)


def test_what_was_never_asked_is_unknown() -> None:
    assert judged("").message == "nothing has been asked yet"


def test_what_was_asked_before_an_action_does_not_count_after_it() -> None:
    found = judged("FFF", after=NOW)
    assert (found.state, found.message) == (State.UNKNOWN, "nothing has been asked since the last action yet")
    assert judged("FFFQ", after=NOW - timedelta(seconds=5)).state is State.QUIET
    assert judged("FFFF", after=NOW - timedelta(seconds=25), failures=3).state is State.FIRING
    assert judged("FFFF", after=NOW - timedelta(seconds=15), failures=3).state is State.UNKNOWN


def test_samples_that_are_too_old_say_nothing() -> None:
    one = probe()
    samples = appended((), one.assess(answer(), NOW - timedelta(seconds=21)), one.interval)
    found = one.judge(make_seen(samples={"http": samples}), "http", after=None, quiet_for=timedelta(minutes=1))
    assert (found.state, found.type) == (State.UNKNOWN, Reason.SignalUnknown)
    assert found.message == "the last answer is older than two intervals of 10s"


def test_a_workload_that_is_scaled_to_zero_need_not_answer() -> None:
    assert judged("FFF", replicas=0).state is State.QUIET
