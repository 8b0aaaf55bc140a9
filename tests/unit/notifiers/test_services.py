"""What each service is sent for an occasion, and what its answers mean."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import NOW

from stopgap.model.news import Delivered, Facts, GivenUp, Later, News, Occasion, Telling, Verdict
from stopgap.model.query import Request, Response, Silence, Timing
from stopgap.notifiers import NOTIFIERS, Notifier, PagerDuty, Slack, Webhook

KEY = {"secretRef": {"name": "s", "key": "k"}}
PAGER, HOOK = PagerDuty.model_validate(KEY), Webhook.model_validate({"url": "https://tools.example/hook", **KEY})
SLACK_URL, BOT = Slack.model_validate(KEY), Slack.model_validate({**KEY, "channel": "C1"})
FACTS = Facts(
    uid="u1",
    namespace="shop",
    name="api-1",
    title="CrashLoop in deployment api",
    severity="P1",
    standing="Identified",
    target="deployment/api",
    policy="web",
    started_at=NOW,
    lasted="5 hours",
    summary="CrashLoop in deployment api: 3 exits",
    impact="",
    actions=("roll back 2 → 1: done, and it helped",),
    acknowledged_by="",
    next_update_due=None,
    update="## Incident Update",
    over=False,
)


def telling(reference: str = "", *occasions: Occasion, secret: str = "S") -> Telling:  # noqa: S107 - it is none
    return Telling(secret, reference, frozenset(occasions or Occasion), NOW)


def news(occasion: Occasion, message: str = "3 exits") -> News:
    return News(occasion, f"{occasion}/1", NOW, message)


def body(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.content or b"")
    return found


def reply(status: int, text: str | dict[str, Any] = "", retry_after: int | None = None) -> Response:
    raw = (json.dumps(text) if isinstance(text, dict) else text).encode()
    return Response(status, raw, True, Timing(0, 0, None, 0, 0), timedelta(seconds=retry_after) if retry_after is not None else None)


@pytest.mark.parametrize("one", NOTIFIERS, ids=lambda one: one.__name__)
def test_every_notifier_says_what_it_tells_where_nobody_says(one: type[Notifier]) -> None:
    assert {Occasion.OPENED, Occasion.ESCALATED, Occasion.RESOLVED} <= one.usual
    assert one.closing <= frozenset(Occasion)


# ------------------------------------------------------------------------------------------------------------- PagerDuty


@pytest.mark.parametrize(
    ("occasion", "path", "action", "keys"),
    [
        pytest.param(Occasion.OPENED, "enqueue", "trigger", ["u1"], id="it begins: the incident's own alert"),
        pytest.param(Occasion.RELAPSED, "enqueue", "trigger", ["u1"], id="it is back: the same alert, which pages if it was resolved"),
        pytest.param(Occasion.ESCALATED, "enqueue", "trigger", ["u1/Escalated"], id="people are called: an alert that pages again"),
        pytest.param(Occasion.ACK_OVERDUE, "enqueue", "trigger", ["u1/AckOverdue"], id="nobody took it: an alert that pages again"),
        pytest.param(Occasion.APPROVAL_NEEDED, "enqueue", "trigger", ["u1/ApprovalNeeded"], id="a yes is needed: an alert of its own"),
        pytest.param(Occasion.ACTION_TAKEN, "change/enqueue", "", [], id="an action: a change, which pages nobody"),
        pytest.param(Occasion.MITIGATED, "change/enqueue", "", [], id="mitigated: it is not over, and pages nobody"),
        pytest.param(Occasion.ACKNOWLEDGED, "enqueue", "acknowledge", ["u1", "u1/AckOverdue", "u1/Escalated"], id="taken: all of them"),
        pytest.param(Occasion.RESOLVED, "enqueue", "resolve", ["u1", "u1/AckOverdue", "u1/Escalated"], id="over: none is left open"),
    ],
)
def test_what_an_occasion_means_to_a_pager(occasion: Occasion, path: str, action: str, keys: list[str]) -> None:
    told = telling("", *PAGER.usual)
    sent = PAGER.requests(news(occasion), FACTS, told)
    assert {one.url for one in sent} == {f"https://events.pagerduty.com/v2/{path}"}
    assert {body(one).get("event_action", "") for one in sent} == {action}
    assert [body(one)["dedup_key"] for one in sent if "dedup_key" in body(one)] == keys
    assert {body(one)["routing_key"] for one in sent} == {"S"}


@pytest.mark.parametrize(
    ("severity", "theirs"), [("P1", "critical"), ("P2", "error"), ("P3", "warning"), ("P4", "info"), ("", "error")], ids=str
)
def test_a_page_says_how_severe_it_is(severity: str, theirs: str) -> None:
    (sent,) = PAGER.requests(news(Occasion.OPENED), replace(FACTS, severity=severity), telling())
    assert body(sent)["payload"]["severity"] == theirs


@pytest.mark.parametrize("occasion", [Occasion.OPENED, Occasion.ESCALATED], ids=str)
def test_nobody_is_paged_for_what_is_over(occasion: Occasion) -> None:
    assert PAGER.requests(news(occasion), replace(FACTS, over=True), telling()) == ()


def test_another_region_is_another_url() -> None:
    europe = PagerDuty.model_validate({**KEY, "url": "https://events.eu.pagerduty.com/"})
    (sent,) = europe.requests(news(Occasion.OPENED), FACTS, telling())
    assert sent.url == "https://events.eu.pagerduty.com/v2/enqueue"


# ----------------------------------------------------------------------------------------------------------------- Slack


def test_an_incoming_webhook_is_posted_to_where_its_secret_says() -> None:
    url = "https://hooks.slack.com/services/T/B/x"
    (sent,) = SLACK_URL.requests(news(Occasion.OPENED), FACTS, telling(secret=url))
    assert (sent.url, dict(sent.headers)) == (url, {"content-type": "application/json; charset=utf-8"})
    assert body(sent)["text"] == "Incident: shop/api-1: 3 exits"


def test_a_bot_posts_one_message_for_an_incident_and_keeps_it_true() -> None:
    (first,) = BOT.requests(news(Occasion.OPENED), FACTS, telling())
    assert (first.url, body(first)["channel"]) == ("https://slack.com/api/chat.postMessage", "C1")
    found = BOT.judge(reply(200, {"ok": True, "channel": "C0123", "ts": "17.1"}))
    assert found == Delivered("C0123/17.1")
    update, answer = BOT.requests(news(Occasion.MITIGATED), FACTS, telling("C0123/17.1"))
    assert (update.url, body(update)["channel"], body(update)["ts"]) == ("https://slack.com/api/chat.update", "C0123", "17.1")
    assert (body(answer)["channel"], body(answer)["thread_ts"]) == ("C0123", "17.1")
    assert dict(answer.headers)["authorization"] == "Bearer S"


HOSTILE = st.text(alphabet=st.sampled_from("<>&!@#*_~`|\\ aß\U0001f525\u202e\n"), max_size=3000)


@given(HOSTILE, HOSTILE)
def test_nothing_that_slack_is_sent_is_markup_or_too_long(title: str, message: str) -> None:
    facts = replace(FACTS, title=title, summary=message, impact=message, actions=(message, message))
    for sent in (
        *BOT.requests(news(Occasion.MITIGATED, message), facts, telling("C/1")),
        *BOT.requests(news(Occasion.OPENED), facts, telling()),
    ):
        assert "mrkdwn" not in _kinds(body(sent))
        for text in _texts(body(sent)):
            assert "<" not in text
            assert ">" not in text
            assert len(text) <= 3000
        header = next((one for one in body(sent)["blocks"] if one["type"] == "header"), None)
        assert header is None or len(header["text"]["text"]) <= 150


def _kinds(value: Any) -> list[str]:
    return [one["type"] for one in _objects(value) if "type" in one]


def _texts(value: Any) -> list[str]:
    return [one["text"] for one in _objects(value) if isinstance(one.get("text"), str)]


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(one for each in value.values() for one in _objects(each))]
    return [one for each in value for one in _objects(each)] if isinstance(value, list) else []


# --------------------------------------------------------------------------------------------------------------- webhook


def test_a_webhook_is_a_cloud_event_that_keeps_its_name() -> None:
    (first,), (again,) = (HOOK.requests(news(Occasion.ACTION_TAKEN), FACTS, telling()) for _ in range(2))
    assert dict(first.headers)["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = body(first)
    assert {name: event[name] for name in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "u1/ActionTaken/1",
        "source": "/apis/stopgap.dev/v1alpha1/namespaces/shop/incidents/api-1",
        "type": "dev.stopgap.incident.actiontaken.v1",
        "subject": "shop/api-1",
        "time": "2026-11-23T10:00:00Z",
    }
    assert again == first


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        pytest.param("plain", b"plain", id="a key is taken as it is"),
        pytest.param(f"whsec_{base64.b64encode(b'raw').decode()}", b"raw", id="whsec_ says that base64 follows"),
        pytest.param("whsec_!", b"whsec_!", id="what is no base64 is taken as it is"),
    ],
)
def test_a_webhook_is_signed_as_standard_webhooks_does_it(secret: str, key: bytes) -> None:
    (sent,) = HOOK.requests(news(Occasion.OPENED), FACTS, telling(secret=secret))
    headers = dict(sent.headers)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + (sent.content or b"")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_a_webhook_without_a_secret_is_not_signed() -> None:
    (sent,) = HOOK.requests(news(Occasion.OPENED), FACTS, telling(secret=""))
    assert [name for name, _ in sent.headers] == ["content-type"]


# --------------------------------------------------------------------------------------------------------------- answers

MINUTES = timedelta(minutes=2)


@pytest.mark.parametrize(
    ("notifier", "answer", "meaning"),
    [
        pytest.param(HOOK, reply(204), Delivered(), id="any 2xx is a yes"),
        pytest.param(HOOK, reply(302), GivenUp("the receiver refuses it with status 302"), id="a redirect is not followed, and is no yes"),
        pytest.param(HOOK, reply(404), GivenUp("the receiver refuses it with status 404"), id="4xx stays a no"),
        pytest.param(HOOK, reply(408), Later("the receiver answers with status 408"), id="a timeout passes"),
        pytest.param(HOOK, reply(500), Later("the receiver answers with status 500"), id="5xx passes"),
        pytest.param(HOOK, reply(503, "", 7), Later("the receiver answers with status 503", timedelta(seconds=7)), id="and may say when"),
        pytest.param(HOOK, reply(429), Later("the receiver wants fewer messages (429)"), id="429 passes, as usual after a failure"),
        pytest.param(HOOK, reply(429, "", 30), Later("the receiver wants fewer messages (429)", timedelta(seconds=30)), id="429 says when"),
        pytest.param(
            HOOK, reply(429, "", 999999), Later("the receiver wants fewer messages (429)", timedelta(hours=1)), id="but not for ever"
        ),
        pytest.param(HOOK, Silence("no answer within 10s", theirs=True), Later("no answer within 10s"), id="silence passes"),
        pytest.param(PAGER, reply(202), Delivered(), id="PagerDuty accepts with 202"),
        pytest.param(PAGER, reply(400, "canary"), GivenUp("PagerDuty refuses it with status 400"), id="PagerDuty: 400 is not repeated"),
        pytest.param(PAGER, reply(429), Later("PagerDuty wants fewer messages (429)", MINUTES), id="PagerDuty: minutes after a 429"),
        pytest.param(
            PAGER, reply(429, "", 5), Later("PagerDuty wants fewer messages (429)", MINUTES), id="PagerDuty: also if it says less"
        ),
        pytest.param(SLACK_URL, reply(200, "ok"), Delivered(), id="Slack's webhook says ok"),
        pytest.param(SLACK_URL, reply(404, "no_service"), GivenUp("Slack refuses it with status 404"), id="Slack's webhook is gone"),
        pytest.param(BOT, reply(200, {"ok": True}), Delivered(), id="a bot is told ok"),
        pytest.param(
            BOT,
            reply(200, {"ok": False, "error": "not_in_channel"}),
            GivenUp("Slack refuses it: the bot is not in the channel; invite it"),
            id="a bot that was not invited",
        ),
        pytest.param(
            BOT,
            reply(200, {"ok": False, "error": "canary"}),
            GivenUp("Slack refuses it: it does not say why in words that are known here"),
            id="an unknown word is not repeated",
        ),
        pytest.param(
            BOT,
            reply(200, {"ok": False, "error": "message_not_found"}),
            Later("the message of the incident is gone; another one is written", timedelta(0), forget=True),
            id="a deleted message is written anew",
        ),
        pytest.param(BOT, reply(200, {"ok": False, "error": "fatal_error"}), Later("Slack cannot take it now"), id="what passes at Slack"),
        pytest.param(BOT, reply(429, "", 3), Later("Slack wants fewer messages (429)", timedelta(seconds=3)), id="Slack says when"),
        pytest.param(
            BOT, reply(200, "no JSON"), GivenUp("Slack refuses it: it does not say why in words that are known here"), id="no JSON"
        ),
    ],
)
def test_what_an_answer_means(notifier: Notifier, answer: Response | Silence, meaning: Verdict) -> None:
    found = notifier.judge(answer)
    assert found == meaning
    assert "canary" not in repr(found)
