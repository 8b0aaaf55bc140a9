"""How severe an incident is."""

from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_policy, make_seen, make_workload

from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.core.severity import in_force, severity
from stopgap.model.reasons import Reason

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


def known(severity_: str, **changes: Any) -> Case:
    """An incident that was of this severity until now, while a crash loop makes it P2 by the rules."""
    incident = make_incident(status={"detectedAt": NOW, "severity": severity_}, **changes)
    return make_case(policy=make_policy(severity=LOUD), incident=incident)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("P3", "P2", id="it rises at once"),
        pytest.param("P2", "P2", id="it stays"),
        pytest.param("P1", "P1", id="it does not fall by itself when some of it is better"),
    ],
)
def test_the_rules_make_an_incident_worse_and_never_milder(before: str, after: str) -> None:
    case = known(before)
    assert in_force(case, judge(case)) == after


def test_what_is_quiet_makes_it_neither_worse_nor_milder() -> None:
    assert in_force(known("P4"), ()) == "P4"


@pytest.mark.parametrize(
    ("before", "said", "told", "loud"),
    [
        pytest.param("P3", "", "severity P3 → P2: by the rules of the policy", True, id="the rules"),
        pytest.param("P2", "P1", "severity P2 → P1: a person says so (spec.severity)", True, id="a person, for the worse"),
        pytest.param("P1", "P4", "severity P1 → P4: a person says so (spec.severity)", False, id="a person, for the milder"),
        pytest.param("P2", "P2", "", False, id="a person who says what it is anyway"),
    ],
)
def test_a_changed_severity_is_told_and_by_whom(before: str, said: str, told: str, loud: bool) -> None:  # noqa: FBT001 - a column
    decision = decide(known(before, **({"severity": said} if said else {})))
    status = decision.status
    assert status is not None
    changed = [(one.message, one.actor) for one in status.timeline if one.type == Reason.SeverityChanged]
    assert changed == ([(told, "a person" if said else "stopgap")] if told else [])
    assert [one.warning for one in decision.notices if one.reason is Reason.SeverityChanged] == ([loud] if told else [])
    assert status.severity == (said or "P2")


def test_a_step_for_what_is_severe_stays_meant_when_the_worst_is_over() -> None:
    step = {"name": "undo", "when": {"severities": ["P1"]}, "rollback": {}}
    policy = make_policy(severity=LOUD, steps=[step])
    case = make_case(policy=policy, incident=make_incident(status={"detectedAt": NOW, "severity": "P1"}))
    assert decide(case).intent is not None
    assert decide(make_case(policy=policy)).intent is None
