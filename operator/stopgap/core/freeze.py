"""Freeze windows: while one is open nothing new is done. Deny wins: any open window refuses, unless it lets the severity through."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from stopgap.api.clusterpolicy import Policy, called
from stopgap.api.freeze import FreezeWindow
from stopgap.core import severity
from stopgap.core.case import Case
from stopgap.core.situation import Situation
from stopgap.model.duration import spell
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.severity import Severity
from stopgap.model.time import stamp

MOST_LINKS: Final = 50
"""Windows that follow one another without a gap are followed so far and no further: some never end, and deciding must stay cheap."""
MOST_NAMED: Final = 3


class _Declared(NamedTuple):
    where: str
    window: FreezeWindow


def freeze_window(situation: Situation) -> Refusal | None:
    """Nothing new is done while a window is open that does not let this severity through."""
    case = situation.case
    level = severity.in_force(case, situation.findings)
    denying = [one for one in _declared(case, situation.policy) if level not in one.window.allow_severities]
    held = [one for one in denying if one.window.closes(case.now)]
    if not held:
        return None
    until, ends = _free([one.window for one in denying], case.now)
    local = f"{until.astimezone(held[0].window.schedule.zone):%a %Y-%m-%d %H:%M %Z}"
    return Refusal(
        Reason.FreezeWindow,
        f"{_named(held)}; nothing new is done {'until' if ends else 'at least until'} {local} ({stamp(until)}){_way_out(held)}",
        until,
    )


def fault(windows: Sequence[FreezeWindow], where: str) -> str:
    """Say which window cannot work and why, in words for its author, or nothing."""
    found = (f"{where}[{number}] ({one.reason}): {one.trouble}" for number, one in enumerate(windows) if one.trouble)
    return next(found, "")


def _declared(case: Case, policy: Policy) -> Iterator[_Declared]:
    for window in case.config.freeze_windows if case.config else ():
        yield _Declared("the RemediationConfig", window)
    for window in policy.spec.guards.freeze_windows:
        yield _Declared(called(policy), window)


def _free(windows: Sequence[FreezeWindow], now: datetime) -> tuple[datetime, bool]:
    """Return the first moment from now on at which none is open, and whether it was found. Before what is returned one always is."""
    until = now
    for _ in range(MOST_LINKS):
        later = max((closes for one in windows if (closes := one.closes(until))), default=None)
        if later is None:
            return until, True
        until = later
    return until, False


def _named(held: Sequence[_Declared]) -> str:
    more = f"; and {len(held) - MOST_NAMED} more" if len(held) > MOST_NAMED else ""
    return "; ".join(_name(one) for one in held[:MOST_NAMED]) + more


def _name(one: _Declared) -> str:
    window = one.window
    return f"freeze window '{window.cron}' ({window.time_zone}, {spell(window.duration)}) of {one.where}: {window.reason}"


def _way_out(held: Sequence[_Declared]) -> str:
    through = [level for level in Severity if all(level in one.window.allow_severities for one in held)]
    return f". Severity {' or '.join(through)} is let through (spec.severity of the Incident)" if through else ""
