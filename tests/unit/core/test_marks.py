"""The mark on an object: what it says is understood again, and what somebody else wrote there says nothing."""

import pytest
from tests.conftest import make_workload

from stopgap.api.plan import PlannedScaler
from stopgap.core.case import Lent
from stopgap.core.marks import RESTORE, lent_by_mark, mark, read_mark
from stopgap.model.change import Field

HPA = PlannedScaler(kind="HorizontalPodAutoscaler", name="api", uid="hpa-uid")


@pytest.mark.parametrize(
    "lent",
    [
        pytest.param(Lent(Field.REPLICAS, None, 3, 5, "r-uid"), id="replicas"),
        pytest.param(Lent(Field.MIN_REPLICAS, HPA, 2, 5, "r-uid"), id="the minimum of an autoscaler"),
        pytest.param(Lent(Field.MIN_REPLICA_COUNT, None, None, 5, "r-uid"), id="a field that was unset"),
        pytest.param(Lent(Field.REPLICAS, None, 3, 0, "r-uid"), id="taken down to zero"),
    ],
)
def test_a_mark_says_what_was_lent(lent: Lent) -> None:
    assert read_mark(mark(lent), lent.scaler) == lent


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("please restore", id="words"),
        pytest.param("[]", id="a list"),
        pytest.param("3", id="a number"),
        pytest.param("[" * 100_000, id="a pit"),
        pytest.param('{"field": "Replicas", "before": 3, "ours": 5}', id="nobody's"),
        pytest.param('{"field": "Template", "before": 3, "ours": 5, "remediationUID": "r"}', id="a template"),
        pytest.param('{"field": "Image", "before": 3, "ours": 5, "remediationUID": "r"}', id="a field of a newer version"),
        pytest.param('{"field": "Replicas", "before": 3, "ours": null, "remediationUID": "r"}', id="no value of ours"),
        pytest.param('{"field": "Replicas", "before": -1, "ours": 5, "remediationUID": "r"}', id="less than nothing"),
        pytest.param('{"field": "Replicas", "before": "3", "ours": 5, "remediationUID": "r"}', id="text for a number"),
        pytest.param('{"field": "Replicas", "before": true, "ours": 5, "remediationUID": "r"}', id="a truth for a number"),
        pytest.param('{"field": "Replicas", "before": 3, "ours": 99999999999, "remediationUID": "r"}', id="more than a field can hold"),
    ],
)
def test_what_somebody_else_wrote_says_nothing(text: str) -> None:
    assert read_mark(text) is None
    assert lent_by_mark(make_workload(annotations={RESTORE: text})) is None


def test_a_workload_without_a_mark_has_nothing_lent_to_it() -> None:
    assert lent_by_mark(make_workload()) is None
    assert lent_by_mark(None) is None
