"""When the status of policies is written, and what was counted for it."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.conftest import NOW, make_cluster_policy, make_incident, make_policy, make_remediation, make_workload

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.api.policy import PolicyStatus
from stopgap.effects import wire
from stopgap.effects.index import Index
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.policies import PolicyKeeper
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters
from stopgap.effects.trust import TrustKeeper
from stopgap.model.conditions import find, holds
from stopgap.model.refs import Target

if TYPE_CHECKING:
    from stopgap.effects.record import Recorder

COUNTED = {"policyRef": {"name": "web", "uid": "policy-uid"}, "decision": {"step": "undo", "refusals": [{"reason": "ObserveOnly"}]}}


class Signals:
    """What the sampler says."""

    turns = 0
    why = ""

    def unknown(self, _target: Target, _policy: Policy) -> str:
        return self.why

    def turn(self, why: str) -> None:
        self.why = why
        self.turns += 1


class Keeping:
    """A keeper with the real records; what it writes is taken in as the API server would return it."""

    def __init__(self) -> None:
        self.now = NOW
        self.signals = Signals()
        self.written: list[tuple[str, PolicyStatus]] = []
        self.versions = 10
        self.index = Index(lambda _: None, self.clock, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts
        self.records = Records(lambda _: None, self._changed)
        self.namespaces = Namespaces(self._changed)
        self.rosters = Rosters(self.records, self.namespaces)
        self.keeper = PolicyKeeper(
            self.index,
            self.records,
            rosters=self.rosters,
            namespaces=self.namespaces,
            trust=TrustKeeper(cast("Any", None), cast("Any", None)),
            recorder=cast("Recorder", self),
            signals=self.signals,
            now=self.clock,
        )
        self.namespaces.put(wire.Namespace(wire.NamespaceMeta("shop", "u", "1", {"stage": "live"})))
        self.index.put_workload(make_workload())

    def clock(self) -> datetime:
        return self.now

    def _changed(self, namespace: str) -> None:
        self.rosters.forget(namespace)

    def declare(self, policy: Policy, status: PolicyStatus | None = None) -> None:
        kind = ClusterRemediationPolicy if isinstance(policy, ClusterRemediationPolicy) else RemediationPolicy
        self.versions += 1
        body = policy.model_copy(update={"status": status or policy.status}).model_dump(mode="json", by_alias=True, exclude_none=True)
        body["metadata"]["resourceVersion"] = str(self.versions)
        self.records.take(kind, body)

    async def policy(self, policy: Policy, status: PolicyStatus) -> None:
        self.written.append((policy.metadata.name, status))
        self.declare(policy, status)

    def take(self, kind: type[Any], one: Incident | Remediation) -> None:
        self.records.take(kind, one.model_dump(mode="json", by_alias=True, exclude_none=True))


@pytest.fixture
def keeping() -> Keeping:
    return Keeping()


async def test_each_policy_is_told_once_what_it_is_about_and_then_only_of_changes(keeping: Keeping) -> None:
    keeping.declare(make_policy())
    keeping.declare(make_cluster_policy())
    await keeping.keeper.write()
    told = dict(keeping.written)
    assert {name: status.matched_workloads for name, status in told.items()} == {"web": 1, "base": 1}
    assert not holds(told["web"].conditions, "Overlapping")
    overlapping = find(told["base"].conditions, "Overlapping")
    assert overlapping is not None
    assert overlapping.message == "policy web decides about 1 of its 1 workloads instead, such as deployment/api in shop"
    keeping.now += timedelta(minutes=2)
    await keeping.keeper.write()
    assert len(keeping.written) == 2


async def test_figures_are_written_once_a_minute_at_most_and_a_turn_at_once(keeping: Keeping) -> None:
    keeping.declare(make_policy())
    await keeping.keeper.write()
    for number in range(50):
        keeping.now += timedelta(seconds=1)
        keeping.index.put_workload(make_workload(name=f"api-{number}", uid=f"uid-{number}"))
        keeping.keeper.changed()
        await keeping.keeper.write()
    assert len(keeping.written) == 1
    keeping.now += timedelta(seconds=11)
    await keeping.keeper.write()
    assert [status.matched_workloads for _, status in keeping.written] == [1, 51]
    keeping.declare(make_policy(verification={"healthyFor": "1h", "timeout": "1m"}).model_copy(update={"status": keeping.written[-1][1]}))
    keeping.keeper.changed()
    await keeping.keeper.write()
    assert not holds(keeping.written[-1][1].conditions, "Ready")


async def test_incidents_and_actions_are_counted_for_the_policy_that_decided(keeping: Keeping) -> None:
    keeping.declare(make_policy())
    keeping.declare(make_cluster_policy())
    keeping.take(Incident, make_incident(status=COUNTED))
    keeping.take(Incident, make_incident(name="api-2", status={**COUNTED, "decision": {"step": "undo", "allowed": True}}))
    keeping.take(Incident, make_incident(name="api-3"))
    keeping.take(Remediation, make_remediation(status={"state": "Succeeded", "executedAt": "2026-11-23T09:00:00.000000Z"}))
    await keeping.keeper.write()
    told = dict(keeping.written)
    assert (told["web"].open_incidents, told["web"].blocked_incidents, told["web"].recent_actions) == (2, 1, 1)
    assert (told["base"].open_incidents, told["base"].blocked_incidents, told["base"].recent_actions) == (0, 0, 0)


async def test_a_signal_that_cannot_be_read_is_told_in_the_policy_and_so_is_its_end(keeping: Keeping) -> None:
    probe = {"name": "http", "httpProbe": {"url": "http://api.shop.svc/"}}
    keeping.declare(make_policy(triggers=[probe], steps=[]))
    await keeping.keeper.write()
    assert holds(keeping.written[-1][1].conditions, "SignalsKnown")
    keeping.signals.turn("http: the name cannot be resolved")
    keeping.now += timedelta(seconds=1)
    await keeping.keeper.write()
    told = find(keeping.written[-1][1].conditions, "SignalsKnown")
    assert told is not None
    assert (told.status, told.reason) == ("False", "SignalUnknown")
    assert told.message == "of 1 workloads a signal cannot be read, such as deployment/api in shop: http: the name cannot be resolved"
    keeping.signals.turn("")
    keeping.now += timedelta(seconds=4)
    await keeping.keeper.write()
    assert len(keeping.written) == 2
    keeping.now += timedelta(seconds=1)
    await keeping.keeper.write()
    assert holds(keeping.written[-1][1].conditions, "SignalsKnown")


async def test_a_policy_that_asks_nobody_says_nothing_of_answers(keeping: Keeping) -> None:
    keeping.declare(make_policy())
    await keeping.keeper.write()
    assert find(keeping.written[-1][1].conditions, "SignalsKnown") is None
