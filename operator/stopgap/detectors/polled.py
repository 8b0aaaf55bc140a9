"""What the detectors of polled signals have in common: an interval, so many failures in a row, and what a gap means."""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from stopgap.model.base import ApiModel
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.query import Answer, Asking, Query, Sample, unbroken
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

_USUALLY: Final = timedelta(seconds=5)


class Polled(ApiModel):
    """A signal that has to be asked for. Subclasses say what to ask (`wants`), what an answer means (`assess`), how many bad ones fire."""

    reason: ClassVar[Reason]
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(seconds=15)
    """How often it is asked, from 1s to 1h. After two intervals without an answer nothing is known any more."""
    timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=100), le=timedelta(minutes=1))] | None = None
    """How long an answer may take in all, from the name lookup to its last byte; at most one interval. Default: 5s, or the interval."""

    @model_validator(mode="after")
    def _answers_in_time(self) -> Self:
        if self.timeout is not None and self.timeout > self.interval:
            raise ValueError("timeout is longer than interval, so an answer could come after the next question")
        return self

    @property
    def deadline(self) -> timedelta:
        """How long an answer may take."""
        return self.timeout or min(_USUALLY, self.interval)

    @property
    def needed(self) -> int:
        """How many bad answers in a row fire."""
        raise NotImplementedError

    def wants(self, asking: Asking) -> Query:
        """Return what is to be asked; a query without requests where there is nobody to ask."""
        raise NotImplementedError

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say what an answer to the query means."""
        raise NotImplementedError

    def state(self, samples: tuple[Sample, ...], now: datetime) -> State:
        """Return the verdict of the samples."""
        row = unbroken(samples, now, self.interval)
        if not row or (row[0].state is State.FIRING and len(row) < self.needed):
            return State.UNKNOWN
        return row[0].state

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:  # noqa: ARG002 - the detectors' common shape
        """Return the finding of the samples that were asked for later than `after`."""
        samples = tuple(one for one in seen.samples.get(trigger, ()) if after is None or one.at > after)
        state = self.state(samples, seen.now)
        if seen.workload is not None and seen.workload.replicas == 0:
            return Finding(trigger, self.reason, State.QUIET, "it is scaled to zero, so that nothing answers, as is wanted")
        if state is State.UNKNOWN:
            return self._unknown(seen, trigger, samples)
        last = samples[-1]
        if state is State.QUIET:
            return Finding(trigger, self.reason, state, last.message)
        row = len(unbroken(samples, seen.now, self.interval))
        return Finding(trigger, self.reason, state, f"{last.message}; {row} times in a row", since=last.since)

    def _unknown(self, seen: Observation, trigger: str, samples: tuple[Sample, ...]) -> Finding:
        row = unbroken(samples, seen.now, self.interval)
        kind = Reason.SignalUnknown
        if row and row[0].state is State.FIRING:
            kind, message = self.reason, f"{row[0].message}; fewer than {self.needed} times in a row so far"
        elif row:
            message = row[0].message
        elif samples:
            message = f"the last answer is older than two intervals of {spell(self.interval)}"
        else:
            message = "nothing has been asked yet" if not seen.samples.get(trigger) else "nothing has been asked since the last action yet"
        # The next answer may bring no new verdict to the sampler, and yet be the first that counts here.
        return Finding(trigger, kind, State.UNKNOWN, message, look_again=self.interval)


class PolledInARow(Polled):
    """One that fires after so many bad answers in a row."""

    failures: Annotated[int, Field(ge=1, le=20)] = 3
    """So many bad answers in a row fire."""

    @property
    def needed(self) -> int:
        """How many bad answers in a row fire."""
        return self.failures
