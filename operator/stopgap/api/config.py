"""RemediationConfig: the platform's ceilings and the kill switch."""

import ipaddress
from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, field_validator

from stopgap.api.freeze import FreezeWindows
from stopgap.api.ladder import Mode
from stopgap.api.notify import Channels
from stopgap.api.policy import MaxActions, PauseRequest
from stopgap.model.base import ApiModel, Column, HttpUrl, Kind, Rule
from stopgap.model.duration import Duration
from stopgap.model.http import Header
from stopgap.model.query import PLATFORM, Credentials, Server
from stopgap.model.refs import SecretKeyRef
from stopgap.model.severity import Severity

NAME = "stopgap"


class Budgets(ApiModel):
    """How many actions at most, at three scopes. Finite, and kept across restarts."""

    per_target: MaxActions = MaxActions(count=3, within=timedelta(hours=1))
    """On one workload."""
    per_namespace: MaxActions = MaxActions(count=10, within=timedelta(hours=1))
    """In one namespace."""
    cluster: MaxActions = MaxActions(count=30, within=timedelta(hours=1))
    """Everywhere."""


class StormBreaker(ApiModel):
    """Stops every new action while many workloads are ill at once, for then a release is hardly what ails each of them.

    Kept for each namespace and for the whole cluster, in annotations of the Lease. To end the quiet window at once:
    `kubectl -n stopgap-system annotate lease stopgap storm.stopgap.dev/<namespace>-` (the cluster: `stopgap.dev/storm-`).
    """

    min_unhealthy: Annotated[int, Field(ge=1, le=100_000)] = 3
    """Opens at no fewer ill workloads than this, so that 2 of 2 is no storm. Raised, it lets Stopgap act in spite of a storm."""
    percent: Annotated[int, Field(ge=1, le=100)] = 45
    """Opens at no smaller share of the workloads that policies are about. For the cluster, one namespace is at most half of the need."""
    cooldown: Duration = timedelta(minutes=10)
    """After fewer were ill, nothing is done for so long; a relapse opens the breaker again."""
    max_unverified_actions: Annotated[int, Field(ge=1, le=100)] = 3
    """In the whole cluster, no more actions than this are out at a time without the proof that they helped."""


class SeverityLevel(ApiModel):
    """What is expected of people at one severity."""

    name: Severity
    """The severity that it is about."""
    acknowledge_within: Duration
    """Somebody takes the incident within this, or people are called again. It delays no automation."""
    update_every: Duration | None = None
    """How often those who wait are told how it stands."""


class Review(ApiModel):
    """Which incidents are reviewed afterwards."""

    severities: Annotated[tuple[Severity, ...], Field(max_length=4)] = (Severity.P1, Severity.P2)
    """When an incident of one of these is over, a PostMortem is drafted, and the Incident is kept until that is complete."""


class Retention(ApiModel):
    """How long what is over is kept."""

    resolved_for: Duration = timedelta(hours=720)
    """Closed Incidents and ended Remediations are removed this long after their end; never one with something left to put back.

    Nor is an Incident removed whose review is owed, nor any PostMortem.
    """


class Outbound(ApiModel):
    """What Stopgap may ask over HTTP for the policies, beyond what is always allowed.

    Always: a namespaced policy reaches the Services of its own namespace (NAME.NAMESPACE.svc), a ClusterRemediationPolicy any host. Never,
    unless an address range here contains it: loopback, link-local and metadata addresses, and the API server. Certificates are checked
    against the CAs of the operator's image, or those in the file that its environment variable SSL_CERT_FILE names.
    """

    cel: ClassVar = (
        Rule(
            "!has(self.allow) || self.allow.all(one, !one.contains('/') || isCIDR(one))",
            "an address range is written like 10.1.0.0/16",
        ),
    )
    allow: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9*._:/-]+$")], ...],
        Field(max_length=100),
    ] = ()
    """Hosts (grafana.example.com, or *.example.com for every name below it), addresses and address ranges (10.1.0.0/16). Every policy may
    then ask them, so that whoever may write one learns whether they answer."""

    @field_validator("allow")
    @classmethod
    def _ranges_are_ranges(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        for one in allow:
            if "/" in one:
                ipaddress.ip_network(one, strict=False)
        return allow


class PrometheusServer(ApiModel):
    """The platform's Prometheus, or anything with the same HTTP API."""

    url: HttpUrl
    """Such as http://prometheus.monitoring.svc:9090. Every policy may query it, so whoever may write one can tell a metric's value."""
    headers: Annotated[tuple[Header, ...], Field(max_length=8)] = ()
    """What it wants to be sent. Secrets are in this namespace."""
    ca: SecretKeyRef | None = None
    """Certificates (PEM) that the one of the server must be signed by. Default: the CAs that the operator's image trusts."""
    bearer_file: Annotated[str, StringConstraints(min_length=2, max_length=256, pattern=r"^/[!-~]+$")] | None = None
    """A file of the operator's container whose content is sent as a bearer token: whatever it holds is then known to the server."""

    @property
    def server(self) -> Server:
        """What is asked, and where it is found what that needs."""
        needed = self.headers or self.ca or self.bearer_file
        return Server(self.url, Credentials(PLATFORM, self.headers, self.ca, self.bearer_file or "") if needed else None)


class ConfigSpec(ApiModel):
    """Ceilings that no policy exceeds."""

    pause_requests: Annotated[
        tuple[PauseRequest, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """The kill switch: while one holds, nothing acts anywhere."""
    max_mode: Mode = Mode.AUTOMATIC
    """No policy does more than this."""
    budgets: Budgets = Budgets()
    """How many actions at most."""
    freeze_windows: FreezeWindows = ()
    """While one is open nothing new is done anywhere, whatever a policy says. One that cannot be understood pauses everything."""
    storm_breaker: StormBreaker = StormBreaker()
    """Nothing is done while many workloads are ill at once."""
    severity_levels: Annotated[
        tuple[SeverityLevel, ...],
        Field(max_length=4, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = (
        SeverityLevel(name=Severity.P1, acknowledge_within=timedelta(minutes=5), update_every=timedelta(minutes=30)),
        SeverityLevel(name=Severity.P2, acknowledge_within=timedelta(minutes=15), update_every=timedelta(hours=1)),
        SeverityLevel(name=Severity.P3, acknowledge_within=timedelta(hours=1), update_every=timedelta(hours=4)),
        SeverityLevel(name=Severity.P4, acknowledge_within=timedelta(hours=24)),
    )
    """What is expected of people at each severity. One that is not named keeps its default."""
    review: Review = Review()
    """Which incidents are reviewed afterwards."""
    retention: Retention = Retention()
    """How long what is over is kept."""
    outbound: Outbound = Outbound()
    notify: Channels = ()
    """Who is told of every incident, also of those that no policy decides. Secrets are those of this namespace."""
    prometheus: PrometheusServer | None = None
    """The server that is asked where a prometheus trigger names none."""
    excluded_namespaces: Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=63)], ...], Field(max_length=100)] = (
        "kube-*",
        "stopgap-system",
    )
    """Namespaces in which nothing acts; a trailing `*` matches any ending."""


class RemediationConfig(Kind):
    """Ceilings for every policy, and the kill switch. One object, named `stopgap`, in the operator's namespace. Absent: the defaults."""

    plural: ClassVar = "remediationconfigs"
    short: ClassVar = "rcfg"
    singleton: ClassVar = NAME
    columns: ClassVar = (
        Column("MAX-MODE", ".spec.maxMode"),
        Column("PAUSED-BY", ".spec.pauseRequests[*].name"),
        Column("AGE", ".metadata.creationTimestamp", "date"),
    )
    kind: Literal["RemediationConfig"] = "RemediationConfig"
    spec: ConfigSpec = ConfigSpec()
