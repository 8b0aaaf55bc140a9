"""An operator that is killed around what it does outside a workload: a call is sent once (F05), an object patched once each way."""

from typing import Any

import pytest
from tests.cluster.harness import OWN_NAMESPACE, config, wait_for
from tests.cluster.receiving import Receiver
from tests.cluster.test_http_step import flag_off, grant, ill, secret
from tests.cluster.test_scaling import DOWN, recover
from tests.faults.proxy import Match
from tests.faults.scene import Scene

pytestmark = pytest.mark.cluster


def test_killed_between_a_call_and_its_answer(scene: Scene) -> None:
    """Of two calls that are out, the one that may be sent twice is sent once more, under the same key. For the other people are called."""
    shop = scene.shop
    secret(shop)
    grant(shop)
    with Receiver() as once, Receiver() as twice, config(scene.plane, outbound={"allow": ["127.0.0.1"]}):
        first = scene.operator()
        for receiver in (once, twice):
            receiver.open.clear()
        for name, step in (("api", flag_off(once.url)), ("web", flag_off(twice.url, idempotent=True))):
            shop.policy(name, targets={"names": [name]}, triggers=[DOWN], steps=[step])
        ill(shop, "api", "web")
        for receiver in (once, twice):
            receiver.wait()
        first.kill()
        for receiver in (once, twice):
            receiver.open.set()

        scene.operator()
        ended = {
            scene.remediation("OutcomeUnknown")["spec"]["targetRef"]["name"],
            scene.remediation("Verifying")["spec"]["targetRef"]["name"],
        }
        assert ended == {"api", "web"}
        told = wait_for("people are called", lambda: [one for one in shop.items("incidents") if escalated(one)])
        assert [one["spec"]["targetRef"]["name"] for one in told] == ["api"]
        for one in shop.items("remediations"):
            calls = (twice if one["spec"]["targetRef"]["name"] == "web" else once).calls
            assert [call.headers["idempotency-key"] for call in calls] == [one["metadata"]["uid"]] * one["status"]["tries"]
        assert (len(once.calls), len(twice.calls)) == (1, 2)


def escalated(incident: dict[str, Any]) -> bool:
    conditions = incident.get("status", {}).get("conditions", ())
    return any((one["type"], one["reason"], one["status"]) == ("Escalated", "OutcomeUnknown", "True") for one in conditions)


MERGE = '{"data": {"feature": "off", "since": "$(INCIDENT)"}}'
PATCHED = Match.patch("configmaps")
GONE = Match.patch("configmaps", body='"feature":"on"')


def at_work_on_a_config_map(scene: Scene) -> str:
    """Bring up a workload under a policy that changes a ConfigMap, allowed to, and let a pod fall ill; return it."""
    shop = scene.shop
    shop.kubectl("create", "configmap", "flags", "--from-literal=feature=on")
    shop.kubectl("create", "role", "flags", "--verb=get,patch", "--resource=configmaps", "--resource-name=flags")
    shop.kubectl("create", "rolebinding", "flags", "--role=flags", f"--serviceaccount={OWN_NAMESPACE}:stopgap")
    ref = {"apiVersion": "v1", "kind": "ConfigMap", "resource": "configmaps", "name": "flags"}
    patch = {"objectRef": ref, "merge": MERGE}
    shop.policy(triggers=[DOWN], steps=[{"name": "off", "when": {}, "patch": patch, "revert": {"upon": "Resolved"}}])
    (pod,) = ill(shop)
    return pod


def test_killed_after_an_object_was_patched_and_again_after_it_was_put_back(scene: Scene) -> None:
    first = scene.operator()
    held = scene.proxy.hold(PATCHED, at="reply")
    pod = at_work_on_a_config_map(scene)
    held.wait()
    first.kill()
    held.wait_until_client_is_gone()
    held.drop()

    second = scene.operator()
    scene.remediation("Verifying")
    assert scene.shop.get("configmap", "flags")["data"] == {"feature": "off", "since": "api-1"}
    held = scene.proxy.hold(GONE, at="reply")
    recover(scene.shop, pod)
    held.wait()
    second.kill()
    held.wait_until_client_is_gone()
    held.drop()

    scene.operator()
    scene.shop.incident(phase="Resolved")
    assert scene.remediation("Succeeded")["status"]["revert"]["state"] == "Done"
    assert scene.shop.get("configmap", "flags")["data"] == {"feature": "on"}
    writes = [one["requestObject"] for one in scene.shop.writes() if one["objectRef"]["resource"] == "configmaps"]
    assert [one["data"] for one in writes if isinstance(one, dict) and "data" in one] == [
        {"feature": "off", "since": "api-1"},
        {"feature": "on", "since": None},
    ]
