"""Incidents are looked into once, beside everything else, and what is found is taken into what is written anyway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import NOW, ago, make_case, make_incident, make_pod, make_seen

from stopgap.api.incident import IncidentStatus
from stopgap.core.case import Case, Decision
from stopgap.core.evidence import Answers
from stopgap.core.failing import Scene
from stopgap.effects.inquiry import Inquiries
from stopgap.model.refs import Target

BEGAN = IncidentStatus(started_at=ago(seconds=30), revision=2)


class Asked:
    """In place of the lookups: says when it was asked, and answers when it is told to."""

    def __init__(self, *, broken: int = 0) -> None:
        self.scenes: list[Scene] = []
        self.free = asyncio.Event()
        self.broken = broken

    async def answers(self, scene: Scene) -> Answers:
        self.scenes.append(scene)
        await self.free.wait()
        if len(self.scenes) <= self.broken:
            raise RuntimeError("it was not foreseen")
        return Answers(NOW)


@asynccontextmanager
async def working(asked: Asked) -> AsyncIterator[tuple[Inquiries, asyncio.Queue[Target]]]:
    looks: asyncio.Queue[Target] = asyncio.Queue()
    inquiries = Inquiries(asked, soon=looks.put_nowait)  # type: ignore[arg-type]  # as much of the lookups as is asked for
    task = asyncio.create_task(inquiries.run())
    try:
        yield inquiries, looks
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def written(name: str = "api-1", *, stored: IncidentStatus = BEGAN, **seen: Any) -> tuple[Case, Decision]:
    """An incident as it is about to be written."""
    seen = {"target": Target("shop", "Deployment", name.rpartition("-")[0]), **seen}
    case = make_case(seen=make_seen(**seen), incident=make_incident(name=name, status=stored.model_dump()))
    return case, Decision(status=stored)


def sources(decision: Decision) -> list[str]:
    assert decision.status is not None
    return [one.source for one in decision.status.evidence]


async def test_nothing_waits_for_it_and_what_is_found_is_in_the_next_status_that_is_written() -> None:
    asked = Asked()
    async with working(asked) as (inquiries, looks), asyncio.timeout(5):
        assert sources(inquiries.joined(*written())) == []
        await asyncio.sleep(0)
        assert sources(inquiries.joined(*written())) == []
        asked.free.set()
        assert await looks.get() == make_seen().target
        case, decision = written()
        told = inquiries.joined(case, decision)
        assert sources(told) == ["Container", "Nodes", "Rollout", "Changes"]
        assert sources(inquiries.joined(case, decision)) == sources(told), "it is told until it is stored"
        assert told.status is not None
        after = inquiries.joined(*written(stored=told.status))
        assert after.status == told.status
        assert len(asked.scenes) == 1


async def test_what_an_earlier_copy_has_looked_into_is_not_looked_into_again() -> None:
    asked = Asked()
    asked.free.set()
    found = BEGAN.model_validate({**BEGAN.model_dump(), "evidence": [{"source": "Container", "observedAt": NOW, "message": "x"}]})
    async with working(asked) as (inquiries, _):
        inquiries.joined(*written(stored=found))
        await asyncio.sleep(0.02)
    assert asked.scenes == []


async def test_what_was_not_foreseen_is_tried_again_and_stops_nothing() -> None:
    asked = Asked(broken=1)
    asked.free.set()
    async with working(asked) as (inquiries, looks), asyncio.timeout(5):
        inquiries.joined(*written())
        await looks.get()
    assert len(asked.scenes) == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"incident": None}, id="no incident"),
        pytest.param({"seen": make_seen(workload=None, template=None)}, id="no workload"),
    ],
)
async def test_where_there_is_nothing_to_look_into_nothing_is_done(change: dict[str, Any]) -> None:
    asked = Asked()
    async with working(asked) as (inquiries, _):
        case, decision = written()
        case = replace(case, **change)
        assert inquiries.joined(case, decision) == decision
        await asyncio.sleep(0.02)
    assert asked.scenes == []


async def test_incidents_on_one_node_name_each_other_until_they_are_over() -> None:
    async with working(Asked()) as (inquiries, _):
        pods = (make_pod(node="node-7"), make_pod("p2", node="node-7"))
        for name in ("a-1", "b-1", "c-1"):
            inquiries.joined(*written(name, pods=pods))
        told = inquiries.joined(*written("a-1", pods=pods)).status
        assert told is not None
        assert told.related_incidents == ("b-1", "c-1")
        assert "on node node-7" in told.common_cause
        case, decision = written("a-1", pods=pods)
        assert inquiries.joined(case, replace(decision, closed=True)).status == told
        deleted, _ = written("b-1", pods=pods)
        assert inquiries.joined(replace(deleted, incident=None), Decision()) == Decision()
        last = inquiries.joined(*written("d-1", pods=pods)).status
        assert last is not None
        assert (last.related_incidents, last.common_cause) == (("c-1",), "")
        inquiries.forget()
        assert inquiries.joined(*written("e-1", pods=pods)).status == BEGAN


async def test_the_next_incident_of_a_workload_is_looked_into_afresh() -> None:
    asked = Asked()
    asked.free.set()
    async with working(asked) as (inquiries, looks), asyncio.timeout(5):
        inquiries.joined(*written())
        await looks.get()
        assert sources(inquiries.joined(*written("api-2"))) == []
        await looks.get()
        assert sources(inquiries.joined(*written("api-2")))
    assert [one.case.incident.metadata.name for one in asked.scenes if one.case.incident] == ["api-1", "api-2"]
