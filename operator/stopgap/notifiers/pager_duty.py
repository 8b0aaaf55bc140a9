"""`pagerDuty`: Events API v2. What wants people triggers an alert, and the end of the incident resolves every one of them."""

import json
from datetime import timedelta
from typing import Any, ClassVar, Final

from stopgap.model.base import ApiModel, HttpUrl
from stopgap.model.news import ASKS, Facts, News, Occasion, Telling, Verdict, verdict
from stopgap.model.query import Request, Response, Silence
from stopgap.model.refs import SecretKeyRef
from stopgap.model.text import plain
from stopgap.model.time import stamp

_SEVERITIES: Final = {"P1": "critical", "P2": "error", "P3": "warning", "P4": "info"}
_BEGIN: Final = frozenset({Occasion.OPENED, Occasion.RELAPSED})
_SUMMARY, _TEXT = 1024, 2000
_PAUSE: Final = timedelta(minutes=2)
"""How long PagerDuty is left alone after it said that there are too many."""
_CLIENT: Final = "Stopgap"


class PagerDuty(ApiModel):
    """Triggers, acknowledges and resolves alerts (Events API v2). Actions become change events, which page nobody.

    The incident is one alert. PagerDuty pages nobody again for an alert that is open, so `Escalated`, `AckOverdue`, `ApprovalNeeded` and
    `UpdateDue` are alerts of their own; acknowledging or ending the incident does the same to all of them. Who acknowledges in PagerDuty
    only has not acknowledged the Incident.
    """

    usual: ClassVar = frozenset(Occasion) - {Occasion.APPROVAL_NEEDED, Occasion.UPDATE_DUE}
    closing: ClassVar = frozenset({Occasion.ACKNOWLEDGED, Occasion.RESOLVED})
    hosts: ClassVar = frozenset({"events.pagerduty.com", "events.eu.pagerduty.com"})
    secret_ref: SecretKeyRef
    """The integration key (routing key) of a PagerDuty service with an Events API v2 integration."""
    url: HttpUrl = "https://events.pagerduty.com"
    """The service region, such as https://events.eu.pagerduty.com, or something that speaks the same language."""

    @property
    def wants(self) -> SecretKeyRef | None:
        """The Secret it needs."""
        return self.secret_ref

    def requests(self, news: News, facts: Facts, telling: Telling) -> tuple[Request, ...]:
        """Send what the occasion means to a pager; nobody is paged any more for an incident that is over."""
        match news.occasion:
            case Occasion.ACKNOWLEDGED | Occasion.RESOLVED:
                action = "acknowledge" if news.occasion is Occasion.ACKNOWLEDGED else "resolve"
                return tuple(self._event(telling, action, key) for key in _keys(facts, telling.occasions))
            case Occasion.ACTION_TAKEN | Occasion.MITIGATED:
                return (self._post("/v2/change/enqueue", telling, _change(news, facts)),)
        if facts.over:
            return ()
        return (self._event(telling, "trigger", _key(facts, news.occasion), **_alert(news, facts)),)

    def judge(self, reply: Response | Silence) -> Verdict:
        """Go by the status: 202 is success, and 400 stays one."""
        return verdict(reply, "PagerDuty", too_many=_PAUSE)

    def _event(self, telling: Telling, action: str, key: str, **more: Any) -> Request:
        return self._post("/v2/enqueue", telling, {"event_action": action, "dedup_key": key, **more})

    def _post(self, path: str, telling: Telling, event: dict[str, Any]) -> Request:
        body = json.dumps({"routing_key": telling.secret, **event}, separators=(",", ":")).encode()
        return Request(self.url.rstrip("/") + path, method="POST", headers=(("content-type", "application/json"),), content=body)


def _key(facts: Facts, occasion: Occasion) -> str:
    return facts.uid if occasion in _BEGIN else f"{facts.uid}/{occasion}"


def _keys(facts: Facts, occasions: frozenset[Occasion]) -> list[str]:
    """Every key that may have been triggered: PagerDuty ignores those that were not, and none is left open because a record was lost."""
    return [facts.uid, *(_key(facts, one) for one in sorted(occasions & ASKS))]


def _alert(news: News, facts: Facts) -> dict[str, Any]:
    what = facts.summary if news.occasion is Occasion.OPENED else f"{news.occasion}: {news.message}; {facts.summary}"
    return {
        "client": _CLIENT,
        "payload": {
            "summary": plain(f"[{facts.severity or 'no severity'}] {facts.where}: {what}", _SUMMARY),
            "source": facts.where,
            "severity": _SEVERITIES.get(facts.severity, "error"),
            "timestamp": stamp(news.at),
            "component": facts.target or facts.name,
            "group": facts.namespace,
            "class": news.occasion,
            "custom_details": _details(news, facts),
        },
    }


def _change(news: News, facts: Facts) -> dict[str, Any]:
    return {
        "payload": {
            "summary": plain(f"{facts.where}: {news.message}", _SUMMARY),
            "source": facts.where,
            "timestamp": stamp(news.at),
            "custom_details": _details(news, facts),
        }
    }


def _details(news: News, facts: Facts) -> dict[str, str]:
    told = {
        "occasion": news.occasion,
        "message": news.message,
        "title": facts.title,
        "severity": facts.severity,
        "status": facts.standing,
        "impact": facts.impact,
        "actions": "; ".join(facts.actions),
        "look": f"kubectl -n {facts.namespace} describe incident {facts.name}",
    }
    return {name: plain(value, _TEXT) for name, value in told.items() if value}
