"""How much may be done: pauses, cooldown, attempts and budgets. Counted from records, so that a restart refills none of them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from stopgap.api.clusterpolicy import Policy, called
from stopgap.api.policy import MaxActions, PauseRequest
from stopgap.api.remediation import Remediation, RemediationState
from stopgap.core.case import Case, Spent
from stopgap.core.situation import Situation
from stopgap.core.storm import Stage, key_of, named
from stopgap.model.duration import spell
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

PAUSE = "stopgap.dev/pause"
MOST_IN_VAIN = 3
"""Intents in a row for one state of a workload that may come to nothing."""
_CAME_TO_NOTHING = frozenset({RemediationState.SUPERSEDED, RemediationState.REFUSED})


def pause_mark(annotations: Mapping[str, str]) -> str:
    """Return why the pause annotation was set, or nothing where it is not. Set without a reason, it is an order to stop all the same."""
    return annotations[PAUSE] or "(no reason was given)" if PAUSE in annotations else ""


def stopped(case: Case, policy: Policy) -> Refusal | None:
    """Return a person's order to stop, wherever it was given."""
    return next(_pauses(case, policy), None)


def _pauses(case: Case, policy: Policy) -> Iterator[Refusal]:
    seen = case.seen
    if case.config is None or (seen.live and not seen.live.config_readable):
        why = f" ({case.config_trouble[:300]})" if case.config_trouble else ""
        yield Refusal(Reason.Paused, f"the RemediationConfig cannot be read or understood{why}, so nothing acts; repair or delete it")
    else:
        yield from _requested(case.config.pause_requests, "the RemediationConfig", case.now)
    yield from _requested(policy.spec.pause_requests, called(policy), case.now)
    marks = (
        ("the RemediationConfig", case.config_paused),
        (called(policy), pause_mark(policy.metadata.annotations)),
        (f"namespace {seen.target.namespace}", _namespace_paused(case)),
        (str(seen.target), pause_mark(seen.workload.annotations) if seen.workload else ""),
    )
    for where, reason in marks:
        if reason:
            yield Refusal(Reason.Paused, f"annotation {PAUSE} on {where}: {reason[:300]}")


def killed(case: Case) -> bool:
    """Whether the platform's kill switch is on: it stops restores as well as actions."""
    if case.config is None or case.config_paused:
        return True
    return any(_requested(case.config.pause_requests, "", case.now))


def _namespace_paused(case: Case) -> str:
    """What was read live, or what the watch told since: either stops."""
    live = case.seen.live
    return (pause_mark(live.namespace_annotations) if live else "") or case.namespace_paused


def _requested(requests: tuple[PauseRequest, ...], where: str, now: datetime) -> Iterator[Refusal]:
    for one in requests:
        if one.holds(now):
            yield Refusal(Reason.Paused, f"{one.name} paused {where}: {one.reason}", one.until)


def storm_active(situation: Situation) -> Refusal | None:
    """Many workloads that are ill at once are hardly many bad releases."""
    # An open one has no end that is known, and otherwise the last end counts.
    worst = max(situation.case.storm, key=lambda one: (one.stage is Stage.OPEN, one.until or one.since), default=None)
    if worst is None:
        return None
    where = named(worst.scope)
    if worst.stage is Stage.OPEN or worst.until is None:
        return Refusal(
            Reason.StormActive, f"{worst.count} workloads are ill in {where}, hardly each by its own release; look for what they share"
        )
    return Refusal(
        Reason.StormActive,
        f"many workloads were ill in {where}, fewer since {worst.since:%H:%M:%S}; nothing is done before {worst.until:%H:%M:%S}. "
        f"To end it now: kubectl -n stopgap-system annotate lease stopgap {key_of(worst.scope)}-",
        worst.until,
    )


def unverified_actions(situation: Situation) -> Refusal | None:
    """However many are in need, only a few actions are out at a time, until they are proved to help."""
    case = situation.case
    most = case.config.storm_breaker.max_unverified_actions if case.config else 0
    if case.unverified < most or case.config is None:
        return None
    return Refusal(
        Reason.UnverifiedActions,
        f"{case.unverified} actions on other workloads are not proved to help yet; at most {most} may be out at a time",
    )


def busy(case: Case) -> Refusal | None:
    """Say that an action on the workload is out, whichever incident it is of."""
    active = case.active
    if active is None or active.prove_until < case.now:
        return None
    return Refusal(Reason.TargetBusy, f"remediation {active.metadata.name} has not ended", active.prove_until)


def perhaps_spent(remediations: Iterable[Remediation], now: datetime) -> Iterator[Spent]:
    """Yield the actions that are intended and not known to have been sent or not, as of the last moment possible.

    Whoever carries one out will say. After a crash the next leader looks, and until then it counts as sent.
    """
    for one in remediations:
        if one.state in {RemediationState.PENDING, RemediationState.EXECUTING}:
            meta, spec = one.metadata, one.spec
            yield Spent(meta.uid or "", min(now, one.write_until), meta.namespace or "", spec.target_ref.uid, spec.policy_ref.uid)


def cooldown_active(situation: Situation) -> Refusal | None:
    """Between incidents on one workload there is a pause, so that a wrong remedy is not repeated at speed."""
    case, cooldown = situation.case, situation.policy.spec.guards.cooldown
    own = {one.metadata.uid for one in case.of_incident()}
    last = max((one.at for one in _on_target(case) if one.remediation not in own), default=None)
    if last is None or case.now - last >= cooldown:
        return None
    ago = spell(timedelta(seconds=round((case.now - last).total_seconds())))
    return Refusal(
        Reason.CooldownActive,
        f"the last action on this workload was {ago} ago; the policy wants {spell(cooldown)} between",
        last + cooldown,
    )


def attempts_exhausted(situation: Situation) -> Refusal | None:
    """An incident gets a limited number of actions, then people."""
    own = {one.metadata.uid for one in situation.case.of_incident()}
    used = sum(1 for one in situation.case.spent if one.remediation in own)
    most = situation.policy.spec.guards.max_actions_per_incident
    if used < most:
        return _in_vain(situation.case)
    return Refusal(Reason.AttemptsExhausted, f"{used} actions were taken in this incident; the policy allows {most}")


def _in_vain(case: Case) -> Refusal | None:
    """An action that comes to nothing each time is not intended for ever: each intent is a record, and nobody would be called."""
    work = case.seen.workload
    given_up = [
        one
        for one in case.of_incident()
        if one.state in _CAME_TO_NOTHING and work and one.spec.generation == work.generation and not one.spec.expires_at
    ]
    if len(given_up) < MOST_IN_VAIN or given_up[-1].status is None:
        return None
    return Refusal(
        Reason.AttemptsExhausted,
        f"the change was intended {len(given_up)} times and could not be written, though nobody changed the workload: "
        f"{given_up[-1].status.message}",
    )


def rate_limited(situation: Situation) -> Refusal | None:
    """Budgets at every scope: policy, workload, namespace, cluster."""
    case, policy = situation.case, situation.policy
    config = case.config
    scopes: list[tuple[str, MaxActions, list[Spent]]] = [
        (
            called(policy),
            policy.spec.guards.max_actions,
            [one for one in case.spent if one.policy_uid == policy.metadata.uid],
        )
    ]
    if config:
        budgets = config.budgets
        in_namespace = [one for one in case.spent if one.namespace == case.seen.target.namespace]
        scopes += [
            (str(case.seen.target), budgets.per_target, _on_target(case)),
            (f"namespace {case.seen.target.namespace}", budgets.per_namespace, in_namespace),
            ("the cluster", budgets.cluster, list(case.spent)),
        ]
    return next((refusal for name, budget, spent in scopes if (refusal := _over(name, budget, spent, case.now))), None)


def _over(name: str, budget: MaxActions, spent: list[Spent], now: datetime) -> Refusal | None:
    recent = sorted(one.at for one in spent if now - one.at < budget.within)
    if len(recent) < budget.count:
        return None
    frees = recent[-budget.count] + budget.within
    return Refusal(
        Reason.RateLimited,
        f"{len(recent)} actions within {spell(budget.within)} on {name}; at most {budget.count} are allowed",
        frees,
    )


def _on_target(case: Case) -> list[Spent]:
    work = case.seen.workload
    return [one for one in case.spent if work and one.target_uid == work.uid]
