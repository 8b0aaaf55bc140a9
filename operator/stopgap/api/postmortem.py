"""PostMortem: the review of one incident. What only people know is in the spec, the document is in the status."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.model.base import ApiModel, Column, Count, Kind, Line, Rule, Uid
from stopgap.model.conditions import Conditions
from stopgap.model.refs import ObjectRef

DOCUMENT_BYTES: Final = 32_768
"""The longest document, in bytes of UTF-8."""
COMPLETE: Final = "Complete"
Prose = Annotated[str, StringConstraints(max_length=4096)]
Day = Annotated[str, StringConstraints(max_length=10, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class Impact(ApiModel):
    """What it did to others. `none` is an answer, and so is `unknown`; nothing is none."""

    users_affected: Line = ""
    """Who was affected, and how many."""
    revenue: Line = ""
    """What it cost."""
    data_loss: Line = ""
    """Which data was lost, or may be wrong."""


class ActionItem(ApiModel):
    """Something that is done so that it does not happen again."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """What is done."""
    owner: Annotated[str, StringConstraints(max_length=128)] = ""
    """Who does it; the review is not complete without."""
    due: Day | None = None
    """By which day, as 2026-12-01; the review is not complete without."""


class PostMortemSpec(ApiModel):
    """What only people know. It may be filled in bit by bit; status.owed says what is left."""

    incident_ref: ObjectRef
    """The Incident that is reviewed, in the same namespace. It does not change."""
    root_cause: Prose = ""
    """Why it happened. Lists and paragraphs are kept."""
    impact: Impact = Impact()
    """What it did to others."""
    action_items: Annotated[tuple[ActionItem, ...], Field(max_length=20)] = ()
    """What is done so that it does not happen again."""
    no_action_items: bool = False
    """Says that nothing is to be done, in place of action items."""
    lessons: Prose = ""
    """What was learned: what went well, what did not, and where it was luck."""
    completed: bool = False
    """Says that the review is finished. The Incident counts as reviewed once this is set and nothing is owed."""


class Facts(ApiModel):
    """A copy of the Incident, so that the review can be written anew when that is gone."""

    uid: Uid = ""
    """UID of the Incident that was copied: another one of its name is never taken for it."""
    spec: IncidentSpec
    status: IncidentStatus


class PostMortemStatus(ApiModel):
    """The rendered review."""

    observed_generation: Count = 0
    """Generation of the spec that the document is of."""
    document: Annotated[str, StringConstraints(max_length=DOCUMENT_BYTES)] = ""
    """The review, in Markdown: `kubectl get pm NAME -o jsonpath='{.status.document}'`."""
    owed: Annotated[tuple[Line, ...], Field(max_length=40)] = ()
    """What people still owe before it is complete."""
    facts: Facts | None = None
    conditions: Annotated[Conditions, Field(max_length=8)] = ()
    """Complete: whether everything is there."""


class PostMortem(Kind):
    """The review of one Incident: drafted from its record, completed by people, and kept when the Incident is gone."""

    plural: ClassVar = "postmortems"
    short: ClassVar = "pm"
    cel: ClassVar = (
        Rule("self.spec.incidentRef == oldSelf.spec.incidentRef", "a review stays with its Incident; create another PostMortem"),
        Rule(
            "!has(self.spec.noActionItems) || !self.spec.noActionItems || !has(self.spec.actionItems) || size(self.spec.actionItems) == 0",
            "there are action items, so noActionItems cannot be true",
        ),
    )
    columns: ClassVar = (
        Column("INCIDENT", ".spec.incidentRef.name"),
        Column("SEV", ".status.facts.status.severity"),
        Column("COMPLETE", f'.status.conditions[?(@.type=="{COMPLETE}")].status'),
        Column("OWED", ".status.owed[0]"),
        Column("AGE", ".metadata.creationTimestamp", "date"),
    )
    kind: Literal["PostMortem"] = "PostMortem"
    spec: PostMortemSpec
    status: PostMortemStatus | None = None
