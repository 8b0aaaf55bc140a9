"""The receiver, spoken to over HTTP: who is let in, what is refused, and that it says "stored" only when it is."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from tests.cluster.harness import free_port
from tests.conftest import NOW
from tests.unit.effects.test_payloads import ALERT, alertmanager
from tests.unit.effects.test_servers import LOOPBACK, Where
from tests.unit.effects.test_tokens import TOKEN, signature

from stopgap.effects import intake
from stopgap.effects.addressees import Addressee, Addressees
from stopgap.effects.alertbook import AlertBook, Contended
from stopgap.effects.errors import Unreachable
from stopgap.effects.intake import LARGEST_BODY, Intake
from stopgap.effects.payloads import Report
from stopgap.effects.servers import Servers
from stopgap.effects.telemetry import Telemetry
from stopgap.effects.tokens import SIGNATURE, Credentials
from stopgap.model.refs import Target

API = Target("shop", "Deployment", "api")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
UNREACHABLE = Unreachable("create", "/apis/stopgap.dev/v1alpha1/namespaces/shop/incidents", message="refused")


class Book:
    """In place of the one that writes: what it was given, and what becomes of it."""

    def __init__(self) -> None:
        self.stored: list[tuple[Addressee, list[str], int]] = []
        self.trouble: Exception | None = None
        self.wait = asyncio.Event()
        self.wait.set()

    def known(self, namespace: str, fingerprint: str) -> Addressee | None:
        return Addressee(namespace, API) if fingerprint == "known" else None

    async def store(self, whom: Addressee, reports: list[Report], left_out: int) -> int:
        await self.wait.wait()
        if self.trouble:
            raise self.trouble
        self.stored.append((whom, [one.alert.fingerprint for one in reports], left_out))
        return 1


class Whom:
    """In place of what looks workloads up: those called api are known."""

    def __init__(self) -> None:
        self.asked = 0

    def home(self, labels: dict[str, str], _: object) -> str:
        return labels.get("namespace", "records")

    def records(self, _: object) -> str:
        return "records"

    async def of(self, labels: dict[str, str], _: object) -> Addressee:
        self.asked += 1
        known = labels.get("deployment") == "api"
        return Addressee("shop", API) if known else Addressee("records", why="unknown")


class Scene:
    def __init__(self, directory: Path) -> None:
        self.file = directory / "tokens"
        self.file.write_text(f"bearer {TOKEN}\nhmac 0123456789abcdef-k\n")
        self.book, self.whom, self.why = Book(), Whom(), ""
        self.registry = CollectorRegistry()
        self.client: aiohttp.ClientSession

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Scene"]:
        port = free_port()
        taking = Intake(
            Credentials(self.file),
            cast("Addressees", self.whom),
            cast("AlertBook", self.book),
            telemetry=Telemetry(self.registry),
            not_ready=lambda: self.why,
            now=lambda: NOW,
        )
        servers = Servers(Where(alerts_port=port), self.registry, ready=str, alerts=taking)
        async with servers, aiohttp.ClientSession(f"http://{LOOPBACK}:{port}") as self.client:
            yield self

    async def post(self, body: object, headers: dict[str, str] | None = None, path: str = "/alerts") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(path, data=data, headers=BEARER if headers is None else headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with Scene(tmp_path).open() as made:
        yield made


def labelled(fingerprint: str, **labels: str) -> dict[str, Any]:
    return {**ALERT, "fingerprint": fingerprint, "labels": {"alertname": "A", "namespace": "shop", **labels}}


async def test_alerts_about_one_workload_are_stored_together_and_records_each_for_itself(scene: Scene) -> None:
    alerts = [labelled("a", deployment="api"), labelled("b", deployment="api"), labelled("c"), labelled("d")]
    assert await scene.post(alertmanager(*alerts, truncatedAlerts=3)) == (200, {"alerts": 4, "writes": 3})
    assert [(whom.namespace, listed, left_out) for whom, listed, left_out in scene.book.stored] == [
        ("shop", ["a", "b"], 3),
        ("records", ["c"], 3),
        ("records", ["d"], 3),
    ]


async def test_what_is_known_is_not_looked_up_and_what_is_over_and_unknown_is_nothing_to_store(scene: Scene) -> None:
    over = {**labelled("x", deployment="api"), "status": "resolved"}
    assert await scene.post(alertmanager(labelled("known"), over)) == (200, {"alerts": 2, "writes": 1})
    assert scene.whom.asked == 0
    assert [listed for _, listed, _ in scene.book.stored] == [["known"]]


async def test_a_put_is_taken_like_a_post_and_nothing_else_is_there(scene: Scene) -> None:
    async with scene.client.put("/alerts", data=json.dumps(alertmanager()), headers=BEARER) as answer:
        assert answer.status == 200
    async with scene.client.get("/alerts", headers=BEARER) as answer:
        assert answer.status == 405
    assert (await scene.post(alertmanager(), path="/"))[0] == 404


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}, {"Authorization": "Basic Og=="}, {SIGNATURE: "0" * 64}],
    ids=["no token", "a wrong token", "a password", "a wrong signature"],
)
async def test_a_stranger_is_refused(scene: Scene, headers: dict[str, str]) -> None:
    status, body = await scene.post(alertmanager(), headers)
    assert status == 401
    assert "token" in body["error"] or "signature" in body["error"]
    assert scene.book.stored == []


async def test_a_signed_body_is_let_in(scene: Scene) -> None:
    body = json.dumps(alertmanager()).encode()
    assert (await scene.post(body, {SIGNATURE: signature(body)}))[0] == 200


async def test_invalid_input_is_refused_with_what_is_wrong(scene: Scene) -> None:
    assert await scene.post(b"{") == (422, {"error": (await scene.post(b"{"))[1]["error"]})
    assert "version '7'" in (await scene.post(alertmanager(version="7")))[1]["error"]
    assert scene.book.stored == []


async def test_a_body_that_is_too_large_is_refused_by_its_announced_length_and_by_what_comes(scene: Scene) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 2**16

    async with scene.client.post("/alerts", data=endless(), headers=BEARER) as answer:
        assert answer.status == 413
    reader, writer = await asyncio.open_connection(LOOPBACK, scene.client._base_url.port if scene.client._base_url else 0)
    head = f"POST /alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {50 * 2**20}\r\n\r\n"
    writer.write(head.encode() + b"[" * 100)
    began = time.monotonic()
    assert b" 413 " in await reader.readline()
    assert time.monotonic() - began < 2
    writer.close()
    assert scene.book.stored == []


async def test_a_body_that_does_not_come_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "READ_WITHIN", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(10)
        yield b"}"

    async with scene.client.post("/alerts", data=slow(), headers=BEARER) as answer:
        assert (answer.status, "did not come" in await answer.text()) == (503, True)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(UNREACHABLE, "could not be stored: create"), (Contended("an incident ended meanwhile"), "an incident ended meanwhile")],
    ids=["the API server is away", "a lost race"],
)
async def test_what_could_not_be_stored_is_asked_for_again(scene: Scene, trouble: Exception, said: str) -> None:
    scene.book.trouble = trouble
    status, body = await scene.post(alertmanager())
    assert status == 503
    assert said in body["error"]


async def test_storing_that_takes_too_long_is_asked_for_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STORE_WITHIN", 0.05)
    scene.book.wait.clear()
    status, body = await scene.post(alertmanager())
    assert (status, "not everything could be stored" in body["error"]) == (503, True)


async def test_before_it_is_synced_and_without_credentials_the_sender_comes_again(scene: Scene) -> None:
    scene.why = "the workloads have not been listed yet"
    assert await scene.post(alertmanager()) == (503, {"error": "not ready: the workloads have not been listed yet"})
    scene.why = ""
    scene.file.write_text("# empty")
    assert (await scene.post(alertmanager()))[0] == 503
    assert scene.book.stored == []


async def test_too_many_at_once_are_sent_away_and_nobody_else_waits_for_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_WAITING", 2)
    scene.file.write_text(f"bearer {TOKEN}\nbearer other-other-other-1\n")
    scene.book.wait.clear()
    posts = [asyncio.create_task(scene.post(alertmanager())) for _ in range(intake.AT_ONCE + 3)]
    done, _ = await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [one.result()[0] for one in done] == [503]
    other = asyncio.create_task(scene.post(alertmanager(alerts=[]), {"Authorization": "Bearer other-other-other-1"}))
    assert (await asyncio.wait_for(other, 5))[0] == 200
    scene.book.wait.set()
    assert sorted(one[0] for one in await asyncio.gather(*posts)) == [200] * (intake.AT_ONCE + 2) + [503]


async def test_where_nothing_has_to_be_stored_the_answer_takes_milliseconds(scene: Scene) -> None:
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert (await scene.post(alertmanager(*[{**labelled(f"f{n}"), "status": "resolved"} for n in range(50)])))[0] == 200
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.05


async def test_messages_and_refusals_are_counted(scene: Scene) -> None:
    await scene.post(alertmanager(ALERT, labelled("b")))
    await scene.post(b"{")
    assert scene.registry.get_sample_value("stopgap_alerts_received_total") == 2
    assert scene.registry.get_sample_value("stopgap_alert_messages_refused_total", {"code": "422"}) == 1


def test_a_body_of_the_largest_size_is_a_mebibyte() -> None:
    assert LARGEST_BODY == 2**20
