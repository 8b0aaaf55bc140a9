"""What was found out about an incident: the change that it began with, and what was seen when it was looked into."""

from typing import Annotated

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Count, Line, Message, Word
from stopgap.model.time import Time

Related = Annotated[tuple[Annotated[str, StringConstraints(max_length=317)], ...], Field(max_length=10)]


class SuspectedChange(ApiModel):
    """The change that the trouble began with."""

    revision: Count = 0
    previous_revision: Count = 0
    changed_at: Time | None = None
    images: Annotated[tuple[Annotated[str, StringConstraints(max_length=600)], ...], Field(max_length=20)] = ()
    """Old and new image of each container that changed."""
    by: Annotated[str, StringConstraints(max_length=128)] = ""
    """The field manager that wrote it."""
    cause: Line = ""
    """The annotation kubernetes.io/change-cause."""
    source_revision: Line = ""
    """What the tool that deploys it says that it deployed: a Git revision, or a chart and its version."""


class Evidence(ApiModel):
    """One thing that was found. What containers, controllers and other teams wrote is quoted on one line, masked where secret, and cut."""

    source: Word
    """Where it was found: Container (what fails), Pods, Logs, Events, Nodes, Rollout, Changes or Usage."""
    observed_at: Time
    message: Message = ""
