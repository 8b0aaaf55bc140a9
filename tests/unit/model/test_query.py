"""Samples in a row: onset, gaps, bounds."""

from datetime import timedelta

from tests.conftest import NOW, TARGET

from stopgap.model.query import MOST_SAMPLES, Sample, appended, filled, unbroken
from stopgap.model.workload import State

EVERY = timedelta(seconds=10)
STATES = {"F": State.FIRING, "Q": State.QUIET, "U": State.UNKNOWN}


def ring(states: str) -> tuple[Sample, ...]:
    """One sample every ten seconds, the last of them now; a dot is one that is missing."""
    samples: tuple[Sample, ...] = ()
    for number, letter in enumerate(states, start=1 - len(states)):
        if letter != ".":
            samples = appended(samples, Sample(NOW + number * EVERY, STATES[letter], letter), EVERY)
    return samples


def onset(states: str) -> int | None:
    """How many samples ago the trouble began."""
    since = ring(states)[-1].since
    return None if since is None else round((NOW - since) / EVERY)


def test_the_onset_is_the_first_bad_sample_after_a_good_one() -> None:
    assert onset("QQFFF") == 2


def test_what_was_never_seen_good_has_no_onset() -> None:
    assert onset("FFF") is None
    assert onset("UFFF") is None


def test_one_answer_that_is_missing_or_unclear_leaves_the_onset_known_and_more_do_not() -> None:
    assert onset("QUFF") == 1
    assert onset("Q.FF") == 1
    assert onset("QUUFF") is None
    assert onset("Q..FF") is None


def test_the_same_trouble_keeps_its_onset_through_a_time_in_which_nothing_is_known() -> None:
    assert onset("QFFUUUUUFF") == 8
    assert onset("QFF......FF") == 9


def test_a_good_sample_ends_the_trouble() -> None:
    assert onset("QFFQF") == 0


def test_the_oldest_samples_are_dropped_and_the_onset_is_not() -> None:
    samples = ring("Q" + "F" * 100)
    assert len(samples) == MOST_SAMPLES
    assert samples[-1].since == NOW - 99 * EVERY


def test_a_row_ends_at_another_state_and_at_a_gap_of_more_than_two_intervals() -> None:
    assert len(unbroken(ring("FQQ"), NOW, EVERY)) == 2
    assert len(unbroken(ring("QQ.QQ"), NOW, EVERY)) == 4
    assert len(unbroken(ring("QQ..QQ"), NOW, EVERY)) == 2


def test_samples_have_a_greatest_age() -> None:
    assert len(unbroken(ring("QQ"), NOW + 2 * EVERY, EVERY)) == 2
    assert unbroken(ring("QQ"), NOW + 2 * EVERY + timedelta(seconds=1), EVERY) == ()


def test_the_workload_s_names_are_put_in() -> None:
    assert filled("http://$(NAME).$(NAMESPACE).svc/$(OTHER)", TARGET) == "http://api.shop.svc/$(OTHER)"
