"""Actions: each plans one kind of change to an absolute end state. Siblings that do not know each other."""

from typing import ClassVar, Final, Protocol, get_args

from stopgap.actions.http import Http
from stopgap.actions.job import Job
from stopgap.actions.patch import Patch
from stopgap.actions.postgres import Postgres
from stopgap.actions.restart import Restart
from stopgap.actions.rollback import Rollback
from stopgap.actions.scale import Scale
from stopgap.model.base import ApiModel, Permission
from stopgap.model.change import Aim, Known, Plan
from stopgap.model.observation import Observation, Refusal


class Action(Protocol):
    """What every action is, beside a piece of a manifest."""

    name: ClassVar[str]
    """How a step calls it, and the role that allows it: `stopgap-action-<name>`."""
    undoes: ClassVar[bool]
    """Whether it undoes a release, so that the newest revision must be to blame."""
    rolls_pods: ClassVar[bool]
    """Whether it replaces pods, by writing another template."""
    outside: ClassVar[bool]
    """Whether it leaves the workload itself as it is."""
    rules: ClassVar[tuple[Permission, ...]]
    """What it needs to be allowed to do."""

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:
        """Say what it would do, from what is known without asking."""

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:
        """Describe the absolute end state, once everything live was read."""


class OneAction(ApiModel):
    """What a step does: exactly one of these, each under its own name."""

    rollback: Rollback | None = None
    restart: Restart | None = None
    scale: Scale | None = None
    http: Http | None = None
    postgres: Postgres | None = None
    job: Job | None = None
    patch: Patch | None = None

    @property
    def action(self) -> Action | None:
        """The one action that is set; None if it is one that this version does not know."""
        return next((found for one in ACTIONS if (found := getattr(self, one.name)) is not None), None)


ACTIONS: Final[tuple[type[Action], ...]] = tuple(get_args(field.annotation)[0] for field in OneAction.model_fields.values())

__all__ = ["ACTIONS", "Action", "Http", "Job", "OneAction", "Patch", "Postgres", "Restart", "Rollback", "Scale"]
