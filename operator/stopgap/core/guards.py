"""The reasons not to act, in the order in which they are told. Each is a function of the situation and knows one reason.

Guards stop actions. They never stop observation, or a person's order to stop.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase

from stopgap.api.clusterpolicy import Policy, called
from stopgap.api.ladder import Mode, Step
from stopgap.api.remediation import Remediation
from stopgap.core import attribution, authority, consent, freeze, lifecycle, limits, stateful, suspending
from stopgap.core.case import Case
from stopgap.core.marks import RESTORE, orphan, still_done, still_lent
from stopgap.core.situation import Situation
from stopgap.model.conditions import holds
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

Guard = Callable[[Situation], Refusal | None]


def refusals(situation: Situation) -> tuple[Refusal, ...]:
    """Return every reason that holds, in order."""
    return tuple(refusal for guard in GUARDS if (refusal := guard(situation)))


def mode(case: Case, policy: Policy, step: Step, *, ordered: bool = False) -> Mode:
    """Return the lowest of the platform's ceiling, the policy's mode and the step's; for what a person ordered, the ceiling alone."""
    ceiling = case.config.max_mode if case.config else Mode.OBSERVE
    if ordered:
        return ceiling
    boldness = tuple(Mode)
    return min(ceiling, policy.spec.mode, step.mode or policy.spec.mode, key=boldness.index)


def not_leader(situation: Situation) -> Refusal | None:
    """Only the leader acts."""
    if situation.case.leading:
        return None
    return Refusal(Reason.NotLeader, "this copy of Stopgap is the standby; the holder of the Lease acts")


def paused(situation: Situation) -> Refusal | None:
    """A pause anywhere is a pause: config, policy, namespace or workload."""
    return limits.stopped(situation.case, situation.policy)


def excluded(situation: Situation) -> Refusal | None:
    """The platform keeps automation out of some namespaces."""
    namespace, config = situation.case.seen.target.namespace, situation.case.config
    if config and any(fnmatchcase(namespace, pattern) for pattern in config.excluded_namespaces):
        return Refusal(Reason.Excluded, f"namespace {namespace} is excluded by the RemediationConfig (spec.excludedNamespaces)")
    return None


def target_busy(situation: Situation) -> Refusal | None:
    """One action at a time on a workload."""
    if (busy := limits.busy(situation.case)) is not None:
        return busy
    if situation.outside:
        return _not_put_back(still_done(situation.case, situation.step.name))
    return None if situation.rolls_pods else _still_lent(situation.case)


def _not_put_back(lent: Remediation | None) -> Refusal | None:
    return Refusal(Reason.TargetBusy, f"{lent.metadata.name} ({lent.spec.plan.summary}) has not been put back yet") if lent else None


def _still_lent(case: Case) -> Refusal | None:
    if (lent := still_lent(case)) is not None:
        return _not_put_back(lent)
    if (lost := orphan(case)) is not None:
        return Refusal(Reason.TargetBusy, f"{lost.field} was set to {lost.ours} for a while ({RESTORE}) and has not been put back yet")
    return None


def contested(situation: Situation) -> Refusal | None:
    """Somebody put back what this incident's action had removed. Stopgap never fights."""
    by = "" if situation.ordered else put_back(situation.case)
    return Refusal(Reason.Contested, by) if by else None


def put_back(case: Case) -> str:
    """Say who put the bad template back after an action of this incident had succeeded, or nothing."""
    template, work = case.seen.template, case.seen.workload
    last = next((one for one in reversed(case.of_incident()) if one.spec.action == "Rollback"), None)
    acted = last is not None and last.status is not None and last.status.executed_at is not None
    if last is None or not acted or template is None or work is None or template.digest != last.spec.plan.from_digest:
        return ""
    return (
        f"{work.changed_by or 'somebody'} put the bad template back; Stopgap does not fight. Find out who deploys it, and stop that first"
    )


def handed_over(situation: Situation) -> Refusal | None:
    """Once people were called, they decide: what one of them orders is done."""
    if not holds(situation.case.status.conditions, "Escalated") or situation.ordered:
        return None
    return Refusal(Reason.Escalated, lifecycle.HANDED_OVER)


def owned_by_controller(situation: Situation) -> Refusal | None:
    """Whoever controls the object would undo a change of it."""
    work = situation.case.seen.workload
    if work is None or not work.controller or situation.outside:
        return None
    return Refusal(Reason.OwnedByController, f"{work.controller} controls this workload; make the change there")


def gitops_owned(situation: Situation) -> Refusal | None:
    """A reconciling owner would put the bad revision back within seconds."""
    live, policy = situation.case.seen.live, situation.policy
    if live is None or not live.owner or situation.outside or not suspending.blocks(policy.spec.git_ops, live):
        return None
    return Refusal(Reason.GitOpsOwned, live.owner)


def deployment_paused(situation: Situation) -> Refusal | None:
    """A paused Deployment does not roll out; unpausing it is not ours to do."""
    work = situation.case.seen.workload
    if work is None or not work.paused or not situation.rolls_pods:
        return None
    return Refusal(
        Reason.DeploymentPaused,
        f"{work.target} is paused (spec.paused); a changed template would not roll out. kubectl rollout resume, if it should",
    )


def rollout_in_progress(situation: Situation) -> Refusal | None:
    """A newer template than the judged one was written: it is judged first."""
    work = situation.case.seen.workload
    if work is None or (situation.case.seen.newest is not None and work.observed_generation >= work.generation):
        return None
    return Refusal(Reason.RolloutInProgress, "the spec was changed and its controller has not taken it up yet; it is judged when it has")


def impossible(situation: Situation) -> Refusal | None:
    """The action itself finds nothing to do: no healthy revision, no room for more replicas, nothing to change."""
    if isinstance(situation.aim, Refusal):
        return situation.aim
    return situation.plan if isinstance(situation.plan, Refusal) else None


def no_healthy_revision(situation: Situation) -> Refusal | None:
    """What is there now must be what was recorded as healthy."""
    back_to, template = situation.back_to, situation.older
    if back_to is None or template is None:
        return None
    recorded = next((one.digest for one in situation.case.health.known_good if one.replica_set_uid == back_to.uid), None)
    if recorded and template.digest != recorded:
        return Refusal(
            Reason.NoHealthyRevision,
            f"the template of {back_to.name} is not the one that was recorded as healthy",
        )
    return None


def reference_missing(situation: Situation) -> Refusal | None:
    """The older template must be able to start."""
    live, older = situation.case.seen.live, situation.older
    # The template of the revision before was read too, for the comparison; what that one needs does not matter here.
    missing = [one for one in live.missing if one in older.references] if live and older else []
    if not missing:
        return None
    return Refusal(
        Reason.ReferenceMissing,
        f"the older template needs {', '.join(missing[:5])}, which does not exist; restore it first",
    )


def rollback_forbidden(situation: Situation) -> Refusal | None:
    """A one-way door, such as a migration, is not gone back through."""
    newest, back_to = situation.case.seen.newest, situation.back_to
    if newest is None or back_to is None:
        return None
    between = [one for one in situation.case.seen.revisions if back_to.number < one.number <= newest.number and one.forbids_rollback]
    if not between:
        return None
    numbers = ", ".join(str(one.number) for one in between)
    return Refusal(
        Reason.RollbackForbidden,
        f"revision {numbers} is annotated stopgap.dev/rollback: Forbidden, so nothing rolls back over it; fix forward",
    )


def mutable_image(situation: Situation) -> Refusal | None:
    """The tag `latest` may mean the bad image by now."""
    older = situation.older
    mutable = [image for image in older.containers.values() if _is_mutable(image)] if older else []
    if not mutable:
        return None
    return Refusal(
        Reason.MutableImage,
        f"{mutable[0]} of the older template names no fixed version, so it may pull the bad image; use a version tag or a digest",
    )


def _is_mutable(image: str) -> bool:
    if "@" in image:
        return False
    _, _, tag = image.rpartition("/")[2].partition(":")
    return tag in {"", "latest"}


def recreate_outage(situation: Situation) -> Refusal | None:
    """While some pods still serve, a strategy that takes all of them down makes it worse."""
    work = situation.case.seen.workload
    if work is None or work.available_replicas == 0 or not situation.rolls_pods:
        return None
    if work.strategy != "Recreate" and (work.replicas <= 1 or work.least_available > 0):
        return None
    return Refusal(
        Reason.RecreateOutage,
        f"{work.available_replicas} of {work.replicas} pods still serve, and the strategy ({work.strategy}) would take them down first; "
        "decide by hand",
    )


def attributable(situation: Situation) -> Refusal | None:
    """What is wrong must be something that the action can cure; to undo a release, the newest revision must be to blame."""
    undoes = situation.action is not None and situation.action.undoes
    return attribution.cause(situation.case, situation.findings, situation.step.changed_within, undoes=undoes)


def policy_changed(situation: Situation) -> Refusal | None:
    """What was decided on must still be what is declared."""
    live = situation.case.seen.live
    if live is None or live.policy_current:
        return None
    return Refusal(
        Reason.Superseded,
        f"{called(situation.policy)} was changed or deleted a moment ago, or left this namespace; it is decided afresh",
    )


def observe_only(situation: Situation) -> Refusal | None:
    """Told last, so that Observe shows what else would have stood against the action."""
    case, policy, step = situation.case, situation.policy, situation.step
    if mode(case, policy, step, ordered=situation.ordered) is not Mode.OBSERVE:
        return None
    if policy.spec.mode is Mode.OBSERVE and not situation.ordered:
        message = f"{called(policy)} is in mode Observe; set spec.mode: Automatic to let it act"
    elif step.mode is Mode.OBSERVE and not situation.ordered:
        message = f"step {step.name} of {called(policy)} is in mode Observe; remove its mode to let it act"
    else:
        message = "the RemediationConfig allows no more than mode Observe (spec.maxMode); the platform's owner can raise it"
    return Refusal(Reason.ObserveOnly, message)


def approval_pending(situation: Situation) -> Refusal | None:
    """What waits for a person is not done before that, whatever has become of the mode since."""
    waiting = situation.case.waiting
    if waiting is None or waiting.approved or waiting.spec.step != situation.step.name:
        return None
    return Refusal(Reason.ApprovalPending, consent.how(waiting), waiting.spec.expires_at)


GUARDS: tuple[Guard, ...] = (
    not_leader,
    paused,
    excluded,
    limits.storm_active,
    limits.unverified_actions,
    freeze.freeze_window,
    target_busy,
    contested,
    handed_over,
    limits.cooldown_active,
    limits.attempts_exhausted,
    limits.rate_limited,
    owned_by_controller,
    gitops_owned,
    deployment_paused,
    stateful.no_rolling_update,
    stateful.ordered_ready,
    rollout_in_progress,
    attributable,
    impossible,
    no_healthy_revision,
    reference_missing,
    rollback_forbidden,
    mutable_image,
    recreate_outage,
    authority.not_authorized,
    suspending.may_not_pause,
    policy_changed,
    observe_only,
    approval_pending,
)
