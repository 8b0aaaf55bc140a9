"""`prometheus`: what an instant query's answer means. The same on a real server: tests/cluster/test_polled.py."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, TARGET

from stopgap.detectors import Prometheus
from stopgap.model.query import Asking, Credentials, Request, Response, Sample, Server, Silence, Timing
from stopgap.model.workload import State

TIMING = Timing(0.001, 0.002, None, 0.003, 0.004)
PLATFORM_SERVER = Server("http://prometheus.monitoring.svc:9090/")


def metric(**fields: Any) -> Prometheus:
    return Prometheus.model_validate({"query": "errors", "above": "0.05", "interval": "10s", **fields})


def reply(body: Any, *, status: int = 200, whole: bool = True) -> Response:
    return Response(status, body if isinstance(body, bytes) else json.dumps(body).encode(), whole, TIMING)


def vector(*values: str, **extra: Any) -> Response:
    series = [{"metric": {"job": "a"}, "value": [1763892000.1, one]} for one in values]
    return reply({"status": "success", "data": {"resultType": "vector", "result": series}, **extra})


def assess(*answer: Response | Silence, **fields: Any) -> Sample:
    return metric(**fields).assess(answer, NOW)


def test_it_asks_the_platform_s_server_on_the_platform_s_behalf() -> None:
    query = metric(query='errors{ns="$(NAMESPACE)",app="$(NAME)"}').wants(Asking(TARGET, "shop", PLATFORM_SERVER))
    (request,) = query.requests
    assert isinstance(request, Request)
    assert request.url == "http://prometheus.monitoring.svc:9090/api/v1/query"
    assert dict(request.form) == {"query": 'errors{ns="shop",app="api"}', "timeout": "5s"}
    assert query.scope == ""


def test_another_server_is_asked_on_behalf_of_the_policy() -> None:
    query = metric(url="http://own.$(NAMESPACE).svc").wants(Asking(TARGET, "shop", PLATFORM_SERVER))
    (request,) = query.requests
    assert isinstance(request, Request)
    assert (request.url, query.scope) == ("http://own.shop.svc/api/v1/query", "shop")


def test_what_a_server_needs_goes_with_the_question_as_a_reference_only() -> None:
    header = {"name": "Authorization", "secretRef": {"name": "mimir", "key": "token"}, "prefix": "Bearer "}
    own = metric(url="https://own.shop.svc", headers=[header], ca={"name": "mimir", "key": "ca.crt"})
    (request,) = own.wants(Asking(TARGET, "shop", PLATFORM_SERVER)).requests
    assert isinstance(request, Request)
    assert request.credentials == Credentials("shop", own.headers, own.ca)
    assert (request.headers, request.ca) == ((), "")
    # The platform's own needs what the platform says, and a policy adds nothing to it.
    platform = Server("https://prometheus.monitoring.svc", Credentials("", bearer_file="/var/run/token"))
    (request,) = metric(headers=[header]).wants(Asking(TARGET, "shop", platform)).requests
    assert isinstance(request, Request)
    assert request.credentials == platform.credentials


def test_without_any_server_nothing_is_asked_and_it_says_so() -> None:
    query = metric().wants(Asking(TARGET, "shop"))
    assert query.requests == ()
    sample = metric().assess((), NOW)
    assert sample.state is State.UNKNOWN
    assert "names no Prometheus" in sample.message


@pytest.mark.parametrize(
    ("values", "fields", "state", "says"),
    [
        (["0.06"], {}, State.FIRING, "0.06 is above 0.05"),
        (["0.05"], {}, State.QUIET, "0.05 is within the threshold"),
        (["0.01", "0.5", "0.2"], {}, State.FIRING, "0.5 is above 0.05 (of 3 series)"),
        (["+Inf"], {}, State.FIRING, "inf is above 0.05"),
        (["NaN", "0.5"], {}, State.FIRING, "0.5 is above 0.05 (of 2 series)"),
        (["1"], {"above": None, "below": "2"}, State.FIRING, "1 is below 2"),
        (["2"], {"above": None, "below": "2"}, State.QUIET, "2 is within the threshold"),
        (["9"], {"above": "5", "below": "-1e3"}, State.FIRING, "9 is above 5"),
    ],
)
def test_a_value_beyond_the_threshold_is_bad(values: list[str], fields: dict[str, Any], state: State, says: str) -> None:
    sample = assess(vector(*values), **fields)
    assert (sample.state, sample.message) == (state, says)


def test_a_scalar_counts_too() -> None:
    assert assess(reply({"status": "success", "data": {"resultType": "scalar", "result": [1763892000, "1"]}})).state is State.FIRING


UNCLEAR: dict[str, tuple[Response | Silence, str]] = {
    "no series": (vector(), "no data: the query gives no series (end it with `or vector(0)`"),
    "not a number": (vector("NaN"), "the query gives NaN"),
    "a warning": (vector("9", warnings=["<b>hidden</b>"]), "warns about the result"),
    "an error in a success": (reply({"status": "error", "errorType": "internal", "error": "hidden"}), "reports an error"),
    "a bad query": (reply({"status": "error", "errorType": "bad_data", "error": "hidden"}, status=400), "refuses the query"),
    "one that cannot be executed": (reply(b"", status=422), "cannot execute the query (status 422)"),
    "a server that is not ready": (reply(b"hidden", status=503), "is not ready or took too long (status 503)"),
    "a redirect to a login": (reply(b"hidden", status=302), "answers with status 302"),
    "no rights": (reply(b"hidden", status=403), "does not let Stopgap ask (status 403)"),
    "a page": (reply(b"<html>hidden</html>"), "what answers is no Prometheus server"),
    "other JSON": (reply({"hidden": 1}), "what answers is no Prometheus server"),
    "a value that is none": (vector("hidden"), "what answers is no Prometheus server"),
    "too much": (reply(b"{" + b"x" * 100, whole=False), "larger than 64 KiB: aggregate in the query"),
    "a range": (reply({"status": "success", "data": {"resultType": "matrix", "result": []}}), "ask for an instant vector"),
    "silence": (Silence("no answer within 5s (connected)", theirs=True), "the Prometheus server: no answer within 5s"),
}


@pytest.mark.parametrize("answer", UNCLEAR, ids=list(UNCLEAR))
def test_what_is_unclear_is_unknown_with_a_reason_and_none_of_the_server_s_words(answer: str) -> None:
    given, says = UNCLEAR[answer]
    sample = assess(given)
    assert sample.state is State.UNKNOWN
    assert says in sample.message
    assert "hidden" not in sample.message


def test_notes_about_names_are_no_warnings() -> None:
    assert assess(vector("9", infos=["metric might not be a counter"])).state is State.FIRING


ENOUGH = {"minSamples": {"query": "sum(requests)", "atLeast": "20"}}


def test_how_much_there_is_to_judge_is_asked_at_the_same_time() -> None:
    query = metric(**ENOUGH).wants(Asking(TARGET, "shop", PLATFORM_SERVER))
    assert [dict(one.form)["query"] for one in query.requests if isinstance(one, Request)] == ["errors", "sum(requests)"]


@pytest.mark.parametrize(
    ("there", "state"),
    [(vector("20"), State.FIRING), (vector("12", "8"), State.FIRING), (vector("19.9"), State.UNKNOWN), (vector(), State.UNKNOWN)],
    ids=["enough", "enough in all", "too few", "no data"],
)
def test_one_error_in_three_requests_is_no_outage(there: Response, state: State) -> None:
    assert assess(vector("0.33"), there, **ENOUGH).state is state


def test_with_too_few_samples_it_is_not_healthy_either() -> None:
    sample = assess(vector("0"), vector("NaN"), **ENOUGH)
    assert (sample.state, sample.message) == (State.UNKNOWN, "too few samples to judge by: less than 20")


@pytest.mark.parametrize("number", ["", "5%", "0x1", "nan", "1,5", "1e9999"])
def test_a_threshold_is_a_number(number: str) -> None:
    with pytest.raises(ValidationError, match="above"):
        metric(above=number)


def test_it_is_not_asked_more_than_once_a_second() -> None:
    with pytest.raises(ValidationError, match="interval"):
        metric(interval="900ms")
    assert metric(interval="1s").interval == timedelta(seconds=1)
