"""The limits that hold where nobody has set any, and how far they can be moved: what a platform relies on without reading the code."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import make_policy

from stopgap.api import RemediationConfig
from stopgap.api.config import ConfigSpec
from stopgap.api.ladder import Mode

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def value(root: Any, path: str) -> Any:
    for name in path.split("."):
        root = getattr(root, name)
    return root


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("max_mode", Mode.AUTOMATIC),
        ("budgets.per_target.count", 3),
        ("budgets.per_target.within", HOUR),
        ("budgets.per_namespace.count", 10),
        ("budgets.per_namespace.within", HOUR),
        ("budgets.cluster.count", 30),
        ("budgets.cluster.within", HOUR),
        ("storm_breaker.min_unhealthy", 3),
        ("storm_breaker.percent", 45),
        ("storm_breaker.cooldown", 10 * MINUTE),
        ("storm_breaker.max_unverified_actions", 3),
        ("retention.resolved_for", 720 * HOUR),
        ("excluded_namespaces", ("kube-*", "stopgap-system")),
    ],
)
def test_a_platform_that_says_nothing_gets(path: str, expected: object) -> None:
    bodies: tuple[dict[str, Any], ...] = ({}, {"spec": {}}, {"spec": {"budgets": {}, "stormBreaker": {}, "retention": {}}})
    for declared in bodies:
        assert value(RemediationConfig.model_validate({"metadata": {"name": "stopgap"}, **declared}).spec, path) == expected


def test_a_policy_that_says_nothing_waits_fifteen_minutes_for_an_approval() -> None:
    assert make_policy().spec.guards.approval_timeout == 15 * MINUTE
    assert make_policy(guards={"approvalTimeout": "1m"}).spec.guards.approval_timeout == MINUTE


@pytest.mark.parametrize("short", ["59s", "0s"])
def test_an_approval_that_nobody_has_the_time_to_give_is_refused(short: str) -> None:
    with pytest.raises(ValidationError, match="approvalTimeout"):
        make_policy(guards={"approvalTimeout": short})


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"budgets": {"cluster": {"count": -1, "within": "1h"}}}, id="a negative budget"),
        pytest.param({"stormBreaker": {"minUnhealthy": 0}}, id="a storm of nothing"),
        pytest.param({"stormBreaker": {"percent": 101}}, id="more than all"),
        pytest.param({"stormBreaker": {"maxUnverifiedActions": 0}}, id="no action may ever be out"),
    ],
)
def test_an_absurd_limit_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConfigSpec.model_validate(spec)
