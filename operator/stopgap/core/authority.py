"""Whether Stopgap may do what a step wants: the owner of a namespace grants it, action by action, and Secret by Secret."""

from stopgap.core.situation import Situation
from stopgap.model.base import action_role
from stopgap.model.change import Aim
from stopgap.model.observation import Refusal, Right
from stopgap.model.reasons import Reason


def not_authorized(situation: Situation) -> Refusal | None:
    """The owner of a namespace grants each action by a RoleBinding."""
    live, (namespace, kind, _), action = situation.case.seen.live, situation.case.seen.target, situation.action
    if situation.outside:
        return _lacks(situation)
    if live is None or action is None or (live.may_patch_scaler if situation.by_autoscaler else live.may_patch):
        return None
    what = f"{live.scaler.kind.lower()}s" if situation.by_autoscaler and live.scaler else f"{kind.lower()}s"
    return Refusal(Reason.NotAuthorized, f"Stopgap may not patch {what} in {namespace}; {_grant(situation)}")


def _lacks(situation: Situation) -> Refusal | None:
    live, aim, namespace = situation.case.seen.live, situation.aim, situation.case.seen.target.namespace
    needs = aim.needs if isinstance(aim, Aim) else frozenset[Right]()
    lacking = sorted((one for one in needs if live is not None and not live.rights.get(one, True)), key=str)
    if not lacking:
        return None
    where = "its own namespace" if any(one.platform for one in needs) else namespace
    said = f"Stopgap may not {', '.join(str(one) for one in lacking)} in {where}"
    if all(one.name for one in lacking):
        return Refusal(
            Reason.NotAuthorized, f"{said}; allow it by a Role with resourceNames there, bound to --serviceaccount=stopgap-system:stopgap"
        )
    return Refusal(Reason.NotAuthorized, f"{said}; {_grant(situation)}")


def _grant(situation: Situation) -> str:
    name, namespace = situation.action.name if situation.action else "", situation.case.seen.target.namespace
    return (
        f"allow it with: kubectl create rolebinding stopgap-{name} -n {namespace} "
        f"--clusterrole={action_role(name)} --serviceaccount=stopgap-system:stopgap"
    )
