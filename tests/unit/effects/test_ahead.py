"""Questions asked beforehand: shared, fresh for a moment only, few at once, and no trouble when they fail."""

import asyncio

import pytest

from stopgap.effects import ahead
from stopgap.effects.ahead import ReadAhead
from stopgap.effects.errors import KubeError, NotFound, Unreachable

KEY = ("namespace", "shop")


class Asked:
    """Counts, and answers with the count; or fails as often as it is told to."""

    def __init__(self, *, failing: int = 0, error: type[KubeError] = Unreachable) -> None:
        self.times, self.failing, self.error = 0, failing, error
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> int:
        self.times += 1
        mine = self.times
        await self.gate.wait()
        if mine <= self.failing:
            raise self.error("get", "/api/v1/namespaces/shop", message="no")
        return mine


async def test_what_was_asked_beforehand_is_not_asked_again() -> None:
    reads, asked = ReadAhead(), Asked()
    reads.expect(KEY, asked)
    reads.expect(KEY, asked)
    assert [await reads.take(KEY, asked) for _ in range(3)] == [1, 1, 1]


async def test_an_answer_under_way_is_waited_for() -> None:
    reads, asked = ReadAhead(), Asked()
    asked.gate.clear()
    reads.expect(KEY, asked)
    taking = [asyncio.create_task(reads.take(KEY, asked)) for _ in range(2)]
    await asyncio.sleep(0)
    taking[0].cancel()  # one that gives up takes nothing from the others
    asked.gate.set()
    assert await taking[1] == 1


async def test_without_a_question_beforehand_it_is_asked_now_and_each_time() -> None:
    reads, asked = ReadAhead(), Asked()
    assert [await reads.take(KEY, asked) for _ in range(2)] == [1, 2]


async def test_an_answer_that_is_not_fresh_any_more_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, asked = ReadAhead(), Asked()
    reads.expect(KEY, asked)
    assert await reads.take(KEY, asked) == 1
    monkeypatch.setattr(ahead, "FRESH_SECONDS", 0.0)
    assert await reads.take(KEY, asked) == 2
    reads.expect(KEY, asked)
    monkeypatch.undo()
    assert await reads.take(KEY, asked) == 3


async def test_a_failure_beforehand_is_nobody_s_failure() -> None:
    reads, asked = ReadAhead(), Asked(failing=1)
    reads.expect(KEY, asked)
    assert await reads.take(KEY, asked) == 2


async def test_a_failure_of_the_question_itself_is_raised() -> None:
    reads, asked = ReadAhead(), Asked(failing=2, error=NotFound)
    reads.expect(KEY, asked)
    with pytest.raises(NotFound):
        await reads.take(KEY, asked)


async def test_few_questions_are_under_way_at_once() -> None:
    reads, asked = ReadAhead(), Asked()
    asked.gate.clear()
    for number in range(3 * ahead.AT_ONCE):
        reads.expect(("namespace", str(number)), asked)
    await asyncio.sleep(0)
    assert asked.times == ahead.AT_ONCE
    asked.gate.set()
    await asyncio.gather(*(reads.take(("namespace", str(number)), asked) for number in range(ahead.AT_ONCE)))
    reads.expect(KEY, asked)
    await asyncio.sleep(0)
    assert asked.times == ahead.AT_ONCE + 1


async def test_questions_that_hang_keep_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, asked = ReadAhead(), Asked()
    asked.gate.clear()
    monkeypatch.setattr(ahead, "FRESH_SECONDS", 0.0)
    for number in range(3 * ahead.AT_ONCE):
        reads.expect(("namespace", str(number)), asked)
        reads.expect(("namespace", "0"), asked)
        await asyncio.sleep(0)
    assert asked.times == ahead.AT_ONCE
    asked.gate.set()
