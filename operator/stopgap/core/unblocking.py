"""The way back of pods that wait for each other: which pod of the bad revision is deleted next. Asked while an action is verified."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from stopgap.api import Remediation
from stopgap.api.replacing import ReplacedPod
from stopgap.core import objecting, stateful
from stopgap.core.case import Case
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.revised import ordinal
from stopgap.model.workload import Pod

AGAIN: Final = timedelta(seconds=2)
"""When to look again where no event tells that the pod is gone."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """What is done about a pod that the way back waits for."""

    pod: ReplacedPod | None
    """The pod that is deleted now; None: something stands against it."""
    reason: Reason
    message: str


def look(case: Case, active: Remediation, found: tuple[Finding, ...]) -> Stuck | None:
    """See to a pod of the bad revision that all others wait for; None: there is none, or the one before is still on its way back."""
    pod = stateful.in_the_way(case.seen)
    if pod is None or active.spec.action != "Rollback":
        return None
    told = stateful.waited_for(pod)
    if hands := stateful.left_to_people(case.seen, active, pod):
        return Stuck(None, Reason.OrderedReady, f"{told}: {hands}")
    if (due := _due(case, active, pod)) is None:
        return None
    if against := objecting.objection(case, active, found):
        return Stuck(None, against.reason, f"{told}, and is not deleted: {against.message}")
    return Stuck(due, Reason.PodDeleted, f"{told}; it is deleted, so that it is made anew")


def _due(case: Case, active: Remediation, pod: Pod) -> ReplacedPod | None:
    seen, work, done = case.seen, case.seen.workload, active.status.replaced if active.status else ()
    if work is None or (done and done[-1].uid == pod.uid):
        return done[-1] if done else None  # it was meant already, and a crash may have kept it from being deleted
    missing = work.replicas - work.available_replicas - len(stateful.not_ready(seen))
    follows = bool(done) and ordinal(done[-1].pod) < ordinal(pod.name)
    if any(one.leaving for one in seen.pods) or (follows and missing > 0):
        return None
    return ReplacedPod(pod=pod.name, uid=pod.uid, revision=pod.owner, decided_at=case.now)
