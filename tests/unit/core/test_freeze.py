"""Freeze windows: until when, over which nights, what they say, and what they never stop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import BAD, NOW, after_rollback, ago, executed, make_case, make_incident, make_policy, make_remediation, make_seen

from stopgap.api.config import ConfigSpec
from stopgap.api.remediation import RemediationState
from stopgap.core import freeze
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.core.situation import Situation
from stopgap.model.change import Aim
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason


def window(cron: str, length: str, zone: str = "UTC", **changes: Any) -> dict[str, Any]:
    return {"cron": cron, "duration": length, "timeZone": zone, "reason": "freeze", **changes}


def frozen_case(*windows: dict[str, Any], now: datetime = NOW, config: tuple[dict[str, Any], ...] = (), **changes: Any) -> Case:
    policy = make_policy(guards={"freezeWindows": list(windows)})
    declared = ConfigSpec.model_validate({"freezeWindows": list(config)})
    return make_case(seen=make_seen(now=now), policy=policy, config=declared, **changes)


def asked(case: Case) -> Refusal | None:
    assert case.policy is not None
    return freeze.freeze_window(Situation(case, case.policy, case.policy.spec.steps[0], (), Aim("")))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "opens", "closes"),
    [
        pytest.param(window("0 18 * * FRI", "60h", "Europe/Berlin"), "2026-11-20 17:00", "2026-11-23 05:00", id="a weekend of 60 hours"),
        pytest.param(window("0 18 * * FRI", "60h", "Europe/Berlin"), "2026-03-27 17:00", "2026-03-30 05:00", id="in spring until 07:00"),
        pytest.param(window("0 18 * * FRI", "60h", "Europe/Berlin"), "2026-10-23 16:00", "2026-10-26 04:00", id="in autumn until 05:00"),
        pytest.param(window("30 2 * * SUN", "2h", "Europe/Berlin"), "2026-03-29 01:00", "2026-03-29 03:00", id="begun in a skipped hour"),
        pytest.param(window("30 2 * * SUN", "2h", "Europe/Berlin"), "2026-10-25 00:30", "2026-10-25 02:30", id="begun in a repeated hour"),
        pytest.param(
            window("30 2 * * SUN", "20m", "Europe/Berlin"), "2026-10-25 00:30", "2026-10-25 00:50", id="over before it is repeated"
        ),
        pytest.param(window("30 1 * * SUN", "1h", "America/New_York"), "2026-11-01 05:30", "2026-11-01 06:30", id="repeated in New York"),
        pytest.param(window("30 2 * * SUN", "1h", "America/New_York"), "2026-03-08 07:00", "2026-03-08 08:00", id="skipped in New York"),
        pytest.param(window("30 9 * * MON", "90m", "Asia/Kolkata"), "2026-11-23 04:00", "2026-11-23 05:30", id="half an hour beside UTC"),
        pytest.param(window("0 0 24 12 *", "216h"), "2026-12-24 00:00", "2027-01-02 00:00", id="over the end of a year"),
        pytest.param(window("0 0 29 2 *", "24h"), "2028-02-29 00:00", "2028-03-01 00:00", id="on a leap day"),
    ],
)
def test_a_window_holds_from_its_start_for_its_length(one: dict[str, Any], opens: str, closes: str) -> None:
    moment = timedelta(microseconds=1)
    assert asked(frozen_case(one, now=utc(opens) - moment)) is None
    for now in (utc(opens), utc(closes) - moment):
        refusal = asked(frozen_case(one, now=now))
        assert refusal is not None
        assert refusal.until == utc(closes)
    assert asked(frozen_case(one, now=utc(closes))) is None


@pytest.mark.parametrize(
    ("windows", "config", "until"),
    [
        pytest.param((window("0 9 * * *", "2h"), window("30 10 * * *", "1h")), (), "2026-11-23 11:30", id="overlapping"),
        pytest.param((window("0 9 * * *", "2h"), window("0 11 * * *", "1h")), (), "2026-11-23 12:00", id="touching"),
        pytest.param((window("0 9 * * *", "2h"), window("1 11 * * *", "1h")), (), "2026-11-23 11:00", id="with a minute between"),
        pytest.param((window("0 9 * * *", "2h"),), (window("0 8 * * *", "3h30m"),), "2026-11-23 11:30", id="of the platform too"),
        pytest.param((window("0 9 * * *", "10h"), window("0 10 * * *", "1h")), (), "2026-11-23 19:00", id="one within another"),
        pytest.param((window("0 9-16 * * MON-FRI", "1h"),), (), "2026-11-23 17:00", id="one that repeats without a gap"),
        pytest.param((window("*/20 8-11 * * *", "30m"),), (), "2026-11-23 12:10", id="one that overlaps itself"),
        pytest.param(
            (window("0 9 * * *", "2h"), window("0 11 * * *", "1h", allowSeverities=["P3"])),
            (),
            "2026-11-23 11:00",
            id="not one that lets through",
        ),
    ],
)
def test_until_is_when_no_window_holds_any_more(windows: tuple[Any, ...], config: tuple[Any, ...], until: str) -> None:
    refusal = asked(frozen_case(*windows, config=config, incident=make_incident(severity="P3")))
    assert refusal is not None
    assert refusal.until == utc(until)
    assert "done until" in refusal.message


@pytest.mark.parametrize("one", [window("* * * * *", "60h"), window("0 0 * * *", "24h"), window("0 0 * * MON", "168h")], ids=str)
def test_windows_that_never_end_are_followed_a_while_and_told_as_such(one: dict[str, Any]) -> None:
    refusal = asked(frozen_case(one))
    assert refusal is not None
    assert refusal.until is not None
    assert refusal.until > NOW + timedelta(days=49)
    assert "nothing new is done at least until" in refusal.message


def test_all_open_windows_are_named_up_to_three() -> None:
    own = [window(f"{minute} 9 * * *", "2h", reason=f"reason {minute}") for minute in range(4)]
    refusal = asked(frozen_case(*own, config=(window("0 9 * * *", "2h", reason="quarter end"),)))
    assert refusal is not None
    assert refusal.message.startswith(
        "freeze window '0 9 * * *' (UTC, 2h) of the RemediationConfig: quarter end; freeze window '0 9 * * *'"
    )
    assert "reason 1; and 2 more; nothing new is done until Mon 2026-11-23 11:03 UTC" in refusal.message


def test_the_way_out_is_told_only_where_every_open_window_has_it() -> None:
    first, second = window("0 9 * * *", "2h", allowSeverities=["P1", "P2"]), window("0 9 * * *", "2h", allowSeverities=["P1"])
    refusal = asked(frozen_case(first, second))
    assert refusal is not None
    assert refusal.message.endswith(". Severity P1 is let through (spec.severity of the Incident)")
    closed = asked(frozen_case(first, window("0 9 * * *", "2h")))
    assert closed is not None
    assert "let through" not in closed.message


def test_a_severity_that_a_rule_gives_goes_through_its_window() -> None:
    rules = {"default": "P3", "rules": [{"set": "P1", "triggers": ["crash"]}]}
    policy = make_policy(severity=rules, guards={"freezeWindows": [window("0 9 * * *", "2h", allowSeverities=["P1"])]})
    assert decide(make_case(policy=policy)).intent is not None


def test_an_incident_in_a_window_is_opened_told_and_looked_at_when_it_closes() -> None:
    case = frozen_case(window("59 9 * * *", "1m10s"))
    assert decide(replace(case, incident=None)).opening is not None
    decision = decide(case)
    assert decision.intent is None
    assert decision.look_again == timedelta(seconds=10)
    assert decision.status is not None
    assert decision.status.decision is not None
    assert [(one.reason, one.until) for one in decision.status.decision.refusals] == [("FreezeWindow", NOW + timedelta(seconds=10))]


@pytest.mark.parametrize(
    ("past", "state"),
    [
        pytest.param(timedelta(0), None, id="goes on"),
        pytest.param(timedelta(minutes=2), RemediationState.SUCCEEDED, id="succeeds"),
    ],
)
def test_an_action_that_is_out_is_verified_in_a_window_as_without_one(past: timedelta, state: RemediationState | None) -> None:
    free = after_rollback(make_case(), now=NOW + past)
    status = executed(healthySince=NOW) if past else executed()
    free = replace(free, remediations=(make_remediation(status=status),))
    shut = replace(free, policy=make_policy(guards={"freezeWindows": [window("* * * * *", "60h")]}))
    decision = decide(shut)
    assert decision == decide(free)
    if state is not None:
        assert decision.remediation is not None
        assert decision.remediation[1].state is state


def test_an_action_that_did_not_help_is_told_and_handed_over_in_a_window() -> None:
    case = frozen_case(
        window("* * * * *", "60h"), remediations=(make_remediation(status=executed(ago(minutes=11), writtenDigest=BAD.digest)),)
    )
    decision = decide(case)
    assert decision.remediation is not None
    assert decision.remediation[1].state.ended
    assert decision.remediation[1].conditions[-1].reason != Reason.FreezeWindow


def test_an_end_that_moved_with_the_policy_is_written_again_and_announced_once() -> None:
    first = decide(frozen_case(window("0 9 * * *", "2h")))
    assert [one.reason for one in first.notices if one.reason is Reason.FreezeWindow] == [Reason.FreezeWindow]
    stored = make_incident().model_copy(update={"status": first.status})
    again = decide(frozen_case(window("0 9 * * *", "2h"), now=NOW + timedelta(seconds=30), incident=stored))
    assert again.status == first.status
    moved = decide(frozen_case(window("0 9 * * *", "3h"), incident=stored))
    assert moved.status is not None
    assert moved.status.decision is not None
    assert [one.until for one in moved.status.decision.refusals] == [utc("2026-11-23 12:00")]
    assert moved.notices == ()
