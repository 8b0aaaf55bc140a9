"""Metrics about what Stopgap does, for Prometheus."""

import logging
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stopgap.api import Incident, Remediation
from stopgap.api.remediation import RemediationStatus
from stopgap.core.storm import Stage
from stopgap.effects.errors import KubeError
from stopgap.effects.outcome import Outcome
from stopgap.model.refs import Target

log = logging.getLogger(__name__)
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Telemetry:
    """The counters. Labels are bounded: namespaces, actions and states, never names of workloads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._opened = Counter("stopgap_incidents_opened", "Incidents opened by Stopgap itself.", ["namespace"], registry=registry)
        self._closed = Counter("stopgap_incidents_closed", "Incidents that were resolved or closed.", ["namespace"], registry=registry)
        self._acted = Counter(
            "stopgap_actions", "Writes for an action, by what became of them.", ["namespace", "action", "state"], registry=registry
        )
        self._ended = Counter(
            "stopgap_remediations_ended", "Remediations, by how they ended.", ["namespace", "action", "state"], registry=registry
        )
        self._requests = Counter("stopgap_api_requests", "Requests to the API server.", ["verb", "resource", "code"], registry=registry)
        self._seconds = Histogram(
            "stopgap_api_request_seconds", "Time until the API server answered.", ["verb"], buckets=_BUCKETS, registry=registry
        )
        self._failed = Counter(
            "stopgap_reconcile_errors", "Looks at a workload that failed and are repeated.", ["error"], registry=registry
        )
        self._alerts = Counter("stopgap_alerts_received", "Alerts that were taken in, told for the first time or again.", registry=registry)
        self._alerts_refused = Counter(
            "stopgap_alert_messages_refused", "Messages to the alert receiver that were not taken in.", ["code"], registry=registry
        )
        self._notifications = Counter(
            "stopgap_notifications",
            "Attempts to tell a channel something, by what became of them; an empty namespace means the platform's channels.",
            ["namespace", "channel", "result"],
            registry=registry,
        )
        self._storm = Gauge(
            "stopgap_storm_breaker",
            "1 for each storm breaker that is not closed; an empty namespace means the whole cluster.",
            ["namespace", "state"],
            registry=registry,
        )
        self.lost_pauses = Gauge(
            "stopgap_suspended_owners_without_record",
            "GitOps owners that stay suspended because the Remediation that would resume them was deleted.",
            registry=registry,
        )
        self.leading = Gauge("stopgap_leading", "1 while this copy holds the Lease.", registry=registry)
        self.synced = Gauge("stopgap_synced", "1 once every watch has had its first complete list.", registry=registry)
        self.workloads = Gauge("stopgap_workloads", "Workloads in the index.", registry=registry)
        self.open_incidents = Gauge("stopgap_open_incidents", "Incidents that are not over.", registry=registry)

    def requested(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Count one request to the API server; code 0: no answer."""
        self._requests.labels(verb, resource, str(code)).inc()
        if verb != "watch":
            self._seconds.labels(verb).observe(seconds)

    def alerts_taken(self, count: int) -> None:
        """Count the alerts of a message that was stored."""
        self._alerts.inc(count)

    def alerts_refused(self, code: int) -> None:
        """Count a message that was not stored."""
        self._alerts_refused.labels(str(code)).inc()

    def notified(self, namespace: str, channel: str, result: str) -> None:
        """Count an attempt to tell a channel something: Delivered, Later or GivenUp."""
        self._notifications.labels(namespace, channel, result).inc()

    def opened(self, target: Target, trigger: str) -> None:  # noqa: ARG002 - trigger names are not bounded
        """Count an incident."""
        self._opened.labels(target.namespace).inc()

    def closed(self, incident: Incident) -> None:
        """Count the end of an incident."""
        self._closed.labels(incident.metadata.namespace or "").inc()

    def acted(self, target: Target, remediation: Remediation, outcome: Outcome) -> None:
        """Count an attempt to write."""
        self._acted.labels(target.namespace, remediation.spec.action, outcome.state).inc()

    def ended(self, target: Target, remediation: Remediation, status: RemediationStatus) -> None:
        """Count the end of a remediation."""
        self._ended.labels(target.namespace, remediation.spec.action, status.state).inc()

    def storm(self, scope: str, before: Stage, now: Stage) -> None:
        """Show a breaker's state; a closed one is not shown."""
        with suppress(KeyError):
            self._storm.remove(scope, before)
        if now is not Stage.CLOSED:
            self._storm.labels(scope, now).set(1)

    def no_storm(self) -> None:
        """Show no breaker: they are another copy's."""
        self._storm.clear()

    def failed(self, target: Target, error: Exception) -> None:
        """Count and tell a look that failed."""
        self._failed.labels(type(error).__name__).inc()
        known = isinstance(error, KubeError)
        level, told = (logging.WARNING, None) if known else (logging.ERROR, error)
        log.log(level, "a look failed and is repeated", extra={"target": str(target), "error": str(error)}, exc_info=told)
