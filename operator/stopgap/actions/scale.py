"""`scale`: give a workload more replicas for a while, or fewer; where an autoscaler owns the number, by moving its floor."""

from math import ceil
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from stopgap.model.base import ApiModel, Permission, Rule
from stopgap.model.change import Aim, Known, Plan
from stopgap.model.change import Field as Written
from stopgap.model.observation import Observation, Refusal, Scaler
from stopgap.model.reasons import Reason

MOST = 10_000
Step = Annotated[str, StringConstraints(max_length=6, pattern=r"^[+-]?([1-9][0-9]{0,2}%|[1-9][0-9]{0,3})$")]


class Scale(ApiModel):
    """Change the number of replicas, in one guarded write that remembers what was there before.

    Where a HorizontalPodAutoscaler or a KEDA ScaledObject scales the workload, its minimum is raised instead, never above its maximum:
    writing the replicas would only be undone by it. More replicas of something that overloads a database make it worse.
    """

    name: ClassVar[str] = "scale"
    rolls_pods: ClassVar[bool] = False
    outside: ClassVar[bool] = False
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = (
        Permission(
            "apps", ("deployments", "statefulsets"), ("patch",), "write the replicas, put them back, and give the written field back"
        ),
        Permission("autoscaling", ("horizontalpodautoscalers",), ("patch",), "raise the minimum of an autoscaler, and put it back"),
        Permission("keda.sh", ("scaledobjects",), ("patch",), "raise the minimum of an autoscaler, and put it back"),
    )
    cel: ClassVar = (
        Rule("has(self.to) != has(self.by)", "say either to how many replicas (to) or by how many (by); exactly one of the two"),
        Rule("!has(self.to) || self.to <= self.max", "scale.to is above scale.max"),
        Rule("!has(self.to) || self.to >= self.min", "scale.to is below scale.min; to take a workload down to zero, say min: 0 as well"),
        Rule("self.min <= self.max", "scale.min is above scale.max"),
    )

    to: Annotated[int | None, Field(ge=0, le=MOST)] = None
    """To this many replicas."""
    by: Step | None = None
    """By so many more (`2`, `50%`) or fewer (`-2`, `-50%`); a share is rounded up, away from what is there."""
    max: Annotated[int, Field(ge=1, le=MOST)]
    """Never more than this."""
    min: Annotated[int, Field(ge=0, le=MOST)] = 1
    """Never fewer than this. Only 0 allows to take the workload down altogether."""

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:  # noqa: ARG002 - the actions' common shape
        """Say how many replicas there should be, as far as that can be told without the autoscaler."""
        work = seen.workload
        if work is None:
            return Refusal(Reason.TargetGone, f"{seen.target} does not exist")
        if work.kind == "DaemonSet":
            return Refusal(Reason.NotScalable, f"{work.target} runs one pod on each node that fits, so that there is no number to change")
        if work.replicas == 0:
            return Refusal(Reason.NothingToDo, f"{work.target} is scaled to zero, which somebody wants; it is not scaled from there")
        wanted = self.wanted(work.replicas)
        if wanted == work.replicas:
            return Refusal(Reason.NothingToDo, f"{work.replicas} replicas are wanted already; the policy allows {self.min} to {self.max}")
        return Aim(f"scale {work.replicas} → {wanted} replicas", scaler=True)

    def wanted(self, now: int) -> int:
        """Return how many replicas are meant, within the bounds; and what is there where none fits; never in the other direction."""
        if self.to is not None:
            return min(max(self.to, self.min), self.max)
        text = self.by or "0"
        size = int(text.strip("+-%"))
        change = ceil(now * size / 100) if text.endswith("%") else size
        if text.startswith("-"):
            fewer = min(max(now - change, self.min), now)
            return fewer if fewer <= self.max else now
        return max(min(max(now + change, self.min), self.max), now)

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:  # noqa: ARG002 - the actions' common shape
        """Describe the end state: one number in one field, of the workload or of what scales it."""
        work, live = seen.workload, seen.live
        if work is None or live is None:
            raise ValueError(f"scaling {seen.target} is planned without the workload or the live reads")
        wanted = self.wanted(work.replicas)
        if live.scaler is not None:
            return self._by_autoscaler(work.replicas, wanted, live.scaler)
        if wanted < work.replicas and wanted < live.disruption_floor:
            wanted = live.disruption_floor
            if wanted >= min(work.replicas, self.max + 1):
                return Refusal(
                    Reason.NoCapacity, f"a PodDisruptionBudget needs {live.disruption_floor} pods, so that none can be taken away"
                )
        return _plan(f"scale {work.replicas} → {wanted} replicas", Written.REPLICAS, work.replicas, wanted, None)

    def _by_autoscaler(self, now: int, wanted: int, scaler: Scaler) -> Plan | Refusal:
        if wanted < now:
            return Refusal(Reason.AutoscalerDecides, f"{scaler} decides how many replicas there are; it takes away what is not needed")
        if wanted <= (scaler.minimum or 0):
            return Refusal(
                Reason.NothingToDo, f"{scaler} is told to keep at least {scaler.minimum} replicas already, and {now} are wanted now"
            )
        wanted = min(wanted, scaler.maximum)
        if wanted <= max(scaler.minimum or 0, now):
            return Refusal(
                Reason.NoCapacity,
                f"{scaler} allows {scaler.maximum} replicas at most, and {now} are wanted already; raise its maximum if there is room",
            )
        field = Written.MIN_REPLICAS if scaler.kind == "HorizontalPodAutoscaler" else Written.MIN_REPLICA_COUNT
        before = "unset" if scaler.minimum is None else scaler.minimum
        return _plan(f"raise the minimum of {scaler} {before} → {wanted} replicas", field, scaler.minimum, wanted, scaler)


def _plan(summary: str, field: Written, before: int | None, ours: int, scaler: Scaler | None) -> Plan:
    return Plan(action="Scale", summary=summary, field=field, before=before, ours=ours, scaler=scaler)
