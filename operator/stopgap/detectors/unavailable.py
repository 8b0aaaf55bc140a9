"""`unavailable`: fewer replicas are available than the policy wants."""

from datetime import datetime, timedelta

from stopgap.model.base import ApiModel, Percent
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Level, State


class Unavailable(ApiModel):
    """Fires when fewer replicas than `below` are available, whatever the cause. A workload scaled to zero is quiet."""

    below: Percent = "80%"
    """Share of the wanted replicas. Replicas that were asked for less than `for` ago do not count."""
    for_: Duration = timedelta(minutes=1)
    """How long it must have lasted."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:  # noqa: ARG002 - the detectors' common shape
        """Say whether availability has been below the share during the whole of the last `for`."""
        work = seen.workload
        if work is None or not seen.synced:
            return Finding(trigger, Reason.Unavailable, State.UNKNOWN, "the workload is not known yet")
        if work.replicas == 0 or not self._short(work.available_replicas, work.replicas):
            return Finding(
                trigger,
                Reason.Unavailable,
                State.QUIET,
                f"{work.available_replicas} of {work.replicas} replicas are available",
            )
        since = self._short_since(seen)
        if seen.now - since < self.for_:
            left = self.for_ - (seen.now - since)
            message = f"{work.available_replicas} of {work.replicas} replicas are available, for less than {spell(self.for_)}"
            return Finding(trigger, Reason.Unavailable, State.UNKNOWN, message, look_again=left)
        lasted = spell(timedelta(seconds=round((seen.now - since).total_seconds())))
        message = f"{work.available_replicas} of {work.replicas} replicas available for {lasted}"
        revision = seen.newest.uid if seen.newest else ""
        return Finding(trigger, Reason.Unavailable, State.FIRING, message, since=since, revision=revision)

    def _short(self, available: int, wanted: int) -> bool:
        return available * 100 < int(self.below.rstrip("%")) * wanted

    def _short_since(self, seen: Observation) -> datetime:
        """Walk back over the levels; replicas count from `for` after they were asked for, hence the least wanted within the window."""
        window = [one for one in seen.levels if one.at > seen.now - self.for_]
        before = [one for one in seen.levels if one.at <= seen.now - self.for_]
        recent = (*before[-1:], *window)
        wanted = min((one.wanted for one in recent), default=0)
        return self._walk(seen, seen.levels, wanted)

    def _walk(self, seen: Observation, levels: tuple[Level, ...], wanted: int) -> datetime:
        since = seen.now
        for level in reversed(levels):
            # A level is judged by what was wanted then, and by no more than counts now.
            if not self._short(level.available, min(wanted, level.wanted)):
                break
            since = level.at
        return since
