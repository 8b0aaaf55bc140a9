"""What the controller of StatefulSets (or of DaemonSets) will not do by itself: reasons not to act, and what is left to people."""

from stopgap.api.ladder import Step
from stopgap.api.remediation import Remediation
from stopgap.api.replacing import MOST_REPLACED
from stopgap.core.case import Case
from stopgap.core.situation import Situation
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.revised import ON_DELETE, Revised, StatefulSet, ordinal
from stopgap.model.workload import Pod


def no_rolling_update(situation: Situation) -> Refusal | None:
    """Where pods are replaced by hand only, a changed template does nothing."""
    work = situation.case.seen.workload
    if not isinstance(work, Revised) or not situation.rolls_pods:
        return None
    if work.strategy == ON_DELETE:
        message = (
            f"{work.target} replaces a pod only when somebody deletes it (updateStrategy OnDelete), so that a changed template does nothing"
        )
    elif isinstance(work, StatefulSet) and work.partition >= work.replicas > 0:
        message = f"{work.target} keeps all of its pods as they are (updateStrategy.rollingUpdate.partition is {work.partition} or more)"
    else:
        return None
    return Refusal(Reason.NoRollingUpdate, f"{message}; decide by hand")


def ordered_ready(situation: Situation) -> Refusal | None:
    """Pods that wait for each other wait for the broken one too: neither another number nor a restart gets past it."""
    work, seen = situation.case.seen.workload, situation.case.seen
    waits = isinstance(work, StatefulSet) and work.ordered and not situation.outside
    ill = not_ready(seen) if waits else ()
    if not ill or (situation.action is not None and situation.action.undoes):
        return None
    return Refusal(
        Reason.OrderedReady,
        f"{ill[0].name} is not ready, and until it is, no pod of {seen.target} is added, replaced or taken away (podManagementPolicy "
        f"OrderedReady); {_by_hand(ill[0], seen)}",
    )


def said(case: Case, step: Step) -> str:
    """Say what has to be done beside the step, or nothing: the older template alone does not heal a pod that the others wait for."""
    work, newest = case.seen.workload, case.seen.newest
    if step.rollback is None or not isinstance(work, StatefulSet) or not work.ordered or newest is None:
        return ""
    ill = next((pod for pod in not_ready(case.seen) if pod.owner == newest.uid), None)
    if ill is None:
        return ""
    return f"; pods of {newest.number} that are not ready, as {ill.name}, are then deleted one at a time (OrderedReady)"


def held_up(seen: Observation, remediation: Remediation) -> str:
    """Say which pod of another revision a rollout waits for and what is done about it, or nothing."""
    pod = in_the_way(seen)
    if pod is None:
        return ""
    return f"; {waited_for(pod)}: {left_to_people(seen, remediation, pod) or 'it is deleted, when its turn comes'}"


def waited_for(pod: Pod) -> str:
    """Say that a rollout waits for a pod."""
    return f"{pod.name} of another revision is not ready and holds it up"


def in_the_way(seen: Observation) -> Pod | None:
    """Return the pod of another revision than the wanted one that a rollout of pods that wait for each other waits for."""
    work, newest = seen.workload, seen.newest
    if not isinstance(work, StatefulSet) or not work.ordered or newest is None:
        return None
    # The controller goes from the lowest ordinal up and stops at the first that is not ready: only that one is in the way.
    first = min(not_ready(seen), key=lambda pod: ordinal(pod.name), default=None)
    return first if first is not None and first.owner != newest.uid else None


def left_to_people(seen: Observation, remediation: Remediation, pod: Pod) -> str:
    """Say why a pod that is in the way is not deleted and what to do about it; nothing: it is, when its turn comes."""
    plan, work, done = remediation.spec.plan, seen.workload, remediation.status.replaced if remediation.status else ()
    bad = next((one for one in seen.revisions if one.number == plan.from_revision), None)
    refused = next((one.refused for one in done if one.uid == pod.uid and one.refused), "")
    if not isinstance(work, StatefulSet) or remediation.spec.action != "Rollback" or bad is None or pod.owner != bad.uid:
        why = ""
    elif work.strategy == ON_DELETE:
        why = "its StatefulSet leaves that to people (updateStrategy OnDelete); "
    elif ordinal(pod.name) - work.first_ordinal < work.partition:
        why = f"it would only come back as it is (updateStrategy.rollingUpdate.partition is {work.partition}); lower that, then "
    elif refused:
        why = f"the API server refused to delete it ({refused}); "
    elif len(done) >= MOST_REPLACED or any(one.pod == pod.name and one.uid != pod.uid for one in done):
        why = "it was made anew already; "
    else:
        return ""
    return f"{why}{_by_hand(pod, seen)}"


def not_ready(seen: Observation) -> tuple[Pod, ...]:
    """Return the pods that are not ready and stay."""
    return tuple(pod for pod in seen.pods if not pod.ready and not pod.leaving)


def _by_hand(pod: Pod, seen: Observation) -> str:
    return f"delete it by hand, kubectl delete pod {pod.name} -n {seen.target.namespace}"
