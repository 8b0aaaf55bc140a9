"""The sweep: what bears a mark is noted, what somebody else wrote there stops nothing, and what fails is tried again.

A GitOps owner that stays suspended under a lost record is told of once, and never resumed.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from tests.conftest import NOW, TARGET, make_remediation
from tests.unit.core.test_suspending import PLANNED, paused

from stopgap.api import Remediation
from stopgap.api.plan import PlannedScaler
from stopgap.core import pausing
from stopgap.core.case import Lent, Notice
from stopgap.core.marks import RESTORE, mark
from stopgap.effects import leftovers
from stopgap.effects.errors import Forbidden, KubeError, NotFound, Unanswered
from stopgap.effects.kube import METADATA_ONLY
from stopgap.effects.leftovers import Leftovers
from stopgap.effects.records import Records
from stopgap.effects.telemetry import Telemetry
from stopgap.model.change import Field
from stopgap.model.reasons import Reason
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

        async def items(path: str, *, accept: str = "") -> AsyncIterator[msgspec.Raw]:
            self.lists.append(path)
            self.accepted.add(accept)
            if self.error:
                raise self.error
            for body in bodies:
                yield msgspec.Raw(msgspec.json.encode(body))

        async def get(path: str) -> bytes:
            if path not in self.objects:
                raise NotFound("get", path, status=404)
            if isinstance(found := self.objects[path], KubeError):
                raise found
            return msgspec.json.encode(found)

        async def patch(path: str, body: Any, *, how: object) -> bytes:  # noqa: ARG001 - the shape of the real one
            self.patched.append(path)
            return b"{}"

        async def event(regarding: Any, notice: Notice, now: Any) -> None:  # noqa: ARG001 - the shape of the real one
            if self.no_events:
                raise self.no_events
            self.events.append((regarding["metadata"]["name"], notice))

        self.no_events: KubeError | None = None
        self.accepted: set[str] = set()
        self.objects: dict[str, Any] = {}
        self.patched: list[str] = []
        self.events: list[tuple[str, Notice]] = []
        self.now = NOW
        self.telemetry = Telemetry(CollectorRegistry())
        kube: Any = SimpleNamespace(items=items, get=get, patch=patch, clock=SimpleNamespace(now=lambda: self.now))
        own: Any = SimpleNamespace(paths=lambda _, plural: [plural], own_namespace="stopgap-system")
        recorder: Any = SimpleNamespace(event=event)
        self.sweep = Leftovers(
            kube, own, self.records, told=recorder, telemetry=self.telemetry, leading=lambda: self.leading, found=self.told.append
        )

    @property
    def gauge(self) -> float:
        """How many owners are said to stay suspended."""
        (metric,) = self.telemetry.lost_pauses.collect()
        return metric.samples[0].value

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
        assert one.lists == ["horizontalpodautoscalers", "scaledobjects", "applications", "kustomizations", "helmreleases"] * times
        assert one.records.lending.lost(old) == ()


async def test_what_failed_is_tried_again_but_not_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "EVERY_SECONDS", 0.0)
    one = Sweep(hpa(), error=Forbidden("list", "/x", status=403, message="no"))
    await one.run()
    assert len(one.lists) == 5
    monkeypatch.setattr(leftovers, "RETRY_SECONDS", 0.0)
    one.sweep.begin()
    await one.run()
    assert len(one.lists) >= 5 + 3 * 5


# ------------------------------------------------------------------------------------------------------- GitOps owners

APPLICATION = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/web"
RECORD = "/apis/stopgap.dev/v1alpha1/namespaces/shop/remediations/api-d-uid-g4-1"


def application(one: Remediation, *, enabled: bool = False) -> dict[str, Any]:
    """An application as it is while it is paused under a remediation."""
    plan = one.spec.plan.suspends
    assert plan is not None
    meta = {"name": "web", "namespace": "argocd", "uid": "app-uid", "generation": 3, "annotations": pausing.marks(one, plan)}
    spec = {"syncPolicy": {"automated": {**pausing.ours(plan), "enabled": enabled}}}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": meta, "spec": spec}


async def test_an_owner_that_stays_suspended_under_a_lost_record_is_told_of_once_until_a_person_has_resumed_it() -> None:
    body = application(paused())
    one = Sweep(body)
    one.objects[APPLICATION] = body
    assert await one.sweep.sweep("Application")
    assert one.accepted == {METADATA_ONLY}
    for _ in range(2):
        await one.sweep.look()
    ((name, notice),) = one.events
    assert (name, notice.reason, notice.warning) == ("web", Reason.RecordLost, True)
    assert "nothing resumes it any more" in notice.message
    assert (one.gauge, one.patched) == (1, [])
    one.objects[APPLICATION] = application(paused(), enabled=True)
    await one.sweep.look()
    assert (one.gauge, one.patched, len(one.events)) == (0, [APPLICATION], 1)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        pytest.param(paused(), 0, id="its record is there after all"),
        pytest.param(
            paused().model_copy(update={"metadata": make_remediation(name="another").metadata}), 1, id="another record has its name"
        ),
        pytest.param(NotFound("get", RECORD, status=404), 1, id="its record is gone"),
        pytest.param(Forbidden("get", RECORD, status=403), 0, id="nobody can tell"),
    ],
)
async def test_whether_a_record_is_lost_is_asked_of_the_api_server(record: Remediation | KubeError, told: int) -> None:
    body = application(paused())
    one = Sweep(body)
    one.objects = {APPLICATION: body, RECORD: record}
    if not isinstance(record, KubeError):
        one.objects[RECORD] = {"metadata": {"name": record.metadata.name, "namespace": "shop", "uid": record.metadata.uid}}
    assert await one.sweep.sweep("Application")
    await one.sweep.look()
    assert (len(one.events), one.gauge) == (told, told)


async def test_a_pause_that_may_still_be_written_is_looked_for_until_it_cannot_be_any_more() -> None:
    one = Sweep()
    pending = paused().model_copy(update={"status": None})
    one.records.lending.drop(pending)
    await one.sweep.look()
    assert one.records.lending.pauses, "the write may be on its way"
    one.now = pending.write_until + timedelta(seconds=1)
    await one.sweep.look()
    assert not one.records.lending.pauses
    assert one.events == []


@pytest.mark.parametrize(
    ("error", "again"),
    [
        pytest.param(Forbidden("get", APPLICATION, status=403), False, id="it may not be read"),
        pytest.param(Unanswered("get", APPLICATION), True, id="nobody answers"),
    ],
)
async def test_an_owner_that_cannot_be_read_is_looked_at_again_unless_that_is_refused(error: KubeError, again: bool) -> None:  # noqa: FBT001
    one = Sweep(application(paused()))
    one.objects[APPLICATION] = error
    assert await one.sweep.sweep("Application")
    await one.sweep.look()
    assert bool(one.records.lending.pauses) is again
    assert one.events == []


async def test_where_no_event_may_be_posted_the_metric_tells_and_where_nobody_answers_it_is_posted_later() -> None:
    one = Sweep(application(paused()))
    one.objects[APPLICATION] = application(paused())
    assert await one.sweep.sweep("Application")
    one.no_events = Unanswered("create", "/events")
    await one.sweep.look()
    assert one.gauge == 0
    one.no_events = Forbidden("create", "/events", status=403)
    await one.sweep.look()
    assert one.gauge == 1
    one.no_events = None
    await one.sweep.look()
    assert one.events == [], "it is told once"


async def test_a_copy_that_does_not_lead_tells_nothing() -> None:
    one = Sweep(application(paused()))
    one.objects[APPLICATION] = application(paused())
    assert await one.sweep.sweep("Application")
    one.leading = False
    await one.sweep.look()
    assert (one.events, one.gauge) == ([], 0)


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param(None, id="no annotations"),
        pytest.param({RESTORE: "[]"}, id="somebody wrote something else there"),
        pytest.param({RESTORE: MARK}, id="it does not say for which incident"),
    ],
)
async def test_an_owner_that_says_nothing_is_passed_over(annotations: dict[str, str] | None) -> None:
    body = {**application(paused()), "metadata": {"name": PLANNED["name"], "namespace": "argocd", "uid": "x", "annotations": annotations}}
    one = Sweep(body)
    assert await one.sweep.sweep("Application")
    assert not one.records.lending.pauses
