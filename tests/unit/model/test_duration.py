"""Durations in manifests."""

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopgap.model.duration import LONGEST, PATTERN, parse, spell


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1.5h", timedelta(hours=1, minutes=30)),
        ("250ms", timedelta(milliseconds=250)),
        ("0s", timedelta(0)),
        ("8784h", LONGEST),
    ],
)
def test_a_go_style_string_is_understood(text: str, length: timedelta) -> None:
    assert parse(text) == length


@pytest.mark.parametrize("text", ["", "5", "abc", "m5", "ten minutes"])
def test_what_is_no_duration_is_refused_with_the_text_and_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text)) + r" is not a duration; write it like 90s, 15m or 1h30m"):
        parse(text)


@pytest.mark.parametrize("text", ["-5m", "8785h", "99999999h"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"out of bounds|not a duration"):
        parse(text)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(hours=1, minutes=30), "1h30m"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(days=2), "48h"),
        (timedelta(0), "0s"),
        (timedelta(milliseconds=250), "0.25s"),
        (timedelta(seconds=61, milliseconds=500), "61.5s"),
        (timedelta(minutes=-5), "-5m"),
    ],
)
def test_a_length_is_written_as_a_person_would(length: timedelta, text: str) -> None:
    assert spell(length) == text


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(min_value=0, max_value=int(LONGEST.total_seconds() * 1000)))
def test_what_is_written_is_read_again_and_fits_the_schema(milliseconds: int) -> None:
    length = timedelta(milliseconds=milliseconds)
    assert parse(spell(length)) == length
    assert re.match(PATTERN, spell(length))
