"""`review` at a terminal asks for what is owed, and only for that."""

from typing import Any

import pytest

from stopgap.cli import reviewing
from stopgap.cli.refusals import Refused


def answers(monkeypatch: pytest.MonkeyPatch, *given: str, finished: bool) -> list[str]:
    """Answer the questions in turn; returns those that were asked."""
    asked: list[str] = []
    left = iter(given)

    def prompt(question: str, **_: Any) -> str:
        asked.append(question)
        return next(left)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr("typer.confirm", lambda _question, **_: finished)
    return asked


def test_what_is_owed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "nobody", "none", "", "probe;ana;2026-12-01", "", finished=True)
    said = reviewing.asked({"rootCause": "a bad image", "impact": {"dataLoss": "none"}})
    assert said == {
        "impact": {"usersAffected": "nobody", "revenue": "none"},
        "actionItems": [{"title": "probe", "owner": "ana", "due": "2026-12-01"}],
        "completed": True,
    }
    assert "Why did it happen?" not in asked


def test_nothing_is_invented_where_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "", "", "", "", "", "", finished=False)
    assert reviewing.asked({}) == {}


def test_without_a_terminal_it_names_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(Refused, match="with flags"):
        reviewing.asked({})
