"""What is written is something that the API server takes, whatever the names and texts that it is made of."""

from typing import Any

import pytest
from tests.conftest import make_remediation

from stopgap.effects.record import LONGEST_NOTE, _same_intent, _within, numbered

SCALED: dict[str, Any] = {"summary": "scale 2 → 4 replicas", "field": "Replicas", "before": 2, "ours": 4}


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        pytest.param("api", "api-3", id="a usual one"),
        pytest.param("a" * 239 + ".canary", "a" * 239 + "-3", id="cut at a dot"),
        pytest.param("a" * 239 + "-canary", "a" * 239 + "-3", id="cut at a hyphen"),
        pytest.param("a" * 253, "a" * 240 + "-3", id="the longest"),
    ],
)
def test_the_name_of_an_incident_is_one(workload: str, name: str) -> None:
    assert numbered(workload, 3) == name


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("db upgrade", "db upgrade", id="a short one"),
        pytest.param("x" * 2000, "x" * 1024, id="a long one"),
        pytest.param("€" * 1000, "€" * 341, id="of characters of three bytes, none of them cut in two"),
    ],
)
def test_a_note_is_cut_by_its_bytes(text: str, kept: str) -> None:
    assert _within(text, LONGEST_NOTE) == kept


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param({"plan": SCALED}, True, id="the answer to the first try was lost"),
        pytest.param({"plan": {**SCALED, "summary": "more replicas"}}, True, id="in other words"),
        pytest.param({"plan": {**SCALED, "ours": 6}}, False, id="another number by now"),
        pytest.param({"plan": {**SCALED, "scaler": {"kind": "ScaledObject", "name": "api", "uid": "s"}}}, False, id="of an autoscaler"),
        pytest.param({"plan": SCALED, "step": "even-more"}, False, id="another step"),
    ],
)
def test_an_intent_that_is_there_is_ours_only_if_it_leads_to_the_same_end(other: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    assert _same_intent(make_remediation(step="more", plan=SCALED).spec, make_remediation(**{"step": "more", **other}).spec) is same
