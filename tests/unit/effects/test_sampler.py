"""The one that asks: what is due and wanted, once for everybody, while leading, and with nobody in anybody's way."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import NOW, make_policy

from stopgap.api import RemediationPolicy
from stopgap.api.trigger import Trigger
from stopgap.detectors import HttpProbe
from stopgap.effects.sampler import AT_ONCE_AT_ONE_HOST, Sampler
from stopgap.model.query import Answer, Query, Request, Response, Silence, Timing
from stopgap.model.refs import Target
from stopgap.model.workload import State

API, WEB = Target("shop", "Deployment", "api"), Target("shop", "Deployment", "web")
TIMING = Timing(0.001, 0.002, None, 0.003, 0.004)
OFTEN = timedelta(milliseconds=20)


def probe(url: str = "http://api.shop.svc/", *, interval: timedelta = OFTEN, failures: int = 2) -> HttpProbe:
    """Return one that is asked more often than the schema lets a policy ask."""
    return HttpProbe.model_construct(url=url, interval=interval, failures=failures, timeout=timedelta(seconds=5))


def policy(*probes: HttpProbe, namespace: str = "shop") -> RemediationPolicy:
    made = make_policy()
    triggers = tuple(Trigger.model_construct(name=f"http{number}", http_probe=one) for number, one in enumerate(probes))
    spec = made.spec.model_copy(update={"triggers": triggers})
    return made.model_copy(update={"spec": spec, "metadata": made.metadata.model_copy(update={"namespace": namespace})})


class World:
    """Policies by workload, and servers that answer as they are told."""

    def __init__(self, *policies: tuple[Target, RemediationPolicy]) -> None:
        self.policies = dict(policies)
        self.asked: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.status = 200
        self.hangs: set[str] = set()
        self.breaks: set[str] = set()
        self.silent: set[str] = set()
        self.leads = True
        self.version = 0
        self.looks: list[Target] = []
        self.began = asyncio.get_running_loop().time()
        self.sampler = Sampler(
            self.ask,
            targets=lambda: list(self.policies),
            deciding=self.policies.get,
            version=lambda: self.version,
            prometheus=lambda: None,
            leading=lambda: self.leads,
            now=self.now,
            changed=self.looks.append,
        )

    def now(self) -> datetime:
        # Slower than the loop's time, so that a test machine that stops for a moment makes no gap between samples.
        return NOW + timedelta(seconds=(asyncio.get_running_loop().time() - self.began) / 50)

    async def ask(self, query: Query) -> Answer:
        (request,) = query.requests
        assert isinstance(request, Request)
        url = request.url
        self.asked[url] += 1
        self.under_way[url] += 1
        self.most[url] = max(self.most[url], self.under_way[url])
        try:
            if url in self.breaks:
                raise ValueError("a mistake of ours")
            if any(url.startswith(one) for one in self.hangs):
                await asyncio.sleep(60)
            await asyncio.sleep(0)
            if url in self.silent:
                return (Silence("the name cannot be resolved", theirs=False),)
            return (Response(self.status, b"", True, TIMING),)
        finally:
            self.under_way[url] -= 1

    def state(self, target: Target = API, trigger: str = "http0") -> State:
        one = self.policies[target]
        found = next(each for each in one.spec.triggers if each.name == trigger).http_probe
        assert found is not None
        return found.state(self.sampler.samples(target, one)[trigger], self.now())


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.sampler.run())
    try:
        yield world
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def test_equal_questions_of_several_workloads_and_policies_are_asked_once() -> None:
    one, other = policy(probe()), policy(probe(), probe(failures=5))
    world = World((API, one), (WEB, other))
    async with running(world):
        await until(lambda: world.asked["http://api.shop.svc/"] >= 5)
        # Three triggers want to know, and each has its own verdict.
        assert {len(world.sampler._lines), len(world.sampler._due)} == {1}
        samples = [world.sampler.samples(API, one)["http0"], *world.sampler.samples(WEB, other).values()]
        assert [len(each) for each in samples] == [len(samples[0])] * 3
        assert world.most["http://api.shop.svc/"] == 1


async def test_the_same_question_of_another_namespace_is_another_for_it_may_not_be_allowed() -> None:
    world = World((API, policy(probe())), (Target("other", "Deployment", "api"), policy(probe(), namespace="other")))
    async with running(world):
        await until(lambda: world.asked)
        assert {query.scope for query in world.sampler._lines} == {"shop", "other"}


async def test_a_changed_verdict_asks_for_a_look_and_nothing_else_does() -> None:
    world = World((API, policy(probe())))
    async with running(world):
        await until(lambda: world.asked.total() >= 5)
        assert world.looks == [API]
        world.status = 500
        await until(lambda: world.state() is State.FIRING)
        # Quiet, then one bad answer of two, then both.
        assert world.looks == [API] * 3
        count = world.asked.total()
        await until(lambda: world.asked.total() >= count + 5)
        assert world.looks == [API] * 3
        world.status = 200
        await until(lambda: world.state() is State.QUIET)
        assert world.looks == [API] * 4


async def test_a_standby_asks_nothing() -> None:
    world = World((API, policy(probe())))
    world.leads = False
    async with running(world):
        await until(lambda: world.sampler._lines)
        await asyncio.sleep(3 * OFTEN.total_seconds())
        assert world.asked.total() == 0
        world.leads = True
        await until(lambda: world.asked)


async def test_what_nobody_wants_any_more_is_neither_asked_nor_kept() -> None:
    world = World((API, policy(probe())))
    async with running(world):
        await until(lambda: world.asked)
        before = world.policies.pop(API)
        world.version += 1
        await until(lambda: not world.sampler._lines)
        count = world.asked.total()
        await asyncio.sleep(3 * OFTEN.total_seconds())
        assert world.asked.total() == count
        assert world.sampler.samples(API, before) == {"http0": ()}


async def test_another_threshold_begins_anew_and_the_same_question_goes_on() -> None:
    world = World((API, policy(probe(failures=2))))
    async with running(world):
        await until(lambda: world.asked.total() >= 3)
        world.policies[API] = policy(probe(failures=3))
        assert world.sampler.samples(API, world.policies[API]) == {"http0": ()}
        (line,) = world.sampler._lines.values()
        world.version += 1
        await until(lambda: world.sampler.samples(API, world.policies[API])["http0"])
        assert list(world.sampler._lines.values()) == [line]


async def test_a_server_that_hangs_takes_few_places_and_is_in_nobody_s_way() -> None:
    hanging = [probe(f"http://slow.shop.svc/{number}") for number in range(40)]
    world = World((API, policy(*hanging, probe("http://fast.shop.svc/"))), (Target("b", "Deployment", "x"), policy(probe(), namespace="b")))
    world.hangs = {"http://slow.shop.svc/"}
    async with running(world):
        await until(lambda: sum(count for url, count in world.asked.items() if "slow" in url) >= AT_ONCE_AT_ONE_HOST)
        count = world.asked.copy()
        await until(lambda: all(world.asked[url] > count[url] + 5 for url in ("http://fast.shop.svc/", "http://api.shop.svc/")))
        assert sum(count for url, count in world.under_way.items() if "slow" in url) == AT_ONCE_AT_ONE_HOST
        assert world.state(API, "http0") is State.UNKNOWN


async def test_what_begins_together_is_spread_over_its_interval() -> None:
    every = timedelta(seconds=100)
    world = World((API, policy(*(probe(f"http://api.shop.svc/{number}", interval=every) for number in range(200)))))
    async with running(world):
        await until(lambda: world.sampler._lines)
        due = sorted(line.due for line in world.sampler._lines.values())
        assert due[-1] - due[0] > 80
        assert max(after - before for before, after in itertools.pairwise(due)) < 10


async def test_one_question_that_breaks_ends_no_other(caplog: pytest.LogCaptureFixture) -> None:
    world = World((API, policy(probe("http://bad.shop.svc/"), probe())))
    world.breaks = {"http://bad.shop.svc/"}
    async with running(world):
        await until(lambda: world.asked["http://bad.shop.svc/"] >= 3 and world.asked["http://api.shop.svc/"] >= 3)
        assert world.state(API, "http0") is State.UNKNOWN
        assert world.state(API, "http1") is State.QUIET
    assert "a signal could not be asked for" in caplog.text


async def test_why_a_signal_is_unknown_is_told_with_its_trigger_until_it_is_known() -> None:
    one = policy(probe("http://good.shop.svc/"), probe())
    world = World((API, one))
    world.silent = {"http://api.shop.svc/"}
    assert world.sampler.unknown(API, one) == ""
    async with running(world):
        await until(lambda: world.sampler.unknown(API, one))
        assert world.sampler.unknown(API, one) == "http1: the name cannot be resolved"
        await until(lambda: world.asked.total() >= 8)
        # Of each of the two: nothing, then something.
        assert world.sampler.turns == 2
        world.silent = set()
        await until(lambda: not world.sampler.unknown(API, one))
        assert world.sampler.turns == 3
