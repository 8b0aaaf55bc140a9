"""Notifiers: each says what is sent to one kind of service, and what its answer means. Siblings that do not know each other."""

from typing import ClassVar, Protocol

from stopgap.model.news import Facts, News, Occasion, Telling, Verdict
from stopgap.model.query import Request, Response, Silence
from stopgap.model.refs import SecretKeyRef
from stopgap.notifiers.pager_duty import PagerDuty
from stopgap.notifiers.slack import Slack
from stopgap.notifiers.webhook import Webhook

NOTIFIERS = (Webhook, Slack, PagerDuty)

__all__ = ["NOTIFIERS", "Notifier", "PagerDuty", "Slack", "Webhook"]


class Notifier(Protocol):
    """What every notifier can do."""

    usual: ClassVar[frozenset[Occasion]]
    """What is told where the channel does not say."""
    closing: ClassVar[frozenset[Occasion]]
    """What is told in any case to a channel that was told something: it would wait for ever."""
    hosts: ClassVar[frozenset[str]]
    """Hosts of the service itself, which need no leave of the platform's."""

    @property
    def wants(self) -> SecretKeyRef | None:
        """The Secret it needs."""

    def requests(self, news: News, facts: Facts, telling: Telling) -> tuple[Request, ...]:
        """Return what is sent, one after the other; each but the last may be sent twice without harm."""

    def judge(self, reply: Response | Silence) -> Verdict:
        """Say what became of one of them."""
