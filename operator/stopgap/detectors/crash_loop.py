"""`crashLoop`: containers of the newest revision exit again and again.

Exits are counted, not readiness: a pod that turns Ready between its exits cannot reset the count, and the count is known long before
the kubelet writes CrashLoopBackOff.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from stopgap.detectors.share import share_of_started
from stopgap.model.base import ApiModel, Percent
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import RESTART_OF_A_CRASH_LOOP, Container, Exit, Pod, Revision, State

_OUT_OF_MEMORY = "OOMKilled"


class CrashLoop(ApiModel):
    """Fires when containers of the newest revision exit again and again; also on pods that turn Ready in between."""

    exits: Annotated[int, Field(ge=1, le=100)] = 3
    """How many exits of one container within `within` make a crash loop. 1 acts on the first exit: for workloads that never restart."""
    within: Duration = timedelta(minutes=5)
    """The window that exits are counted in. A container that waits in CrashLoopBackOff after that many restarts counts without it."""
    pods_at_least: Percent = "50%"
    """Share of the revision's started pods that must be crashing, so that one bad node or one bad shard does not undo a release."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:
        """Say whether the newest revision crash-loops, counting only exits later than `after`."""
        newest = seen.newest
        if newest is None or not seen.synced:
            return Finding(trigger, Reason.CrashLoop, State.UNKNOWN, "the newest revision is not known yet")
        exits = [one for owner, one in seen.exits if owner == newest.uid and (after is None or one.at > after)]
        own = [one for one in exits if seen.template is None or one.container in seen.template.containers]
        for counted, cause in ((own, None), (exits, Reason.InjectedContainer)):
            crashing = self._crashing(seen, newest, counted)
            share = share_of_started(seen, newest, len({key[0] for key in crashing}), self.pods_at_least)
            if crashing and share.reached:
                return _firing(trigger, newest, [one for group in crashing.values() for one in group], share=share.text, cause=cause)
        return self._quiet(seen, trigger, newest, own, quiet_for)

    def _crashing(self, seen: Observation, newest: Revision, exits: Iterable[Exit]) -> dict[tuple[str, str], list[Exit]]:
        by_container: dict[tuple[str, str], list[Exit]] = defaultdict(list)
        recent = seen.now - self.within
        for one in exits:
            by_container[one.pod_uid, one.container].append(one)
        backing_off = {
            (pod.uid, container.name)
            for pod in seen.pods_of(newest)
            if not pod.leaving
            for container in pod.containers
            if container.waiting == RESTART_OF_A_CRASH_LOOP and container.restarts >= self.exits
        }
        looping: dict[tuple[str, str], list[Exit]] = {}
        for key, group in by_container.items():
            current = [one for one in group if one.at >= recent]
            # In a back-off of minutes the window alone would fall silent; then it is the last exits that make the loop.
            if len(current) >= self.exits or key in backing_off:
                looping[key] = current if len(current) >= self.exits else group[-self.exits :]
        return looping

    def _quiet(self, seen: Observation, trigger: str, newest: Revision, exits: list[Exit], quiet_for: timedelta) -> Finding:
        restless = [pod for pod in seen.pods_of(newest) if not pod.leaving and _restless(seen.now, pod, exits, quiet_for)]
        if not restless:
            return Finding(trigger, Reason.CrashLoop, State.QUIET, "no container of the newest revision exits repeatedly")
        message = (
            f"{restless[0].name} exited within the last {spell(quiet_for)}; not enough to call it a crash loop, too recent to call it quiet"
        )
        return Finding(trigger, Reason.CrashLoop, State.UNKNOWN, message, revision=newest.uid, look_again=quiet_for)


def _firing(trigger: str, newest: Revision, exits: list[Exit], *, share: str, cause: Reason | None) -> Finding:
    first, last = min(one.at for one in exits), max(exits, key=lambda one: one.at)
    span = spell(timedelta(seconds=max(round((last.at - first).total_seconds()), 0)))
    where = "injected container" if cause else ("init container" if last.init else "container")
    ended = "out of memory" if last.reason == _OUT_OF_MEMORY else f"code {last.code}"
    message = f"{len(exits)} exits in {span} of {where} {last.container}, last in {last.pod}, {ended}; {share}"
    nodes = frozenset(one.node for one in exits if one.node)
    return Finding(trigger, _kind(exits), State.FIRING, message, since=first, revision=newest.uid, nodes=nodes, cause=cause)


def _kind(exits: list[Exit]) -> Reason:
    if all(one.reason == _OUT_OF_MEMORY for one in exits):
        return Reason.OOMKilled
    return Reason.InitCrashLoop if all(one.init for one in exits) else Reason.CrashLoop


def _restless(now: datetime, pod: Pod, exits: list[Exit], quiet_for: timedelta) -> bool:
    troubled = {one.container for one in exits if one.pod_uid == pod.uid}
    return any(_too_young(now, one, quiet_for) for one in pod.containers if one.name in troubled)


def _too_young(now: datetime, container: Container, quiet_for: timedelta) -> bool:
    if container.init and container.ended is not None and container.ended.code == 0:
        return False
    return container.running_since is None or now - container.running_since < quiet_for
