"""What always holds of the steps of a ladder, whatever is observed: bounds, and that no refusal is stepped over."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.conftest import (
    NOW,
    ago,
    executed,
    make_case,
    make_incident,
    make_live,
    make_policy,
    make_remediation,
    make_seen,
    make_spent,
    make_waiting,
    make_workload,
)
from tests.properties.test_decide import TEMPLATES, cases

from stopgap.actions import Scale
from stopgap.api.config import ConfigSpec
from stopgap.api.ladder import Mode
from stopgap.api.remediation import RemediationSpec
from stopgap.core import guards, knowngood
from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.core.situation import Situation
from stopgap.core.storm import Breaker, Stage
from stopgap.model.change import Aim, Field, Known, Plan
from stopgap.model.observation import Refusal, Scaler

steady = settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# ------------------------------------------------------------------------------------------------------------------ replicas

numbers = st.integers(0, 40)
changes = st.one_of(st.integers(1, 30).map(str), st.integers(1, 30).map(lambda n: f"-{n}"), st.integers(1, 300).map(lambda n: f"{n}%"))
scalers = st.none() | st.builds(
    Scaler, st.sampled_from(["HorizontalPodAutoscaler", "ScaledObject"]), st.just("api"), st.just("uid"), st.none() | numbers, numbers
)


@st.composite
def scales(draw: st.DrawFn) -> Scale:
    """As the API server lets it through."""
    low = draw(st.integers(0, 20))
    high = max(draw(st.integers(low, 40)), 1)
    if draw(st.booleans()):
        return Scale(to=draw(st.integers(low, high)), min=low, max=high)
    return Scale(by=draw(changes), min=low, max=high)


@steady
@given(action=scales(), now=numbers, scaler=scalers, needed=numbers)
@example(action=Scale(by="1", min=5, max=9), now=1, scaler=None, needed=0)
@example(action=Scale(by="-9", min=2, max=9), now=8, scaler=None, needed=4)
@example(action=Scale(by="9", max=9), now=3, scaler=Scaler("ScaledObject", "api", "uid", None, 5), needed=0)
def test_replicas_are_never_brought_outside_of_what_is_needed_and_allowed(
    action: Scale, now: int, scaler: Scaler | None, needed: int
) -> None:
    live = make_live(scaler=scaler, scaler_known=True, disruption_floor=needed)
    seen = make_seen(workload=make_workload(replicas=now), live=live)
    aim = action.wants(seen, Known())
    plan = action.plan(seen, aim) if isinstance(aim, Aim) else aim
    if isinstance(plan, Refusal):
        return
    assert plan.ours is not None
    if scaler is None:
        assert (plan.field, plan.before) == (Field.REPLICAS, now)
        assert action.min <= plan.ours <= action.max
        assert plan.ours != now
        assert plan.ours >= min(needed, now)
        assert plan.ours > 0 or action.min == 0
    else:
        assert plan.before == scaler.minimum
        assert now < plan.ours <= min(action.max, scaler.maximum)
        assert plan.ours > (scaler.minimum or 0)
        assert plan.ours >= min(action.min, scaler.maximum)
    assert now > 0, "what somebody has scaled to zero is left there"


# ------------------------------------------------------------------------------------------------------------------ refusals

UNDO: dict[str, Any] = {"name": "undo", "when": {}, "rollback": {}, "onFailure": "Next"}
MORE: dict[str, Any] = {"name": "more", "when": {}, "scale": {"by": "2", "max": 9}, "onFailure": "Next"}
KICK: dict[str, Any] = {"name": "kick", "when": {"triggers": ["crash"]}, "restart": {}}
FREEZE = {"cron": "0 0 * * *", "duration": "23h", "reason": "freeze"}


ODD: dict[str, list[Any]] = {
    "scaler": [Scaler("ScaledObject", "api", "u", 2, 4), Scaler("HorizontalPodAutoscaler", "api", "u", 1, 3)],
    "step_mode": ["Observe", "Approve"],
    "mode": ["Approve", "Observe"],
    "pause": [[{"name": "ana", "reason": "audit"}]],
    "freeze": [[FREEZE]],
    "budget": [1],
    "config": [None, ConfigSpec(max_mode=Mode.APPROVE), ConfigSpec(excluded_namespaces=("sh*",))],
    "incident": [make_incident(mitigate={"step": "more", "requestID": "1"}), None],
    "records": [(make_waiting("Approved"),), (make_waiting(),), (make_remediation(status=executed(ago(hours=1))),)],
    "spent": [(make_spent(ago(minutes=30)),), tuple(make_spent(ago(minutes=20), remediation=f"r{n}") for n in range(3))],
    "storm": [(Breaker("shop", Stage.OPEN, ago(minutes=1)),), (Breaker("shop", Stage.COOLING_DOWN, NOW, until=NOW),)],
    "unverified": [3],
    "leading": [False],
    "seen": [],
    "health": [],
}


@st.composite
def ladders(draw: st.DrawFn) -> Case:
    """A ladder that would act, but for up to two things that are out of the ordinary."""
    odd = draw(st.sets(st.sampled_from(sorted(ODD)), max_size=2))

    def usually(name: str, usual: Any, *others: Any) -> Any:
        return draw(st.sampled_from([*ODD[name], *others])) if name in odd else usual

    base = draw(cases())
    live = make_live(templates=TEMPLATES, scaler_known=True, scaler=usually("scaler", None))
    mode = usually("step_mode", None)
    steps = [{**one, **({"mode": mode} if mode else {})} for one in draw(st.permutations([UNDO, MORE, KICK]))]
    policy = make_policy(
        mode=usually("mode", draw(st.sampled_from(["Automatic", "Approve"]))),
        steps=steps[: draw(st.integers(1, 3))],
        pauseRequests=usually("pause", []),
        guards={"freezeWindows": usually("freeze", []), "maxActions": {"count": usually("budget", 5), "within": "1h"}},
    )
    asked = policy.spec.mode is Mode.APPROVE and any(one.rollback for one in policy.spec.steps) and draw(st.integers(0, 3))
    waiting = (make_waiting("Approved"),) if asked else ()
    return replace(
        base,
        seen=usually("seen", make_seen(live=live), replace(base.seen, live=live), base.seen),
        policy=policy,
        config=usually("config", ConfigSpec()),
        incident=usually("incident", make_incident(), base.incident),
        health=usually("health", make_case().health, base.health),
        remediations=usually("records", waiting, base.remediations),
        spent=usually("spent", ()),
        storm=usually("storm", ()),
        unverified=usually("unverified", 0),
        leading=usually("leading", True),
    )


def refusals(case: Case, name: str, *, ordered: bool) -> tuple[Refusal, ...]:
    """Ask every guard about a step, apart from how it was chosen."""
    policy = case.policy
    assert policy is not None
    case = replace(case, health=knowngood.with_stints(case))
    step = next(one for one in policy.spec.steps if one.name == name)
    assert step.action is not None
    aim = step.action.wants(case.seen, Known(knowngood.goods(case.health), knowngood.denied(case)))
    situation = Situation(case, policy, step, judge(case), aim, ordered)
    assert isinstance(situation.plan, Plan)
    return guards.refusals(situation)


def as_bold_as_allowed(case: Case, spec: RemediationSpec) -> None:
    """Nothing of mode Observe is intended, and what is of mode Approve waits for a person."""
    assert case.policy is not None
    assert case.config is not None
    step = next(one for one in case.policy.spec.steps if one.name == spec.step)
    modes = [case.config.max_mode] if spec.request_id else [case.config.max_mode, case.policy.spec.mode, step.mode or Mode.AUTOMATIC]
    bold = min(modes, key=tuple(Mode).index)
    assert bold is not Mode.OBSERVE
    assert spec.expires_at == (case.now + timedelta(minutes=15) if bold is Mode.APPROVE else None)


@steady
@given(case=ladders())
@example(case=make_case())
@example(case=make_case(policy=make_policy(mode="Approve"), remediations=(make_waiting("Approved"),)))
def test_nothing_is_intended_or_approved_past_a_refusal(case: Case) -> None:
    decision = decide(case)
    if decision.intent is not None:
        spec = decision.intent.spec
        assert refusals(case, spec.step, ordered=bool(spec.request_id)) == ()
        assert case.waiting is None
        assert all(one.state.ended for one in case.remediations)
        as_bold_as_allowed(case, spec)
    if decision.approved is not None:
        waiting, status = decision.approved
        assert waiting.approved
        assert refusals(case, waiting.spec.step, ordered=False) == ()
        assert status.approved_at == case.now
        assert waiting.spec.expires_at is not None
        assert case.now < waiting.spec.expires_at
    if decision.intent is None and decision.approved is None:
        return
    assert case.leading
    assert case.config is not None
    assert case.policy is not None
    assert not any(one.holds(case.now) for one in case.policy.spec.pause_requests)
    assert case.storm == ()
    assert case.unverified < case.config.storm_breaker.max_unverified_actions


def test_the_ladders_do_act() -> None:
    found: list[str] = []

    @settings(steady, max_examples=60)
    @given(case=ladders())
    def collect(case: Case) -> None:
        decision = decide(case)
        found.append("intent" if decision.intent else "approved" if decision.approved else "nothing")

    collect()
    assert found.count("intent") >= 5
    assert found.count("approved") >= 2
