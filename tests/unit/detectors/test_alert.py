"""`alert`: what an alerting system says, as it is kept in the Incident."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, ago, make_seen

from stopgap.detectors import AlertTrigger
from stopgap.model.alert import Alert, AlertState
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.workload import State


def make_alert(
    name: str = "ApiHigh5xx",
    state: AlertState = AlertState.FIRING,
    *,
    since: datetime | None = None,
    heard_at: datetime | None = None,
    summary: str = "",
    **labels: str,
) -> Alert:
    told = {"alertname": name, "severity": "critical", **labels}
    return Alert(f"fp-{name}", name, state, since or ago(minutes=3), heard_at or ago(minutes=1), told, summary)


def judge(*alerts: Alert, synced: bool = True, **fields: Any) -> Finding:
    trigger = AlertTrigger.model_validate({"matchLabels": {"alertname": "ApiHigh5xx"}, **fields})
    seen = make_seen(alerts=alerts, synced=synced)
    return trigger.judge(seen, "paged", after=None, quiet_for=timedelta(minutes=1))


def test_an_alert_with_the_labels_fires_since_it_began_and_shows_no_pods() -> None:
    finding = judge(make_alert(summary="7 % of requests fail"))
    assert (finding.state, finding.type, finding.since) == (State.FIRING, Reason.AlertFiring, ago(minutes=3))
    assert finding.message == "alert ApiHigh5xx fires: 7 % of requests fail"
    assert (finding.revision, finding.nodes, finding.cause) == ("", frozenset(), None)
    assert finding.look_again == timedelta(hours=12) - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("alerts", "state", "message"),
    [
        pytest.param((), State.QUIET, "no such alert was told", id="none was told"),
        pytest.param((make_alert("Other"),), State.QUIET, "no such alert was told", id="another one fires"),
        pytest.param((make_alert(state=AlertState.RESOLVED),), State.QUIET, "alert ApiHigh5xx is resolved", id="it is resolved"),
        pytest.param((make_alert(heard_at=ago(hours=13)),), State.UNKNOWN, "more than 12h ago", id="it was forgotten by its sender"),
        pytest.param((make_alert(since=ago(days=3)),), State.FIRING, "fires", id="it has fired for days and is told again"),
        pytest.param(
            (make_alert(state=AlertState.RESOLVED), make_alert(pod="b")), State.FIRING, "ApiHigh5xx fires", id="one of two is resolved"
        ),
    ],
)
def test_the_finding_where(alerts: tuple[Alert, ...], state: State, message: str) -> None:
    finding = judge(*alerts)
    assert finding.state is state
    assert message in finding.message


def test_every_label_must_match() -> None:
    asked: dict[str, Any] = {"matchLabels": {"alertname": "ApiHigh5xx", "severity": "critical"}}
    assert judge(make_alert(), **asked).state is State.FIRING
    assert judge(make_alert(severity="warning"), **asked).state is State.QUIET


def test_several_that_fire_are_one_finding_with_the_earliest_onset() -> None:
    finding = judge(make_alert(pod="a", since=ago(minutes=9)), make_alert(pod="b"))
    assert finding.since == ago(minutes=9)
    assert finding.message == "alert ApiHigh5xx fires, and 1 more"


def test_before_everything_is_listed_nothing_is_known() -> None:
    assert judge(synced=False).state is State.UNKNOWN


@pytest.mark.parametrize("fields", [{"matchLabels": {}}, {"maxAge": "9m"}], ids=["no label", "an age below any repeat interval"])
def test_what_could_not_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        judge(**fields)


def test_now_is_the_time_of_the_observation() -> None:
    assert judge(make_alert(heard_at=NOW - timedelta(minutes=11)), maxAge="10m").state is State.UNKNOWN
