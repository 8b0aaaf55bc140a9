"""A Job that a step ran: it is waited for, its end is told once, and it alone proves nothing good."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, ago, make_case, make_live, make_policy, make_remediation, make_seen, make_workload

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState
from stopgap.core import matching
from stopgap.core.case import Case
from stopgap.core.choosing import choose, intent
from stopgap.core.decide import decide, judge
from stopgap.model.change import Field
from stopgap.model.observation import Right
from stopgap.model.reasons import Reason

TEMPLATE = "spec: {containers: [{name: fix, image: 'shop/fix:1.0'}]}"
STEP = {"name": "fix", "when": {"triggers": ["crash"]}, "job": {"template": TEMPLATE, "deadline": "2m"}}
MAY = Right("create", "batch", "jobs")


def run(at: Any = NOW, **status: Any) -> Remediation:
    plan = {"summary": "run a Job", "field": "Elsewhere", "outside": {"job": {"template": TEMPLATE, "deadline": "2m"}}}
    said = {"state": "Verifying", "executedAt": at, **status}
    return make_remediation(name="r", step="fix", action="Job", plan=plan, status=said, verifyUntil=NOW + timedelta(minutes=10))


def ended(state: str, **more: Any) -> dict[str, Any]:
    return {"name": "stopgap-r-uid", "state": state, **more}


def a_case(one: Remediation) -> Case:
    well = make_workload(updated_replicas=3, current_replicas=3)
    seen = make_seen(workload=well, pods=(), exits=(), revisions=make_seen().revisions[:1])
    return replace(make_case(seen=seen, policy=make_policy(steps=[STEP])), remediations=(one,))


def test_the_step_says_what_would_run_and_keeps_it_whole() -> None:
    case = make_case(seen=make_seen(live=make_live(rights={MAY: True})), policy=make_policy(steps=[STEP]))
    found = judge(case)
    meant = intent(case, choose(case, found), found)
    assert meant is not None
    assert meant.spec.plan.summary == "run a Job of shop/fix:1.0 as serviceaccount/default, for at most 2m"
    assert (meant.spec.action, meant.spec.plan.field, meant.spec.plan.revert) == ("Job", Field.ELSEWHERE, None)
    assert meant.spec.plan.outside is not None
    assert meant.spec.plan.outside.job is not None
    assert '"STOPGAP_INCIDENT","value":"api-1"' in meant.spec.plan.outside.job.template


def test_a_missing_right_is_named_with_what_grants_it() -> None:
    case = make_case(seen=make_seen(live=make_live(rights={MAY: False})), policy=make_policy(steps=[STEP]))
    (refusal,) = choose(case, judge(case)).refused
    assert refusal.reason is Reason.NotAuthorized
    assert "may not create jobs.batch in shop; allow it with: kubectl create rolebinding stopgap-job -n shop" in refusal.message


def test_until_it_has_ended_it_is_looked_at_again_and_nothing_is_concluded() -> None:
    decision = decide(a_case(run()))
    assert decision.running is not None
    assert decision.remediation is None
    assert decision.look_again is not None
    assert decision.look_again <= timedelta(seconds=2)


@pytest.mark.parametrize(
    ("one", "state", "said"),
    [
        pytest.param(
            run(job=ended("Failed", message="BackoffLimitExceeded")), RemediationState.FAILED, "BackoffLimitExceeded", id="it failed"
        ),
        pytest.param(run(job=ended("Gone")), RemediationState.INCONCLUSIVE, "is gone", id="it was removed"),
        pytest.param(run(ago(minutes=4)), RemediationState.INCONCLUSIVE, "was not seen in time", id="it never ended"),
    ],
)
def test_what_becomes_of_the_step_where(one: Remediation, state: RemediationState, said: str) -> None:
    decision = decide(a_case(one))
    assert decision.remediation is not None
    assert decision.running is None
    assert (decision.remediation[1].state, said in decision.remediation[1].message) == (state, True)


def test_a_job_that_ended_well_has_to_be_followed_by_quiet() -> None:
    decision = decide(a_case(run(job=ended("Complete"))))
    assert decision.remediation is not None
    assert decision.remediation[1].state is RemediationState.VERIFYING
    assert decision.remediation[1].healthy_since == NOW


def test_its_end_is_told_once_with_its_last_line() -> None:
    case = a_case(run(job=ended("Complete", log=["begin", "moved 12 rows"])))
    first = decide(case)
    assert first.status is not None
    assert case.incident is not None
    told = [one.message for one in first.status.timeline if one.type == Reason.JobEnded]
    assert told == ["job/stopgap-r-uid ended well; its last line: moved 12 rows"]
    again = decide(replace(case, incident=case.incident.model_copy(update={"status": first.status})))
    assert again.status is not None
    assert [one.type for one in again.status.timeline].count(Reason.JobEnded) == 1


def test_a_proof_that_has_no_room_for_the_job_is_no_policy() -> None:
    fault = matching.fault(make_policy(steps=[STEP], verification={"healthyFor": "1m", "timeout": "2m"}))
    assert fault is not None
    assert fault.reason is Reason.InvalidPolicy
    assert matching.fault(make_policy(steps=[STEP], verification={"healthyFor": "1m", "timeout": "3m"})) is None
