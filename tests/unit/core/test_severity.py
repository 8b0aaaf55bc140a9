"""How severe an incident is."""

from typing import Any

import pytest
from tests.conftest import make_case, make_incident, make_policy, make_seen, make_workload

from stopgap.core.decide import judge
from stopgap.core.severity import severity

LOUD = {"default": "P4", "rules": [{"set": "P1", "availableBelow": "50%"}, {"set": "P2", "triggers": ["crash"]}]}


def graded(rules: dict[str, Any], **work: Any) -> str:
    case = make_case(policy=make_policy(severity=rules), seen=make_seen(workload=make_workload(**work)))
    return severity(case, judge(case))


@pytest.mark.parametrize(
    ("rules", "work", "expected"),
    [
        pytest.param({}, {}, "P3", id="without rules it is P3"),
        pytest.param({"default": "P4"}, {}, "P4", id="the policy may say otherwise"),
        pytest.param(LOUD, {}, "P2", id="a trigger that fires"),
        pytest.param(LOUD, {"available_replicas": 1}, "P1", id="the first rule that holds wins"),
        pytest.param({"rules": [{"set": "P1", "triggers": ["other"]}]}, {}, "P3", id="a trigger that does not fire"),
        pytest.param(
            {"rules": [{"set": "P1", "triggers": ["crash"], "availableBelow": "1%"}]}, {}, "P3", id="every condition of a rule must hold"
        ),
        pytest.param({"rules": [{"set": "P1"}]}, {}, "P1", id="a rule without conditions always holds"),
        pytest.param(
            {"rules": [{"set": "P1", "availableBelow": "50%"}]}, {"replicas": 4, "available_replicas": 2}, "P3", id="exactly half"
        ),
        pytest.param({"rules": [{"set": "P1", "availableBelow": "1%"}]}, {"available_replicas": 0}, "P1", id="nothing available"),
        pytest.param(
            {"rules": [{"set": "P1", "availableBelow": "50%"}]}, {"replicas": 0, "available_replicas": 0}, "P3", id="scaled to zero"
        ),
    ],
)
def test_the_rules_of_the_policy_decide(rules: dict[str, Any], work: dict[str, Any], expected: str) -> None:
    assert graded(rules, **work) == expected


def test_a_persons_word_wins_over_every_rule() -> None:
    case = make_case(policy=make_policy(severity=LOUD), incident=make_incident(severity="P4"))
    assert severity(case, judge(case)) == "P4"


def test_without_a_policy_it_is_p3() -> None:
    assert severity(make_case(policy=None), ()) == "P3"
