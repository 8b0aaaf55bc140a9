"""Two reasons not to act at once: both are told, in the order of the guards, and the end of one of them is no leave to act."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    NEW,
    NOW,
    OLD,
    ago,
    executed,
    make_case,
    make_policy,
    make_remediation,
    make_spent,
    make_template,
    make_waiting,
)

from stopgap.api.config import ConfigSpec
from stopgap.core import authority, freeze, guards, knowngood, limits
from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.core.guards import Guard
from stopgap.core.situation import Situation
from stopgap.core.storm import Breaker, Count, Stage
from stopgap.model.change import Known
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Flag

LATEST = Template.read(make_template("shop/api:latest"))


def seen(case: Case, **changes: Any) -> Case:
    return replace(case, seen=replace(case.seen, **changes))


def work(case: Case, **changes: Any) -> Case:
    assert case.seen.workload is not None
    return seen(case, workload=msgspec.structs.replace(case.seen.workload, **changes))


def live(case: Case, **changes: Any) -> Case:
    assert case.seen.live is not None
    return seen(case, live=replace(case.seen.live, **changes))


def policy(case: Case, **spec: Any) -> Case:
    assert case.policy is not None
    body = {**case.policy.spec.model_dump(mode="json", by_alias=True, exclude_none=True), **spec}
    return replace(case, policy=case.policy.model_copy(update={"spec": make_policy(**body).spec}))


def guarded(case: Case, **limit: Any) -> Case:
    assert case.policy is not None
    return policy(case, guards={**case.policy.spec.guards.model_dump(mode="json", by_alias=True, exclude_none=True), **limit})


def config(case: Case, **spec: Any) -> Case:
    assert case.config is not None
    return replace(case, config=ConfigSpec.model_validate({**case.config.model_dump(mode="json", by_alias=True), **spec}))


def acted(case: Case, *more: Any) -> Case:
    return replace(case, remediations=(*case.remediations, *more))


def spent(case: Case, at: Any, **changes: Any) -> Case:
    return replace(case, spent=(*case.spent, make_spent(at, **changes)))


def tried(case: Case) -> Case:
    """One action was taken in this incident and was overtaken, and the policy allows no second one."""
    plan = {**make_remediation().spec.plan.model_dump(mode="json", by_alias=True, exclude_none=True), "fromDigest": "an-older-bad-one"}
    one = make_remediation(name="tried", plan=plan, status={"state": "Superseded", "executedAt": ago(hours=5)})
    return guarded(spent(acted(case, one), ago(hours=5), remediation="tried-uid"), maxActionsPerIncident=1)


def called(case: Case) -> Case:
    """People were called for this incident."""
    assert case.incident is not None
    one = {"type": "Escalated", "status": "True", "reason": "Escalated", "message": "", "lastTransitionTime": ago(minutes=1)}
    body = {**case.incident.model_dump(mode="json", by_alias=True, exclude_none=True), "status": {"conditions": [one], "detectedAt": NOW}}
    return replace(case, incident=type(case.incident).model_validate(body))


def no_older_image_is_fixed(case: Case) -> Case:
    good = case.health.known_good[0].model_copy(update={"digest": LATEST.digest})
    return live(replace(case, health=case.health.model_copy(update={"known_good": (good,)})), templates={"rs-1": LATEST, "rs-2": BAD})


WINDOW = [{"cron": "0 9 * * *", "duration": "2h", "reason": "quarter end"}]
QUOTA = Flag(True, "FailedCreate", 'pods "api-2-x" is forbidden: exceeded quota: few', NOW, NOW)

OBSTACLES: dict[Reason, tuple[Guard, Callable[[Case], Case]]] = {
    Reason.NotLeader: (guards.not_leader, lambda case: replace(case, leading=False)),
    Reason.Paused: (guards.paused, lambda case: replace(case, namespace_paused="audit")),
    Reason.Excluded: (guards.excluded, lambda case: config(case, excludedNamespaces=["shop"])),
    Reason.StormActive: (
        limits.storm_active,
        lambda case: replace(case, storm=(Breaker("shop", Stage.OPEN, NOW, count=Count(9, 5)),)),
    ),
    Reason.UnverifiedActions: (limits.unverified_actions, lambda case: replace(case, unverified=3)),
    Reason.FreezeWindow: (freeze.freeze_window, lambda case: guarded(case, freezeWindows=WINDOW)),
    Reason.TargetBusy: (guards.target_busy, lambda case: acted(case, make_remediation(incident="api-0", name="out", status=executed()))),
    Reason.Escalated: (guards.handed_over, called),
    Reason.CooldownActive: (limits.cooldown_active, lambda case: spent(case, ago(minutes=5))),
    Reason.AttemptsExhausted: (limits.attempts_exhausted, tried),
    Reason.RateLimited: (
        limits.rate_limited,
        lambda case: config(
            spent(case, ago(minutes=30), namespace="web", target_uid="w", policy_uid="p"),
            budgets={"cluster": {"count": 1, "within": "1h"}},
        ),
    ),
    Reason.OwnedByController: (guards.owned_by_controller, lambda case: work(case, controller="Rollout/api")),
    Reason.GitOpsOwned: (guards.gitops_owned, lambda case: live(case, owner="Flux reconciles this")),
    Reason.DeploymentPaused: (guards.deployment_paused, lambda case: work(case, paused=True)),
    Reason.RolloutInProgress: (guards.rollout_in_progress, lambda case: work(case, generation=5)),
    Reason.QuotaExceeded: (guards.attributable, lambda case: work(case, replica_failure=QUOTA)),
    Reason.RollbackForbidden: (
        guards.rollback_forbidden,
        lambda case: seen(case, revisions=(msgspec.structs.replace(NEW, forbids_rollback=True), OLD)),
    ),
    Reason.MutableImage: (guards.mutable_image, no_older_image_is_fixed),
    Reason.RecreateOutage: (guards.recreate_outage, lambda case: work(case, strategy="Recreate")),
    Reason.NotAuthorized: (authority.not_authorized, lambda case: live(case, may_patch=False)),
    Reason.Superseded: (guards.policy_changed, lambda case: live(case, policy_current=False)),
    Reason.ObserveOnly: (guards.observe_only, lambda case: policy(case, mode="Observe")),
    Reason.ApprovalPending: (guards.approval_pending, lambda case: acted(case, make_waiting())),
}
APART: dict[Guard, str] = {
    guards.contested: "whoever put the bad template back has changed what every other reason is about",
    guards.impossible: "without a revision to go back to nothing can be said about it",
    guards.no_healthy_revision: "it is about the same template as MutableImage",
    guards.reference_missing: "it is about the same template as MutableImage",
}
"""Guards that exclude others; test_guards.py has each of them alone. Those of StatefulSets have tests of their own."""

ABOUT_THE_WAY_BACK = frozenset({Reason.RollbackForbidden, Reason.MutableImage})
"""Of a template that is not taken up yet no way back is known, so that nothing is said about one."""
PAIRS = tuple(pair for pair in combinations(OBSTACLES, 2) if not (Reason.RolloutInProgress in pair and ABOUT_THE_WAY_BACK & {*pair}))


def told(case: Case) -> list[Reason]:
    assert case.policy is not None
    step = case.policy.spec.steps[0]
    assert step.action is not None
    aim = step.action.wants(case.seen, Known(knowngood.goods(case.health), knowngood.denied(case)))
    # That a newer template is not taken up yet also keeps the present one from being blamed, by the same name.
    return list(dict.fromkeys(one.reason for one in guards.refusals(Situation(case, case.policy, step, judge(case), aim))))


@pytest.mark.parametrize("reason", OBSTACLES, ids=str)
def test_alone_each_is_the_only_reason_that_is_told(reason: Reason) -> None:
    case = OBSTACLES[reason][1](make_case())
    assert told(case) == [reason]
    assert decide(case).intent is None


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
def test_of_two_both_are_told_in_the_order_of_the_guards_and_nothing_is_done(first: Reason, second: Reason) -> None:
    for one, other in ((first, second), (second, first)):
        case = OBSTACLES[other][1](OBSTACLES[one][1](make_case()))
        assert told(case) == sorted((first, second), key=lambda reason: guards.GUARDS.index(OBSTACLES[reason][0]))
        decision = decide(case)
        assert (decision.intent, decision.approved) == (None, None)


def test_every_guard_is_among_them_or_it_is_said_why_not() -> None:
    of_statefulsets = {guard for guard in guards.GUARDS if guard.__module__ == "stopgap.core.stateful"}
    suspending = {guard for guard in guards.GUARDS if guard.__module__ == "stopgap.core.suspending"}
    assert {guard for guard, _ in OBSTACLES.values()} | APART.keys() | of_statefulsets | suspending == set(guards.GUARDS)
