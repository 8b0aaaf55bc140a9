"""Which policy decides, and whether it can work at all."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import TARGET, make_policy

from stopgap.api import RemediationPolicy
from stopgap.core.matching import deciding, fault, matches, misfit
from stopgap.model.reasons import Reason
from stopgap.model.refs import PolicyRef, Target

LABELS = {"app": "api", "tier": "web"}


WINDOWS_THAT_CANNOT_WORK: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("a cron that is none", {"cron": "every friday"}, "cron 'every friday' has 2 fields; it needs five: minute, hour"),
    ("a cron with seconds", {"cron": "0 0 18 * * FRI"}, "cron '0 0 18 * * FRI' has 6 fields"),
    ("a cron with an hour that is none", {"cron": "0 25 * * *"}, "cron '0 25 * * *' cannot be understood or never comes true (bad hour)"),
    ("a cron on 31 February", {"cron": "0 0 31 2 *"}, "cron '0 0 31 2 *' cannot be understood or never comes true (bad day-of-month)"),
    ("a cron on a fifth Monday that is a first", {"cron": "0 0 */31 * 1#5"}, "cron '0 0 */31 * 1#5' never comes true: there is no such"),
    ("a zone that does not exist", {"timeZone": "Europe/Atlantis"}, "time zone 'Europe/Atlantis' is not known; write it like"),
    ("a zone that is a folder", {"timeZone": "America/Indiana"}, "time zone 'America/Indiana' is not known"),
    ("a zone that each machine has its own of", {"timeZone": "localtime"}, "time zone 'localtime' is not known"),
    ("a zone that leads elsewhere", {"timeZone": "Etc/../../passwd"}, "time zone 'Etc/../../passwd' is not known"),
    ("no time at all", {"duration": "0s"}, "duration 0s is not between 1m and 744h (31 days)"),
    ("for ever", {"duration": "745h"}, "duration 745h is not between 1m and 744h"),
)


def window(cron: str = "0 18 * * FRI", **changes: str) -> dict[str, str]:
    return {"cron": cron, "duration": "60h", "timeZone": "Europe/Berlin", "reason": "audit", **changes}


def about(name: str = "web", **targets: Any) -> RemediationPolicy:
    policy = make_policy(targets=targets)
    return policy.model_copy(update={"metadata": policy.metadata.model_copy(update={"name": name})})


@pytest.mark.parametrize(
    ("policy", "target", "is_meant"),
    [
        pytest.param(about(selector={"matchLabels": {"app": "api"}}), TARGET, True, id="by a label"),
        pytest.param(about(selector={"matchLabels": LABELS}), TARGET, True, id="by all of several labels"),
        pytest.param(about(selector={"matchLabels": {"app": "api", "tier": "db"}}), TARGET, False, id="not by some of several labels"),
        pytest.param(about(selector={"matchLabels": {"team": "a"}}), TARGET, False, id="not by a label that is not there"),
        pytest.param(about(names=["api"]), TARGET, True, id="by name"),
        pytest.param(about(names=["other"]), TARGET, False, id="not by another name"),
        pytest.param(about(names=["api"]), Target("other", "Deployment", "api"), False, id="not in another namespace"),
        pytest.param(about(names=["api"]), Target("shop", "StatefulSet", "api"), False, id="not of another kind"),
        pytest.param(about(), TARGET, False, id="not without any selection"),
    ],
)
def test_a_policy_is_about_what_it_names(policy: RemediationPolicy, target: Target, is_meant: bool) -> None:  # noqa: FBT001 - a column of the table
    assert matches(policy, target, LABELS) is is_meant


def test_names_are_more_specific_than_a_selector() -> None:
    by_label, by_name = about("a", selector={"matchLabels": {"app": "api"}}), about("z", names=["api"])
    assert deciding([by_label, by_name], TARGET, LABELS) == by_name


def test_of_equals_the_first_by_name_decides_in_whatever_order_they_come() -> None:
    one, two = about("a", names=["api"]), about("b", names=["api"])
    assert deciding([one, two], TARGET, LABELS) == one
    assert deciding([two, one], TARGET, LABELS) == one


def test_a_policy_that_cannot_work_is_passed_over() -> None:
    broken = make_policy(targets={"names": ["api"]}, verification={"healthyFor": "1h", "timeout": "1m"})
    working = about("z", selector={"matchLabels": {"app": "api"}})
    assert deciding([broken, working], TARGET, LABELS) == working


@pytest.mark.parametrize(
    ("name", "decides"),
    [
        pytest.param("a", "a", id="the one that is named decides, though another is more specific"),
        pytest.param("other", None, id="a named one that is about another workload does not decide, and no other does"),
        pytest.param("typo", None, id="a named one that does not exist leaves it to nobody"),
    ],
)
def test_an_incident_may_name_the_policy_that_decides(name: str, decides: str | None) -> None:
    policies = [about("a", selector={"matchLabels": {"app": "api"}}), about("z", names=["api"]), about("other", names=["web"])]
    found = deciding(policies, TARGET, LABELS, named=PolicyRef(name=name))
    assert (found.metadata.name if found else None) == decides


def test_no_policy_decides_about_a_workload_that_none_names() -> None:
    assert deciding([about(names=["other"])], TARGET, LABELS) is None


@pytest.mark.parametrize(
    ("spec", "reason", "facts"),
    [
        pytest.param(
            {"triggers": [{"name": "crash", "crashLoop": {}}, {"name": "slow", "latencyOfTheFuture": {}}]},
            Reason.NewerThanOperator,
            "trigger slow uses a detector",
            id="a detector of a newer version",
        ),
        pytest.param(
            {"steps": [{"name": "beam", "when": {}, "teleport": {}}]},
            Reason.NewerThanOperator,
            "step beam uses an action",
            id="an action of a newer version",
        ),
        pytest.param(
            {"steps": [{"name": "undo", "when": {"triggers": ["crash", "crush"]}, "rollback": {}}]},
            Reason.InvalidPolicy,
            "step undo names triggers that do not exist: crush",
            id="a trigger that does not exist",
        ),
        pytest.param(
            {"verification": {"healthyFor": "11m", "timeout": "10m"}},
            Reason.InvalidPolicy,
            "verification.healthyFor is longer than verification.timeout",
            id="a proof longer than its time",
        ),
        pytest.param(
            {"guards": {"maxActions": {"count": 1, "within": "169h"}}},
            Reason.InvalidPolicy,
            "guards.maxActions.within is longer than 7 days",
            id="a budget over a time for which nothing is counted",
        ),
        *(
            pytest.param(
                {"guards": {"freezeWindows": [window("0 0 * * *"), window(**changes)]}},
                Reason.InvalidPolicy,
                f"guards.freezeWindows[1] (audit): {facts}",
                id=says,
            )
            for says, changes, facts in WINDOWS_THAT_CANNOT_WORK
        ),
        pytest.param(
            {"guards": {"cooldown": "169h"}},
            Reason.InvalidPolicy,
            "guards.cooldown is longer than 7 days",
            id="a cooldown over a time for which nothing is remembered",
        ),
        pytest.param(
            {"severity": {"rules": [{"set": "P1", "triggers": ["crush"]}]}},
            Reason.InvalidPolicy,
            "a severity rule names triggers that do not exist: crush",
            id="a severity rule for a trigger that does not exist",
        ),
    ],
)
def test_a_policy_that_cannot_work_says_why(spec: dict[str, Any], reason: Reason, facts: str) -> None:
    refusal = fault(make_policy(**spec))
    assert refusal is not None
    assert refusal.reason is reason
    assert facts in refusal.message


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="the usual one"),
        pytest.param({"steps": []}, id="without steps, for people to act"),
        pytest.param({"verification": {"healthyFor": "10m", "timeout": "10m"}}, id="a proof exactly as long as its time"),
        pytest.param({"guards": {"maxActions": {"count": 1, "within": "168h"}}}, id="a budget over a week"),
        pytest.param({"guards": {"freezeWindows": [window(), window("0 0 29 2 *", duration="744h")]}}, id="windows, also a rare one"),
    ],
)
def test_a_policy_that_can_work_has_no_fault(spec: dict[str, Any]) -> None:
    assert fault(make_policy(**spec)) is None


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        pytest.param(
            {"mode": "Rehearse"}, Reason.NewerThanOperator, "spec.mode: this version of Stopgap does not know 'Rehearse'", id="a mode"
        ),
        pytest.param(
            {"targets": {"kinds": ["CloneSet"], "names": ["api"]}},
            Reason.NewerThanOperator,
            "spec.targets.kinds.0: this version of Stopgap does not know 'CloneSet'",
            id="a kind of workload",
        ),
        pytest.param(
            {"resolution": {"after": "9999h"}, "gitOps": "RewriteGit"},
            Reason.NewerThanOperator,
            "spec.gitOps: this version of Stopgap does not know 'RewriteGit'",
            id="a new word beside another fault, which the new version may not call one",
        ),
        pytest.param(
            {"resolution": {"after": "9999h"}},
            Reason.InvalidPolicy,
            "spec.resolution.after: '9999h' is out of bounds; at most 366 days (8784h) make sense here",
            id="a duration out of bounds",
        ),
        pytest.param(
            {"guards": {"approvalTimeout": "10s"}},
            Reason.InvalidPolicy,
            "spec.guards.approvalTimeout: a person gets at least 1m to approve (approvalTimeout)",
            id="too little time to approve",
        ),
    ],
)
def test_a_policy_that_does_not_fit_the_model_says_where_and_whether_it_is_newer(
    spec: dict[str, Any], reason: Reason, message: str
) -> None:
    with pytest.raises(ValidationError) as error:
        make_policy(**spec)
    refusal = misfit(error.value)
    assert (refusal.reason, refusal.message) == (reason, message)
