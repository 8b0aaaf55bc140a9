"""`postgres`: what a database's figures mean."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, TARGET

from stopgap.detectors import PostgresTrigger
from stopgap.model.database import Activity, Blocker, RunningQuery
from stopgap.model.query import PLATFORM, Asking, Sample, Silence
from stopgap.model.workload import State

SECRET = {"name": "db", "key": "dsn"}
BLOCKER = Blocker(7, "idle in transaction", "app", "shop", timedelta(minutes=9))


def running(minutes: float) -> RunningQuery:
    start = NOW - timedelta(minutes=minutes)
    length = timedelta(minutes=minutes)
    return RunningQuery(
        pid=4711, backend_start=start, query_start=start, user="app", application="shop", running_for=length, text="select ? from t"
    )


def activity(active: int = 3, blocked: int = 0, longest: float = 0) -> Activity:
    query = running(longest) if longest else None
    return Activity(active, 1, 20, 100, blocked, query, BLOCKER if blocked else None)


def assess(reply: Activity | Silence, **fields: Any) -> Sample:
    return PostgresTrigger.model_validate({"secretRef": SECRET, **fields}).assess((reply,), NOW)


@pytest.mark.parametrize(
    ("fields", "seen", "wrong"),
    [
        pytest.param({"activeConnectionsAbove": 3}, activity(active=4), "more than 3 connections are active", id="too many are active"),
        pytest.param({"activeConnectionsAbove": 4}, activity(active=4), "", id="as many as may be"),
        pytest.param({"longestQueryAbove": "5m"}, activity(longest=6), "a query has been running for more than 5m", id="one runs too long"),
        pytest.param({"longestQueryAbove": "5m"}, activity(longest=5), "", id="one runs as long as it may"),
        pytest.param({"longestQueryAbove": "5m"}, activity(active=50), "", id="none runs"),
        pytest.param({"blockedSessionsAbove": 0}, activity(blocked=1), "more than 0 connections are blocked", id="one is blocked"),
        pytest.param({"blockedSessionsAbove": 0}, activity(longest=60), "", id="none is blocked"),
        pytest.param(
            {"activeConnectionsAbove": 3, "longestQueryAbove": "5m"},
            activity(active=9, longest=6),
            "more than 3 connections are active; a query has been running for more than 5m",
            id="everything that is wrong is told",
        ),
    ],
)
def test_what_fires(fields: dict[str, Any], seen: Activity, wrong: str) -> None:
    sample = assess(seen, **fields)
    assert (sample.state, sample.message) == (State.FIRING if wrong else State.QUIET, f"{wrong}: {seen}" if wrong else str(seen))


def test_the_figures_are_told_in_one_line() -> None:
    assert str(activity(active=4, blocked=2, longest=7)) == (
        "4 active, 1 idle in transaction, 20 of 100 connections; "
        "2 blocked, most by pid 7 of app (shop), idle in transaction, its transaction open for 9m; "
        "longest: 7m by app (shop): select ? from t"
    )


def test_only_a_server_that_has_no_connection_left_fires_without_figures() -> None:
    assert assess(Silence("it has no connection left", theirs=True), activeConnectionsAbove=80).state is State.FIRING
    sample = assess(Silence("no connection: refused or unreachable", theirs=False), activeConnectionsAbove=80)
    assert (sample.state, sample.message) == (State.UNKNOWN, "no connection: refused or unreachable")


def test_something_must_be_too_much() -> None:
    rule = PostgresTrigger.cel[0]
    assert all(f"has(self.{name})" in rule.expression for name in ("activeConnectionsAbove", "longestQueryAbove", "blockedSessionsAbove"))
    with pytest.raises(ValidationError):
        PostgresTrigger.model_validate({"secretRef": {"name": "db"}, "activeConnectionsAbove": 1})


def test_triggers_that_differ_only_in_what_is_too_much_ask_once() -> None:
    few, many = (PostgresTrigger.model_validate({"secretRef": SECRET, "activeConnectionsAbove": most}) for most in (1, 80))
    mine, platform = Asking(TARGET, "shop"), Asking(TARGET, PLATFORM)
    assert few.wants(mine) == many.wants(mine)
    assert few.wants(mine) != few.wants(platform)
