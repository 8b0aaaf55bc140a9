"""A whole round on a real control plane: who is told what of an incident, in which order, whatever becomes of other channels."""

import base64
import hashlib
import hmac
import urllib.request
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, config, wait_for
from tests.cluster.reading import condition
from tests.cluster.receiver import Answer, Posted, Receiver, receiver, secret

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0-crash"
CANARY = "canary-0123456789abcdef0123456789"


def channels(server: Receiver) -> list[dict[str, Any]]:
    return [
        {"name": "pager", "pagerDuty": {"secretRef": {"name": "told", "key": "canary"}, "url": server.url("pager")}},
        {"name": "team", "slack": {"secretRef": {"name": "told", "key": "canary"}, "channel": "C1", "url": server.url("slack")}},
        {"name": "tools", "webhook": {"url": server.url("hook"), "secretRef": {"name": "told", "key": "canary"}}},
        {"name": "broken", "webhook": {"url": server.url("broken")}},
        {"name": "silent", "webhook": {"url": server.url("silent")}},
        {"name": "minor", "webhook": {"url": server.url("minor")}, "severities": ["P4"]},
    ]


def actions(server: Receiver) -> list[str]:
    """What the pager was told, in order."""
    return [one.body.get("event_action", "change") for one in server.posted("pager")]


def scraped(operator: Operator) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def signed(one: Posted) -> bool:
    name, at, signature = (one.headers[f"webhook-{each}"] for each in ("id", "timestamp", "signature"))
    mac = hmac.new(CANARY.encode(), f"{name}.{at}.".encode() + one.raw, hashlib.sha256).digest()
    return signature == f"v1,{base64.b64encode(mac).decode()}" and name == one.body["id"]


def test_people_are_told_from_the_first_page_to_the_end_whatever_other_channels_do(
    control_plane: Cluster, operator: Operator, shop: Shop
) -> None:
    with receiver() as server, config(control_plane, outbound={"allow": ["127.0.0.1"]}):
        server.answers = {
            "slack": Answer(200, body={"ok": True, "channel": "C1", "ts": "17.1"}),
            "broken": Answer(400),
            "silent": Answer(hang=True),
        }
        secret(shop, "told", canary=CANARY)
        quiet = {"healthyFor": "4s", "timeout": "60s"}
        shop.policy(severity={"default": "P1"}, verification=quiet, notify=channels(server))
        shop.deploy(GOOD)
        shop.settle()
        shop.release(BAD)
        wait_for("it is triggered", lambda: "trigger" in actions(server), seconds=30)
        shop.kubectl("patch", "incident", "api-1", "--type=merge", "-p", '{"spec":{"acknowledgedBy":"ana"}}')
        wait_for("it is acknowledged", lambda: "acknowledge" in actions(server), seconds=20)
        wait_for("it is resolved", lambda: actions(server).count("resolve") == 3, seconds=40)
        incident = shop.incident(phase="Resolved")
        wait_for("the webhook heard it all", lambda: len(server.posted("hook")) >= 5)
        wait_for("Slack heard it all", lambda: len(server.posted("slack")) >= 9)
        wait_for("what was told is written", lambda: _told(shop, "tools").get("told", [])[-1:] == ["Resolved"])

    uid = incident["metadata"]["uid"]
    assert actions(server) == ["trigger", "change", "acknowledge", "acknowledge", "acknowledge", "change", "resolve", "resolve", "resolve"]
    keys = [one.body.get("dedup_key") for one in server.posted("pager") if "dedup_key" in one.body]
    every = [uid, f"{uid}/AckOverdue", f"{uid}/Escalated"]
    assert keys == [uid, *every, *every]
    page = server.posted("pager")[0].body
    assert (page["routing_key"], page["payload"]["severity"], page["payload"]["component"]) == (CANARY, "critical", "deployment/api")

    tools = server.posted("hook")
    assert [one.body["type"].split(".")[3] for one in tools] == ["opened", "actiontaken", "acknowledged", "mitigated", "resolved"]
    assert len({(one.body["source"], one.body["id"]) for one in tools}) == len(tools)
    assert all(signed(one) for one in tools)

    posts = [one.path.rpartition("/")[2] for one in server.posted("slack")]
    assert posts == ["chat.postMessage", *["chat.update", "chat.postMessage"] * 4]
    assert {one.body.get("thread_ts") for one in server.posted("slack")[2::2]} == {"17.1"}
    assert {one.headers["authorization"] for one in server.posted("slack")} == {f"Bearer {CANARY}"}

    assert server.posted("minor") == []
    after = shop.get("incident", "api-1")
    assert condition(after, "Notified")["status"] == "False"
    assert "broken: Resolved was not told: the receiver refuses it with status 400" in condition(after, "Notified")["message"]
    assert after["metadata"]["labels"]["stopgap.dev/untold"] == "true", "the silent one has still to be told"
    _shown_nowhere(control_plane, operator, shop)
    metrics = scraped(operator)
    counted = f'channel="RemediationPolicy/web/tools",namespace="{shop.name}",result="Delivered"'
    assert f"stopgap_notifications_total{{{counted}}} 5.0" in metrics
    assert len(shop.deployment_writes()[0]) == 1


def _told(shop: Shop, channel: str) -> dict[str, Any]:
    listed = shop.get("incident", "api-1").get("status", {}).get("notifications", [])
    return next((one for one in listed if one["channel"].endswith(f"/{channel}")), {})


def _shown_nowhere(plane: Cluster, operator: Operator, shop: Shop) -> None:
    """Nobody finds the secret in what Stopgap says or writes."""
    assert CANARY not in operator.log_file.read_text()
    assert CANARY not in shop.kubectl("get", "incidents,remediations,events,remediationpolicies,postmortems", "-o", "yaml")
    assert CANARY not in scraped(operator)
    assert not [one for one in plane.audit() if CANARY in str(one.get("requestObject")) and OWN_NAMESPACE in str(one.get("user"))]
