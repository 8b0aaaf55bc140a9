"""An operator that is killed after it ended a query, and before it could say so: that query is looked for again, and no other ended."""

from collections.abc import Iterator

import psycopg
import pytest
from tests.cluster import postgres as real
from tests.cluster.harness import config, wait_for
from tests.cluster.test_database import LONG, let_in, sample
from tests.faults.proxy import Match
from tests.faults.scene import Scene

pytestmark = pytest.mark.cluster

OUTCOME = Match.patch("remediations/status", body='"Verifying"')


@pytest.fixture
def server() -> Iterator[real.Server]:
    yield from real.server()


def test_killed_between_the_end_of_a_query_and_its_record(scene: Scene, server: real.Server) -> None:
    let_in(scene.shop, server)
    policy = sample(targets={"names": ["api"]}, verification={"healthyFor": "1s", "timeout": "60s"})
    with config(scene.plane, outbound={"allow": ["127.0.0.1"]}), server.session(LONG) as session:
        first = scene.operator()
        scene.shop.deploy()
        held = scene.proxy.hold(OUTCOME)
        scene.shop.apply(policy)
        held.wait()
        wait_for("the query is ended", lambda: not session.at_work)
        assert isinstance(session.ended_by, psycopg.errors.QueryCanceled)
        first.kill()
        held.drop()
        with server.session(LONG, user="reports") as next_one:
            scene.operator()
            one = scene.remediation("Verifying", "Succeeded")
            assert one["status"]["tries"] == 2
            assert "1 not running any more" in one["status"]["message"]
            assert [query["pid"] for query in one["spec"]["plan"]["outside"]["postgres"]["queries"]] == [session.pid]
            assert next_one.at_work
