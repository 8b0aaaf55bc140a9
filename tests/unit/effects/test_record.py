"""What is written is something that the API server takes, whatever the names and texts that it is made of."""

import pytest

from stopgap.effects.record import LONGEST_NOTE, _within, numbered


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
