"""`notify`: whom to tell of incidents, declared in a policy for its own or in the RemediationConfig for all, and what was told so far."""

from typing import Annotated, ClassVar, Final

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Message, Rule, StepName
from stopgap.model.news import Occasion
from stopgap.model.severity import Severity
from stopgap.notifiers import Notifier, PagerDuty, Slack, Webhook

MOST_CHANNELS: Final = 8


class Channel(ApiModel):
    """Whom to tell, and of what. Exactly one of `webhook`, `slack` and `pagerDuty`.

    What is told is text of the incident: whoever may write a policy decides who outside the cluster reads it.
    """

    cel: ClassVar = (
        Rule(
            "[has(self.webhook), has(self.slack), has(self.pagerDuty)].exists_one(x, x)",
            "a channel is exactly one of webhook, slack and pagerDuty; make a second channel for a second one",
        ),
    )
    name: StepName
    """How status.notifications of an Incident and the metric refer to it."""
    webhook: Webhook | None = None
    slack: Slack | None = None
    pager_duty: PagerDuty | None = None
    severities: Annotated[tuple[Severity, ...], Field(max_length=4)] = ()
    """Only incidents of these severities; by default all. Who has been told of an incident hears of it until its end."""
    # Not `on`: in YAML as Kubernetes reads it, an unquoted `on` is the word true.
    occasions: Annotated[tuple[Occasion, ...], Field(max_length=16)] = ()
    """Only on these occasions. By default all, but for a pager neither ApprovalNeeded nor UpdateDue. A pager is told of Acknowledged and
    Resolved in any case."""

    @property
    def notifier(self) -> Notifier | None:
        """What tells it; None where a newer version declares what this one does not know."""
        return self.webhook or self.slack or self.pager_duty

    @property
    def hears(self) -> frozenset[Occasion]:
        """All that it is told of."""
        if self.notifier is None:
            return frozenset()
        return (frozenset(self.occasions) or self.notifier.usual) | self.notifier.closing


Channels = Annotated[
    tuple[Channel, ...],
    Field(max_length=MOST_CHANNELS, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
]

Key = Annotated[str, StringConstraints(max_length=63)]


class Told(ApiModel):
    """How far one channel is with one incident."""

    channel: Annotated[str, StringConstraints(max_length=320)]
    """Kind and name of what declares it, and its own name."""
    told: Annotated[tuple[Key, ...], Field(max_length=40)] = ()
    """What it was told, of what is still so: it is not told again."""
    reference: Annotated[str, StringConstraints(max_length=128)] = ""
    """What the service calls the incident's own message."""
    trouble: Message = ""
    """Why the last attempt failed; empty while all is well."""
