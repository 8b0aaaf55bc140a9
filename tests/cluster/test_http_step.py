"""A feature is switched off by an HTTP call on a real cluster, and on again by a person: once each, and no secret is told anywhere."""

import json
import urllib.request
from typing import Any

import pytest
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, config, wait_for
from tests.cluster.receiving import Receiver
from tests.cluster.test_scaling import DOWN, ILL, recover, revert

pytestmark = pytest.mark.cluster

SECRET, BODY = "canary-of-the-secret", "canary-of-the-body"


def flag_off(url: str, **call: Any) -> dict[str, Any]:
    """Return a step that switches a feature off."""
    headers = [{"name": "Authorization", "prefix": "Bearer ", "secretRef": {"name": "admin", "key": "token"}}]
    off = {"url": f"{url}/$(NAME)", "headers": headers, "body": '{"feature": false, "incident": "$(INCIDENT)"}', "timeout": "5s", **call}
    return {"name": "flag-off", "when": {"triggers": ["down"]}, "http": {**off, "restore": {**off, "body": '{"feature": true}'}}}


def at_work(shop: Shop, url: str, *, mode: str = "Automatic", **call: Any) -> str:
    """Bring up three healthy pods under a policy that switches a feature off, and let one of them fall ill; return it."""
    secret(shop)
    shop.policy(triggers=[DOWN], steps=[flag_off(url, **call)], mode=mode)
    (pod,) = ill(shop)
    return pod


def secret(shop: Shop) -> None:
    """Create the Secret that the call takes."""
    shop.kubectl("create", "secret", "generic", "admin", f"--from-literal=token={SECRET}")


def ill(shop: Shop, *names: str) -> list[str]:
    """Bring up three pods of each workload, let one of them fall ill as soon as all are well, and return those."""
    for name in names or ("api",):
        shop.deploy(name=name)
    wait_for("they are well", lambda: all(one.get("status", {}).get("availableReplicas") == 3 for one in shop.items("deployments")))
    pods = [shop.get("pods", f"--selector=app={name}")["items"][0]["metadata"]["name"] for name in names or ("api",)]
    shop.kubectl("annotate", "pods", *pods, ILL)
    return pods


def grant(shop: Shop) -> None:
    """Let Stopgap read the one Secret, as the refusal says."""
    shop.kubectl("create", "role", "stopgap-secret-admin", "--verb=get", "--resource=secrets", "--resource-name=admin")
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "rolebinding", "stopgap-secret-admin", "--role=stopgap-secret-admin", who)


def test_a_feature_is_switched_off_once_and_on_again_by_a_person_though_the_policy_is_gone(shop: Shop, operator: Operator) -> None:
    with Receiver(200, body=BODY) as receiver, config(shop.plane, outbound={"allow": ["127.0.0.1"]}):
        grant(shop)
        pod = at_work(shop, receiver.url)
        (off,) = receiver.wait()
        recover(shop, pod)
        incident = shop.incident(phase="Resolved")
        (remediation,) = shop.items("remediations")
        uid, name = remediation["metadata"]["uid"], incident["metadata"]["name"]
        assert (off.method, off.path, json.loads(off.body)) == ("POST", "/api", {"feature": False, "incident": name})
        assert (off.headers["idempotency-key"], off.headers["authorization"]) == (uid, f"Bearer {SECRET}")
        assert (remediation["status"]["state"], remediation["status"]["revert"]["state"]) == ("Succeeded", "Pending")
        assert "Authorization: Bearer ***" in remediation["spec"]["plan"]["summary"]

        shop.kubectl("delete", "rpol", "--all")
        shop.kubectl("annotate", "rem", remediation["metadata"]["name"], "stopgap.dev/revert=now")
        assert revert(shop, "Done")["status"]["revert"]["message"] == "answered 200"
        _, on = receiver.calls
        assert (json.loads(on.body), on.headers["idempotency-key"]) == ({"feature": True}, f"{uid}-restore")
        assert shop.deployment_writes() == ([], [])
        assert shop.foreign_writes() == []
        nothing_is_told(shop, operator)


def nothing_is_told(shop: Shop, operator: Operator) -> None:
    """Judge that neither the secret nor what came back is in an object, an Event, the log, a metric or a request to the API server."""
    said = shop.kubectl("get", "inc,rem,wh,rpol,pm,events", "-o", "yaml") + operator.log_file.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        said += answer.read().decode()
    said += json.dumps(list(shop.writes()))
    assert "stopgap_" in said
    assert [canary for canary in (SECRET, BODY) if canary in said] == []


def test_in_observe_the_very_request_is_shown_and_nothing_is_sent(shop: Shop) -> None:
    with Receiver() as receiver, config(shop.plane, outbound={"allow": ["127.0.0.1"]}):
        at_work(shop, receiver.url, mode="Observe")

        def shown() -> Any:
            message = shop.incident().get("status", {}).get("decision", {}).get("message", "")
            return message if "***" in message else ""

        said = wait_for("the request is shown", shown)
        assert said == f'POST {receiver.url}/api with Authorization: Bearer ***, {{"feature": false, "incident": "api-1"}}'
        refused = shop.refusals(reason="NotAuthorized")
        assert list(refused) == ["NotAuthorized", "ObserveOnly"]
        assert "may not get secrets/admin" in refused["NotAuthorized"]
        assert receiver.calls == []
