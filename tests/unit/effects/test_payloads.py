"""What Alertmanager and Grafana post, and what is no such thing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import NOW

from stopgap.effects.payloads import MOST_LABELS, Misfit, read
from stopgap.model.alert import AlertState

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "ApiHigh5xx", "namespace": "shop", "deployment": "api", "severity": "critical"},
    "annotations": {"summary": "7 % of requests fail", "description": "for 5 minutes"},
    "startsAt": "2026-11-23T09:57:00.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph?g0.expr=1",
    "fingerprint": "6f6a2a7c2e1b9f04",
}


def alertmanager(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A message of Alertmanager 0.34."""
    return {
        "receiver": "stopgap",
        "status": "firing",
        "alerts": list(alerts or (ALERT,)),
        "groupLabels": {"alertname": "ApiHigh5xx"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "version": "4",
        "groupKey": '{}:{alertname="ApiHigh5xx"}',
        "truncatedAlerts": 0,
        "notification_reason": "first notification",
        "routeLabels": {},
        **changes,
    }


def grafana(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A message of Grafana."""
    more = {"values": {"B": 44.2, "C": 1}, "valueString": "[ var='B' … ]", "silenceURL": "http://g/s", "dashboardURL": "", "panelURL": ""}
    listed = [{**one, **more} for one in alerts or (ALERT,)]
    return {**alertmanager(*listed), "version": "1", "orgId": 1, "title": "[FIRING:1]", "state": "alerting", "message": "…", **changes}


def post(message: dict[str, Any]) -> Any:
    return read(json.dumps(message).encode(), NOW)


@pytest.mark.parametrize("message", [alertmanager(), grafana()], ids=["Alertmanager", "Grafana"])
def test_an_alert_is_read_from(message: dict[str, Any]) -> None:
    (report,) = post(message).reports
    alert = report.alert
    assert (alert.fingerprint, alert.name, alert.state, alert.summary) == (
        "6f6a2a7c2e1b9f04",
        "ApiHigh5xx",
        AlertState.FIRING,
        "7 % of requests fail",
    )
    assert alert.since == datetime(2026, 11, 23, 9, 57, 0, 123457, tzinfo=UTC)
    assert (alert.heard_at, alert.ended) == (NOW, None)
    assert report.addressed["deployment"] == "api"
    assert report.description == "for 5 minutes"


def test_a_resolved_one_says_when_it_ended() -> None:
    (report,) = post(alertmanager({**ALERT, "status": "resolved", "endsAt": "2026-11-23T09:59:00+01:00"})).reports
    assert report.alert.state is AlertState.RESOLVED
    assert report.alert.ended == datetime(2026, 11, 23, 8, 59, tzinfo=UTC)


@pytest.mark.parametrize("starts", ["0001-01-01T00:00:00Z", None, "2999-01-01T00:00:00Z"], ids=["year 1", "none", "in the future"])
def test_an_onset_that_cannot_be_is_now(starts: str | None) -> None:
    (report,) = post(alertmanager({**ALERT, "startsAt": starts})).reports
    assert report.alert.since == NOW


@pytest.mark.parametrize("given", ["", "../../secrets", "x" * 65, "a b"], ids=["none", "a path", "too long", "a space"])
def test_a_fingerprint_that_is_none_is_made_of_the_labels(given: str) -> None:
    (one,) = post(alertmanager({**ALERT, "fingerprint": given})).reports
    turned = {**ALERT, "fingerprint": given, "labels": dict(reversed(ALERT["labels"].items()))}
    (again,) = post(alertmanager(turned)).reports
    (other,) = post(alertmanager({**turned, "labels": {"alertname": "x"}})).reports
    assert len(one.alert.fingerprint) == 16
    assert one.alert.fingerprint == again.alert.fingerprint != other.alert.fingerprint


def test_labels_are_bounded_and_plain_and_the_important_ones_stay() -> None:
    labels = {f"a{number:03}": "x" * 1000 for number in range(100)} | {"severity": "crit\x1b[2J\nical", "alertname": "Z"}
    (report,) = post(alertmanager({**ALERT, "labels": labels})).reports
    kept = report.alert.labels
    assert len(kept) == MOST_LABELS
    assert (kept["alertname"], kept["severity"]) == ("Z", "crit [2J ical")
    assert max(map(len, kept.values())) <= 128


def test_an_alert_without_a_name_has_one() -> None:
    (report,) = post(alertmanager({**ALERT, "labels": {}, "annotations": {}})).reports
    assert (report.alert.name, report.alert.summary) == ("(unnamed)", "")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "is not JSON", id="nothing"),
        pytest.param(b"{", "is not JSON", id="half of it"),
        pytest.param(b"\xff\xfe{}", "is not JSON", id="another encoding"),
        pytest.param(b'{"a":' * 50_000, "JSON", id="nested too deeply"),
        pytest.param(b"<html>", "is not JSON", id="a page"),
        pytest.param(b"[]", "Expected `object`, got `array`", id="a list"),
        pytest.param(b'{"text": "hello"}', "missing required field `version`", id="a payload of one's own"),
        pytest.param(json.dumps(alertmanager(version="3")).encode(), "version '3' is not known", id="another version"),
        pytest.param(json.dumps(alertmanager(version=4)).encode(), "Expected `str`, got `int`", id="a version that is a number"),
        pytest.param(json.dumps({**alertmanager(), "alerts": None}).encode(), "Expected `array`, got `null`", id="no alerts"),
        pytest.param(json.dumps(alertmanager({**ALERT, "status": "pending"})).encode(), "an alert is 'pending'", id="another state"),
        pytest.param(json.dumps(alertmanager({**ALERT, "labels": {"a": 1}})).encode(), "Expected `str`, got `int`", id="a label of 1"),
        pytest.param(json.dumps(alertmanager({**ALERT, "startsAt": "noon"})).encode(), "Invalid RFC3339", id="a time that is none"),
        pytest.param(json.dumps(alertmanager(truncatedAlerts="many")).encode(), "Expected `int`, got `str`", id="a count in words"),
    ],
)
def test_refused_with_what_is_wrong_is(body: bytes, said: str) -> None:
    with pytest.raises(Misfit) as error:
        read(body, NOW)
    assert said in str(error.value)
    assert len(str(error.value)) < 400


def test_how_many_the_sender_left_out_is_read() -> None:
    assert post(alertmanager(truncatedAlerts=17)).left_out == 17
    assert post(alertmanager(truncatedAlerts=-1)).left_out == 0
    assert post(alertmanager(alerts=[])).reports == ()


def test_the_same_firing_is_named_the_same_whenever_it_is_told() -> None:
    first = read(json.dumps(alertmanager()).encode(), NOW).reports[0]
    later = read(json.dumps(alertmanager()).encode(), NOW + timedelta(hours=4)).reports[0]
    assert first.began == later.began != ""
