"""DaemonSets on a real API server with the real controller: seen, gone back with by one guarded write, and nothing more allowed."""

import json
import time
from typing import Any

import pytest
import yaml
from tests.cluster.harness import KNOWN_GOOD_AFTER, LAST_ACTION, USER, Shop, policy, wait_for
from tests.cluster.reading import finding, told
from tests.cluster.test_admission import as_user, grant, incident, may
from tests.cluster.test_statefulset import CRASH, UNDO, managers

pytestmark = pytest.mark.cluster

ABOUT = {"kinds": ["DaemonSet"], "selector": {"matchLabels": {"tier": "web"}}}
MORE = {"name": "more", "when": {}, "scale": {"by": "1", "max": 9}}


def daemon_set(shop: Shop) -> None:
    """Apply a DaemonSet with the label `tier: web`."""
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "app", "image": "shop/api:1.0"}]}}
    spec = {"selector": {"matchLabels": {"app": "api"}}, "template": template}
    shop.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "api", "labels": {"tier": "web"}}, "spec": spec})


def settle(shop: Shop) -> int:
    """Wait until it is available on every node, and has been for long enough to be known good; return how many these are."""

    def there() -> int:
        status: dict[str, int] = shop.get("daemonset", "api").get("status", {})
        wanted = status.get("desiredNumberScheduled", 0)
        return wanted if status.get("numberAvailable") == wanted else 0

    nodes, since = wait_for("it is available on every node", there), time.monotonic()
    wait_for("it stays so", lambda: there() and time.monotonic() - since > KNOWN_GOOD_AFTER + 1)
    return nodes


def test_a_release_that_crashes_is_gone_back_from_by_one_write(shop: Shop) -> None:
    shop.policy(targets=ABOUT, triggers=[CRASH], steps=[UNDO])
    daemon_set(shop)
    nodes = settle(shop)
    assert nodes > 1
    good = {one["metadata"]["uid"] for one in shop.items("pods")}
    shop.kubectl("set", "image", "daemonset/api", "app=shop/api:2.0-crash")
    resolved = shop.incident(phase="Resolved")

    assert finding(resolved, "crash")["type"] == "CrashLoop"
    assert resolved["status"]["suspectedChange"]["images"] == ["app: shop/api:1.0 → shop/api:2.0-crash"]
    assert told(resolved) == ["Detected", "CrashLoop", "Executed", "Mitigated", "Resolved"]
    (remediation,) = shop.items("remediations")
    assert remediation["spec"]["targetRef"]["kind"] == "DaemonSet"
    assert remediation["spec"]["plan"]["summary"].startswith("roll back 2 → 1, last known healthy")
    after = shop.get("daemonset", "api")
    assert after["metadata"]["annotations"][LAST_ACTION] == remediation["metadata"]["uid"]
    assert {one["spec"]["containers"][0]["image"] for one in shop.items("pods")} == {"shop/api:1.0"}
    assert len(good & {one["metadata"]["uid"] for one in shop.items("pods")}) == nodes - 1
    (write,), _ = shop.writes_to("daemonsets")
    assert [one["path"] for one in write["requestObject"] if one["path"].startswith("/spec")] == ["/spec/template"]
    assert shop.foreign_writes() == []
    wait_for("the fields are given back", lambda: "stopgap" not in managers(shop, "daemonset"))


def test_what_admission_guards_on_deployments_it_guards_on_daemon_sets(shop: Shop) -> None:
    daemon_set(shop)
    shop.kubectl("create", "role", "deployer", "--verb=get,patch", "--resource=deployments.apps")
    for role, kind in (("stopgap-editor", "clusterrole"), ("deployer", "role")):
        grant(shop, "dora", role, kind=kind)
    may(shop, "dora", "patch", "deployments.apps")
    may(shop, "dora", "create", "incidents.stopgap.dev")
    may(shop, USER, "patch", "daemonsets.apps")

    def try_to(change: dict[str, Any]) -> str:
        return as_user(shop, USER, "patch", "daemonset", "api", "--type=merge", "-p", json.dumps(change), "--dry-run=server")

    assert "patched" in try_to({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}})
    assert "but the template" in try_to({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}})
    assert "no labels" in try_to({"metadata": {"labels": {"tier": "db"}}})
    assert "no annotations" in try_to({"metadata": {"annotations": {"team": "x"}}})
    of_it = incident(targetRef={"kind": "DaemonSet", "name": "api"})
    assert "dora may not patch daemonset api" in as_user(shop, "dora", "create", "-f", "-", stdin=of_it)

    def declare(**spec: Any) -> str:
        body = {**policy(), "spec": {**policy()["spec"], "targets": ABOUT, **spec}}
        return as_user(shop, "dora", "create", "-f", "-", stdin=yaml.safe_dump(body))

    assert "dora may not patch daemonsets" in declare()
    assert "it cannot be scaled" in declare(steps=[MORE])
