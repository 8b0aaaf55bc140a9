"""What an incident says of the present decision: what would be done now, and everything that stands against it."""

from datetime import datetime
from typing import Final

from stopgap.api.incident import IncidentDecision, IncidentRefusal, PassedStep
from stopgap.core.lifecycle import ALLOWED, Story
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.time import stamp


def decision(  # noqa: PLR0913 - the parts of a decision
    story: Story, step: str, summary: str, refused: tuple[Refusal, ...], *, allowed: bool, passed: tuple[PassedStep, ...] = ()
) -> Story:
    """Write down what would be done now, everything that stands against it, and which steps were passed over on the way."""
    listed = tuple(IncidentRefusal(reason=one.reason, message=one.message[:1024], until=one.until) for one in refused)
    old = story.status.decision
    new = IncidentDecision(
        step=step, allowed=allowed, message=summary[:1024], refusals=listed, next_allowed_time=_next_allowed(refused), passed=passed
    )
    if old and _same(old, new):
        return story
    story = story.set(decision=new)
    reason = Reason.Allowed if allowed else (refused[0].reason if refused else Reason.NoStepApplies)
    message = summary if allowed else _explain(summary, refused)
    changed = story.reason(ALLOWED) != reason
    story = story.observe(ALLOWED, allowed, reason, message)
    if not changed or allowed:
        return story
    # What holds many incidents back at once is told in each, and not cried out for each.
    return story.tell(reason, message) if reason in _OF_MANY else story.announce(reason, message, warning=True)


_OF_MANY: Final = frozenset({Reason.StormActive, Reason.UnverifiedActions})


def _next_allowed(refused: tuple[Refusal, ...]) -> datetime | None:
    """When everything that stands against it will have ended by itself, or None where somebody has to do something."""
    ends = [one.until for one in refused]
    return max((one for one in ends if one is not None), default=None) if None not in ends else None


def _same(old: IncidentDecision, new: IncidentDecision) -> bool:
    """Whether nothing changed but figures that move by themselves, such as "3m ago": those are not worth a write."""
    return _gist(old) == _gist(new)


_OF_SOMEBODY: Final = frozenset(
    {Reason.Paused, Reason.OwnedByController, Reason.GitOpsOwned, Reason.NotAuthorized, Reason.ObserveOnly, Reason.TargetBusy}
)
"""Their messages name who or what is to be turned to, and no figure that moves by itself."""


def _gist(one: IncidentDecision) -> tuple[object, ...]:
    """What stands against it and until when: people plan by that, so it is kept true when a policy is edited, or who stops it changes."""
    held = [
        (held.reason, stamp(held.until) if held.until else "", held.message if held.reason in _OF_SOMEBODY else "") for held in one.refusals
    ]
    return (one.step, one.allowed, one.message, held, [(step.step, step.reason) for step in one.passed])


def _explain(summary: str, refused: tuple[Refusal, ...]) -> str:
    why = "; ".join(one.message for one in refused) or "no step of the policy is meant for this"
    return f"{summary}. Not done: {why}" if summary else f"nothing is done: {why}"
