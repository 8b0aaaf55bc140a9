"""The bounded story of an incident."""

from datetime import timedelta

from tests.conftest import NOW

from stopgap.api.incident import IncidentStatus
from stopgap.core.timeline import tell
from stopgap.model.reasons import Reason


def told(count: int) -> IncidentStatus:
    status = IncidentStatus()
    for number in range(count):
        status = tell(status, NOW + timedelta(seconds=number), Reason.Detected, f"entry {number}")
    return status


def test_an_entry_says_when_what_who_and_in_which_words() -> None:
    [entry] = tell(IncidentStatus(), NOW, Reason.Acknowledged, "ana has taken it", actor="ana").timeline
    assert (entry.time, entry.type, entry.actor, entry.message) == (NOW, "Acknowledged", "ana", "ana has taken it")


def test_telling_the_same_twice_in_a_row_adds_nothing() -> None:
    once = told(1)
    assert tell(once, NOW + timedelta(hours=1), Reason.Detected, "entry 0") == once


def test_the_same_words_for_another_reason_are_told() -> None:
    assert [one.type for one in tell(told(1), NOW, Reason.Resolved, "entry 0").timeline] == ["Detected", "Resolved"]


def test_what_was_told_before_something_else_is_told_again() -> None:
    assert len(tell(told(2), NOW, Reason.Detected, "entry 0").timeline) == 3


def test_a_hundred_entries_are_all_kept() -> None:
    status = told(100)
    assert (len(status.timeline), status.folded_entries) == (100, 0)


def test_the_beginning_and_the_end_are_kept_and_the_middle_is_counted() -> None:
    status = told(250)
    assert [one.message for one in status.timeline] == [f"entry {number}" for number in (*range(20), *range(170, 250))]
    assert status.folded_entries == 150


def test_a_long_message_is_cut_to_what_the_schema_holds() -> None:
    status = tell(IncidentStatus(), NOW, Reason.Detected, "x" * 5000)
    assert len(status.timeline[0].message) == 512
    assert tell(status, NOW, Reason.Detected, "x" * 5000) == status
