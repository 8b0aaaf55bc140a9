"""How many of a revision's started pods show a trouble, against the share that a policy asks for."""

from dataclasses import dataclass

from stopgap.model.observation import Observation
from stopgap.model.workload import Revision


@dataclass(frozen=True, slots=True)
class Share:
    """Whether the share is reached, and how to say it."""

    reached: bool
    text: str


def share_of_all(revision: Revision, troubled: int, at_least: str) -> Share:
    """Compare the troubled pods of a revision with all of its pods: where nothing could be started, started pods are no measure."""
    pods = max(revision.replicas, troubled)
    return Share(troubled > 0 and troubled * 100 >= int(at_least.rstrip("%")) * pods, f"{troubled} of {pods} pods")


def share_of_started(seen: Observation, revision: Revision, troubled: int, at_least: str) -> Share:
    """Compare the troubled pods of a revision with all its pods in which anything was started."""
    started = max(seen.started_pods(revision), troubled)
    reached = troubled > 0 and troubled * 100 >= int(at_least.rstrip("%")) * started
    return Share(reached, f"{troubled} of {started} started pods")
