"""`resourceUsage`: the pods use more of a resource than they should, by the metrics API."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, StringConstraints, model_validator

from stopgap.detectors.polled import Polled
from stopgap.model.base import Rule
from stopgap.model.duration import Duration, spell
from stopgap.model.query import MOST_SAMPLES, Answer, Asking, Query, Sample, Silence, UsageRequest, replies
from stopgap.model.reasons import Reason
from stopgap.model.usage import Measured, Usage
from stopgap.model.workload import State

Share = Annotated[str, StringConstraints(max_length=4, pattern=r"^[1-9][0-9]{0,2}%$")]

_STALE: Final = timedelta(minutes=3)
"""A figure that is older says nothing about now."""


class Bound(StrEnum):
    """What usage is compared with."""

    REQUESTS = "Requests"
    """What the containers ask for, by which the scheduler places them and an autoscaler counts."""
    LIMITS = "Limits"
    """What they may use at most: beyond it they are throttled (cpu) or killed (memory)."""


class ResourceUsage(Polled):
    """Fires when the pods of the workload together use more CPU or memory than a share of what they ask for. Needs metrics-server.

    Only containers of the workload's own template count. One without a request (or limit), no figures, or none that is fresh: Unknown.
    """

    cel: ClassVar = (Rule("has(self.cpuAbove) || has(self.memoryAbove)", "say of what is too much (cpuAbove, memoryAbove)"),)
    reason: ClassVar = Reason.ResourceUsage
    cpu_above: Share | None = None
    """Fires above this share, such as 90%. More than 100% of a request can be used."""
    memory_above: Share | None = None
    """Fires above this share, such as 90%."""
    of: Bound = Bound.REQUESTS
    """What 100% is: the sum of what the pods request, or of their limits."""
    for_: Annotated[Duration, Field(le=timedelta(hours=24))] = timedelta(minutes=2)
    """It must last for so long; at most 31 intervals."""

    @model_validator(mode="after")
    def _is_remembered_for_so_long(self) -> Self:
        if self.needed > MOST_SAMPLES:
            raise ValueError(f"for is longer than {MOST_SAMPLES - 1} intervals, of which nothing is remembered; make the interval longer")
        return self

    @property
    def needed(self) -> int:
        """How many bad answers in a row last for so long."""
        return ceil(self.for_ / self.interval) + 1

    def wants(self, asking: Asking) -> Query:
        """Ask for the figures."""
        return Query((UsageRequest(asking.target),), self.interval, self.deadline, asking.scope)

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say whether it is too much."""
        (reply,) = replies(answer, Usage)
        if isinstance(reply, Silence):
            return Sample(at, State.UNKNOWN, reply.why)
        fresh = [one for one in reply.containers if at - one.at <= _STALE]
        stale = len(reply.containers) - len(fresh) + reply.unmeasured
        if not fresh or stale > len(fresh):
            why = f"of {stale} containers there are no figures of the last {spell(_STALE)}" if stale else "no container runs"
            return Sample(at, State.UNKNOWN, why)
        verdicts = list(self._verdicts(fresh, at))
        order = (State.FIRING, State.UNKNOWN, State.QUIET)
        return min(verdicts, key=lambda one: order.index(one.state))

    def _verdicts(self, measured: list[Measured], at: datetime) -> Iterator[Sample]:
        for resource, above in (("cpu", self.cpu_above), ("memory", self.memory_above)):
            if above is not None:
                yield self._verdict(resource, float(above.rstrip("%")), measured, at)

    def _verdict(self, resource: str, above: float, measured: list[Measured], at: datetime) -> Sample:
        bounds = [(one.limits if self.of is Bound.LIMITS else one.requests).get(resource, 0.0) for one in measured]
        what = self.of.value.lower()
        if lacking := next((one.container for one, bound in zip(measured, bounds, strict=True) if not bound), ""):
            return Sample(
                at, State.UNKNOWN, f"container {lacking} has no {resource} {what.rstrip('s')}, so that nothing can be compared with it"
            )
        share = 100 * sum(one.used.get(resource, 0.0) for one in measured) / sum(bounds)
        pods = len({one.pod for one in measured})
        told = f"{resource} is at {share:.0f} % of the {what} of " + (f"{pods} pods" if pods != 1 else "1 pod")
        state = State.FIRING if share > above else State.QUIET
        return Sample(at, state, f"{told}, above {above:g} %" if state is State.FIRING else told, f"{share:.0f}%")
