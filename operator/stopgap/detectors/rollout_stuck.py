"""`rolloutStuck`: a rollout makes no progress."""

from datetime import datetime, timedelta

from stopgap.model.base import ApiModel
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import State, Workload

_DEADLINE = "ProgressDeadlineExceeded"


class RolloutStuck(ApiModel):
    """Fires when a rollout makes no progress. A release that flaps counts as progress to Kubernetes: use crashLoop beside it."""

    after: Duration | None = None
    """How long without progress. Default: the Deployment's own progressDeadlineSeconds, as the Deployment controller reports it.

    StatefulSets and DaemonSets have no such deadline, so that a policy about them has to say how long."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:  # noqa: ARG002 - the detectors' common shape
        """Say whether the newest revision's rollout stands still."""
        work, newest = seen.workload, seen.newest
        if work is None or newest is None or not seen.synced:
            return Finding(trigger, Reason.RolloutStuck, State.UNKNOWN, "the newest revision is not known yet")
        progress = work.progressing
        if work.paused or work.finished or (work.rolled_out and work.available_replicas >= work.least_available):
            # A rollout that was finished once is over: what is lost afterwards is the matter of `unavailable`.
            return Finding(trigger, Reason.RolloutStuck, State.QUIET, "no rollout is waiting")
        moved = max((one for one in (progress.updated if progress else None, seen.current_since) if one), default=None)
        if progress and progress.reason == _DEADLINE:
            # The condition flips when the deadline is over: the last progress was that long before.
            return _firing(trigger, work, newest.uid, (progress.since or seen.now) - work.progress_deadline, seen.now)
        if self.after is None or moved is None:
            return Finding(trigger, Reason.RolloutStuck, State.QUIET, "the rollout is within its own deadline")
        if seen.now - moved >= self.after:
            return _firing(trigger, work, newest.uid, moved, seen.now)
        left = self.after - (seen.now - moved)
        return Finding(trigger, Reason.RolloutStuck, State.QUIET, "the rollout is progressing", look_again=left)


def _firing(trigger: str, work: Workload, revision: str, since: datetime, now: datetime) -> Finding:
    stood = spell(timedelta(seconds=round((now - since).total_seconds())))
    message = f"no progress for {stood}: {work.updated_replicas} of {work.replicas} replicas updated, {work.available_replicas} available"
    return Finding(trigger, Reason.RolloutStuck, State.FIRING, message, since=since, revision=revision)
