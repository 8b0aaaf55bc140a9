"""The JSON patches of an action and of its restore, literally."""

from typing import Any

import msgspec
import pytest
from tests.conftest import GOOD, make_remediation

from stopgap.api.plan import PlannedScaler
from stopgap.core.marks import RESTORE
from stopgap.effects.written import LAST_ACTION, Look, first_look, look_at, operations, place
from stopgap.model.change import Field, ReplaceTemplate, SetNumber
from stopgap.model.refs import Target

TARGET = Target("shop", "Deployment", "api")
WORKLOAD = place(TARGET, "d-uid", Field.REPLICAS, None)
STATEFUL = place(TARGET._replace(kind="StatefulSet"), "s-uid", Field.TEMPLATE, None)
HPA = place(TARGET, "d-uid", Field.MIN_REPLICAS, PlannedScaler(kind="HorizontalPodAutoscaler", name="api-hpa", uid="hpa-uid"))
KEDA = place(TARGET, "d-uid", Field.MIN_REPLICA_COUNT, PlannedScaler(kind="ScaledObject", name="api-so", uid="so-uid"))
OURS: dict[str, str | None] = {LAST_ACTION: "r-uid", RESTORE: "{}"}
MARKED = {LAST_ACTION: "r-uid", RESTORE: "{}"}
ACTION, MARK = "/metadata/annotations/stopgap.dev~1last-action", "/metadata/annotations/stopgap.dev~1restore"


def look(value: Any, *, generation: int | None = 4, annotations: dict[str, str] | None = None) -> Look:
    return Look("uid", generation, annotations, value, None, leaving=False, paused=False)


def test_where_each_number_is() -> None:
    assert WORKLOAD.path == "/apis/apps/v1/namespaces/shop/deployments/api"
    assert (HPA.path, HPA.uid) == ("/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/api-hpa", "hpa-uid")
    assert (KEDA.path, KEDA.uid) == ("/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/api-so", "so-uid")
    assert HPA.resource == ("autoscaling", "horizontalpodautoscalers")
    assert STATEFUL.path == "/apis/apps/v1/namespaces/shop/statefulsets/api"


def test_only_a_deployment_surely_has_annotations_so_that_its_first_write_needs_no_look() -> None:
    assert WORKLOAD.has_annotations
    assert not any(one.has_annotations for one in (STATEFUL, HPA, KEDA))


def test_replicas_are_raised_only_at_the_generation_that_was_seen() -> None:
    assert operations(WORKLOAD, look(3, annotations={"team": "shop"}), SetNumber(Field.REPLICAS, 3, 5), OURS) == [
        {"op": "test", "path": "/metadata/uid", "value": "d-uid"},
        {"op": "test", "path": "/metadata/generation", "value": 4},
        {"op": "test", "path": "/spec/replicas", "value": 3},
        {"op": "add", "path": "/spec/replicas", "value": 5},
        {"op": "add", "path": ACTION, "value": "r-uid"},
        {"op": "add", "path": MARK, "value": "{}"},
    ]


def test_an_object_without_generation_is_guarded_by_the_old_value_and_the_old_marks() -> None:
    assert operations(HPA, look(2, generation=None, annotations={LAST_ACTION: "before"}), SetNumber(Field.MIN_REPLICAS, 2, 5), OURS) == [
        {"op": "test", "path": "/metadata/uid", "value": "hpa-uid"},
        {"op": "test", "path": ACTION, "value": "before"},
        {"op": "test", "path": MARK, "value": None},
        {"op": "test", "path": "/spec/minReplicas", "value": 2},
        {"op": "add", "path": "/spec/minReplicas", "value": 5},
        {"op": "add", "path": ACTION, "value": "r-uid"},
        {"op": "add", "path": MARK, "value": "{}"},
    ]


def test_where_there_are_no_annotations_the_map_itself_is_guarded_and_added() -> None:
    assert operations(HPA, look(2, generation=None), SetNumber(Field.MIN_REPLICAS, 2, 5), OURS) == [
        {"op": "test", "path": "/metadata/uid", "value": "hpa-uid"},
        {"op": "test", "path": "/spec/minReplicas", "value": 2},
        {"op": "add", "path": "/spec/minReplicas", "value": 5},
        {"op": "test", "path": "/metadata/annotations", "value": None},
        {"op": "add", "path": "/metadata/annotations", "value": OURS},
    ]


def test_a_field_that_was_unset_is_removed_again_with_its_mark() -> None:
    marked = look(5, annotations=MARKED)
    assert operations(KEDA, marked, SetNumber(Field.MIN_REPLICA_COUNT, 5, None), {RESTORE: None}) == [
        {"op": "test", "path": "/metadata/uid", "value": "so-uid"},
        {"op": "test", "path": "/metadata/generation", "value": 4},
        {"op": "test", "path": "/spec/minReplicaCount", "value": 5},
        {"op": "remove", "path": "/spec/minReplicaCount"},
        {"op": "remove", "path": MARK},
    ]


def test_a_mark_that_is_gone_already_is_not_removed_again() -> None:
    patch = operations(WORKLOAD, look(5, annotations={LAST_ACTION: "other"}), SetNumber(Field.REPLICAS, 5, 3), {RESTORE: None})
    assert patch[2:] == [{"op": "test", "path": "/spec/replicas", "value": 5}, {"op": "add", "path": "/spec/replicas", "value": 3}]


def test_a_mark_alone_is_taken_away_without_touching_the_field() -> None:
    assert operations(WORKLOAD, look(7, annotations=MARKED), None, {RESTORE: None}) == [
        {"op": "test", "path": "/metadata/uid", "value": "d-uid"},
        {"op": "test", "path": "/metadata/generation", "value": 4},
        {"op": "remove", "path": MARK},
    ]


def test_a_template_is_replaced_as_a_whole() -> None:
    where = place(TARGET, "d-uid", Field.TEMPLATE, None)
    patch = operations(where, look("digest", annotations={}), ReplaceTemplate(GOOD), {LAST_ACTION: "r-uid"})
    assert patch[2:] == [
        {"op": "replace", "path": "/spec/template", "value": GOOD.body},
        {"op": "add", "path": ACTION, "value": "r-uid"},
    ]


@pytest.mark.parametrize(
    ("field", "spec", "value"),
    [
        pytest.param(Field.REPLICAS, {"replicas": 3}, 3, id="replicas"),
        pytest.param(Field.MIN_REPLICAS, {"minReplicas": 2, "maxReplicas": 5}, 2, id="minReplicas"),
        pytest.param(Field.MIN_REPLICA_COUNT, {}, None, id="unset"),
        pytest.param(Field.TEMPLATE, {"template": GOOD.body}, GOOD.digest, id="the template's digest"),
    ],
)
def test_what_is_looked_at(field: Field, spec: dict[str, Any], value: Any) -> None:
    meta = {"uid": "u", "resourceVersion": "1", "annotations": MARKED}
    seen = look_at(msgspec.json.encode({"metadata": meta, "spec": spec}), field)
    assert (seen.value, seen.generation, seen.mark(LAST_ACTION)) == (value, None, "r-uid")


def test_the_generation_of_the_workload_says_nothing_about_its_autoscaler() -> None:
    scaler = {"kind": "ScaledObject", "name": "api-so", "uid": "so-uid"}
    plan = {"summary": "s", "field": "MinReplicaCount", "scaler": scaler, "before": 1, "ours": 5}
    assert first_look(make_remediation(action="Scale", plan=plan)).generation is None
    assert first_look(make_remediation()).generation == 4
