"""The ladder of a policy: what is done, in which order, when, and how boldly."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from stopgap.actions import ACTIONS, OneAction
from stopgap.model.base import ApiModel, Rule, StepName
from stopgap.model.duration import Duration
from stopgap.model.severity import Severity


class Mode(StrEnum):
    """How much Stopgap may do by itself."""

    OBSERVE = "Observe"
    """It says what it would do and touches nothing."""
    APPROVE = "Approve"
    """It prepares the action and waits for a person to approve that one, within every guard."""
    AUTOMATIC = "Automatic"
    """It acts, within every guard."""


class Source(StrEnum):
    """Where an incident came from."""

    WORKLOAD = "Workload"
    """Stopgap's own watch of the workload."""
    MANUAL = "Manual"
    """A person opened it."""
    ALERT = "Alert"
    """An alerting system opened it."""


class OnFailure(StrEnum):
    """What follows when a step did not help."""

    NEXT = "Next"
    """Go on with the next step that is meant; after the last one, people are called."""
    ESCALATE = "Escalate"
    """Stop and call people."""


class RevertOn(StrEnum):
    """What ends a temporary measure."""

    RESOLVED = "Resolved"
    """It is put back when the incident has been quiet for long enough, before it is closed."""
    MANUAL = "Manual"
    """A person says when."""


class When(ApiModel):
    """When a step is meant. What is not named does not matter."""

    triggers: Annotated[tuple[StepName, ...], Field(max_length=16)] = ()
    """Any of these triggers fires; empty: whichever."""
    sources: Annotated[tuple[Source, ...], Field(max_length=3)] = (Source.WORKLOAD,)
    """The incident came from one of these."""
    severities: Annotated[tuple[Severity, ...], Field(max_length=4)] = ()
    """The incident has one of these severities; empty: any."""
    changed_within: Duration | None = None
    """The workload's newest revision must have become current no longer than this before the trouble began.

    Default: 30m for a rollback, which makes no sense without a recent change; no limit for other actions.
    """


class Revert(ApiModel):
    """When a temporary measure is put back: on an event, or after a while. Only what is still as Stopgap left it is put back."""

    cel: ClassVar = (Rule("has(self.upon) != has(self.after)", "say either upon what it is put back (upon) or after how long (after)"),)
    upon: RevertOn | None = None
    """Resolved: with the incident. Manual: when a person says so, by `kubectl annotate rem NAME stopgap.dev/revert=now`."""
    after: Duration | None = None
    """This long after it was done; while a signal fires, it is held until that is quiet."""


class Meant(ApiModel):
    """When a step is meant, and what follows."""

    name: StepName
    """How the record and people refer to it."""
    when: When
    """When this step is meant."""
    mode: Mode | None = None
    """May only tighten the policy's mode."""
    on_failure: OnFailure = OnFailure.ESCALATE
    """What follows when it did not help."""


class Step(OneAction, Meant):
    """One thing to do, and when. Exactly one action."""

    cel: ClassVar = (
        Rule(
            f"[{', '.join(f'has(self.{one.name})' for one in ACTIONS)}].exists_one(x, x)",
            "a step has exactly one action, such as rollback: {}",
        ),
        Rule(
            "!has(self.revert) || has(self.scale) || has(self.patch) || (has(self.http) && has(self.http.restore))",
            "only what is temporary can be reverted: scale, patch, or http with a restore; everything else stays",
        ),
    )
    revert: Revert | None = None
    """When what it changed is put back. Default for scale: with the incident (`upon: Resolved`); for http and
    patch: by a person (`upon: Manual`)."""

    @property
    def changed_within(self) -> timedelta | None:
        """How recent a change must be for this step; None: it does not matter."""
        return self.when.changed_within or (timedelta(minutes=30) if self.rollback else None)
