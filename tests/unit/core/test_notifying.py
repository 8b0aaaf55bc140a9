"""Who is due to be told what: read from the record alone, in order, once, and for as long as it is so."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, ago, make_cluster_policy, make_incident, make_policy

from stopgap.api import Incident
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.api.notify import Told
from stopgap.core import matching, notifying
from stopgap.core.notifying import Listener
from stopgap.model.conditions import find
from stopgap.model.query import PLATFORM
from stopgap.model.reasons import Reason

HOOK: dict[str, Any] = {"name": "tools", "webhook": {"url": "http://tools.shop.svc/"}}
PAGER: dict[str, Any] = {"name": "pager", "pagerDuty": {"secretRef": {"name": "s", "key": "k"}}}
TEAM: dict[str, Any] = {"name": "team", "slack": {"secretRef": {"name": "s", "key": "k"}}}
AT = "2026-11-23T09:50:00Z"


def listener(channel: dict[str, Any], **more: Any) -> Listener:
    found = notifying.listeners(make_policy(notify=[{**channel, **more}]), None)
    return found[0]


def so(kind: str, truth: str, reason: str = "Because", message: str = "it is so", at: str = AT) -> dict[str, Any]:
    return {"type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": at}


def incident(*conditions: dict[str, Any], **status: Any) -> Incident:
    return make_incident(status={"detectedAt": ago(minutes=20), "severity": "P2", "conditions": list(conditions), **status})


def due(who: Listener, one: Incident) -> list[str]:
    assert one.status is not None
    return [news.key for news in notifying.due(who, one, one.status, NOW)]


OVERDUE = so("Acknowledged", "False", "AcknowledgementOverdue", "nobody has taken it")
TIMELINE = [{"time": AT, "type": "Mitigated", "message": "it helped"}]


def remediation(**more: Any) -> dict[str, Any]:
    return {"name": "api-d-uid-g4-1", "step": "undo", "action": "Rollback", "state": "Verifying", "summary": "roll back 2 → 1", **more}


DONE, WAITS = remediation(executedAt=AT), remediation(state="AwaitingApproval")
NUMBER = "9119575b3c2e"


@pytest.mark.parametrize(
    ("one", "keys"),
    [
        pytest.param(make_incident(status={"severity": "P1"}), [], id="nothing of it was written down yet"),
        pytest.param(incident(), ["Opened"], id="it began"),
        pytest.param(incident(so("Acknowledged", "True")), ["Opened", "Acknowledged"], id="somebody took it"),
        pytest.param(incident(OVERDUE), ["Opened", "AckOverdue"], id="nobody took it in time"),
        pytest.param(incident(OVERDUE, so("Resolved", "True")), ["Opened", "Resolved"], id="nobody is asked to take what is over"),
        pytest.param(incident(so("Mitigated", "True")), ["Opened", f"Mitigated/{AT}"], id="the bleeding has stopped"),
        pytest.param(incident(so("Mitigated", "False", "Mitigating")), ["Opened"], id="it never had"),
        pytest.param(incident(so("Mitigated", "False"), timeline=TIMELINE), ["Opened", f"Relapsed/{AT}"], id="it had, and is back"),
        pytest.param(incident(so("Escalated", "True", "LadderExhausted")), ["Opened", "Escalated"], id="people are called"),
        pytest.param(incident(remediations=[DONE]), ["Opened", f"ActionTaken/{NUMBER}"], id="something was done"),
        pytest.param(incident(remediations=[WAITS]), ["Opened", f"ApprovalNeeded/{NUMBER}"], id="a person is to approve"),
        pytest.param(incident(remediations=[remediation(state="Expired")]), ["Opened"], id="nobody is asked to approve what has expired"),
        pytest.param(incident(remindedAt=AT, updatedAt=AT), ["Opened", f"UpdateDue/{AT}"], id="those who wait were to hear again"),
        pytest.param(incident(remindedAt=AT, updatedAt=ago(minutes=1)), ["Opened"], id="they have heard since, for something changed"),
        pytest.param(incident(so("Resolved", "True"), remindedAt=AT, updatedAt=AT), ["Opened", "Resolved"], id="it is over"),
        pytest.param(
            incident(so("Resolved", "True", at="2026-11-22T09:00:00Z"), resolvedAt="2026-11-22T09:00:00Z"),
            [],
            id="what has been over for a day is told to nobody",
        ),
    ],
)
def test_what_is_so_is_due(one: Incident, keys: list[str]) -> None:
    assert due(listener(HOOK), one) == keys


def test_that_it_began_comes_first_though_it_was_acted_on_before_it_was_written_down() -> None:
    one = incident(remediations=[remediation(executedAt=ago(minutes=21))])
    assert due(listener(HOOK), one) == ["Opened", f"ActionTaken/{NUMBER}"]


def told(one: Incident, who: Listener, *keys: str, **more: Any) -> Incident:
    assert one.status is not None
    entry = Told(channel=who.id, told=keys, **more)
    return one.model_copy(update={"status": notifying.noted(one, one.status, [entry], NOW)})


def test_what_was_told_is_not_due_again_and_each_channel_has_its_own_count() -> None:
    hook, pager = listener(HOOK), listener(PAGER)
    one = told(incident(so("Mitigated", "True")), hook, "Opened")
    assert due(hook, one) == [f"Mitigated/{AT}"]
    assert due(pager, one) == ["Opened", f"Mitigated/{AT}"]


def test_what_becomes_so_again_is_told_again() -> None:
    hook = listener(HOOK)
    one = told(incident(so("Mitigated", "True", at="2026-11-23T09:55:00Z")), hook, "Opened", f"Mitigated/{AT}")
    assert due(hook, one) == ["Mitigated/2026-11-23T09:55:00Z"]


def test_only_what_is_still_so_is_remembered() -> None:
    hook = listener(HOOK)
    one = told(incident(so("Acknowledged", "True")), hook, "Opened", "AckOverdue", f"Mitigated/{AT}")
    assert one.status is not None
    assert one.status.notifications[0].told == ("Opened",)


@pytest.mark.parametrize(
    ("channel", "keys"),
    [
        pytest.param({**HOOK, "severities": ["P1"]}, [], id="not of this severity"),
        pytest.param({**HOOK, "severities": ["P1", "P2"]}, ["Opened", f"Mitigated/{AT}", "Resolved"], id="of this severity"),
        pytest.param({**HOOK, "occasions": ["Resolved"]}, ["Resolved"], id="only on this occasion"),
        pytest.param({**PAGER, "occasions": ["Escalated"]}, [], id="a pager that was never told anything has nothing to resolve"),
        pytest.param({**PAGER, "occasions": ["Opened"]}, ["Opened"], id="nor before it was told"),
    ],
)
def test_a_channel_hears_what_it_asks_for(channel: dict[str, Any], keys: list[str]) -> None:
    assert due(listener(channel), incident(so("Mitigated", "True"), so("Resolved", "True"))) == keys


def test_a_pager_that_was_told_hears_the_end_whatever_it_asks_for_and_whatever_the_severity_is_by_now() -> None:
    pager = listener(PAGER, occasions=["Opened"], severities=["P1"])
    one = told(incident(so("Acknowledged", "True"), so("Resolved", "True")), pager, "Opened")
    assert due(pager, one) == ["Acknowledged", "Resolved"]


def test_usually_a_pager_is_not_asked_for_approvals_and_updates() -> None:
    one = incident(remediations=[WAITS], remindedAt=AT, updatedAt=AT)
    assert due(listener(PAGER), one) == ["Opened"]
    assert due(listener(PAGER, occasions=["ApprovalNeeded"]), one) == [f"ApprovalNeeded/{NUMBER}"]


def test_the_platform_and_the_policy_each_have_listeners() -> None:
    config = ConfigSpec.model_validate({"notify": [HOOK]})
    found = notifying.listeners(make_policy(notify=[PAGER]), config)
    assert [(one.id, one.scope) for one in found] == [("RemediationConfig/tools", PLATFORM), ("RemediationPolicy/web/pager", "shop")]
    (_, cluster) = notifying.listeners(make_cluster_policy(notify=[PAGER]), config)
    assert (cluster.id, cluster.scope) == ("ClusterRemediationPolicy/base/pager", PLATFORM)
    assert [one.id for one in notifying.listeners(None, config)] == ["RemediationConfig/tools"]


def test_a_channel_of_a_newer_kind_makes_the_policy_say_so_and_is_left_alone() -> None:
    policy = make_policy(notify=[{"name": "pigeon", "pigeon": {}}])
    assert notifying.listeners(policy, None) == ()
    why = matching.fault(policy)
    assert why is not None
    assert (why.reason, why.message) == (Reason.NewerThanOperator, "channel pigeon is of a kind that this version of Stopgap does not know")


@pytest.mark.parametrize(
    ("channel", "url", "scope"),
    [
        pytest.param(PAGER, "https://events.pagerduty.com/v2/enqueue", PLATFORM, id="PagerDuty itself needs no leave"),
        pytest.param(PAGER, "http://events.pagerduty.com/v2/enqueue", "shop", id="but with TLS"),
        pytest.param(PAGER, "https://events.pagerduty.com.evil.example/", "shop", id="and only itself"),
        pytest.param(PAGER, "https://events.pagerduty.com:8443/", "shop", id="at its own port"),
        pytest.param(PAGER, "https://x@events.pagerduty.com/", "shop", id="without a user in the URL"),
        pytest.param(TEAM, "https://hooks.slack.com/services/x", PLATFORM, id="Slack itself needs no leave"),
        pytest.param(TEAM, "https://events.pagerduty.com/", "shop", id="a channel's own service only"),
        pytest.param(HOOK, "https://hooks.slack.com/services/x", "shop", id="a webhook has no service of its own"),
        pytest.param(TEAM, "not a [url", "shop", id="what is no URL is nobody's service"),
    ],
)
def test_under_whose_rules_a_request_goes_out(channel: dict[str, Any], url: str, scope: str) -> None:
    assert notifying.scope_for(listener(channel), url) == scope


def test_a_failing_channel_is_a_condition_in_words_and_a_well_one_too() -> None:
    hook, pager = listener(HOOK), listener(PAGER)
    one = told(incident(), hook, "Opened")
    assert one.status is not None
    assert (find(one.status.conditions, "Notified") or pytest.fail("there is none")).status == "True"
    one = told(one, pager, trouble="Opened is tried again: PagerDuty answers with status 503")
    assert one.status is not None
    found = find(one.status.conditions, "Notified")
    assert found is not None
    assert (found.status, found.reason) == ("False", "NotificationFailed")
    assert found.message == "RemediationPolicy/web/pager: Opened is tried again: PagerDuty answers with status 503"


def test_where_nobody_is_told_nothing_is_written() -> None:
    status = IncidentStatus()
    assert notifying.noted(make_incident(), status, (), NOW) is status


def test_the_facts_are_on_one_line_each_and_bounded() -> None:
    one = make_incident(
        title="a\n\x1b[31m\u202eb" + "c" * 200,
        impact="x\ny" * 300,
        acknowledgedBy="ana\nbob",
        status={"startedAt": NOW - timedelta(days=5)},
    )
    assert one.status is not None
    found = notifying.facts(one, one.status, NOW)
    assert found.title.startswith("a [31m b")
    assert "\n" not in f"{found.title}{found.impact}{found.summary}{found.acknowledged_by}"
    assert len(found.impact) <= notifying.SUMMARY
    assert found.lasted == "5 days"
