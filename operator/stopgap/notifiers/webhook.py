"""`webhook`: any HTTP receiver, as a CloudEvent (1.0, structured JSON), signed where there is a Secret."""

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any, ClassVar, Final

from stopgap.model.base import API_VERSION, ApiModel, HttpUrl
from stopgap.model.news import Facts, News, Occasion, Telling, Verdict, verdict
from stopgap.model.query import Request, Response, Silence
from stopgap.model.refs import SecretKeyRef
from stopgap.model.time import stamp

_ENCODED: Final = "whsec_"


class Webhook(ApiModel):
    """Posts a CloudEvent 1.0 (structured, JSON) for each occasion. What is sent again has the same `source` and `id`."""

    usual: ClassVar = frozenset(Occasion)
    closing: ClassVar[frozenset[Occasion]] = frozenset()
    hosts: ClassVar[frozenset[str]] = frozenset()
    url: HttpUrl
    """Where to. A namespaced policy reaches the Services of its own namespace, and what the platform allows (RemediationConfig
    `outbound.allow`). No passwords or tokens: this field can be read by many; let the receiver check the signature instead."""
    secret_ref: SecretKeyRef | None = None
    """Signs each message with HMAC-SHA256 under this key, as Standard Webhooks does it: headers `webhook-id`, `webhook-timestamp` and
    `webhook-signature`. A key that begins with `whsec_` is base64 behind that."""

    @property
    def wants(self) -> SecretKeyRef | None:
        """The Secret it needs."""
        return self.secret_ref

    def requests(self, news: News, facts: Facts, telling: Telling) -> tuple[Request, ...]:
        """Post one event."""
        event = _event(news, facts)
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [("content-type", "application/cloudevents+json; charset=utf-8")]
        if telling.secret:
            headers += _signed(event["id"], str(int(telling.now.timestamp())), body, telling.secret)
        return (Request(self.url, method="POST", headers=tuple(headers), content=body),)

    def judge(self, reply: Response | Silence) -> Verdict:
        """Go by the status."""
        return verdict(reply, "the receiver")


def _event(news: News, facts: Facts) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{facts.uid}/{news.key}",
        "source": f"/apis/{API_VERSION}/namespaces/{facts.namespace}/incidents/{facts.name}",
        "type": f"dev.stopgap.incident.{news.occasion.lower()}.v1",
        "subject": facts.where,
        "time": stamp(news.at),
        "datacontenttype": "application/json",
        "data": {"occasion": news.occasion, "message": news.message, "incident": _data(facts)},
    }


def _data(facts: Facts) -> dict[str, Any]:
    told = {
        "namespace": facts.namespace,
        "name": facts.name,
        "uid": facts.uid,
        "title": facts.title,
        "severity": facts.severity,
        "status": facts.standing,
        "target": facts.target,
        "policy": facts.policy,
        "startedAt": stamp(facts.started_at) if facts.started_at else "",
        "summary": facts.summary,
        "impact": facts.impact,
        "actions": list(facts.actions),
        "acknowledgedBy": facts.acknowledged_by,
        "nextUpdateDue": stamp(facts.next_update_due) if facts.next_update_due else "",
        "update": facts.update,
    }
    return {name: value for name, value in told.items() if value}


def _signed(name: str, at: str, body: bytes, secret: str) -> list[tuple[str, str]]:
    mac = hmac.new(_key(secret), b".".join((name.encode(), at.encode(), body)), hashlib.sha256).digest()
    return [("webhook-id", name), ("webhook-timestamp", at), ("webhook-signature", f"v1,{base64.b64encode(mac).decode()}")]


def _key(secret: str) -> bytes:
    if secret.startswith(_ENCODED):
        try:
            return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
