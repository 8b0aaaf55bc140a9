"""How answers are printed, whatever was written by whomever."""

from datetime import timedelta

import pytest
from rich.text import Text
from tests.conftest import NOW, ago, make_incident

from stopgap.cli import tables
from stopgap.cli.printing import Paper, clock, length, lines, table, word


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (599, "9m59s"),
        (601, "10m"),
        (7200, "2h"),
        (3 * 3600 + 60, "3h1m"),
        (86_400 * 9, "9d"),
    ],
)
def test_an_age_is_written_as_kubectl_writes_it(seconds: int, words: str) -> None:
    assert length(timedelta(seconds=seconds)) == words


def test_a_moment_of_another_day_has_its_date() -> None:
    assert (clock(ago(hours=1), NOW), clock(ago(days=1), NOW), clock(None, NOW)) == ("09:00:00", "2026-11-22 10:00", "")


def test_what_others_wrote_moves_no_cursor_and_opens_no_link() -> None:
    hostile = "a\x1b[31mred\x1b]8;;http://evil\x07\u202e\r\nb [bold]c[/bold] :boom:"
    shown = Paper(colour=True).text(word(hostile))
    assert not {"\x1b", "\r", "\u202e", "\x07"} & set(shown)
    assert "[bold]c[/bold] :boom:" in shown
    assert lines("one\x1b[2J\n\ntwo") == "one [2J\n\ntwo"


def test_only_a_terminal_that_wants_it_has_colours() -> None:
    assert "\x1b[" in Paper(colour=True).text(word("P1"))
    assert "\x1b[" not in Paper().text(word("P1"))


def test_what_is_piped_on_is_never_cut_and_a_terminal_is_never_overrun() -> None:
    shown = table(["NAME", "TITLE"], [["api-1", "x" * 500]])
    assert "x" * 500 in Paper().text(shown)
    assert all(len(line) <= 80 for line in Paper(80).text(shown).splitlines())
    assert Paper().text(Text("y" * 500)).strip() == "y" * 500


def test_the_worst_comes_first_and_what_is_over_last() -> None:
    def made(name: str, severity: str | None, **status: object) -> object:
        return make_incident(name=name, status={"severity": severity, **status} if severity else None)

    over = {"type": "Resolved", "status": "True", "reason": "Resolved", "message": "", "lastTransitionTime": NOW}
    found = [made("new", None), made("low", "P3"), made("over", "P1", conditions=[over]), made("high", "P1")]
    ordered = tables.by_severity(found)  # type: ignore[arg-type]  # made() returns incidents
    assert [one.metadata.name for one in ordered] == ["high", "low", "new", "over"]
