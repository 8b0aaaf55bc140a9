import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from stopgap.effects.queue import Work, WorkQueue


class Key(NamedTuple):
    namespace: str
    name: str


A, B, C = Key("shop", "a"), Key("shop", "b"), Key("shop", "c")
OTHER = Key("mail", "x")


class Eager(WorkQueue[Key]):
    FIRST_BACKOFF = 0.002
    LONGEST_BACKOFF = 0.004
    GRACE = 0.02


def queue(errors: list[tuple[Key, Exception]] | None = None, concurrency: int = 32) -> Eager:
    def note(key: Key, error: Exception) -> None:
        if errors is not None:
            errors.append((key, error))

    return Eager(namespace=lambda key: key.namespace, on_error=note, concurrency=concurrency)


@contextlib.asynccontextmanager
async def running(one: Eager, work: Work[Key]) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run(work))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Worker:
    """Notes what it was asked to do; `gate` holds it until it is opened."""

    def __init__(self, enough: int, *, held: bool = False) -> None:
        self.seen: list[Key] = []
        self.done = asyncio.Event()
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()
        self._enough = enough
        self.at_once = 0
        self.most_at_once = 0
        self.answers: dict[Key, list[float | Exception]] = {}

    async def __call__(self, key: Key) -> float | None:
        self.seen.append(key)
        if len(self.seen) >= self._enough:
            self.done.set()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if not self.answers.get(key):
            return None
        answer = self.answers[key].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def enough(self) -> list[Key]:
        await asyncio.wait_for(self.done.wait(), 5)
        return self.seen


async def test_work_starts_in_the_next_turn_of_the_loop() -> None:
    one, work = queue(), Worker(1)
    async with running(one, work):
        one.add(A)
        await asyncio.sleep(0)
        assert work.seen == [A]


async def test_what_was_added_before_the_queue_runs_is_worked_on_then() -> None:
    one, work = queue(), Worker(2)
    one.add(A)
    one.add(B)
    assert one.waiting == 2
    async with running(one, work):
        assert await work.enough() == [A, B]
    assert (one.waiting, one.active) == (0, 0)


async def test_a_waiting_key_is_worked_on_once_however_often_it_is_added() -> None:
    one, work = queue(), Worker(2)
    for key in (A, A, B, A):
        one.add(key)
    async with running(one, work):
        assert await work.enough() == [A, B]
        await asyncio.sleep(0)
        assert work.seen == [A, B]


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more_and_never_twice_at_a_time() -> None:
    one, work = queue(), Worker(2, held=True)
    async with running(one, work):
        one.add(A)
        await asyncio.sleep(0)
        one.add(A)
        one.add(A)
        await asyncio.sleep(0)
        assert (work.seen, one.active) == ([A], 1)
        work.gate.set()
        assert await work.enough() == [A, A]
        await asyncio.sleep(0)
    assert (work.seen, work.most_at_once) == ([A, A], 1)


async def test_the_urgent_go_first_and_a_key_can_become_more_urgent_but_not_less() -> None:
    one, work = queue(concurrency=1), Worker(3)
    one.add(A, 3)
    one.add(B, 2)
    one.add(C, 4)
    one.add(C, 1)
    one.add(B, 4)
    async with running(one, work):
        assert await work.enough() == [C, B, A]


async def test_the_urgency_of_a_key_added_while_it_is_worked_on_is_kept() -> None:
    one, work = queue(concurrency=1), Worker(3, held=True)
    async with running(one, work):
        one.add(A)
        await asyncio.sleep(0)
        one.add(B, 2)
        one.add(A, 1)
        one.add(A, 4)
        work.gate.set()
        assert await work.enough() == [A, A, B]


async def test_a_namespace_with_much_to_do_lets_the_others_have_their_turn() -> None:
    one, work = queue(concurrency=1), Worker(5)
    many = [Key("shop", str(n)) for n in range(3)]
    for key in (*many, OTHER, Key("post", "y")):
        one.add(key)
    async with running(one, work):
        assert await work.enough() == [many[0], OTHER, Key("post", "y"), many[1], many[2]]


async def test_no_more_keys_are_worked_on_at_once_than_allowed() -> None:
    one, work = queue(concurrency=3), Worker(10, held=True)
    async with running(one, work):
        for n in range(10):
            one.add(Key("shop", str(n)))
        await asyncio.sleep(0)
        assert (one.active, one.waiting, len(work.seen)) == (3, 7, 3)
        work.gate.set()
        await work.enough()
    assert work.most_at_once == 3


async def test_the_answer_of_the_work_is_when_to_look_again() -> None:
    one, work = queue(), Worker(3)
    work.answers[A] = [0.001, 0.0]
    async with running(one, work):
        one.add(A)
        assert await work.enough() == [A, A, A]


async def test_of_several_timers_of_a_key_the_earliest_stays() -> None:
    one, work = queue(), Worker(1)
    async with running(one, work):
        for seconds in (60.0, 0.001, 30.0):
            one.add_after(A, seconds)
        assert await work.enough() == [A]


async def test_a_failure_is_told_and_tried_again_later_and_disturbs_nobody() -> None:
    errors: list[tuple[Key, Exception]] = []
    one, work = queue(errors), Worker(4)
    first, second = RuntimeError("first"), RuntimeError("second")
    work.answers[A] = [first, second]
    async with running(one, work):
        one.add(A)
        one.add(OTHER)
        assert sorted(await work.enough()) == [OTHER, A, A, A]
    assert errors == [(A, first), (A, second)]


async def test_a_failing_report_of_a_failure_is_survived(caplog: pytest.LogCaptureFixture) -> None:
    def stumble(_: Key, __: Exception) -> None:
        raise ValueError("no words")

    one, work = Eager(namespace=lambda key: key.namespace, on_error=stumble), Worker(2)
    work.answers[A] = [RuntimeError("work")]
    async with running(one, work):
        one.add(A)
        assert await work.enough() == [A, A]
    assert "cannot be told" in caplog.text


async def test_each_failure_in_a_row_doubles_the_pause_up_to_a_limit_until_a_success() -> None:
    class Patient(WorkQueue[Key]):
        FIRST_BACKOFF = 1.0
        LONGEST_BACKOFF = 10.0

    one = Patient(namespace=lambda key: key.namespace, on_error=lambda *_: None)
    pauses = [one.retry(A) for _ in range(40)]
    for pause, longest in zip(pauses, [1, 2, 4, 8, *[10] * 36], strict=True):
        assert longest / 2 <= pause <= longest
    assert one.retry(B) <= 1
    one.forget(A)
    assert one.retry(A) <= 1
    one.forget(A)
    one.forget(B)


async def test_a_success_makes_the_next_pause_short_again() -> None:
    one, work = queue(), Worker(3)
    work.answers[A] = [RuntimeError("one"), RuntimeError("two")]
    async with running(one, work):
        one.add(A)
        await work.enough()
        await asyncio.sleep(0)
        assert one.retry(A) <= one.FIRST_BACKOFF


async def test_a_forgotten_key_is_not_looked_at_any_more() -> None:
    one, work = queue(concurrency=1), Worker(2, held=True)
    async with running(one, work):
        one.add(OTHER)
        await asyncio.sleep(0)
        one.add(A)
        one.add_after(A, 0.0)
        one.add(B)
        one.forget(A)
        work.gate.set()
        await work.enough()
    assert work.seen == [OTHER, B]


async def test_stopping_lets_work_under_way_end_and_starts_nothing_more() -> None:
    one, ended = queue(concurrency=1), []

    async def work(key: Key) -> float | None:
        await asyncio.sleep(0.002)
        ended.append(key)
        return 0.0

    async with running(one, work):
        one.add(A)
        one.add(B)
        await asyncio.sleep(0)
    assert ended == [A]
    assert one.active == 0


async def test_stopping_does_not_wait_for_ever() -> None:
    one, work = queue(), Worker(1, held=True)
    async with running(one, work):
        one.add(A)
        await asyncio.sleep(0)
    assert (one.active, work.at_once) == (0, 0)
