"""`scale`: to how many replicas, in which field, and when not."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import make_live, make_seen, make_workload

from stopgap.actions import Scale
from stopgap.model.change import Aim, Field, Known, Plan
from stopgap.model.observation import Refusal, Scaler
from stopgap.model.reasons import Reason

MOST = {"max": 10}


def planned(action: Scale, *, now: int = 3, scaler: Scaler | None = None, floor: int = 0) -> Plan | Refusal:
    """Ask for an aim, and for the plan that follows from it."""
    live = make_live(scaler=scaler, scaler_known=True, disruption_floor=floor)
    seen = make_seen(workload=make_workload(replicas=now), live=live)
    aim = action.wants(seen, Known())
    return action.plan(seen, aim) if isinstance(aim, Aim) else aim


def hpa(minimum: int | None = 2, maximum: int = 8) -> Scaler:
    return Scaler("HorizontalPodAutoscaler", "api", "hpa-uid", minimum, maximum)


@pytest.mark.parametrize(
    ("spec", "now", "expected"),
    [
        pytest.param({"by": "2"}, 3, 5, id="so many more"),
        pytest.param({"by": "+2"}, 3, 5, id="a plus says the same"),
        pytest.param({"by": "50%"}, 3, 5, id="a share is rounded up"),
        pytest.param({"by": "1%"}, 3, 4, id="however small it is"),
        pytest.param({"by": "999"}, 3, 10, id="never above max"),
        pytest.param({"by": "1", "min": 5}, 2, 5, id="never fewer than min, where there are fewer"),
        pytest.param({"by": "-2"}, 6, 4, id="so many fewer"),
        pytest.param({"by": "-50%"}, 5, 2, id="a share of fewer is rounded away from what is there"),
        pytest.param({"by": "-99%"}, 5, 1, id="never to zero"),
        pytest.param({"by": "-9", "min": 3}, 5, 3, id="never below min"),
        pytest.param({"by": "-9", "min": 0}, 5, 0, id="to zero where the policy says min: 0"),
        pytest.param({"to": 7}, 3, 7, id="to a number"),
        pytest.param({"to": 2}, 3, 2, id="to a smaller number"),
        pytest.param({"to": 0, "min": 0}, 3, 0, id="to zero where the policy says so twice"),
    ],
)
def test_so_many_replicas_are_meant(spec: dict[str, Any], now: int, expected: int) -> None:
    plan = planned(Scale(**{**MOST, **spec}), now=now)
    assert isinstance(plan, Plan)
    assert (plan.field, plan.before, plan.ours) == (Field.REPLICAS, now, expected)
    assert plan.summary == f"scale {now} → {expected} replicas"


@pytest.mark.parametrize(
    ("spec", "now"),
    [
        pytest.param({"by": "2"}, 10, id="there are as many as max allows"),
        pytest.param({"by": "2"}, 12, id="there are more than max allows"),
        pytest.param({"by": "-2", "min": 3}, 3, id="there are as few as min allows"),
        pytest.param({"by": "-2", "min": 5}, 3, id="there are fewer than min allows"),
        pytest.param({"by": "-2"}, 20, id="even two fewer would be more than max allows"),
        pytest.param({"to": 3}, 3, id="that number is wanted already"),
        pytest.param({"by": "2"}, 0, id="somebody wants none at all"),
    ],
)
def test_there_is_nothing_to_do(spec: dict[str, Any], now: int) -> None:
    refusal = planned(Scale(**{**MOST, **spec}), now=now)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NothingToDo


def test_an_autoscaler_owns_the_number_so_its_minimum_is_raised() -> None:
    plan = planned(Scale(by="2", **MOST), scaler=hpa())
    assert isinstance(plan, Plan)
    assert (plan.field, plan.before, plan.ours, plan.scaler) == (Field.MIN_REPLICAS, 2, 5, hpa())
    assert "2 → 5" in plan.summary


def test_the_minimum_of_a_scaled_object_is_raised_and_was_unset() -> None:
    keda = Scaler("ScaledObject", "api", "so-uid", None, 8)
    plan = planned(Scale(by="2", **MOST), scaler=keda)
    assert isinstance(plan, Plan)
    assert (plan.field, plan.before, plan.ours) == (Field.MIN_REPLICA_COUNT, None, 5)
    assert "unset → 5" in plan.summary


def test_the_minimum_is_never_raised_above_the_maximum_of_the_autoscaler() -> None:
    plan = planned(Scale(by="9", max=20), scaler=hpa(maximum=6))
    assert isinstance(plan, Plan)
    assert plan.ours == 6


def test_an_autoscaler_at_its_maximum_has_no_room() -> None:
    refusal = planned(Scale(by="2", **MOST), now=8, scaler=hpa(maximum=8))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NoCapacity
    assert "8 replicas at most" in refusal.message


def test_an_autoscaler_that_is_told_to_keep_more_already_is_not_said_to_lack_room() -> None:
    refusal = planned(Scale(by="2", **MOST), now=3, scaler=hpa(minimum=6))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NothingToDo
    assert "at least 6" in refusal.message


def test_an_autoscaler_alone_takes_replicas_away() -> None:
    refusal = planned(Scale(by="-1", **MOST), scaler=hpa())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.AutoscalerDecides


def test_as_many_are_kept_as_a_disruption_budget_needs() -> None:
    plan = planned(Scale(to=2, **MOST), now=8, floor=5)
    assert isinstance(plan, Plan)
    assert plan.ours == 5


@pytest.mark.parametrize(("now", "floor"), [(4, 4), (3, 5), (20, 15)], ids=["exactly what is there", "more than is there", "more than max"])
def test_what_a_disruption_budget_needs_is_not_taken_away(now: int, floor: int) -> None:
    refusal = planned(Scale(to=2, **MOST), now=now, floor=floor)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NoCapacity
    assert f"needs {floor} pods" in refusal.message


def test_a_disruption_budget_is_no_reason_against_more() -> None:
    assert isinstance(planned(Scale(by="2", **MOST), floor=9), Plan)


@pytest.mark.parametrize("by", ["0", "0%", "2.5", "+", "", "--2", "10000"])
def test_a_step_that_means_nothing_is_not_accepted(by: str) -> None:
    with pytest.raises(ValidationError):
        Scale(by=by, **MOST)
