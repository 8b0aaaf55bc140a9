"""What stands against carrying out an intent that was recorded: a person's order to stop, or that what it rests on is gone."""

from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_live, make_policy, make_remediation, make_seen, make_workload

from stopgap.api.config import ConfigSpec
from stopgap.core.case import Case
from stopgap.core.decide import judge
from stopgap.core.objecting import objection
from stopgap.core.storm import Breaker, Count, Stage
from stopgap.model.reasons import Reason

INTENT = make_remediation()
WINDOW = [{"cron": "0 9 * * *", "duration": "2h", "reason": "quarter end", "allowSeverities": ["P2"]}]


def with_policy(**spec: Any) -> Case:
    return make_case(policy=make_policy(**spec))


def test_nothing_stands_against_an_intent_while_the_world_is_as_it_was() -> None:
    assert objection(make_case(), INTENT) is None


@pytest.mark.parametrize(
    ("case", "reason", "fact"),
    [
        pytest.param(make_case(incident=None), Reason.Superseded, "incident api-1 was closed or deleted", id="its incident is gone"),
        pytest.param(
            make_case(incident=make_incident(name="api-2")), Reason.Superseded, "incident api-1 was closed", id="another incident is open"
        ),
        pytest.param(
            make_case(incident=make_incident(resolution="FalseAlarm")), Reason.Superseded, "incident api-1", id="a person has closed it"
        ),
        pytest.param(make_case(policy=None), Reason.Superseded, "policy web does not decide", id="its policy is gone"),
        pytest.param(with_policy(steps=[]), Reason.Superseded, "policy web does not decide", id="its step is gone"),
        pytest.param(with_policy(mode="Observe"), Reason.ObserveOnly, "mode Observe", id="its policy became less bold"),
        pytest.param(
            with_policy(pauseRequests=[{"name": "ana", "reason": "audit"}]), Reason.Paused, "ana paused policy web: audit", id="a pause"
        ),
        pytest.param(with_policy(guards={"freezeWindows": WINDOW}), Reason.FreezeWindow, "policy web: quarter end", id="a freeze window"),
        pytest.param(
            make_case(config=ConfigSpec.model_validate({"freezeWindows": WINDOW})),
            Reason.FreezeWindow,
            "the RemediationConfig: quarter end",
            id="a freeze window of the platform",
        ),
        pytest.param(make_case(config=None), Reason.Paused, "RemediationConfig cannot be read", id="a config that cannot be understood"),
        pytest.param(
            make_case(seen=make_seen(live=make_live(namespace_annotations={"stopgap.dev/pause": "audit"}))),
            Reason.Paused,
            "on namespace shop: audit",
            id="a pause of the namespace",
        ),
        pytest.param(
            make_case(config=ConfigSpec.model_validate({"excludedNamespaces": ["shop"]})), Reason.Excluded, "namespace shop", id="exclusion"
        ),
        pytest.param(
            make_case(storm=(Breaker("shop", Stage.OPEN, NOW, count=Count(9, 5)),)), Reason.StormActive, "5 of 9", id="a storm that came up"
        ),
        pytest.param(make_case(unverified=3), Reason.UnverifiedActions, "at most 3", id="a cap that another copy has used up"),
        pytest.param(
            make_case(seen=make_seen(live=make_live(), workload=make_workload(controller="Rollout/api"))),
            Reason.OwnedByController,
            "Rollout/api",
            id="a controller that took the workload over",
        ),
    ],
)
def test_an_intent_is_given_up_for(case: Case, reason: Reason, fact: str) -> None:
    refusal = objection(case, INTENT)
    assert refusal is not None
    assert refusal.reason is reason
    assert fact in refusal.message


def test_a_severity_that_the_rules_give_goes_through_a_window_at_the_last_moment_too() -> None:
    rules = {"rules": [{"set": "P2", "triggers": ["crash"]}]}
    case = with_policy(severity=rules, guards={"freezeWindows": WINDOW})
    assert objection(case, INTENT, judge(case)) is None


def test_where_nothing_is_found_any_more_the_severity_that_was_written_counts() -> None:
    case = replace(with_policy(guards={"freezeWindows": WINDOW}), incident=make_incident(status={"severity": "P2"}))
    assert objection(case, INTENT) is None
