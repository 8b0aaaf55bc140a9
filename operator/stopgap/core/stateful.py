"""What the controller of StatefulSets will not do by itself: reasons not to act, and what people have to do beside an action."""

from stopgap.api.ladder import Step
from stopgap.core.case import Case
from stopgap.core.situation import Situation
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.stateful import ON_DELETE, StatefulSet
from stopgap.model.workload import Pod


def no_rolling_update(situation: Situation) -> Refusal | None:
    """Where pods are replaced by hand only, a changed template does nothing."""
    work = situation.case.seen.workload
    if not isinstance(work, StatefulSet) or not situation.rolls_pods:
        return None
    if work.strategy == ON_DELETE:
        message = (
            f"{work.target} replaces a pod only when somebody deletes it (updateStrategy OnDelete), so that a changed template does nothing"
        )
    elif work.partition >= work.replicas > 0:
        message = f"{work.target} keeps all of its pods as they are (updateStrategy.rollingUpdate.partition is {work.partition} or more)"
    else:
        return None
    return Refusal(Reason.NoRollingUpdate, f"{message}; decide by hand")


def ordered_ready(situation: Situation) -> Refusal | None:
    """Pods that wait for each other wait for the broken one too: neither another number nor a restart gets past it."""
    work, seen = situation.case.seen.workload, situation.case.seen
    waits = isinstance(work, StatefulSet) and work.ordered and not situation.outside
    ill = _not_ready(seen) if waits else ()
    if not ill or (situation.action is not None and situation.action.undoes):
        return None
    return Refusal(
        Reason.OrderedReady,
        f"{ill[0].name} is not ready, and until it is, no pod of {seen.target} is added, replaced or taken away (podManagementPolicy "
        f"OrderedReady); {_by_hand(ill[0], seen)}",
    )


def said(case: Case, step: Step) -> str:
    """Say what people have to do beside the step, or nothing: the older template alone does not heal a pod that the others wait for."""
    work, newest = case.seen.workload, case.seen.newest
    if step.rollback is None or not isinstance(work, StatefulSet) or not work.ordered or newest is None:
        return ""
    ill = [pod for pod in _not_ready(case.seen) if pod.owner == newest.uid]
    return f"; it does not replace a pod that is not ready (OrderedReady), so then {_by_hand(ill[0], case.seen)}" if ill else ""


def held_up(seen: Observation) -> str:
    """Say which pod of another revision a rollout waits for and what to do about it, or nothing."""
    if not isinstance(seen.workload, StatefulSet) or seen.newest is None:
        return ""
    ill = next((pod for pod in _not_ready(seen) if pod.owner != seen.newest.uid), None)
    return f"; {ill.name} of another revision is not ready and holds it up: {_by_hand(ill, seen)}" if ill else ""


def _not_ready(seen: Observation) -> tuple[Pod, ...]:
    return tuple(pod for pod in seen.pods if not pod.ready and not pod.leaving)


def _by_hand(pod: Pod, seen: Observation) -> str:
    return f"delete it by hand, kubectl delete pod {pod.name} -n {seen.target.namespace}"
