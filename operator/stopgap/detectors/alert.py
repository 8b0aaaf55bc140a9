"""`alert`: an alerting system says that something is wrong. What it said is kept in the Incident, and so survives restarts."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, StringConstraints

from stopgap.model.alert import FORGOTTEN_AFTER, Alert
from stopgap.model.base import ApiModel
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

AlertLabels = Annotated[dict[str, Annotated[str, StringConstraints(max_length=128)]], Field(min_length=1, max_length=16)]


class AlertTrigger(ApiModel):
    """Fires while an alert about the workload fires that has all of these labels, as Alertmanager or Grafana tells the receiver.

    A step takes it only if its `when.sources` has Alert. An alert ends minutes after its cause: give `verification.timeout` time for that.
    """

    match_labels: AlertLabels
    """Every one of these labels must be on the alert, with this value, such as `alertname: ApiHigh5xx`."""
    max_age: Annotated[Duration, Field(ge=timedelta(minutes=10))] = FORGOTTEN_AFTER
    """An alert that was not told again for so long is Unknown. Longer than the sender's repeat interval; at least 10m."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:  # noqa: ARG002 - the detectors' common shape
        """Say whether such an alert fires. It speaks of no pods, and goes on firing after an action until its sender says otherwise."""
        if not seen.synced:
            return Finding(trigger, Reason.AlertFiring, State.UNKNOWN, "the incidents of the workload are not known yet")
        meant = [one for one in seen.alerts if self._means(one)]
        firing = [one for one in meant if one.firing]
        fresh = [one for one in firing if seen.now - one.heard_at < self.max_age]
        if fresh:
            return _firing(trigger, fresh, look_again=max(one.heard_at for one in fresh) + self.max_age - seen.now)
        if firing:
            message = f"alert {firing[0].name} was last told more than {spell(self.max_age)} ago, so it may be over or not"
            return Finding(trigger, Reason.AlertFiring, State.UNKNOWN, message)
        message = f"alert {meant[0].name} is resolved" if meant else "no such alert was told"
        return Finding(trigger, Reason.AlertFiring, State.QUIET, message)

    def _means(self, alert: Alert) -> bool:
        return all(alert.labels.get(key) == value for key, value in self.match_labels.items())


def _firing(trigger: str, alerts: list[Alert], *, look_again: timedelta) -> Finding:
    first = min(alerts, key=lambda one: one.since)
    more = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    message = f"alert {first.name} fires{more}" + (f": {first.summary}" if first.summary else "")
    return Finding(trigger, Reason.AlertFiring, State.FIRING, message, since=first.since, look_again=look_again)
