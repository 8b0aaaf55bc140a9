"""A database that is overloaded, end to end: the sample policy, a real PostgreSQL that has too much to do, and the real control plane."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
import pytest
import yaml
from tests.cluster import postgres as real
from tests.cluster.harness import OWN_NAMESPACE, ROOT, Operator, Shop, config, wait_for
from tests.cluster.reading import finding, told
from tests.cluster.test_scaling import allow

pytestmark = pytest.mark.cluster

LITERAL = "canary-literal"
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop' AND state = 'active' AND now() - query_start > '2s'"
LONG = f"SELECT pg_sleep(300), '{LITERAL}' AS secret"


@pytest.fixture(scope="module")
def server() -> Iterator[real.Server]:
    yield from real.server()


def let_in(shop: Shop, server: real.Server, user: str = "ender") -> None:
    """Do what the sample says: a Secret with the DSN, and the right to get it."""
    who = f"--serviceaccount={OWN_NAMESPACE}:stopgap"
    shop.kubectl("create", "secret", "generic", "db", f"--from-literal=dsn={server.dsn(user)}")
    shop.kubectl("create", "role", "stopgap-secret-db", "--verb=get", "--resource=secrets", "--resource-name=db")
    shop.kubectl("create", "rolebinding", "stopgap-secret-db", "--role=stopgap-secret-db", who)


def sample(**changes: Any) -> dict[str, Any]:
    """Return the sample, with the times of a test."""
    body: dict[str, Any] = yaml.safe_load((ROOT / "manifests" / "samples" / "database.yaml").read_text())
    del body["metadata"]["namespace"]
    spec = body["spec"]
    slow, busy = (one["postgres"] for one in spec["triggers"])
    slow |= {"longestQueryAbove": "2s", "interval": "1s", "failures": 1}
    busy |= {"activeConnectionsAbove": 2, "interval": "1s", "failures": 3}
    spec["steps"][0]["postgres"] |= {"queriesLongerThan": "2s", "terminateAfter": "1s"}
    spec |= {"mode": "Automatic", "verification": {"healthyFor": "1s", "timeout": "6s"}, "resolution": {"after": "1s"}, **changes}
    return body


def replicas_of_the_database(shop: Shop) -> None:
    """Bring up two read replicas, of which the control plane knows no more than that they are there."""
    labels = {"app": "db-read"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": "shop/db:1.0"}]}}
    spec = {"replicas": 2, "serviceName": "db-read", "selector": {"matchLabels": labels}, "template": template}
    shop.apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db-read"}, "spec": spec})
    wait_for("two are available", lambda: shop.get("statefulset", "db-read").get("status", {}).get("availableReplicas") == 2)


def wanted(shop: Shop) -> int:
    found: int = shop.get("statefulset", "db-read")["spec"]["replicas"]
    return found


@contextmanager
def busy(server: real.Server, connections: int = 5) -> Iterator[threading.Event]:
    """Keep so many connections busy with short queries until told that it is enough."""
    enough = threading.Event()

    def work() -> None:
        with suppress(psycopg.Error), psycopg.connect(server.dsn("app"), autocommit=True) as connection:
            while not enough.is_set():
                connection.execute("SELECT pg_sleep(0.3), name FROM products WHERE id = %s", (7,))

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for one in threads:
        one.start()
    try:
        yield enough
    finally:
        enough.set()
        for one in threads:
            one.join()


def everything(shop: Shop, operator: Operator) -> dict[str, str]:
    """Return every sink that a secret could have come into."""
    kinds = "incidents,remediations,workloadhealths,remediationpolicies,events,postmortems,statefulsets"
    return {
        "objects": shop.kubectl("get", kinds, "-o", "yaml", "--show-managed-fields"),
        "audit": "".join(str(entry.get("requestObject")) for entry in shop.writes()),
        "log": operator.log_file.read_text(),
        "metrics": metrics(operator),
    }


def metrics(operator: Operator) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_long_queries_are_cancelled_once_then_read_replicas_are_raised_and_later_lowered(
    shop: Shop, operator: Operator, server: real.Server
) -> None:
    allow(shop, "scale")
    let_in(shop, server)
    replicas_of_the_database(shop)
    with config(shop.plane, outbound={"allow": ["127.0.0.1"]}), busy(server) as enough, ExitStack() as sessions:
        long = [sessions.enter_context(server.session(LONG)) for _ in range(2)]
        spared = [
            sessions.enter_context(server.session("SELECT pg_sleep(300)", application="pg_dump")),
            sessions.enter_context(server.session("SELECT pg_sleep(300)", user="postgres", application="pg_dump")),
        ]
        # Both triggers hear the same answers: at the first, the queries are too slow; at the third, the database is too busy as well.
        wait_for("they run for long", lambda: server.execute(RUNNING) == [(2,)])
        shop.apply(sample())
        wait_for("the long queries are ended", lambda: not any(one.at_work for one in long))
        assert all(isinstance(one.ended_by, psycopg.errors.QueryCanceled) for one in long)
        wait_for("a replica more is wanted", lambda: wanted(shop) == 3)
        enough.set()
        resolved = shop.incident(phase="Resolved")
        assert wanted(shop) == 2
        assert all(one.at_work for one in spared)

    cancel, more = (one["status"] for one in shop.items("remediations"))
    assert (cancel["state"], cancel["tries"], more["state"], more["revert"]["state"]) == ("Failed", 1, "Succeeded", "Done")
    assert [line.partition(" after ")[0] for line in cancel["details"][:2]] == [f"pid {one.pid} cancelled," for one in long]
    assert all("by app (shop): SELECT pg_sleep(?), ? AS secret" in line for line in cancel["details"][:2])
    assert any(line.startswith("candidate for caching: ") and "FROM products WHERE id = $1" in line for line in cancel["details"])
    assert told(resolved) == ["Detected", "DatabaseOverloaded", "Executed", "Failed", "Executed", "Mitigated", "Restored", "Resolved"]
    assert finding(resolved, "slow")["type"] == "DatabaseOverloaded"
    spec, _ = shop.writes_to("statefulsets")
    assert len(spec) == 2
    for sink, text in everything(shop, operator).items():
        for canary in (real.PASSWORD, LITERAL, f":{server.port}/"):
            assert canary not in text, (sink, canary)


def test_observe_shows_the_very_queries_and_ends_none(shop: Shop, server: real.Server) -> None:
    let_in(shop, server)
    replicas_of_the_database(shop)
    with config(shop.plane, outbound={"allow": ["127.0.0.1"]}), server.session(LONG) as session:
        shop.apply(sample(mode="Observe"))
        incident = wait_for("it says what it would do", lambda: next((one for one in shop.items("incidents") if said(one)), None))
        assert incident is not None
        assert said(incident).startswith("cancel 1 query that has been running for more than 2s: ")
        assert said(incident).endswith(" by app (shop): SELECT pg_sleep(?), ? AS secret")
        assert set(shop.refusals()) == {"ObserveOnly"}
        assert session.at_work
    assert shop.items("remediations") == []


def said(incident: dict[str, Any]) -> str:
    text: str = incident.get("status", {}).get("decision", {}).get("message", "")
    return text if "SELECT" in text else ""
