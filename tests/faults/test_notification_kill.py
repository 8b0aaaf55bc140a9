"""An operator that is killed around telling people: nothing is lost, and what is told twice is told under the same key."""

import pytest
from tests.cluster.harness import config, wait_for
from tests.cluster.receiver import Answer, Receiver, receiver, secret
from tests.faults.scene import BAD, Scene

pytestmark = pytest.mark.cluster

ALONE = "--no-lease"
"""Only one copy runs at a time, so that none waits for the Lease of one that was killed."""
UNTOLD = "stopgap.dev/untold"


def keys(server: Receiver, action: str) -> list[str]:
    return [one.body["dedup_key"] for one in server.posted("pager") if one.body.get("event_action") == action]


def names(server: Receiver, kind: str) -> list[str]:
    return [one.body["id"] for one in server.posted("hook") if f".{kind}." in one.body["type"]]


def labels(scene: Scene) -> dict[str, str]:
    found: dict[str, str] = scene.shop.get("incident", "api-1")["metadata"]["labels"]
    return found


def test_killed_between_the_send_and_its_record_and_again_before_the_end_is_told(scene: Scene) -> None:
    shop = scene.shop
    with receiver() as server, config(scene.plane, outbound={"allow": ["127.0.0.1"]}):
        server.answers = {"pager": Answer(hang=True), "hook": Answer(hang=True)}
        secret(shop, "pager", key="R0")
        first = scene.operator("operator", ALONE)
        pager = {"name": "pager", "pagerDuty": {"secretRef": {"name": "pager", "key": "key"}, "url": server.url("pager")}}
        scene.healthy(notify=[pager, {"name": "tools", "webhook": {"url": server.url("hook")}}])
        shop.release(BAD)
        wait_for("both were told, and neither has answered", lambda: keys(server, "trigger") and names(server, "opened"), seconds=30)
        first.kill()
        assert "notifications" not in shop.incident(name="api-1").get("status", {}), "it was killed before it wrote down whom it told"

        server.answers = {"pager": Answer(503), "hook": Answer(503)}
        second = scene.operator("operator", ALONE)
        wait_for("both are told again", lambda: len(keys(server, "trigger")) >= 2 and len(names(server, "opened")) >= 2, seconds=30)
        shop.incident(phase="Resolved", seconds=40)
        wait_for("it is closed, and owes the news of its end", lambda: UNTOLD in labels(scene), seconds=20)
        second.kill()

        server.answers = {}
        scene.operator("operator", ALONE)
        wait_for("its end is told", lambda: keys(server, "resolve") and names(server, "resolved"), seconds=30)
        wait_for("nothing is owed any more", lambda: UNTOLD not in labels(scene), seconds=30)

    uid = shop.get("incident", "api-1")["metadata"]["uid"]
    assert set(keys(server, "trigger")) == {uid}
    assert set(names(server, "opened")) == {f"{uid}/Opened"}
    for channel, occasion in (("pager", "change"), ("hook", "actiontaken"), ("hook", "mitigated")):
        taken = [one for one in server.posted(channel) if one.answered == 202]
        assert any(occasion in one.path or f".{occasion}." in one.body.get("type", "") for one in taken), f"{occasion} was lost"
    scene.undone_once()
