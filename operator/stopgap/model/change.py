"""What Stopgap may do to a workload, or beside it: plain values, carried out by one module for each kind of effect (effects/execute.py)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from stopgap.model.base import ApiModel, Rule
from stopgap.model.database import EndQueries, Wanted
from stopgap.model.deed import Deed
from stopgap.model.http import HttpChange
from stopgap.model.job import JobRun
from stopgap.model.observation import Right, Scaler
from stopgap.model.patch import ObjectAt, PatchChange
from stopgap.model.template import Template
from stopgap.model.workload import Revision


class Field(StrEnum):
    """The one field that an action writes."""

    TEMPLATE = "Template"
    """`/spec/template` of the workload."""
    REPLICAS = "Replicas"
    """`/spec/replicas` of the workload."""
    MIN_REPLICAS = "MinReplicas"
    """`/spec/minReplicas` of the HorizontalPodAutoscaler that scales the workload."""
    MIN_REPLICA_COUNT = "MinReplicaCount"
    """`/spec/minReplicaCount` of the KEDA ScaledObject that scales the workload."""
    ELSEWHERE = "Elsewhere"
    """Nothing of the workload: what is done is outside it (plan.outside)."""


@dataclass(frozen=True, slots=True)
class Good:
    """A revision that was known to be healthy, as WorkloadHealth remembers it."""

    replica_set: str
    digest: str
    healthy_for: timedelta


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered about a workload, in the words of the actions."""

    good: tuple[Good, ...] = ()
    denied: frozenset[str] = frozenset()
    """Digests of templates that are not gone back to."""
    platform: bool = False
    """Whether it is a policy of the platform that decides: its Secrets are in Stopgap's own namespace."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What an action would do, as far as it can be told without reading anything live."""

    summary: str
    back_to: Revision | None = None
    """The ReplicaSet whose template is put back."""
    scaler: bool = False
    """Whether the autoscaler of the workload has to be read before anything can be planned."""
    objects: frozenset[ObjectAt] = frozenset()
    """Other objects that have to be read before anything can be planned."""
    needs: frozenset[Right] = frozenset()
    """What an action outside the workload needs to be allowed to do: the API server is asked before anything is planned."""
    lists: Wanted | None = None
    """The queries of a database that have to be listed before anything can be planned."""


class Outside(ApiModel):
    """What is done outside the workload: exactly one thing, under the name of its action."""

    cel: ClassVar = (
        Rule("[has(self.http), has(self.patch), has(self.job), has(self.postgres)].exists_one(x, x)", "exactly one thing is done"),
    )
    http: HttpChange | None = None
    """The HTTP call that is sent, and the one that puts it back. Secrets are read when it is sent."""
    patch: PatchChange | None = None
    """The object that is changed, and what was there before."""
    job: JobRun | None = None
    """The Job that is run, under a name that its Remediation gives it."""
    postgres: EndQueries | None = None
    """The queries of a database that are ended. Nothing puts them back."""

    @property
    def kind(self) -> str:
        """Its name: the one member that is set; nothing where a newer version has set one that this one does not know."""
        return next((name for name in type(self).model_fields if getattr(self, name) is not None), "")

    @property
    def deed(self) -> Deed:
        """The one thing that is set; of what is not known, nothing is done."""
        return getattr(self, self.kind, None) or Deed()

    def filled(self, values: Mapping[str, str]) -> "Outside":
        """Put the incident's own names in the place of the marks."""
        return self.model_copy(update={self.kind: self.deed.filled(values)})


@dataclass(frozen=True, slots=True)
class Plan:
    """An absolute end state for a target, in words, digests and numbers: what is stored before anything is done."""

    action: str
    summary: str
    field: Field
    from_revision: int = 0
    to_revision: int = 0
    from_digest: str = ""
    to_digest: str = ""
    replica_set: str = ""
    """UID of the ReplicaSet whose template is put back."""
    replica_set_name: str = ""
    restarted_at: str = ""
    """What a restart writes into the template."""
    scaler: Scaler | None = None
    """The autoscaler that is written instead of the workload."""
    before: int | None = None
    """The number that is replaced; None: the field was not set."""
    ours: int | None = None
    """The number that is written."""
    outside: Outside | None = None
    """What is done outside the workload, in place of a write to it."""


@dataclass(frozen=True, slots=True)
class ReplaceTemplate:
    """Write a pod template into a workload, only if it is still the same object at the same generation."""

    template: Template


@dataclass(frozen=True, slots=True)
class SetNumber:
    """Write a number into one field of the workload or of its autoscaler, only if it is still what it was."""

    field: Field
    before: int | None
    after: int | None
    """None: the field is removed again."""


Write = ReplaceTemplate | SetNumber
"""Guarded by a test in the very write (effects/execute.py)."""
Change = Write | Outside
"""What is outside has no such test: one executor wins it first, and it is sent by that one only (effects/outside.py)."""
