"""`restart`: every pod once, as kubectl rollout restart does it."""

from dataclasses import replace

import pytest
from tests.conftest import BAD, NOW, make_case, make_live, make_policy, make_seen, make_template, make_workload

from stopgap.actions.restart import RESTARTED_AT, Restart, restarted
from stopgap.core.changes import change_of
from stopgap.core.choosing import choose, intent
from stopgap.core.decide import decide, judge
from stopgap.model.change import Aim, Field, Known, Plan, ReplaceTemplate
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template

POLICY = make_policy(steps=[{"name": "kick", "when": {"triggers": ["crash"]}, "restart": {}}])


def test_only_the_time_of_restart_is_added_to_the_template() -> None:
    template = Template.read(make_template(annotations={"team": "shop"}))
    after = restarted(template, "2026-11-23T10:00:00Z")
    assert after.body["metadata"]["annotations"] == {"team": "shop", RESTARTED_AT: "2026-11-23T10:00:00Z"}
    assert after.body["spec"] == template.body["spec"]
    assert after.digest != template.digest
    assert template.body["metadata"]["annotations"] == {"team": "shop"}


def test_the_plan_is_an_end_state_with_the_time_in_it() -> None:
    seen = make_seen(live=make_live())
    aim = Restart().wants(seen, Known())
    assert isinstance(aim, Aim)
    plan = Restart().plan(seen, aim)
    assert isinstance(plan, Plan)
    assert (plan.field, plan.from_digest, plan.restarted_at) == (Field.TEMPLATE, BAD.digest, f"{NOW:%Y-%m-%dT%H:%M:%SZ}")
    assert plan.to_digest == restarted(BAD, plan.restarted_at).digest


def test_without_pods_there_is_nothing_to_restart() -> None:
    refusal = Restart().wants(make_seen(workload=make_workload(replicas=0)), Known())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NothingToDo


def test_the_stored_plan_leads_to_the_same_template_after_a_crash_and_to_none_other() -> None:
    case = make_case(policy=POLICY)
    found = judge(case)
    meant = intent(case, choose(case, found), found)
    assert meant is not None
    change = change_of(meant.spec.plan, BAD)
    assert isinstance(change, ReplaceTemplate)
    assert change.template.digest == meant.spec.plan.to_digest
    other = change_of(meant.spec.plan, Template.read(make_template("shop/api:3.0")))
    assert isinstance(other, Refusal)
    assert other.reason is Reason.Superseded
    gone = change_of(meant.spec.plan, None)
    assert isinstance(gone, Refusal)


@pytest.mark.parametrize(
    "step", [{"restart": {}}, {"rollback": {}}, {"scale": {"by": "1", "max": 9}}], ids=["restart", "rollback", "scale"]
)
def test_a_rollout_that_began_while_it_was_read_live_is_a_refusal_and_no_crash(step: dict[str, object]) -> None:
    policy = make_policy(steps=[{"name": "only", "when": {"triggers": ["crash"]}, **step}])
    case = make_case(policy=policy)
    seen = replace(case.seen, workload=make_workload(generation=5), live=make_live(scaler_known=True))
    decision = decide(replace(case, seen=seen, incident=make_case().incident))
    assert decision.intent is None
    choice = choose(replace(case, seen=seen), judge(case))
    assert Reason.RolloutInProgress in {one.reason for one in choice.refused}
