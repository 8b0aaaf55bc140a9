"""What fails: the pods and the container that tell most about an incident, and why the container fails, in words."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from stopgap.api.incident import IncidentStatus
from stopgap.core.case import Case
from stopgap.model.logs import redacted
from stopgap.model.text import plain
from stopgap.model.workload import RESTART_OF_A_CRASH_LOOP, Container, Pod, Revision

MOST_REVISIONS: Final = 5
LATELY: Final = timedelta(minutes=10)
"""A container that is ready is taken to fail only if it ended within this time: it may turn ready between its exits."""
_LONGEST_QUOTED: Final = 1024
_STARTING: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_SIGNALS: Final = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL"} | {
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
_BY_SIGNAL: Final = 128
"""A shell's way to say it, which container runtimes have taken over: 128 and the number of the signal."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An incident's workload as it was when it was looked into."""

    case: Case
    status: IncidentStatus
    onset: datetime
    revision: Revision | None
    """The revision that was current at onset, whatever was written since."""
    revisions: tuple[Revision, ...]
    """The newest ones, newest first."""
    pods: tuple[Pod, ...]
    """Those that fail, those that tell most first."""
    container: str
    """The container that fails in them, or empty."""

    @property
    def ended(self) -> bool:
        """Whether the failing container has ended before: then the logs of the run before say why."""
        return any(one.waiting == RESTART_OF_A_CRASH_LOOP or one.restarts for one in self._failing())

    def _failing(self) -> list[Container]:
        return [one for pod in self.pods[:1] for one in pod.containers if one.name == self.container]


def scene(case: Case, status: IncidentStatus) -> Scene:
    """Say what fails, from the facts of this moment and from what the incident says of its onset."""
    seen = case.seen
    revisions = tuple(one for one in seen.revisions if one.number)[:MOST_REVISIONS] or seen.revisions[:MOST_REVISIONS]
    # After a rollback the newest revision is the one that was put back: the incident remembers which one failed.
    revision = next((one for one in seen.revisions if one.number == status.revision), None) or seen.newest
    # By pod and container: how much each explains, where it fails at all.
    weights = {(pod.uid, one.name): weight for pod in seen.pods for one in pod.containers if (weight := _weight(one, case.now))}
    of_pod = {pod.uid: max((weights.get((pod.uid, one.name), 0) for one in pod.containers), default=0) for pod in seen.pods}
    pods = sorted((pod for pod in seen.pods if of_pod[pod.uid]), key=lambda pod: (-of_pod[pod.uid], pod.leaving, pod.created, pod.name))
    failing = [pod for pod in pods if revision and pod.owner == revision.uid] or pods
    first = failing[0] if failing else None
    worst = max(first.containers, key=lambda one: weights.get((first.uid, one.name), 0)).name if first else ""
    onset = status.started_at or status.detected_at or case.now
    return Scene(case, status, onset, revision, revisions, tuple(pod for pod in failing if (pod.uid, worst) in weights), worst)


def _weight(one: Container, now: datetime) -> int:
    end = one.ended or one.last_ended
    if one.init and one.ended is not None and one.ended.code == 0:
        return 0
    if one.ready and (end is None or end.finished is None or now - end.finished > LATELY):
        return 0  # that it ended once is long over
    if end is not None:
        return 3
    if one.waiting not in _STARTING:
        return 2
    return 1 if not one.ready and not one.init and one.running_since else 0


def quoted(text: str, most: int) -> str:
    """Return what others wrote on one line of at most `most` characters, masked before it is cut: half a secret would not look like one."""
    return plain(redacted(text[: 4 * _LONGEST_QUOTED]), most)


def why(one: Container) -> str:
    """Say why a container fails."""
    end = one.ended or one.last_ended
    if end is None:
        return f"waits: {one.waiting} ({quoted(one.waiting_message, 200)})" if one.waiting not in _STARTING else "runs and is not ready"
    last = f", last at {end.finished:%H:%M:%S}" if end.finished else ""
    again = f", {one.restarts} restarts" if one.restarts else ""
    return f"{_ended(end.code, end.reason)}{again}{last}"


def _ended(code: int, reason: str) -> str:
    if reason == "OOMKilled":
        return f"killed for using more memory than its limit (OOMKilled, exit code {code})"
    if code > _BY_SIGNAL:
        number = code - _BY_SIGNAL
        return f"ended by signal {number}{f' ({_SIGNALS[number]})' if number in _SIGNALS else ''}, exit code {code}"
    told = f" ({reason})" if reason not in {"", "Error", "Completed"} else ""
    return f"exit code {code}{told}" if code else "ends with exit code 0, though it is meant to go on"
