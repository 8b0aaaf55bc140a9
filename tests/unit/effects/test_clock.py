import random
import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from stopgap.effects.clock import ServerClock, ServerTimeUnknown

AHEAD = 1000.25
"""The server's clock, in these tests, minus ours."""


def hear(clock: ServerClock, written: float, *, ahead: float = AHEAD, took: float = 0.004) -> None:
    """Let the clock hear a reply that was written at this monotonic moment, in the middle of a request that took so long."""
    server_time = EPOCH + ahead + written
    clock.heard(formatdate(int(server_time), usegmt=True), sent=written - took / 2, received=written + took / 2)


EPOCH = 1_795_428_000.0


def seconds_ago(seconds: int) -> float:
    """Return a monotonic moment at which the server's clock shows the same fraction of a second in every run."""
    return float(int(time.monotonic()) - seconds)


def error_of(clock: ServerClock, *, ahead: float = AHEAD) -> float:
    return clock.now().timestamp() - (EPOCH + ahead + time.monotonic())


def test_before_any_answer_the_time_is_not_known() -> None:
    with pytest.raises(ServerTimeUnknown, match="has not answered yet"):
        ServerClock().now()


def test_one_answer_gives_the_time_to_half_a_second() -> None:
    clock = ServerClock()
    hear(clock, time.monotonic())
    assert abs(error_of(clock)) <= 0.51
    assert clock.uncertainty <= 0.51
    assert clock.now().tzinfo is UTC


def test_many_answers_give_the_time_to_a_few_milliseconds() -> None:
    clock = ServerClock()
    ours = random.Random(7)  # noqa: S311 - the same moments in every run
    began = seconds_ago(400)
    for second in range(200):
        hear(clock, began + 2 * second + ours.random())
    assert abs(error_of(clock)) <= clock.uncertainty + 0.001
    assert clock.uncertainty < 0.02


def test_the_time_never_runs_backwards_while_the_estimate_is_narrowed() -> None:
    clock = ServerClock()
    ours = random.Random(3)  # noqa: S311 - the same moments in every run
    began = seconds_ago(50)
    shown: list[datetime] = []
    for second in range(50):
        hear(clock, began + second + ours.random())
        shown.append(clock.now())
    assert shown == sorted(shown)


@pytest.mark.parametrize("jump", [-3600.0, -5.0, 5.0, 3600.0])
def test_a_server_whose_clock_is_set_is_followed_at_once(jump: float) -> None:
    clock = ServerClock()
    began = seconds_ago(100)
    for second in range(20):
        hear(clock, began + second * 1.05)
    hear(clock, began + 60, ahead=AHEAD + jump)
    assert abs(error_of(clock, ahead=AHEAD + jump)) <= 0.51


def test_two_servers_that_differ_a_little_do_not_throw_the_estimate_about() -> None:
    clock = ServerClock()
    ours = random.Random(5)  # noqa: S311 - the same moments in every run
    began = seconds_ago(400)
    for second in range(200):
        hear(clock, began + 2 * second + ours.random(), ahead=AHEAD + (second % 2) * 0.050)
        assert clock.uncertainty >= 0
        if second > 100:
            assert -0.02 < error_of(clock) < 0.07


def test_a_slow_answer_proves_less_and_a_made_up_date_nothing() -> None:
    clock = ServerClock()
    hear(clock, time.monotonic(), took=4.0)
    assert clock.uncertainty >= 2.0
    hear(clock, time.monotonic())
    believed = clock.uncertainty
    clock.heard("yesterday", sent=0.0, received=1.0)
    clock.heard(None, sent=0.0, received=1.0)
    assert clock.uncertainty == believed <= 0.51
