"""Our own objects as they were last seen: what is counted, and what still wants a look."""

from typing import Any

import pytest
from tests.conftest import NOW, TARGET, executed, make_remediation

from stopgap.api import Remediation, WorkloadHealth
from stopgap.effects.record import dumped
from stopgap.effects.records import Records


def holding(remediation: Remediation) -> Records:
    records = Records(lambda _: None, lambda _: None)
    records.take(Remediation, dumped(remediation))
    return records


def over(revert: str) -> dict[str, Any]:
    return executed(state="Succeeded", fieldsReturned=True, revert={"state": revert})


@pytest.mark.parametrize(
    ("status", "wants_a_look"),
    [
        pytest.param(None, True, id="intended only"),
        pytest.param(executed(), True, id="being verified"),
        pytest.param(executed(state="Succeeded"), True, id="over, and its fields not given back"),
        pytest.param(executed(state="Succeeded", fieldsReturned=True), False, id="over"),
        pytest.param({"state": "Superseded"}, False, id="never written"),
        pytest.param({"state": "Superseded", "suspension": {"state": "Suspended"}}, True, id="over, and its owner is suspended"),
        pytest.param({"state": "Superseded", "suspension": {"state": "Held"}}, True, id="over, and its owner is suspended for too long"),
        pytest.param({"state": "Superseded", "suspension": {"state": "Resumed"}}, False, id="over, and its owner is resumed"),
        pytest.param(over("Pending"), True, id="over, and something is to be put back"),
        pytest.param(over("Held"), True, id="over, and putting back waits for a signal"),
        pytest.param(over("Failed"), True, id="over, and putting back failed"),
        pytest.param(over("Done"), False, id="over, and it was put back"),
    ],
)
def test_an_action_that_is_not_over_wants_a_look_whatever_became_of_its_incident(
    status: dict[str, Any] | None,
    wants_a_look: bool,  # noqa: FBT001 - a column of the table
) -> None:
    found = list(holding(make_remediation(status=status)).unfinished())
    assert found == ([TARGET] if wants_a_look else [])


def test_an_action_is_counted_from_when_it_was_sent_and_once() -> None:
    records = holding(make_remediation())
    assert records.spent() == ()
    done = make_remediation(status=executed())
    records.charge(done)
    records.take(Remediation, dumped(done))
    assert [(one.at, one.namespace) for one in records.spent()] == [(NOW, "shop")]


def test_an_action_of_which_nobody_knows_whether_it_was_sent_counts_as_sent() -> None:
    unknown = make_remediation(status={"state": "OutcomeUnknown", "endedAt": NOW})
    assert [one.at for one in holding(unknown).spent()] == [NOW]
    assert holding(make_remediation(status={"state": "Superseded", "endedAt": NOW})).spent() == ()


def test_an_action_whose_record_was_deleted_is_counted_by_the_memory_of_its_workload_and_once() -> None:
    records = Records(lambda _: None, lambda _: None)
    said = {"lastActions": [{"remediation": "r-uid", "policyUid": "p-uid", "at": NOW.isoformat()}]}
    spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d-uid"}}
    body = {"metadata": {"name": "api-d", "namespace": "shop", "resourceVersion": "5"}, "spec": spec, "status": said}
    records.take(WorkloadHealth, body)
    assert [(one.at, one.namespace, one.policy_uid) for one in records.spent()] == [(NOW, "shop", "p-uid")]
    done = make_remediation(status=executed())
    records.take(Remediation, dumped(done.model_copy(update={"metadata": done.metadata.model_copy(update={"uid": "r-uid"})})))
    assert len(records.spent()) == 1


def named(name: str, uid: str = "d-uid", **status: Any) -> Remediation:
    made = make_remediation(name=name, targetRef={"name": "api", "uid": uid}, status=status or executed())
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"resource_version": None})})


def test_a_deleted_remediation_is_forgotten_where_it_was_and_nowhere_else() -> None:
    records = Records(lambda _: None, lambda _: None)
    for one in (named("first"), named("second"), named("other", "w-uid")):
        records.take(Remediation, dumped(one))
    records.drop(Remediation, "shop", "first")
    records.drop(Remediation, "shop", "never-seen")
    assert [one.metadata.name for one in records.remediations("d-uid")] == ["second"]
    assert [one.metadata.name for one in records.remediations("w-uid")] == ["other"]
    assert sorted(one.metadata.name for one in records.unended()) == ["other", "second"]
    records.drop(Remediation, "shop", "second")
    assert records.remediations("d-uid") == ()


def test_a_remediation_of_the_same_name_that_is_of_another_workload_takes_its_place() -> None:
    records = Records(lambda _: None, lambda _: None)
    records.take(Remediation, dumped(named("one")))
    records.take(Remediation, dumped(named("one", "w-uid")))
    assert records.remediations("d-uid") == ()
    records.drop(Remediation, "shop", "one")
    assert records.remediations("w-uid") == ()


def test_a_deleted_memory_is_forgotten_and_one_that_took_its_place_is_not() -> None:
    records = Records(lambda _: None, lambda _: None)
    spec = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d-uid"}}
    for name in ("before", "after"):
        records.take(WorkloadHealth, {"metadata": {"name": name, "namespace": "shop"}, "spec": spec})
    records.drop(WorkloadHealth, "shop", "before")
    found = records.health("d-uid")
    assert found is not None
    assert found.metadata.name == "after"
    records.drop(WorkloadHealth, "shop", "after")
    assert records.health("d-uid") is None
