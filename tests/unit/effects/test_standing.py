"""What an act stands on: a yes may have been asked beforehand, a no is asked again, and no answer undoes what was heard since."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.conftest import make_case, make_policy

from stopgap.api import RemediationConfig
from stopgap.effects.ahead import ReadAhead
from stopgap.effects.errors import NotFound
from stopgap.effects.records import Records
from stopgap.effects.standing import Standings

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = make_policy()
CONFIG = "/apis/stopgap.dev/v1alpha1/namespaces/stopgap-system/remediationconfigs/stopgap"


class Server:
    """Answers for the namespace, the policy and the config; what is not there is not found."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.namespace: dict[str, str] = {}
        self.policy: dict[str, Any] = {"uid": "policy-uid", "generation": 1}
        self.config: dict[str, Any] | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    async def get(self, path: str) -> bytes:
        self.asked.append(path)
        if path == "/api/v1/namespaces/shop":
            return msgspec.json.encode({"metadata": {"annotations": self.namespace}})
        if path == CONFIG:
            self.meanwhile()
            if self.config is None:
                raise NotFound("get", path)
            return msgspec.json.encode(self.config)
        return msgspec.json.encode({"metadata": self.policy})


class Bench:
    def __init__(self) -> None:
        self.server, self.records = Server(), Records(lambda _: None, lambda _: None)
        self.standings = Standings(self.server, self.records, ReadAhead(), own_namespace="stopgap-system")  # type: ignore[arg-type]  # asked to get


@pytest.fixture
def bench() -> Bench:
    return Bench()


def config(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "stopgap", "namespace": "stopgap-system", "uid": "c", "resourceVersion": "7"}, "spec": spec}


async def test_a_yes_that_was_asked_beforehand_is_enough(bench: Bench) -> None:
    bench.standings.expect("shop", POLICY)
    standing = await bench.standings.of(make_case(policy=POLICY))
    assert standing.clear
    assert len(bench.server.asked) == 3


@pytest.mark.parametrize("no", ["namespace", "policy", "config"])
async def test_a_no_that_was_asked_beforehand_is_asked_again(bench: Bench, no: str) -> None:
    if no == "namespace":
        bench.server.namespace = {"stopgap.dev/pause": "game day"}
    elif no == "policy":
        bench.server.policy = {"uid": "policy-uid", "generation": 1, "annotations": {"stopgap.dev/pause": "ana"}}
    else:
        bench.server.config = config(budgets={"cluster": {"count": 5, "within": "9999h"}})
    bench.standings.expect("shop", POLICY)
    assert not (await bench.standings.of(make_case(policy=POLICY))).clear
    bench.server.namespace, bench.server.policy, bench.server.config = {}, {"uid": "policy-uid", "generation": 1}, None
    assert (await bench.standings.of(make_case(policy=POLICY))).clear


async def test_a_policy_that_is_another_by_now_is_none_to_act_under(bench: Bench) -> None:
    bench.server.policy = {"uid": "policy-uid", "generation": 2}
    assert not (await bench.standings.of(make_case(policy=POLICY))).policy_current


async def test_a_config_that_is_gone_leaves_the_defaults(bench: Bench) -> None:
    bench.records.take(RemediationConfig, config(maxMode="Observe"))
    assert (await bench.standings.of(make_case(policy=POLICY))).config_readable
    assert bench.records.config is None


async def test_a_config_that_was_heard_of_since_the_question_stays(bench: Bench) -> None:
    bench.server.meanwhile = lambda: bench.records.take(RemediationConfig, config(maxMode="Observe"))
    await bench.standings.of(make_case(policy=POLICY))
    assert bench.records.config is not None
