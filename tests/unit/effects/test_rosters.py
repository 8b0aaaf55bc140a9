"""The arranged policies follow what changes."""

from typing import Any

import pytest
from tests.conftest import TARGET, make_cluster_policy

from stopgap.api import ClusterRemediationPolicy
from stopgap.effects import wire
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.records import Records
from stopgap.effects.rosters import Rosters

LABELS = {"app": "api"}


class World:
    """Rosters that are told as in the runtime."""

    def __init__(self) -> None:
        self.records = Records(lambda _: None, self._changed)
        self.namespaces = Namespaces(self._changed)
        self.rosters = Rosters(self.records, self.namespaces)

    def _changed(self, namespace: str) -> None:
        self.rosters.forget(namespace)

    def label(self, **labels: str) -> None:
        self.namespaces.put(wire.Namespace(wire.NamespaceMeta("shop", "u", "1", labels)))

    def declare(self, version: int = 1, **spec: Any) -> None:
        body = make_cluster_policy(**spec).model_dump(mode="json", by_alias=True, exclude_none=True)
        body["metadata"] |= {"resourceVersion": str(version), "generation": version}
        self.records.take(ClusterRemediationPolicy, body)

    def decided(self) -> str:
        found = self.rosters.deciding(TARGET, LABELS)
        return found.metadata.name if found else ""


@pytest.fixture
def world() -> World:
    return World()


def test_a_namespace_that_is_labelled_later_is_meant_and_one_that_loses_the_label_is_not(world: World) -> None:
    world.declare()
    world.label()
    assert world.decided() == ""
    world.label(stage="live")
    assert world.decided() == "base"
    world.label(stage="test")
    assert world.decided() == ""


def test_a_policy_that_is_changed_or_deleted_is_followed(world: World) -> None:
    world.label(stage="live")
    assert world.decided() == ""
    world.declare()
    assert world.decided() == "base"
    world.declare(2, targets={"names": ["other"]})
    assert world.decided() == ""
    world.declare(3)
    world.records.drop(ClusterRemediationPolicy, "", "base")
    assert world.decided() == ""
    assert world.rosters.selecting("shop") == ()


def test_a_policy_that_cannot_be_understood_any_more_decides_nothing(world: World) -> None:
    world.label(stage="live")
    world.declare()
    body = make_cluster_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    body["metadata"] |= {"resourceVersion": "2", "generation": 2}
    body["spec"]["namespaceSelector"] = {}
    world.records.take(ClusterRemediationPolicy, body)
    assert world.decided() == ""
    assert list(world.records.unreadable_policies) == [("", "base")]


def test_a_name_that_is_listed_twice_counts_once(world: World) -> None:
    world.label(stage="live")
    world.declare(targets={"names": ["api", "api"]})
    assert len(world.rosters.fitting(TARGET, LABELS)) == 1
