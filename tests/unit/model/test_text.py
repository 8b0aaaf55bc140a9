"""Foreign text that is too long loses its middle."""

import pytest

from stopgap.model.text import abridged, plain


@pytest.mark.parametrize("text", ["", "short", "x" * 40], ids=["empty", "short", "just as long as allowed"])
def test_what_fits_is_not_touched(text: str) -> None:
    assert abridged(text, 40) == text


def test_of_what_is_too_long_the_beginning_and_the_end_are_kept() -> None:
    assert abridged("failed to pull " + "x" * 100 + ": 401 Unauthorized", 40) == "failed to pul … xxxxxx: 401 Unauthorized"


@pytest.mark.parametrize("most", [9, 10, 11, 200, 2048])
def test_it_is_never_longer_than_allowed(most: int) -> None:
    assert len(abridged("x" * 5000, most)) == most


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("api is down", "api is down", id="a usual one"),
        pytest.param("a\n\tb", "a b", id="several lines"),
        pytest.param("\x1b[31mred\x1b[0m\x00", "[31mred [0m", id="what a terminal would obey"),
        pytest.param("abc\u202egnp.exe", "abc gnp.exe", id="what turns the direction of writing"),
        pytest.param("a\ud800b", "a b", id="half a character"),
        pytest.param("💥 Größe", "💥 Größe", id="what people write"),
        pytest.param("x" * 100, "xxxxxxxxxxxxx … xxxxxxxxxxxxxxxxxxxxxxxx", id="too much"),
    ],
)
def test_foreign_text_becomes_one_plain_line(text: str, shown: str) -> None:
    assert plain(text, 40) == shown
