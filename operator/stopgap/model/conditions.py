"""Conditions as `metav1.Condition`: observations with a reason and a message, never a state machine."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel
from stopgap.model.time import Time


class Truth(StrEnum):
    """The three answers of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One observation about an object."""

    type: Annotated[str, StringConstraints(max_length=63)]
    status: Truth
    reason: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    message: Annotated[str, StringConstraints(max_length=1024)] = ""
    last_transition_time: Time
    observed_generation: Annotated[int, Field(ge=0, le=2**53)] | None = None


Conditions = tuple[Condition, ...]


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, or None while it was never set."""
    return next((condition for condition in conditions if condition.type == kind), None)


def holds(conditions: Iterable[Condition], kind: str) -> bool:
    """Say whether the condition is there and True; an absent one is Unknown, hence False."""
    found = find(conditions, kind)
    return found is not None and found.status is Truth.TRUE


def put(conditions: Conditions, new: Condition) -> Conditions:
    """Return the conditions with this one in place; its transition time moves only when its status does."""
    old = find(conditions, new.type)
    if old is None:
        return (*conditions, new)
    if old.status is new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return tuple(new if condition.type == new.type else condition for condition in conditions)


def condition(kind: str, status: Truth, reason: str, message: str, now: datetime) -> Condition:
    """Build a condition; the message is cut to what the schema holds."""
    return Condition(type=kind, status=status, reason=reason, message=message[:1024], last_transition_time=now)
