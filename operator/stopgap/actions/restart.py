"""`restart`: roll every pod of the workload once, as `kubectl rollout restart` does."""

from typing import Any, ClassVar, Final

from stopgap.model.base import ApiModel, Permission
from stopgap.model.change import Aim, Field, Known, Plan
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.time import stamp

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"


class Restart(ApiModel):
    """Replace every pod by a new one of the same template, at the pace of the rollout strategy.

    It clears what a process has got itself into, and nothing else: the cause stays. What only the old pods knew is lost.
    """

    name: ClassVar[str] = "restart"
    rolls_pods: ClassVar[bool] = True
    outside: ClassVar[bool] = False
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = (
        Permission(
            "apps",
            ("deployments", "statefulsets", "daemonsets"),
            ("patch",),
            "write the annotation that rolls the pods, and give the written fields back",
        ),
    )

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:  # noqa: ARG002 - the actions' common shape
        """Say that the pods of the present template are rolled."""
        work = seen.workload
        if work is None or work.replicas == 0:
            return Refusal(Reason.NothingToDo, "no pod of it is wanted, so that there is none to restart")
        return Aim(f"restart the {work.replicas} pods of revision {seen.newest.number if seen.newest else work.revision}")

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:
        """Describe the end state: the present template with a time of restart that is fixed now."""
        if seen.template is None or seen.newest is None:
            raise ValueError(f"a restart of {seen.target} is planned without its newest revision")
        at = stamp(seen.now)
        return Plan(
            action="Restart",
            summary=aim.summary,
            field=Field.TEMPLATE,
            from_revision=seen.newest.number,
            from_digest=seen.template.digest,
            to_digest=restarted(seen.template, at).digest,
            restarted_at=at,
        )


def restarted(template: Template, at: str) -> Template:
    """Return the template as it is when it was restarted at that time."""
    meta: dict[str, Any] = template.body.get("metadata") or {}
    marked = {**meta, "annotations": {**(meta.get("annotations") or {}), RESTARTED_AT: at}}
    return Template({**template.body, "metadata": marked})
