"""The watches of StatefulSets: begun when somebody wants them, and believed apart from those of Deployments."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.conftest import TARGET, make_policy
from tests.stateful import DB, Taken

from stopgap.effects.watches import StatefulWatches

ABOUT_SETS = make_policy(targets={"kinds": ["Deployment", "StatefulSet"], "names": ["db"]})


class Begun:
    """Which watches were begun; none of them ever hears anything."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.listed: list[bool] = []
        kube: Any = None
        self.watches = StatefulWatches(kube, self._spawn, Taken().index, lambda version, plural: [f"{version}/{plural}"])

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
