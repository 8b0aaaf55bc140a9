"""WorkloadHealth: what Stopgap remembers about one workload."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Column, Count, Digest, Kind, Line, Uid, Word
from stopgap.model.duration import Duration
from stopgap.model.refs import ObjectRef, TargetUidRef
from stopgap.model.time import MicroTime, Time


class KnownGood(ApiModel):
    """A revision that was healthy for a while."""

    replica_set_uid: Uid
    digest: Digest
    revision: Count = 0
    """Its number then: it moves when the revision becomes current again."""
    healthy_since: MicroTime
    recorded_at: MicroTime
    healthy_for: Duration
    """How long it had been healthy when this was written."""
    images: Annotated[tuple[Annotated[str, StringConstraints(max_length=300)], ...], Field(max_length=20)] = ()
    """Image of each container, as `name=image`."""
    image_ids: Annotated[tuple[Annotated[str, StringConstraints(max_length=300)], ...], Field(max_length=20)] = ()
    """What the images really were, as `name=imageID`."""
    unknown: Annotated[tuple[Word, ...], Field(max_length=16)] = ()
    """Triggers that could not be told at that time."""


class Denied(ApiModel):
    """A template that is not gone back to."""

    digest: Digest
    incident: Annotated[str, StringConstraints(max_length=253)] = ""
    reason: Line = ""
    time: Time


class LastAction(ApiModel):
    """An action that was really sent. Kept here so that deleting an Incident refills no budget."""

    remediation: Uid
    policy_uid: Uid = ""
    at: MicroTime


class Silence(ApiModel):
    """A person closed an incident of this template: the same signal stays quiet until it went quiet once, or the template changed."""

    digest: Digest
    incident: Annotated[str, StringConstraints(max_length=253)] = ""


class WorkloadHealthSpec(ApiModel):
    """The workload that is meant."""

    target_ref: TargetUidRef


class WorkloadHealthStatus(ApiModel):
    """What is remembered."""

    known_good: Annotated[tuple[KnownGood, ...], Field(max_length=10)] = ()
    """Newest last."""
    denied: Annotated[tuple[Denied, ...], Field(max_length=20)] = ()
    """Cleared when the template is known good again, or by a person."""
    incidents: Count = 0
    """How many incidents were opened by Stopgap itself; the last number of their names."""
    open_incident_ref: ObjectRef | None = None
    """The last incident, open or not."""
    last_actions: Annotated[tuple[LastAction, ...], Field(max_length=50)] = ()
    """Newest last."""
    silence: Silence | None = None
    """Set while a closed incident's signal is not to open another."""


class WorkloadHealth(Kind):
    """What Stopgap knows about one workload over time: which revisions were healthy, which are denied, and when it last acted."""

    plural: ClassVar = "workloadhealths"
    short: ClassVar = "wh"
    columns: ClassVar = (
        Column("TARGET", ".spec.targetRef.name"),
        Column("GOOD", ".status.knownGood[-1:].revision", "integer"),
        Column("DENIED", ".status.denied[-1:].digest"),
        Column("INCIDENTS", ".status.incidents", "integer"),
        Column("LAST-ACTION", ".status.lastActions[-1:].at", "date"),
        Column("AGE", ".metadata.creationTimestamp", "date"),
    )
    kind: Literal["WorkloadHealth"] = "WorkloadHealth"
    spec: WorkloadHealthSpec
    status: WorkloadHealthStatus | None = None
