"""`prometheus`: a metric is beyond a threshold, by an instant query to any server with Prometheus' HTTP API."""

import math
from datetime import datetime
from typing import Annotated, ClassVar, Final

import msgspec
from pydantic import Field, StringConstraints

from stopgap.detectors.polled import PolledInARow
from stopgap.model.base import ApiModel, HttpUrl, Rule
from stopgap.model.http import Header
from stopgap.model.query import PLATFORM, Answer, Asking, Credentials, Query, Request, Response, Sample, Server, Silence, filled, replies
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef
from stopgap.model.workload import State

Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Number = Annotated[str, StringConstraints(max_length=32, pattern=r"^[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$")]

_NOBODY: Final = "the trigger has no url, and the RemediationConfig names no Prometheus (spec.prometheus.url)"
_REFUSED: Final = {
    400: "refuses the query: try it there by hand",
    401: "wants credentials, or others than those it is sent (headers)",
    403: "does not let Stopgap ask",
    404: "has no Prometheus API under this URL",
    422: "cannot execute the query",
    503: "is not ready or took too long",
}


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - Prometheus' own name
    result: msgspec.Raw


class _Reply(msgspec.Struct):
    status: str
    data: _Data | None = None
    warnings: list[str] = []
    # Its `infos` are not read: they are about names, such as of a counter that does not end in _total, and say nothing about the value.


class _Series(msgspec.Struct):
    value: tuple[float, str]


class _Unclear(Exception):  # noqa: N818 - read as what it says
    """The answer tells nothing; says why."""


class MinSamples(ApiModel):
    """How much there must be to judge: one error in three requests is no outage."""

    query: Expression
    """An instant query such as sum(increase(http_requests_total{namespace="$(NAMESPACE)"}[1m])); its series are added up."""
    at_least: Number
    """With less than this, the signal is Unknown: it neither fires nor counts as healthy."""


class Prometheus(PolledInARow):
    """Fires when a metric is above or below a threshold. No data, NaN and warnings are Unknown: end a query with `or vector(0)` to mean 0.

    It must have been within the threshold right before the trouble, with Stopgap watching; otherwise no release is blamed for it.
    """

    cel: ClassVar = (
        Rule("has(self.above) || has(self.below)", "say what is too much (above) or too little (below)"),
        Rule("has(self.url) || !(has(self.headers) || has(self.ca))", "headers and ca are about url; the platform's server has its own"),
    )
    reason: ClassVar = Reason.MetricThreshold
    query: Expression
    """PromQL. Each series of the result counts. `$(NAMESPACE)` and `$(NAME)` stand for those of the workload."""
    url: HttpUrl | None = None
    """The server, such as http://prometheus.monitoring.svc:9090. Default: the one of the RemediationConfig, and what that needs."""
    headers: Annotated[tuple[Header, ...], Field(max_length=8)] = ()
    """What the server of `url` wants to be sent, such as X-Scope-OrgID, or Authorization with the prefix `Bearer ` and a Secret."""
    ca: SecretKeyRef | None = None
    """Certificates (PEM) that the one of the server must be signed by. Default: the CAs that the operator's image trusts."""
    above: Number | None = None
    """Fires when any series is above this."""
    below: Number | None = None
    """Fires when any series is below this."""
    min_samples: MinSamples | None = None

    def wants(self, asking: Asking) -> Query:
        """Ask for the metric, and for how much there is to judge, at once."""
        # The platform's own server is the platform's choice; another one has to be allowed.
        scope = asking.scope if self.url else PLATFORM
        server = self._own_server(self.url, asking) if self.url else asking.prometheus
        asked = [self.query, *([self.min_samples.query] if self.min_samples else [])]
        requests = tuple(self._request(server, filled(one, asking.target)) for one in asked) if server else ()
        return Query(requests, self.interval, self.deadline, scope)

    def _own_server(self, url: str, asking: Asking) -> Server:
        needs = Credentials(asking.scope, self.headers, self.ca) if self.headers or self.ca else None
        return Server(filled(url, asking.target), needs)

    def _request(self, server: Server, query: str) -> Request:
        form = (("query", query), ("timeout", f"{self.deadline.total_seconds():g}s"))
        return Request(f"{server.url.rstrip('/')}/api/v1/query", form, credentials=server.credentials)

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say whether the metric is beyond the threshold."""
        if not answer:
            return Sample(at, State.UNKNOWN, _NOBODY)
        try:
            values, *counts = (_values(one) for one in replies(answer, Response))
            self._enough(counts)
            return self._compared(values, at)
        except _Unclear as why:
            return Sample(at, State.UNKNOWN, str(why))

    def _enough(self, counts: list[list[float]]) -> None:
        if self.min_samples is None:
            return
        there = sum(counts[0])
        # Not a number is not enough either.
        if not there >= float(self.min_samples.at_least):
            raise _Unclear(f"too few samples to judge by: less than {self.min_samples.at_least}")

    def _compared(self, values: list[float], at: datetime) -> Sample:
        above = [one for one in values if self.above is not None and one > float(self.above)]
        below = [one for one in values if self.below is not None and one < float(self.below)]
        if above:
            return Sample(at, State.FIRING, f"{max(above):g} is above {self.above}{_of(values)}", f"{max(above):g}")
        if below:
            return Sample(at, State.FIRING, f"{min(below):g} is below {self.below}{_of(values)}", f"{min(below):g}")
        if any(math.isnan(one) for one in values):
            raise _Unclear("the query gives NaN")
        return Sample(at, State.QUIET, f"{max(values):g} is within the threshold{_of(values)}", f"{max(values):g}")


def _of(values: list[float]) -> str:
    return f" (of {len(values)} series)" if len(values) > 1 else ""


def _values(reply: Response | Silence) -> list[float]:
    """Return the values of an instant query; what the server says in words is not repeated. Raises _Unclear."""
    if isinstance(reply, Silence):
        raise _Unclear(f"the Prometheus server: {reply.why}")
    if reply.status in _REFUSED:
        raise _Unclear(f"the Prometheus server {_REFUSED[reply.status]} (status {reply.status})")
    if reply.status != 200:  # noqa: PLR2004 - OK
        raise _Unclear(f"the Prometheus server answers with status {reply.status}")
    if not reply.whole:
        raise _Unclear("the result is larger than 64 KiB: aggregate in the query")
    try:
        read = msgspec.json.decode(reply.body, type=_Reply)
        if read.status != "success" or read.data is None:
            raise _Unclear("the Prometheus server reports an error")
        if read.warnings:
            raise _Unclear("the Prometheus server warns about the result: try the query there by hand")
        values = _numbers(read.data)
    except (msgspec.DecodeError, ValueError) as error:
        raise _Unclear("what answers is no Prometheus server") from error
    if not values:
        raise _Unclear("no data: the query gives no series (end it with `or vector(0)` where none means 0)")
    return values


def _numbers(data: _Data) -> list[float]:
    match data.resultType:
        case "vector":
            return [float(one.value[1]) for one in msgspec.json.decode(data.result, type=list[_Series])]
        case "scalar":
            return [float(msgspec.json.decode(data.result, type=tuple[float, str])[1])]
        case _:
            raise _Unclear("the query gives a range or a string: ask for an instant vector")
