"""What is lent, by workload name: owed by records, left by earlier workloads, and lost with a record."""

from typing import Any

import pytest
from tests.conftest import NOW, TARGET, UID, make_remediation
from tests.unit.core.test_suspending import paused

from stopgap.api import Remediation
from stopgap.core.case import Lent
from stopgap.effects.lending import Lending
from stopgap.model.change import Field

HPA: dict[str, Any] = {"kind": "HorizontalPodAutoscaler", "name": "api", "uid": "hpa-uid"}


def lent(state: str = "Pending", *, scaler: dict[str, Any] | None = HPA) -> Remediation:
    status = {"state": "Succeeded", "executedAt": NOW, "fieldsReturned": True, "revert": {"state": state}}
    return make_remediation(action="Scale", plan=planned(scaler), status=status)


def planned(scaler: dict[str, Any] | None = HPA, **changes: Any) -> dict[str, Any]:
    field = "MinReplicas" if scaler else "Replicas"
    return {"summary": "s", "field": field, "scaler": scaler, "before": 2, "ours": 5, "revert": {"upon": "Resolved"}, **changes}


def test_what_an_earlier_workload_of_the_name_owes_is_found_and_what_the_present_one_owes_is_its_own() -> None:
    lending = Lending()
    lending.take(lent())
    assert lending.left(TARGET, "another-uid") == (lent(),)
    assert lending.left(TARGET, "") == (lent(),)
    assert lending.left(TARGET, UID) == ()


@pytest.mark.parametrize(
    ("one", "stays"),
    [
        pytest.param(paused(), True, id="it is suspended"),
        pytest.param(paused(state="Held"), True, id="people were called for it"),
        pytest.param(paused(state="Resumed"), False, id="it was resumed"),
        pytest.param(paused().model_copy(update={"status": None}), True, id="perhaps it was suspended, and that was not heard of yet"),
        pytest.param(lent(), False, id="nothing was suspended for it"),
    ],
)
def test_a_record_that_is_deleted_leaves_the_owner_that_was_suspended_for_it(one: Remediation, stays: bool) -> None:  # noqa: FBT001
    lending = Lending()
    lending.take(one)
    lending.drop(one)
    assert [(each.kind, each.name, each.mark.uid) for each in lending.pauses.values()] == [("Application", "web", one.metadata.uid)] * stays
    lending.take(one)
    assert not lending.pauses, "it is there after all"


def test_what_was_put_back_is_owed_no_more() -> None:
    lending = Lending()
    lending.take(lent())
    lending.take(lent("Done"))
    assert lending.left(TARGET, "") == ()
    assert lending.drop(lent("Done")) is None


def test_a_record_that_is_deleted_too_early_leaves_what_it_owed_of_an_autoscaler() -> None:
    lending = Lending()
    lending.take(lent())
    assert lending.drop(lent()) == TARGET
    (lost,) = lending.lost(TARGET)
    assert (lost.field, lost.before, lost.ours, lost.remediation) == (Field.MIN_REPLICAS, 2, 5, None)
    lending.found(TARGET, lost.remediation_uid)
    assert lending.lost(TARGET) == ()


@pytest.mark.parametrize(
    ("one", "lost"),
    [
        pytest.param(make_remediation(plan=planned()), 1, id="perhaps it was written, and that was not heard of yet"),
        pytest.param(make_remediation(plan=planned(), status={"state": "Verifying", "executedAt": NOW}), 1, id="it is being proved"),
        pytest.param(make_remediation(plan=planned(revert=None)), 0, id="it is there to stay"),
        pytest.param(make_remediation(plan=planned(), expiresAt=NOW), 0, id="it waits for its approval"),
        pytest.param(make_remediation(plan=planned(), status={"state": "Superseded"}), 0, id="it was given up"),
        pytest.param(lent("Done"), 0, id="it is put back"),
    ],
)
def test_a_record_that_is_deleted_leaves_what_was_perhaps_lent(one: Remediation, lost: int) -> None:
    lending = Lending()
    lending.take(one)
    assert (lending.drop(one) is not None) == bool(lost)
    assert len(lending.lost(TARGET)) == lost
    assert list(lending.targets()) == [TARGET] * lost


def test_what_has_not_ended_is_found_by_the_name_of_its_workload() -> None:
    lending = Lending()
    lending.take(make_remediation())
    assert lending.left(TARGET, "another-uid") == (make_remediation(),)
    assert lending.left(TARGET, "another-uid", UID) == ()


def test_a_mark_of_which_a_record_knows_is_not_lost() -> None:
    lending = Lending()
    lending.lose(TARGET, Lent(Field.MIN_REPLICAS, None, 2, 5, lent().metadata.uid or ""))
    lending.take(lent())
    assert lending.lost(TARGET) == ()


def test_a_copy_that_begins_to_lead_believes_nothing_of_what_was_lost_while_another_one_led() -> None:
    lending = Lending()
    lending.take(lent())
    lending.drop(lent())
    lending.begin_anew()
    assert lending.lost(TARGET) == ()
    assert list(lending.targets()) == []


def test_a_workload_says_itself_what_was_lent_to_it() -> None:
    lending = Lending()
    lending.take(lent(scaler=None))
    assert lending.drop(lent(scaler=None)) == TARGET
    assert lending.lost(TARGET) == ()


def test_the_same_lost_thing_found_twice_is_one() -> None:
    lending = Lending()
    for _ in range(2):
        lending.lose(TARGET, Lent(Field.MIN_REPLICAS, None, 2, 5, "r-uid"))
    assert len(lending.lost(TARGET)) == 1
