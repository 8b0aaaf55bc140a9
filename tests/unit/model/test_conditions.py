"""Conditions: observations with a reason, whose time moves only with their status."""

from datetime import timedelta

from tests.conftest import NOW

from stopgap.model.conditions import Truth, condition, find, holds, put

READY = condition("Ready", Truth.TRUE, "Ready", "it is", NOW)
LATER = NOW + timedelta(hours=1)


def test_a_new_condition_is_added_at_the_end() -> None:
    other = condition("Paused", Truth.FALSE, "NotPaused", "", NOW)
    assert put((READY,), other) == (READY, other)


def test_the_time_moves_when_the_status_does() -> None:
    [changed] = put((READY,), condition("Ready", Truth.FALSE, "Broken", "it is not", LATER))
    assert (changed.status, changed.last_transition_time) == (Truth.FALSE, LATER)


def test_the_time_stays_when_only_the_reason_changes() -> None:
    [changed] = put((READY,), condition("Ready", Truth.TRUE, "StillReady", "it still is", LATER))
    assert (changed.reason, changed.message, changed.last_transition_time) == ("StillReady", "it still is", NOW)


def test_the_order_is_kept() -> None:
    both = (READY, condition("Paused", Truth.FALSE, "NotPaused", "", NOW))
    changed = put(both, condition("Ready", Truth.FALSE, "Broken", "", LATER))
    assert [one.type for one in changed] == ["Ready", "Paused"]


def test_a_condition_that_was_never_set_does_not_hold() -> None:
    assert find((), "Ready") is None
    assert not holds((), "Ready")


def test_only_true_holds() -> None:
    assert holds((READY,), "Ready")
    assert not holds((condition("Ready", Truth.UNKNOWN, "Later", "", NOW),), "Ready")
    assert not holds((condition("Ready", Truth.FALSE, "Broken", "", NOW),), "Ready")


def test_a_long_message_is_cut_to_what_the_schema_holds() -> None:
    assert len(condition("Ready", Truth.TRUE, "Ready", "x" * 5000, NOW).message) == 1024
