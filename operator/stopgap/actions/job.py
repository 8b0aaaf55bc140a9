"""`job`: run a Job, such as a runbook that somebody would otherwise start by hand."""

from typing import ClassVar

from stopgap.model.base import Permission
from stopgap.model.change import Aim, Field, Known, Outside, Plan
from stopgap.model.job import JobRun
from stopgap.model.observation import Observation, Refusal, Right


class Job(JobRun):
    """Run a Job in the namespace of the workload, once, and wait until it has ended.

    What it does is not known to Stopgap, and is never put back. A Job that fails counts as a step that did not help; one that ends well
    still has to be followed by quiet signals. Only who may create Jobs in the namespace can declare it.
    """

    name: ClassVar[str] = "job"
    rolls_pods: ClassVar[bool] = False
    outside: ClassVar[bool] = True
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = (
        Permission("batch", ("jobs",), ("get", "create"), "run the Job that a step declares, and see how it ends"),
        Permission("", ("pods",), ("list",), "find the pod of that Job"),
        Permission("", ("pods/log",), ("get",), "keep the last lines that it wrote"),
    )

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:  # noqa: ARG002 - the actions' common shape
        """Say what would run."""
        return Aim(str(self), needs=frozenset({Right("create", "batch", "jobs")}))

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:  # noqa: ARG002 - the actions' common shape
        """Keep the Job whole."""
        kept = JobRun.model_validate(self.model_dump())
        return Plan(action="Job", summary=aim.summary, field=Field.ELSEWHERE, outside=Outside(job=kept))
