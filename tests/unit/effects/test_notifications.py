"""Telling people, against a real server on loopback: every kind of answer, what one channel costs another, and what is remembered."""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.cluster.receiver import Answer, Receiver, receiver
from tests.conftest import NOW, ago, make_case, make_incident, make_policy

from stopgap.api import Incident, RemediationConfig, RemediationPolicy
from stopgap.api.config import Outbound
from stopgap.api.incident import UNTOLD_LABEL, IncidentStatus
from stopgap.core.case import Decision
from stopgap.core.reach import Reach
from stopgap.effects.egress import Egress
from stopgap.effects.errors import Forbidden
from stopgap.effects.notifications import SAVED_AFTER, Lane, Notifications
from stopgap.effects.records import Records
from stopgap.effects.secrets import Secrets
from stopgap.effects.telling import BURST, LONGEST_BACKOFF, Pace, Teller
from stopgap.model.conditions import Truth, condition
from stopgap.model.news import Delivered, GivenUp, Later
from stopgap.model.refs import Target

STATUS: dict[str, Any] = {
    "detectedAt": ago(minutes=5),
    "severity": "P2",
    "policyRef": {"name": "web", "uid": "policy-uid"},
}


class World:
    """Everything around the worker: the records, the Secrets, and what is written of an incident that is over."""

    def __init__(self, way: Egress) -> None:
        self.records = Records(lambda _: None, lambda _: None)
        self.asked: list[str] = []
        self.may_read = True
        self.counts: Counter[tuple[str, str]] = Counter()
        self.soon: list[Target] = []
        self.leads = True
        self.live: Incident | None = None
        self.untold: list[Incident] = []
        self.notifications = Notifications(
            self.records,
            self,  # type: ignore[arg-type]  # writes what it is asked to
            self,  # type: ignore[arg-type]  # lists what it is asked for
            Teller(Secrets(self, "stopgap-system"), self._send),  # type: ignore[arg-type]  # asked to get
            counts=self,
            leading=lambda: self.leads,
            soon=self._look,
            now=lambda: NOW,
        )
        self._way = way

    async def _send(self, request: Any, *, scope: str, deadline: timedelta) -> Any:
        return await self._way.send(request, scope=scope, deadline=min(deadline, timedelta(seconds=0.3)))

    def _look(self, target: Target, seconds: float) -> None:
        assert seconds == SAVED_AFTER
        self.soon.append(target)

    def notified(self, _namespace: str, channel: str, result: str) -> None:
        self.counts[channel.rpartition("/")[2], result] += 1

    async def get(self, path: str) -> bytes:
        self.asked.append(path)
        if not self.may_read:
            raise Forbidden("get", path)
        return msgspec.json.encode({"data": {"k": base64.b64encode(b"S").decode()}})

    async def labelled(self, label: str) -> AsyncIterator[Incident]:
        assert label == UNTOLD_LABEL
        for one in self.untold:
            yield one

    async def reread(self, _incident: Incident) -> Incident | None:
        return self.live

    async def incident(self, incident: Incident, status: IncidentStatus) -> Incident:
        self.live = incident.model_copy(update={"status": status})
        return self.live

    async def close(self, incident: Incident, *, untold: bool) -> Incident:
        labels = {"stopgap.dev/closed": "true"} | ({UNTOLD_LABEL: "true"} if untold else {})
        self.live = incident.model_copy(update={"metadata": incident.metadata.model_copy(update={"labels": labels})})
        return self.live

    def declares(self, *channels: dict[str, Any]) -> None:
        policy: RemediationPolicy = make_policy(notify=list(channels))
        self.records.take(RemediationPolicy, policy.model_dump(mode="json", by_alias=True, exclude_none=True))

    def happens(self, name: str = "api-1", **status: Any) -> Incident:
        made = make_incident(name=name, status={**STATUS, **status})
        self.records.take(Incident, made.model_dump(mode="json", by_alias=True, exclude_none=True))
        assert made.status is not None
        self.notifications.written(made, made.status)
        return made

    def told(self, incident: Incident) -> dict[str, Any]:
        """What would be written of it now, by channel."""
        decision = self.notifications.joined(replace(make_case(), incident=incident), Decision())
        return {one.channel.rpartition("/")[2]: one for one in decision.status.notifications} if decision.status else {}


@asynccontextmanager
async def at_work() -> AsyncIterator[tuple[World, Receiver]]:
    with receiver() as server:
        way = Egress(lambda: Reach(Outbound(allow=("127.0.0.0/8",))))
        world = World(way)
        running = asyncio.create_task(world.notifications.run())
        try:
            yield world, server
        finally:
            server.ended.set()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await way.close()


async def until(so: Callable[[], Any]) -> None:
    for _ in range(500):
        if so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


def hook(server: Receiver, name: str = "tools") -> dict[str, Any]:
    return {"name": name, "webhook": {"url": server.url(name)}}


@pytest.mark.parametrize(
    ("answer", "result", "words"),
    [
        pytest.param(Answer(200), "Delivered", "", id="taken"),
        pytest.param(Answer(403), "GivenUp", "Opened was not told: the receiver refuses it with status 403", id="refused"),
        pytest.param(Answer(500), "Later", "Opened is tried again: the receiver answers with status 500", id="broken"),
        pytest.param(
            Answer(429, {"Retry-After": "1"}), "Later", "Opened is tried again: the receiver wants fewer messages (429)", id="busy"
        ),
        pytest.param(Answer(hang=True), "Later", "Opened is tried again: no answer within 0.3s (connected)", id="silent"),
        pytest.param(Answer(reset=True), "Later", "Opened is tried again: it closed the connection", id="gone"),
    ],
)
async def test_every_answer_is_counted_remembered_and_told_in_words(answer: Answer, result: str, words: str) -> None:
    async with at_work() as (world, server):
        server.answers = {"tools": answer}
        world.declares(hook(server))
        incident = world.happens()
        await until(lambda: world.counts["tools", result])
        (posted, *_) = server.posted("tools")
        assert posted.body["id"] == "api-1-uid/Opened"
        entry = world.told(incident)["tools"]
        assert entry.told == (() if result == "Later" else ("Opened",))
        assert entry.trouble.startswith(words) if words else not entry.trouble
        assert world.soon, "it is written soon, also where nothing else is"


async def test_what_passes_is_sent_again_under_the_same_key_and_then_all_is_well() -> None:
    async with at_work() as (world, server):
        server.answers = {"tools": Answer(503)}
        world.declares(hook(server))
        incident = world.happens()
        await until(lambda: world.counts["tools", "Later"])
        server.answers = {}
        await until(lambda: world.counts["tools", "Delivered"])
        assert {one.body["id"] for one in server.posted("tools")} == {"api-1-uid/Opened"}
        assert world.told(incident)["tools"].trouble == ""


async def test_a_service_is_left_alone_for_as_long_as_it_asks() -> None:
    async with at_work() as (world, server):
        server.answers = {"tools": Answer(429, {"Retry-After": "1"})}
        world.declares(hook(server))
        world.happens()
        await until(lambda: world.counts["tools", "Later"])
        server.answers, since = {}, time.monotonic()
        await until(lambda: world.counts["tools", "Delivered"])
        assert time.monotonic() - since > 0.8


async def test_a_channel_that_fails_holds_up_no_other_and_an_incident_that_is_not_taken_no_other_incident() -> None:
    async with at_work() as (world, server):
        server.answers = {"dead": Answer(hang=True), "picky": Answer(400)}
        world.declares(hook(server, "dead"), hook(server, "picky"), hook(server, "fine"))
        for number in (1, 2, 3):
            world.happens(f"api-{number}")
        await until(lambda: world.counts["fine", "Delivered"] == 3 and world.counts["picky", "GivenUp"] == 3)
        assert world.counts["dead", "Delivered"] == 0


async def test_the_most_urgent_incident_is_told_first() -> None:
    async with at_work() as (world, server):
        world.declares(hook(server))
        world.leads = False
        for number, severity in enumerate(("P4", "P1", "P2"), start=1):
            world.happens(f"api-{number}", severity=severity)
        assert server.posted("tools") == []
        world.leads = True
        for number, severity in enumerate(("P4", "P1", "P2"), start=1):
            world.happens(f"api-{number}", severity=severity)
        await until(lambda: len(server.posted("tools")) == 3)
        assert [one.body["data"]["incident"]["severity"] for one in server.posted("tools")] == ["P1", "P2", "P4"]


async def test_a_secret_that_cannot_be_read_is_asked_for_again() -> None:
    async with at_work() as (world, server):
        world.may_read = False
        world.declares({**hook(server), "webhook": {"url": server.url("tools"), "secretRef": {"name": "s", "key": "k"}}})
        incident = world.happens()
        await until(lambda: world.counts["tools", "Later"])
        assert world.told(incident)["tools"].trouble.startswith(
            "Opened is tried again: Stopgap may not read Secret s in shop; allow it with"
        )
        assert world.asked[0] == "/api/v1/namespaces/shop/secrets/s"
        assert server.posted("tools") == []
        world.may_read = True
        await until(lambda: world.counts["tools", "Delivered"])
        assert "webhook-signature" in server.posted("tools")[0].headers


async def test_the_platforms_channels_hear_of_every_incident_and_their_secrets_are_the_operators() -> None:
    async with at_work() as (world, server):
        channel = {"name": "noc", "webhook": {"url": server.url("noc"), "secretRef": {"name": "s", "key": "k"}}}
        body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationConfig", "metadata": {"name": "stopgap"}}
        world.records.take(RemediationConfig, {**body, "spec": {"notify": [channel]}})
        world.happens(policyRef=None)
        await until(lambda: world.counts["noc", "Delivered"])
        assert world.asked == ["/api/v1/namespaces/stopgap-system/secrets/s"]


async def test_a_message_that_slack_has_lost_is_written_anew() -> None:
    async with at_work() as (world, server):
        server.answers = {"slack/chat.postMessage": Answer(200, body={"ok": True, "channel": "C1", "ts": "1.1"})}
        server.answers["slack/chat.update"] = Answer(200, body={"ok": False, "error": "message_not_found"})
        world.declares({"name": "team", "slack": {"secretRef": {"name": "s", "key": "k"}, "channel": "C1", "url": server.url("slack")}})
        took = {
            "type": "Acknowledged",
            "status": "True",
            "reason": "Acknowledged",
            "message": "ana has taken it",
            "lastTransitionTime": NOW,
        }
        incident = world.happens(conditions=[took])
        await until(lambda: world.counts["team", "Delivered"] == 2)
        assert [one.path.rpartition(".")[2] for one in server.posted("slack")] == ["postMessage", "update", "postMessage"]
        assert world.told(incident)["team"].reference == "C1/1.1"


async def test_an_incident_that_was_deleted_is_told_to_nobody() -> None:
    async with at_work() as (world, server):
        server.answers = {"tools": Answer(503)}
        world.declares(hook(server))
        world.happens()
        await until(lambda: world.counts["tools", "Later"])
        world.records.drop(Incident, "shop", "api-1")
        sent = len(server.posted("tools"))
        await until(lambda: not world.notifications._lanes[Lane("shop", "RemediationPolicy/web/tools")].waiting)
        assert len(server.posted("tools")) == sent


def over(status: dict[str, Any]) -> Incident:
    resolved = condition("Resolved", Truth.TRUE, "Resolved", "it is over", NOW)
    one = make_incident(status={**STATUS, **status, "conditions": [resolved.model_dump()], "resolvedAt": NOW})
    labels = {"stopgap.dev/closed": "true", UNTOLD_LABEL: "true"}
    return one.model_copy(update={"metadata": one.metadata.model_copy(update={"labels": labels})})


async def test_who_begins_to_lead_tells_the_end_that_the_one_before_had_not_told() -> None:
    entry = {"channel": "RemediationPolicy/web/tools", "told": ["Opened"]}
    async with at_work() as (world, server):
        world.leads = False
        world.declares(hook(server))
        world.live = over({"notifications": [entry]})
        world.untold = [world.live]
        world.leads = True
        await until(lambda: world.live and UNTOLD_LABEL not in world.live.metadata.labels)
        assert [one.body["data"]["occasion"] for one in server.posted("tools")] == ["Resolved"]
        assert world.live.status is not None
        assert world.live.status.notifications[0].told == ("Opened", "Resolved")
        await until(lambda: not world.notifications._incidents)


async def test_what_is_over_keeps_its_label_until_the_last_channel_was_told() -> None:
    async with at_work() as (world, server):
        server.answers = {"dead": Answer(503)}
        world.declares(hook(server, "dead"), hook(server, "fine"))
        world.live = over({})
        world.untold = [world.live]
        await until(lambda: world.counts["fine", "Delivered"] == 2 and world.counts["dead", "Later"])
        assert UNTOLD_LABEL in world.live.metadata.labels
        server.answers = {}
        await until(lambda: world.live and UNTOLD_LABEL not in world.live.metadata.labels)


async def test_what_was_told_rides_along_with_the_next_write_and_is_then_forgotten() -> None:
    async with at_work() as (world, server):
        world.declares(hook(server))
        incident = world.happens()
        await until(lambda: world.counts["tools", "Delivered"])
        decision = world.notifications.joined(replace(make_case(), incident=incident), Decision())
        assert decision.status is not None
        world.notifications.written(incident, decision.status)
        again = world.notifications.joined(replace(make_case(), incident=incident), Decision())
        assert again.status is None
        assert not world.notifications._incidents


def test_a_channel_has_a_pace() -> None:
    pace, sent = Pace(), 0
    while pace.wait(1000.0) <= 0:
        pace.sent(1000.0)
        pace.answered(Delivered(), 1000.0)
        sent += 1
    assert BURST <= sent <= BURST + 1
    assert pace.wait(1001.0) <= 0


def test_a_channel_that_fails_waits_longer_each_time_and_not_for_ever() -> None:
    pace, waits = Pace(), []
    for _ in range(20):
        pace.answered(Later("why"), 0.0)
        waits.append(pace.wait(0.0))
    assert 0.7 < waits[0] <= 1
    assert waits[3] > waits[2] > waits[1]
    assert LONGEST_BACKOFF * 0.7 < waits[-1] <= LONGEST_BACKOFF
    pace.answered(GivenUp("why"), 1000.0)
    pace.answered(Later("why"), 1000.0)
    assert pace.wait(1000.0) <= 1
