"""`slack`: an incoming webhook posts a message for each occasion; a bot keeps one message for an incident true, and threads the rest."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final

from pydantic import StringConstraints

from stopgap.model.base import ApiModel, HttpUrl
from stopgap.model.news import Delivered, Facts, GivenUp, Later, News, Occasion, Telling, Verdict, verdict
from stopgap.model.query import Request, Response, Silence
from stopgap.model.refs import SecretKeyRef
from stopgap.model.text import plain
from stopgap.model.time import stamp

_HEADER, _TEXT, _FIELD = 150, 2800, 200
"""Characters. Slack takes 150, 3000 and 2000, and counts an escaped one as up to five: see _escaped."""
_GONE: Final = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})
_PASSES: Final = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
_PEOPLE: Final[Mapping[str, str]] = {
    "invalid_auth": "the token is not valid",
    "not_authed": "the token is not valid",
    "token_revoked": "the token was revoked",
    "token_expired": "the token has expired",
    "account_inactive": "the token's account is switched off",
    "missing_scope": "the token lacks the scope chat:write",
    "channel_not_found": "there is no such channel, or the bot is not in it",
    "not_in_channel": "the bot is not in the channel; invite it",
    "is_archived": "the channel is archived",
    "restricted_action": "the workspace does not let the bot write there",
}
"""Slack's own words for what people have to change. Any other word of the answer is not repeated."""
_JSON: Final = ("content-type", "application/json; charset=utf-8")


class Slack(ApiModel):
    """Writes to a Slack channel. With an incoming webhook, each occasion is a message of its own.

    With `channel` and a bot token, an incident is one message that is kept true, and each further occasion is an answer in its thread.
    """

    usual: ClassVar = frozenset(Occasion)
    closing: ClassVar[frozenset[Occasion]] = frozenset()
    hosts: ClassVar = frozenset({"hooks.slack.com", "slack.com"})
    secret_ref: SecretKeyRef
    """The URL of an incoming webhook; or, where `channel` is set, a bot token (`xoxb-…`) with the scope chat:write."""
    channel: Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_.#-]+$")] | None = None
    """ID of a channel (C…) that the bot is in."""
    url: HttpUrl = "https://slack.com/api"
    """Slack's Web API, for the bot, or something that speaks the same language."""

    @property
    def wants(self) -> SecretKeyRef | None:
        """The Secret it needs."""
        return self.secret_ref

    def requests(self, news: News, facts: Facts, telling: Telling) -> tuple[Request, ...]:
        """Post a message; with a bot, bring the incident's own message up to date first and then answer to it."""
        text, blocks = _escaped(f"{_HEADLINES[news.occasion]}: {facts.where}: {news.message}", _TEXT), _blocks(news, facts)
        message = {"text": text, "mrkdwn": False, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
        if self.channel is None:
            return (Request(telling.secret, method="POST", headers=(_JSON,), content=_body(message)),)
        channel, _, ts = telling.reference.partition("/")
        if not ts:
            return (self._call("chat.postMessage", telling.secret, {"channel": self.channel, **message}),)
        answer = {"channel": channel, "thread_ts": ts, "text": text, "mrkdwn": False, "blocks": [_section(text)], "unfurl_links": False}
        update = {"channel": channel, "ts": ts, "text": text, "blocks": blocks}
        return (self._call("chat.update", telling.secret, update), self._call("chat.postMessage", telling.secret, answer))

    def judge(self, reply: Response | Silence) -> Verdict:
        """Go by the status, and with a bot by the one word that Slack says."""
        found = verdict(reply, "Slack")
        if self.channel is None or isinstance(reply, Silence) or not isinstance(found, Delivered):
            return found
        return _of_api(_answer(reply))

    def _call(self, method: str, token: str, message: dict[str, Any]) -> Request:
        headers = (_JSON, ("authorization", f"Bearer {token}"))
        return Request(f"{self.url.rstrip('/')}/{method}", method="POST", headers=headers, content=_body(message))


_HEADLINES: Final[Mapping[Occasion, str]] = {
    Occasion.OPENED: "Incident",
    Occasion.ACKNOWLEDGED: "Taken",
    Occasion.ACTION_TAKEN: "Action taken",
    Occasion.APPROVAL_NEEDED: "Your approval is needed",
    Occasion.MITIGATED: "Mitigated",
    Occasion.RELAPSED: "It is back",
    Occasion.ESCALATED: "Over to people",
    Occasion.ACK_OVERDUE: "Nobody has taken it",
    Occasion.UPDATE_DUE: "An update is due",
    Occasion.RESOLVED: "Resolved",
}


def _answer(reply: Response) -> dict[str, Any]:
    try:
        found = json.loads(reply.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _of_api(answer: dict[str, Any]) -> Verdict:
    if answer.get("ok") is True:
        where, ts = answer.get("channel"), answer.get("ts")
        return Delivered(f"{where}/{ts}"[:128] if isinstance(where, str) and isinstance(ts, str) else None)
    word = str(answer.get("error", ""))
    if word in _GONE:
        return Later("the message of the incident is gone; another one is written", timedelta(0), forget=True)
    if word in _PASSES:
        return Later("Slack cannot take it now")
    return GivenUp(f"Slack refuses it: {_PEOPLE.get(word, 'it does not say why in words that are known here')}")


def _blocks(news: News, facts: Facts) -> list[dict[str, Any]]:
    """Everything as plain text: nothing in it is markup, a mention or a link."""
    head = f"{_HEADLINES[news.occasion]} [{facts.severity or 'no severity'}] {facts.title}"
    pairs = [("Severity", facts.severity or "not set"), ("Status", facts.standing), ("Duration", facts.lasted)]
    pairs += [(name, value) for name, value in (("Workload", facts.target), ("Taken by", facts.acknowledged_by)) if value]
    pairs += [("Started", stamp(facts.started_at))] if facts.started_at else []
    lines = (news.message,) if news.occasion is Occasion.OPENED else (facts.summary, news.message)
    found: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(_escaped(head, _HEADER))},
        {"type": "section", "fields": [_plain(_escaped(f"{name}: {value}", _FIELD)) for name, value in pairs]},
        _section("\n".join(_escaped(line, _TEXT // 2) for line in lines)),
    ]
    if facts.actions:
        found.append(_section("\n".join(_escaped(f"• {line}", _TEXT // 4) for line in facts.actions[-3:])))
    look = f"kubectl -n {facts.namespace} describe incident {facts.name}"
    return [*found, {"type": "context", "elements": [_plain(_escaped(look, _TEXT))]}]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text)}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text or "-", "emoji": False}


def _escaped(text: str, most: int) -> str:
    """Escape as Slack wants it, one line, no longer than `most` even when escaped."""
    line = plain(text, most)
    while len(done := line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) > most:
        line = plain(line, max(len(line) - (len(done) - most) // 4 - 1, 8))
    return done


def _body(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
