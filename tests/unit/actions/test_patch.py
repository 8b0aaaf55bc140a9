"""`patch`: what is planned against an object as it is, and which objects are never touched."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import make_live, make_seen

from stopgap.actions import Patch
from stopgap.model.change import Aim, Field, Known, Plan
from stopgap.model.observation import Refusal, Right
from stopgap.model.patch import GROUPS_OF_OTHERS, PatchChange
from stopgap.model.query import Silence
from stopgap.model.reasons import Reason

REF = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "resource": "destinationrules", "name": "reviews"}
MERGE = '{"spec": {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}, "tls": null}}}'
RULE: dict[str, Any] = {
    "metadata": {"name": "reviews", "uid": "dr-uid"},
    "spec": {"host": "reviews", "trafficPolicy": {"tls": {"mode": "X"}}},
}


def made(**spec: Any) -> Patch:
    return Patch.model_validate({"objectRef": REF, **(spec or {"merge": MERGE})})


def planned(action: Patch, found: dict[str, Any] | Silence | None) -> Plan | Refusal:
    aim = action.wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    (at,) = aim.objects
    return action.plan(make_seen(live=make_live(objects={at: found})), aim)


def change_of(plan: Plan | Refusal) -> PatchChange:
    assert isinstance(plan, Plan), plan
    assert plan.outside is not None
    assert plan.outside.patch is not None
    assert plan.field is Field.ELSEWHERE
    return plan.outside.patch


def test_each_value_is_kept_with_what_was_there_before() -> None:
    plan = planned(made(), RULE)
    change = change_of(plan)
    assert (change.uid, change.create) == ("dr-uid", False)
    assert json.loads(change.leaves) == [
        {"path": ["spec", "trafficPolicy", "outlierDetection", "consecutive5xxErrors"], "ours": 3, "made": 3},
        {"path": ["spec", "trafficPolicy", "tls"], "before": {"mode": "X"}},
    ]
    assert isinstance(plan, Plan)
    assert plan.summary == (
        "patch destinationrules.networking.istio.io/reviews: "
        'spec.trafficPolicy.outlierDetection.consecutive5xxErrors unset → 3, spec.trafficPolicy.tls {"mode": "X"} → unset'
    )


def test_what_is_not_there_is_created_where_a_whole_object_is_given() -> None:
    change = change_of(planned(made(apply='{"spec": {"host": "reviews"}}'), None))
    assert (change.create, change.uid) == (True, "")
    assert not change_of(planned(made(apply='{"spec": {"host": "ratings"}}'), RULE)).create


@pytest.mark.parametrize(
    ("found", "reason", "said"),
    [
        pytest.param(None, Reason.ReferenceMissing, "does not exist", id="it is not there"),
        pytest.param(Silence("503", theirs=True), Reason.ReferenceMissing, "could not be read (503)", id="it cannot be read now"),
        pytest.param(
            {**RULE, "metadata": {**RULE["metadata"], "deletionTimestamp": "now"}}, Reason.ReferenceMissing, "deleted", id="it goes"
        ),
        pytest.param(
            {**RULE, "metadata": {**RULE["metadata"], "annotations": {"stopgap.dev/restore": "{}"}}},
            Reason.TargetBusy,
            "already",
            id="it is lent",
        ),
        pytest.param(
            {**RULE, "spec": {"trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 3}}}},
            Reason.NothingToDo,
            "as the policy wants it",
            id="it is so already",
        ),
        pytest.param(
            {**RULE, "spec": {"trafficPolicy": {"tls": "x" * 40_000}}}, Reason.NoCapacity, "too much to be kept", id="it is too big"
        ),
    ],
)
def test_when_it_is_not_patched(found: dict[str, Any] | Silence | None, reason: Reason, said: str) -> None:
    refusal = planned(made(), found)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, said in refusal.message) == (reason, True)


def test_the_rights_that_it_takes_are_asked_about_by_name() -> None:
    group, resource = "networking.istio.io", "destinationrules"
    aim, applied = made().wants(make_seen(), Known()), made(apply=MERGE).wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    assert isinstance(applied, Aim)
    assert aim.needs == {Right("get", group, resource, "reviews"), Right("patch", group, resource, "reviews")}
    assert applied.needs == aim.needs | {Right("delete", group, resource, "reviews"), Right("create", group, resource)}

    status = made(merge='{"status": {"abort": true}}', status=True).wants(make_seen(), Known())
    assert isinstance(status, Aim)
    assert Right("patch", group, "destinationrules/status", "reviews") in status.needs


@pytest.mark.parametrize("group", GROUPS_OF_OTHERS)
def test_a_group_of_others_is_never_patched(group: str) -> None:
    aim = made(objectRef={**REF, "apiVersion": f"{group}/v1"}, merge=MERGE).wants(make_seen(), Known())
    assert isinstance(aim, Refusal)


@pytest.mark.parametrize(
    ("resource", "allowed"), [("secrets", False), ("pods", False), ("serviceaccounts", False), ("configmaps", True), ("services", True)]
)
def test_of_the_core_only_a_little_is_patched(resource: str, allowed: bool) -> None:  # noqa: FBT001 - a column of the table
    aim = made(objectRef={**REF, "apiVersion": "v1", "resource": resource}, merge=MERGE).wants(make_seen(), Known())
    assert isinstance(aim, Aim) is allowed


@pytest.mark.parametrize(
    "merge",
    [
        pytest.param("[]", id="no object"),
        pytest.param("{}", id="nothing"),
        pytest.param("{spec: 1}", id="no JSON"),
        pytest.param('{"kind": "Secret"}', id="another kind"),
        pytest.param('{"metadata": {"finalizers": []}}', id="finalizers"),
        pytest.param('{"metadata": {"annotations": {"stopgap.dev/restore": null}}}', id="our own marks"),
    ],
)
def test_what_is_no_patch_is_not_understood(merge: str) -> None:
    with pytest.raises(ValidationError):
        made(merge=merge)
