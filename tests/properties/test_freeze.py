"""What always holds of freeze windows. The judge is cronsim's own iteration forward, and the sum of all windows that it gives."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.conftest import make_case, make_incident, make_policy, make_seen

from stopgap.api.config import ConfigSpec
from stopgap.api.freeze import FreezeWindow
from stopgap.core import freeze
from stopgap.core.situation import Situation
from stopgap.model import schedule
from stopgap.model.change import Aim
from stopgap.model.observation import Refusal

steady = settings(derandomize=True, max_examples=150, deadline=None)

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland", "America/Havana")
CRONS = (
    *("0 18 * * FRI", "30 2 * * *", "0 2 * * *", "59 1 * * *", "0 0 * * *", "15,45 1-3 * * SUN", "0 3 * * SUN", "30 1 * * 0"),
    *(
        "*/15 * * * *",
        "0 * * * *",
        "*/20 1-3 * * *",
        "30 */2 * * *",
        "0 0 1 * *",
        "0 12 L * *",
        "0 9 * * MON#1",
        "0 22 24 12 *",
        "0 0 29 2 *",
    ),
)
LENGTHS = [timedelta(**one) for one in ({"minutes": 1}, {"minutes": 15}, {"minutes": 50}, {"hours": 1}, {"hours": 7}, {"hours": 24})]
LONG = [timedelta(hours=60), timedelta(days=31)]
# Nights on which the clocks of at least one of these zones change, and some days around them.
NIGHTS = [datetime(*day, tzinfo=UTC) for day in ((2026, 3, 29), (2026, 10, 25), (2026, 3, 8), (2026, 11, 1), (2026, 4, 4), (2026, 9, 26))]


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    around = timedelta(seconds=draw(st.integers(-60, 60)) if draw(st.booleans()) else 0, minutes=draw(st.integers(-36 * 60, 60 * 60)))
    return draw(st.sampled_from(NIGHTS)) + around + timedelta(microseconds=draw(st.sampled_from([0, 0, 1, 999_999])))


windows = st.builds(
    lambda cron, zone, length: FreezeWindow(cron=cron, time_zone=zone, duration=length, reason="freeze"),
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.sampled_from([*LENGTHS, *LONG]),
)


def starts(cron: str, zone: str, since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield what cronsim says, going forward from long enough before."""
    going = (one.astimezone(UTC) for one in CronSim(cron, (since - timedelta(days=1)).astimezone(ZoneInfo(zone))))
    return (one for one in takewhile(lambda one: one <= until + timedelta(hours=3), going) if since < one <= until)


@steady
@given(st.sampled_from(CRONS), st.sampled_from(ZONES), moments(), st.sampled_from(LENGTHS))
def test_the_last_start_is_the_one_that_cronsim_gives(cron: str, zone: str, at: datetime, within: timedelta) -> None:
    assert schedule.read(cron, zone).last(at, within) == max(starts(cron, zone, at - within, at), default=None)


def refused(declared: Sequence[FreezeWindow], now: datetime) -> Refusal | None:
    half = len(declared) // 2
    policy = make_policy().spec
    own = make_policy(guards=policy.guards.model_copy(update={"freeze_windows": tuple(declared[:half])}).model_dump())
    config = ConfigSpec(freeze_windows=tuple(declared[half:]))
    case = make_case(seen=make_seen(now=now), policy=own, config=config, incident=make_incident(severity="P3"))
    return freeze.freeze_window(Situation(case, own, own.spec.steps[0], (), Aim("")))


def holds(declared: Sequence[FreezeWindow], at: datetime) -> bool:
    return any(any(True for _ in starts(one.cron, one.time_zone, at - one.duration, at)) for one in declared)


@steady
@given(st.lists(windows, max_size=4), moments())
@example([FreezeWindow(cron="0 0 * * *", duration=timedelta(days=1), reason="always")], NIGHTS[0])
def test_until_is_the_first_moment_at_which_no_window_holds(declared: list[FreezeWindow], now: datetime) -> None:
    refusal = refused(declared, now)
    assert (refusal is not None) == holds(declared, now)
    if refusal is None:
        return
    assert refusal.until is not None
    assert refusal.until > now
    assert all(holds(declared, now + (refusal.until - now) * share / 7) for share in range(7))
    assert holds(declared, refusal.until - timedelta(microseconds=1))
    assert holds(declared, refusal.until) == ("at least until" in refusal.message)


@steady
@given(st.text(max_size=40) | st.lists(st.text("0123456789*,-/#LWAFRImon", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join))
def test_whatever_is_written_as_cron_is_read_or_refused_in_words(cron: str) -> None:
    window = FreezeWindow.model_construct(cron=cron, duration=timedelta(hours=1), time_zone="UTC", reason="freeze", allow_severities=())
    assert window.trouble or (window.closes(NIGHTS[0]) or datetime.max.replace(tzinfo=UTC)) > NIGHTS[0]


@steady
@given(st.text(max_size=40) | st.from_regex(schedule.ZONE_PATTERN, fullmatch=True).map(lambda name: name[:64]))
def test_whatever_is_written_as_zone_is_known_or_refused_in_words(zone: str) -> None:
    window = FreezeWindow.model_construct(cron="0 0 * * *", duration=timedelta(hours=1), time_zone=zone, reason="", allow_severities=())
    assert window.trouble == "" or zone in window.trouble or repr(zone) in window.trouble
