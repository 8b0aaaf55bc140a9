"""The sweep of autoscalers: what bears a mark is noted, what somebody else wrote there stops nothing, and what fails is tried again."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.conftest import TARGET

from stopgap.api.plan import PlannedScaler
from stopgap.core.case import Lent
from stopgap.core.marks import RESTORE, mark
from stopgap.effects import leftovers
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.leftovers import Leftovers
from stopgap.effects.records import Records
from stopgap.model.change import Field
from stopgap.model.refs import Target

LENT = Lent(Field.MIN_REPLICAS, PlannedScaler(kind="HorizontalPodAutoscaler", name="api", uid="hpa-uid"), 2, 4, "r-uid")
REF = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}


MARK = mark(LENT)


def hpa(text: Any = MARK, ref: Any = REF, **meta: Any) -> dict[str, Any]:
    metadata = {"name": "api", "namespace": "shop", "uid": "hpa-uid", "annotations": {RESTORE: text}, **meta}
    return {"metadata": metadata, "spec": {"scaleTargetRef": ref, "minReplicas": 4, "maxReplicas": 9}}


class Sweep:
    """A sweep over these objects."""

    def __init__(self, *bodies: Any, error: KubeError | None = None) -> None:
        self.records = Records(lambda _: None, lambda _: None)
        self.told: list[Target] = []
        self.lists: list[str] = []
        self.error = error
        self.leading = True

        async def items(path: str) -> AsyncIterator[msgspec.Raw]:
            self.lists.append(path)
            if self.error:
                raise self.error
            for body in bodies:
                yield msgspec.Raw(msgspec.json.encode(body))

        kube: Any = SimpleNamespace(items=items)
        own: Any = SimpleNamespace(paths=lambda _, plural: [plural])
        self.sweep = Leftovers(kube, own, self.records, leading=lambda: False, found=self.told.append)

    async def run(self, *, rounds: int = 3) -> None:
        """Let it run until it has asked so often whether it leads."""
        asked, enough = itertools.count(1), asyncio.Event()

        def leading() -> bool:
            if next(asked) > rounds:
                enough.set()
            return self.leading

        self.sweep._leading = leading
        running = asyncio.create_task(self.sweep.run())
        await asyncio.wait_for(enough.wait(), 10)
        running.cancel()
        await asyncio.wait([running])


async def test_what_bears_a_mark_is_noted_under_the_workload_that_it_scales() -> None:
    one = Sweep(hpa())
    assert await one.sweep.sweep("HorizontalPodAutoscaler")
    assert one.records.lending.lost(TARGET) == (LENT,)
    assert one.told == [TARGET]


async def test_the_autoscaler_of_a_statefulset_is_seen_too() -> None:
    one = Sweep(hpa(ref={**REF, "kind": "StatefulSet"}))
    assert await one.sweep.sweep("HorizontalPodAutoscaler")
    assert one.told == [Target("shop", "StatefulSet", "api")]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(hpa("words"), id="somebody wrote words there"),
        pytest.param(hpa("[" * 100_000), id="somebody dug a pit there"),
        pytest.param(hpa(annotations=None), id="no annotations"),
        pytest.param(hpa(annotations={"team": "shop"}), id="no mark"),
        pytest.param(hpa(ref={**REF, "kind": "ReplicationController"}), id="of a kind that nothing is done to"),
        pytest.param(hpa(ref="api"), id="an odd object"),
        pytest.param("an object", id="no object at all"),
    ],
)
async def test_what_says_nothing_is_passed_over_and_the_next_one_is_seen(body: Any) -> None:
    one = Sweep(body, hpa())
    assert await one.sweep.sweep("HorizontalPodAutoscaler")
    assert one.told == [TARGET]


@pytest.mark.parametrize(
    ("error", "well"),
    [
        pytest.param(NotFound("list", "/x", status=404, message="no such kind"), True, id="that kind is not installed"),
        pytest.param(Forbidden("list", "/x", status=403, message="no"), False, id="it may not be listed"),
    ],
)
async def test_a_sweep_went_well_where_nothing_is_left_to_try(error: KubeError, well: bool) -> None:  # noqa: FBT001 - a column of the table
    assert await Sweep(error=error).sweep.sweep("ScaledObject") is well


async def test_it_sweeps_once_for_each_time_that_it_leads_and_forgets_what_it_heard_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "EVERY_SECONDS", 0.0)
    one = Sweep(hpa())
    one.leading = False
    old = Target("shop", "Deployment", "old")
    one.records.lending.lose(old, LENT)
    await one.run()
    assert one.lists == []
    one.leading = True
    for times in (1, 2):
        one.sweep.begin()
        await one.run()
        assert one.lists == ["horizontalpodautoscalers", "scaledobjects"] * times
        assert one.records.lending.lost(old) == ()


async def test_what_failed_is_tried_again_but_not_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "EVERY_SECONDS", 0.0)
    one = Sweep(hpa(), error=Forbidden("list", "/x", status=403, message="no"))
    await one.run()
    assert len(one.lists) == 2
    monkeypatch.setattr(leftovers, "RETRY_SECONDS", 0.0)
    one.sweep.begin()
    await one.run()
    assert len(one.lists) >= 2 + 3 * 2
