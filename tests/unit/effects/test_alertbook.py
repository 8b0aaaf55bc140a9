"""Where an alert is put: into which incident, under which name, and that lost races and crashes neither lose nor double it."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.conftest import GOOD, NOW, UID, make_workload
from tests.unit.effects.test_census import World
from tests.unit.effects.test_payloads import ALERT, alertmanager, post

from stopgap.api import Incident
from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.core.lifecycle import RESOLVED
from stopgap.effects.addressees import Addressee
from stopgap.effects.alertbook import AlertBook, Contended
from stopgap.effects.errors import Invalid
from stopgap.effects.payloads import Report
from stopgap.effects.record import Recorder, dumped
from stopgap.model.alert import AlertState
from stopgap.model.conditions import Truth, condition
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

API = Addressee("shop", Target("shop", "Deployment", "api"))
RECORD = Addressee("records", why="its labels name nothing that is known")
FIRING, ENDED = AlertState.FIRING, AlertState.RESOLVED


class Stored:
    """What is stored: names are taken once, a write that was derived from an older state is refused, and all is told to the records."""

    def __init__(self) -> None:
        self.world = World()
        self.objects: dict[tuple[str, str], Incident] = {}
        self.version = 0
        self.before_write: list[Callable[[], None]] = []
        self.book = AlertBook(self.world.index, self.world.records, cast("Recorder", self))

    async def report(self, namespace: str, name: str, spec: IncidentSpec) -> tuple[Incident, bool]:
        found = self.objects.get((namespace, name))
        if found is None:
            meta = {"name": name, "namespace": namespace, "uid": f"{namespace}-{name}", "generation": 1}
            return self.put(Incident.model_validate({"metadata": meta, "spec": spec})), True
        return found, False

    async def incident(self, incident: Incident, status: IncidentStatus) -> Incident:
        if self.before_write:
            self.before_write.pop(0)()
        now = self.objects[incident.metadata.namespace or "", incident.metadata.name]
        if now.metadata.resource_version != incident.metadata.resource_version:
            raise Invalid("patch", "incidents", status=422, message="the test failed")
        return self.put(incident.model_copy(update={"status": status}))

    async def reread(self, incident: Incident) -> Incident | None:
        return self.objects.get((incident.metadata.namespace or "", incident.metadata.name))

    def put(self, incident: Incident) -> Incident:
        self.version += 1
        meta = incident.metadata.model_copy(update={"resource_version": str(self.version)})
        made = Incident.model_validate(dumped(incident.model_copy(update={"metadata": meta})))
        self.objects[meta.namespace or "", meta.name] = made
        self.world.records.take(Incident, dumped(made))
        return made

    def change(self, name: str, **status: Any) -> None:
        (key,) = [one for one in self.objects if one[1] == name]
        incident = self.objects[key]
        self.put(incident.model_copy(update={"status": (incident.status or IncidentStatus()).model_copy(update=status)}))

    def end(self, name: str) -> None:
        self.change(name, conditions=(condition(RESOLVED, Truth.TRUE, Reason.Resolved, "", NOW),))

    def names(self) -> list[str]:
        return [name for _, name in self.objects]

    def states(self) -> list[list[tuple[str, AlertState]]]:
        return [[(each.name, each.state) for each in one.status.alerts] if one.status else [] for one in self.objects.values()]


def report(name: str = "A", *, minutes: float = 0, began: str = "2026-11-23T09:57:00Z", ended: bool = False) -> Report:
    """One alert, told so many minutes from now."""
    labels = {**ALERT["labels"], "alertname": name}
    over = {"status": "resolved", "endsAt": "2026-11-23T09:59:00Z"} if ended else {}
    made: Report
    (made,) = post(alertmanager({**ALERT, "fingerprint": f"fp-{name}", "labels": labels, "startsAt": began, **over})).reports
    return replace(made, alert=replace(made.alert, heard_at=NOW + timedelta(minutes=minutes)))


async def test_an_alert_opens_the_incident_of_its_workload_and_others_join_it() -> None:
    stored = Stored()
    assert await stored.book.store(API, [report("A")], 0) == 2
    assert await stored.book.store(API, [report("B"), report("C")], 4) == 1
    ((key, incident),) = stored.objects.items()
    assert key[1].startswith("api-alert-")
    assert incident.spec.source.model_dump() == {"type": "Alert", "name": "A", "fingerprint": "fp-A"}
    assert (incident.spec.title, incident.spec.started_at) == ("A: 7 % of requests fail", report().alert.since)
    assert stored.states() == [[("A", FIRING), ("B", FIRING), ("C", FIRING)]]
    assert incident.status is not None
    assert incident.status.truncated_alerts == 4


async def test_it_joins_the_incident_that_the_watch_has_opened() -> None:
    stored = Stored()
    spec = IncidentSpec.model_validate({"title": "CrashLoop", "targetRef": {"name": "api"}, "source": {"type": "Workload"}})
    await stored.report("shop", "api-1", spec)
    assert await stored.book.store(API, [report()], 0) == 1
    assert stored.names() == ["api-1"]


async def test_records_have_an_incident_each_and_say_why() -> None:
    stored = Stored()
    for name in ("Disk is full!", "Disk is full!", "B"):
        await stored.book.store(RECORD, [report(name)], 0)
    first, second = stored.names()
    assert first.startswith("disk-is-full-alert-")
    assert second.startswith("b-alert-")
    assert "A record only: its labels name nothing" in stored.objects["records", first].spec.description


async def test_a_repeat_writes_nothing_and_one_that_was_never_told_before_it_ended_opens_nothing() -> None:
    stored = Stored()
    await stored.book.store(API, [report()], 0)
    assert await stored.book.store(API, [report(minutes=4)], 0) == 0
    assert await stored.book.store(RECORD, [report("Over", ended=True)], 0) == 0
    assert len(stored.objects) == 1


async def test_killed_between_the_two_writes_it_goes_on_where_it_was_whichever_alert_comes_first() -> None:
    stored = Stored()
    stored.before_write.append(lambda: (_ for _ in ()).throw(ConnectionError("killed")))
    with pytest.raises(ConnectionError):
        await stored.book.store(API, [report("A"), report("B")], 0)
    assert stored.states() == [[]]
    assert stored.book.known("shop", "fp-A") == API
    await stored.book.store(API, [report("B"), report("A")], 0)
    assert stored.states() == [[("B", FIRING), ("A", FIRING)]]


async def test_another_copy_that_has_not_heard_of_it_yet_finds_the_name_taken_and_adopts_it() -> None:
    stored = Stored()
    await stored.book.store(RECORD, [report()], 0)
    other = AlertBook(stored.world.index, World().records, cast("Recorder", stored))
    assert await other.store(RECORD, [report(minutes=1)], 0) == 0
    assert len(stored.objects) == 1


async def test_a_lost_race_is_taken_up_again_from_what_was_written_meanwhile() -> None:
    stored = Stored()
    await stored.book.store(API, [report()], 0)
    (name,) = stored.names()
    stored.before_write.append(lambda: stored.change(name, severity=Severity.P1))
    assert await stored.book.store(API, [report("B")], 0) == 1
    assert len(stored.states()[0]) == 2


async def test_an_incident_that_ends_meanwhile_takes_nothing_in_and_the_sender_comes_again() -> None:
    stored = Stored()
    await stored.book.store(API, [report()], 0)
    (name,) = stored.names()
    stored.before_write.append(lambda: stored.end(name))
    with pytest.raises(Contended):
        await stored.book.store(API, [report("B")], 0)
    await stored.book.store(API, [report("B")], 0)
    assert stored.states() == [[("A", FIRING)], [("B", FIRING)]]


@pytest.mark.parametrize(
    ("then", "incidents"),
    [
        pytest.param([report(minutes=9)], 1, id="told again while it fires, after people closed it"),
        pytest.param([report(began="2026-11-23T09:59:30Z")], 2, id="firing anew"),
    ],
)
async def test_after_people_have_closed_it(then: list[Report], incidents: int) -> None:
    stored = Stored()
    await stored.book.store(API, [report()], 0)
    stored.end(stored.names()[0])
    await stored.book.store(API, then, 0)
    assert len(stored.objects) == incidents


@pytest.mark.parametrize(("minutes", "incidents"), [(2, 1), (30, 2)], ids=["a replay", "long after: the sender had lost it"])
async def test_the_same_firing_told_after_its_end_is_over(minutes: float, incidents: int) -> None:
    stored = Stored()
    await stored.book.store(API, [report()], 0)
    await stored.book.store(API, [report(ended=True)], 0)
    stored.end(stored.names()[0])
    await stored.book.store(API, [report(minutes=minutes)], 0)
    assert len(stored.objects) == incidents


async def test_what_fires_on_another_release_after_the_mitigation_is_an_incident_of_its_own_and_ends_there() -> None:
    stored = Stored()
    stored.world.index.put_workload(make_workload(uid=UID))
    await stored.book.store(API, [report()], 0)
    (name,) = stored.names()
    await stored.book.store(API, [report(ended=True)], 0)
    stored.change(name, mitigated_at=NOW, digest=GOOD.digest, target_uid=UID)
    await stored.book.store(API, [report(began="2026-11-23T09:59:30Z")], 0)
    assert stored.states() == [[("A", ENDED)], [("A", FIRING)]]
    over = report(began="2026-11-23T09:59:30Z", ended=True)
    await stored.book.store(API, [replace(over, alert=replace(over.alert, ended=NOW))], 0)
    assert stored.states() == [[("A", ENDED)], [("A", ENDED)]]
