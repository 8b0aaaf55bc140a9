"""`logErrors`: the pods write more lines of a kind than they should."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from stopgap.detectors.polled import PolledInARow
from stopgap.model.duration import Duration, spell
from stopgap.model.logs import LogDigest
from stopgap.model.pattern import Pattern
from stopgap.model.query import Answer, Asking, LogRequest, Query, Sample, Silence, replies
from stopgap.model.reasons import Reason
from stopgap.model.workload import State


class LogErrors(PolledInARow):
    """Fires when more lines match in the logs of the workload's pods than are normal. Only counts and shapes of lines are ever shown.

    At most 1 MiB and 10,000 lines of each container are read, and 8 MiB in all. Where there is more and what was read does not fire, the
    signal is Unknown: ask for a shorter time then, or let a metric count.
    """

    reason: ClassVar = Reason.LogErrors
    pattern: Pattern
    """A regular expression (RE2) that is looked for in each line, such as ERROR, or (?i)\\b(error|fatal)\\b."""
    above: Annotated[int, Field(ge=0, le=1_000_000)]
    """Fires when more lines than this match, in all pods together."""
    within: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(minutes=1)
    """Only the lines of the last so long count, from 1s to 1h."""
    container: Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = None
    """The container that is listened to. Default: every one of the workload's own template."""
    failures: Annotated[int, Field(ge=1, le=20)] = 1
    """So many bad answers in a row fire. Each is about all lines of its time, so one is enough."""

    def wants(self, asking: Asking) -> Query:
        """Ask for the lines."""
        asked = LogRequest(asking.target, self.pattern, self.within, self.container or "")
        return Query((asked,), self.interval, self.deadline, asking.scope)

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say whether there are too many."""
        (reply,) = replies(answer, LogDigest)
        if isinstance(reply, Silence):
            return Sample(at, State.UNKNOWN, reply.why)
        told = self._told(reply)
        if reply.matching > self.above:
            return Sample(at, State.FIRING, told, str(reply.matching))
        if reply.missed:
            return Sample(at, State.UNKNOWN, f"{told}, and there may be more: {reply.missed}")
        if not reply.containers:
            return Sample(at, State.UNKNOWN, "no container runs that could have written anything")
        return Sample(at, State.QUIET, told, str(reply.matching))

    def _told(self, reply: LogDigest) -> str:
        where = f"{reply.containers} containers" if reply.containers != 1 else "1 container"
        told = f"{reply.matching} of {reply.lines} lines of {where} within {spell(self.within)} match {self.pattern}"
        return f"{told}; {reply.most_frequent()}" if reply.shapes else told
