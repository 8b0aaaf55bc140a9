"""What scales a workload and what it must keep, as the objects of others say it."""

from typing import Any

import pytest
from tests.conftest import make_workload

from stopgap.effects.scalers import _autoscaler, _needed, _scaled_object, is_about
from stopgap.model.observation import Scaler

META = {"name": "api", "uid": "u"}


def budget(needed: Any = 2, **spec: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": {"minAvailable": needed, "selector": {"matchLabels": {"app": "api"}}, **spec}}


def expressed(operator: str, *values: str, key: str = "app") -> dict[str, Any]:
    return {"selector": {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}}


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        pytest.param(budget(), 2, id="a number of its pods"),
        pytest.param(budget("50%"), 0, id="a share follows the number"),
        pytest.param(budget(None), 0, id="only maxUnavailable"),
        pytest.param(budget(selector={"matchLabels": {"app": "web"}}), 0, id="of other pods"),
        pytest.param(budget(selector={}), 2, id="an empty selector means every pod"),
        pytest.param(budget(selector=None), 0, id="no selector means no pod"),
        pytest.param(budget(**expressed("In", "api", "web")), 2, id="in"),
        pytest.param(budget(**expressed("In", "web")), 0, id="not in those"),
        pytest.param(budget(**expressed("NotIn", "web")), 2, id="not in"),
        pytest.param(budget(**expressed("NotIn", "api")), 0, id="in those that are left out"),
        pytest.param(budget(**expressed("NotIn", "x", key="team")), 2, id="not in, where there is no such label"),
        pytest.param(budget(**expressed("Exists")), 2, id="exists"),
        pytest.param(budget(**expressed("Exists", key="team")), 0, id="does not, and is asked for"),
        pytest.param(budget(**expressed("DoesNotExist", key="team")), 2, id="does not exist"),
        pytest.param(budget(**expressed("DoesNotExist")), 0, id="exists, and must not"),
    ],
)
def test_so_many_pods_a_budget_needs(body: dict[str, Any], needed: int) -> None:
    assert _needed(body, make_workload()) == needed


@pytest.mark.parametrize(
    ("ref", "about"),
    [
        pytest.param({"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}, True, id="this one"),
        pytest.param({"name": "api"}, True, id="KEDA takes a Deployment where no kind is said"),
        pytest.param({"kind": "StatefulSet", "name": "api"}, False, id="another kind of the same name"),
        pytest.param({"kind": "Deployment", "name": "web"}, False, id="another one"),
        pytest.param(None, False, id="nothing at all"),
    ],
)
def test_what_an_autoscaleris_about(ref: Any, about: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_about({"spec": {"scaleTargetRef": ref}}, make_workload()) is about


def test_an_autoscaler_is_read_with_its_bounds() -> None:
    body = {"metadata": META, "spec": {"minReplicas": 2, "maxReplicas": 8}}
    assert _autoscaler(body) == Scaler("HorizontalPodAutoscaler", "api", "u", 2, 8)


@pytest.mark.parametrize(
    ("spec", "minimum", "maximum"),
    [({"minReplicaCount": 1, "maxReplicaCount": 9}, 1, 9), ({}, None, 100), ({"minReplicaCount": 0}, 0, 100)],
    ids=["both said", "neither said: KEDA's own maximum", "down to zero"],
)
def test_a_scaled_object_is_read_with_its_bounds(spec: dict[str, Any], minimum: int | None, maximum: int) -> None:
    assert _scaled_object({"metadata": META, "spec": spec}) == Scaler("ScaledObject", "api", "u", minimum, maximum)
