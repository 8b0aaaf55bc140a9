"""Foreign text that is too long loses its middle."""

import pytest

from stopgap.model.text import abridged


@pytest.mark.parametrize("text", ["", "short", "x" * 40], ids=["empty", "short", "just as long as allowed"])
def test_what_fits_is_not_touched(text: str) -> None:
    assert abridged(text, 40) == text


def test_of_what_is_too_long_the_beginning_and_the_end_are_kept() -> None:
    assert abridged("failed to pull " + "x" * 100 + ": 401 Unauthorized", 40) == "failed to pul … xxxxxx: 401 Unauthorized"


@pytest.mark.parametrize("most", [9, 10, 11, 200, 2048])
def test_it_is_never_longer_than_allowed(most: int) -> None:
    assert len(abridged("x" * 5000, most)) == most
