"""The HTTP calls of actions, over the one way out: what is sent, what an answer means, and that nothing of it is told."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr
from tests.conftest import make_remediation
from tests.unit.effects.test_egress import LOOPBACK, egress, site

from stopgap.effects.calling import Caller, judged
from stopgap.effects.outside import Fate, Order, Receipt
from stopgap.effects.secrets import Secrets
from stopgap.model.change import Outside
from stopgap.model.http import HttpCall, HttpChange
from stopgap.model.observation import Refusal
from stopgap.model.query import Response, Silence, Timing
from stopgap.model.reasons import Reason

CANARY = "canary-of-the-secret"
TOKEN = {"name": "Authorization", "prefix": "Bearer ", "secretRef": {"name": "unleash", "key": "token"}}


class Vault(Secrets):
    """Has one Secret, or a reason why not."""

    def __init__(self, found: SecretStr | Refusal) -> None:
        super().__init__(None, "stopgap-system")  # type: ignore[arg-type]  # nothing is asked
        self.found, self.asked = found, list[str]()

    async def read(self, namespace: str, _ref: Any) -> SecretStr | Refusal:
        self.asked.append(namespace)
        return self.found


def order(url: str, *, inverse: bool = False, policy: str = "ClusterRemediationPolicy", **call: Any) -> Order:
    body = {"url": url, "headers": [TOKEN], "body": '{"feature": false}', **call}
    change = HttpChange.model_validate({**body, "restore": {**body, "body": '{"feature": true}'}})
    one = make_remediation(name="r", policyRef={"kind": policy, "name": "web"})
    return Order(one, Outside(http=change), inverse, again=False)


async def send(placed: Order, vault: Vault | None = None) -> Receipt | Refusal:
    async with egress(LOOPBACK) as way:
        ready = await Caller(way, vault or Vault(SecretStr(CANARY))).ready(placed)
        return ready if isinstance(ready, Receipt | Refusal) else await ready()


@pytest.mark.parametrize(
    ("inverse", "key", "body"), [(False, "r-uid", '{"feature": false}'), (True, "r-uid-restore", '{"feature": true}')], ids=["do", "undo"]
)
async def test_each_call_is_sent_with_its_own_key_and_the_secret_read_for_it(inverse: bool, key: str, body: str) -> None:  # noqa: FBT001
    seen: list[tuple[Any, ...]] = []

    async def take(request: web.Request) -> web.Response:
        headers = request.headers
        seen.append((request.method, headers["idempotency-key"], headers["authorization"], headers["content-type"], await request.text()))
        return web.Response(status=204)

    async with site(take) as server:
        receipt = await send(order(server.url(), inverse=inverse))
    assert receipt == Receipt(Fate.DONE, "answered 204")
    assert seen == [("POST", key, f"Bearer {CANARY}", "application/json", body)]


async def test_nothing_is_ready_without_its_secret() -> None:
    vault = Vault(Refusal(Reason.NotAuthorized, "may not"))
    placed = order("http://127.0.0.1:1/", policy="RemediationPolicy")
    assert await send(placed, vault) == vault.found
    assert vault.asked == ["shop"]


async def test_what_cannot_be_reached_was_certainly_not_done() -> None:
    receipt = await send(order("http://127.0.0.1:1/"))
    assert isinstance(receipt, Receipt)
    assert (receipt.fate, receipt.message) == (Fate.NOT_DONE, "nothing was sent: no connection: refused or unreachable")


@pytest.mark.parametrize("lie", ["cut", "delay", "drip"])
async def test_a_server_that_cuts_delays_or_drips_leaves_it_open_in_time_and_gets_one_request(lie: str) -> None:
    async def mean(request: web.Request) -> web.StreamResponse:
        if lie == "cut":
            assert request.transport is not None
            request.transport.close()
        if lie == "delay":
            await asyncio.sleep(30)
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(300):
            await answer.write(b".")
            await asyncio.sleep(0.1)
        return answer

    async with site(mean) as server:
        receipt = await asyncio.wait_for(send(order(server.url(), timeout="300ms")), 3)
        assert len(server.requests) == 1
    assert isinstance(receipt, Receipt)
    assert receipt.fate is Fate.UNKNOWN


def answered(status: int) -> Response:
    return Response(status, b"canary-of-the-body", True, Timing(0, 0, None, 0, 0))


@pytest.mark.parametrize(
    ("answer", "fate"),
    [
        pytest.param(answered(200), Fate.DONE, id="done"),
        pytest.param(answered(409), Fate.DONE, id="done already, where the policy takes that for done"),
        pytest.param(answered(201), Fate.UNKNOWN, id="done in another way than was expected"),
        pytest.param(answered(302), Fate.NOT_DONE, id="elsewhere: no redirect is followed"),
        pytest.param(answered(403), Fate.NOT_DONE, id="it says no"),
        pytest.param(answered(500), Fate.UNKNOWN, id="an error of its own, perhaps half-way"),
        pytest.param(Silence("the connection broke", theirs=True, sent=True), Fate.UNKNOWN, id="no answer"),
        pytest.param(Silence("no connection", theirs=True), Fate.NOT_DONE, id="nothing arrived"),
    ],
)
def test_what_an_answer_means(answer: Response | Silence, fate: Fate) -> None:
    receipt = judged(HttpCall(url="http://admin.shop.svc/", expect=(200, 409), timeout=timedelta(seconds=1)), answer)
    assert receipt.fate is fate
    assert "canary" not in receipt.message
