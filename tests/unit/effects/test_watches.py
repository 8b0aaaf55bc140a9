"""Watches that are believed together; those of some kinds are begun when somebody wants them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pytest
from tests.conftest import TARGET, make_policy
from tests.stateful import DB, Taken

from stopgap.effects.errors import Gone
from stopgap.effects.watches import LaterWatches, Watches

ABOUT_SETS = make_policy(targets={"kinds": ["Deployment", "StatefulSet"], "names": ["db"]})


class Begun:
    """Which watches were begun; none of them ever hears anything."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.listed: list[bool] = []
        kube: Any = None
        self.watches = LaterWatches(kube, self._spawn, Taken().index, lambda version, plural: [f"{version}/{plural}"])

    def _spawn(self, work: Coroutine[Any, Any, None], path: str) -> None:
        work.close()
        self.paths.append(path)

    async def after(self, *wishes: Any) -> list[str]:
        """Give the wishes, let it run for as long as it gets anywhere, and say what is watched."""
        for wish in wishes:
            wish()
        running = asyncio.create_task(self.watches.run(lambda: self.listed.append(True)))
        for _ in range(5):
            await asyncio.sleep(0)
        running.cancel()
        return self.paths


async def test_nothing_is_watched_for_policies_about_deployments_and_incidents_of_them() -> None:
    begun = Begun()
    wishes = (lambda: begun.watches.policies_changed([make_policy()]), lambda: begun.watches.want(TARGET))
    assert await begun.after(*wishes) == []
    assert begun.watches.synced_for(TARGET)
    assert begun.watches.troubles() == []


async def test_daemon_sets_are_watched_apart_from_stateful_sets() -> None:
    begun = Begun()
    about = make_policy(targets={"kinds": ["DaemonSet"], "names": ["agent"]})
    paths = await begun.after(lambda: begun.watches.policies_changed([about]))
    assert paths == ["apps/v1/daemonsets", "apps/v1/controllerrevisions", "v1/pods"]
    assert not begun.watches.settled()
    assert not begun.watches.synced_for(DB._replace(kind="DaemonSet"))


@pytest.mark.parametrize("by", ["a policy", "a workload that matters"])
async def test_three_kinds_are_watched_once_a_stateful_set_matters(by: str) -> None:
    begun = Begun()
    wish = (lambda: begun.watches.policies_changed([ABOUT_SETS])) if by == "a policy" else (lambda: begun.watches.want(DB))
    assert await begun.after(wish, wish) == ["apps/v1/statefulsets", "apps/v1/controllerrevisions", "v1/pods"]


async def test_nothing_is_concluded_about_a_stateful_set_before_all_was_listed_and_deployments_do_not_wait_for_it() -> None:
    begun = Begun()
    assert not begun.watches.synced_for(DB)
    await begun.after(lambda: begun.watches.want(DB))
    assert not begun.watches.synced_for(DB)
    assert begun.watches.synced_for(TARGET)
    assert begun.listed == []


class Meta(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str


class Thing(msgspec.Struct):
    metadata: Meta


class Held:
    """A sink of several collections, that knows what all of them have told it."""

    def __init__(self) -> None:
        self.uids: set[str] = set()

    def put(self, obj: Thing, /) -> None:
        self.uids.add(obj.metadata.uid)

    def gone(self, obj: Thing, /) -> None:
        self.uids.discard(obj.metadata.uid)

    def known(self) -> set[str]:
        return self.uids

    def forget(self, uid: str, /) -> None:
        self.uids.discard(uid)


class Namespaces:
    """Stands for the API server: a list of objects in each namespace, and streams that end as soon as the place is told to forget."""

    def __init__(self, **there: list[str]) -> None:
        self.there = there
        self.too_old = {path: asyncio.Event() for path in there}
        self.lists = dict.fromkeys(there, 0)

    async def get(self, path: str, _params: Any) -> bytes:
        self.lists[path] += 1
        items = [{"metadata": {"uid": uid, "resourceVersion": "1"}} for uid in self.there[path]]
        return msgspec.json.encode({"metadata": {"resourceVersion": "1"}, "items": items})

    async def lines(self, path: str, _params: Any, *, opened: Any) -> AsyncIterator[bytes]:
        opened()
        await self.too_old[path].wait()
        self.too_old[path].clear()
        raise Gone("watch", path)
        yield b""

    async def listed(self, path: str, times: int) -> None:
        async with asyncio.timeout(5):
            while self.lists[path] < times:  # noqa: ASYNC110 - a request that was counted sets no event
                await asyncio.sleep(0.001)


async def test_listing_one_namespace_anew_forgets_nothing_of_the_others_and_everything_that_vanished_there() -> None:
    server, held = Namespaces(shop=["a", "b"], bank=["c"]), Held()
    kube: Any = server
    running: list[asyncio.Task[None]] = []
    watches = Watches(kube, lambda work, _path: running.append(asyncio.create_task(work)))
    watches.open(["shop", "bank"], Thing, held)
    await watches.listed()
    assert held.uids == {"a", "b", "c"}
    server.there["shop"] = ["b"]
    server.too_old["shop"].set()
    await server.listed("shop", 2)
    await asyncio.sleep(0)
    assert held.uids == {"b", "c"}
    for task in running:
        task.cancel()
