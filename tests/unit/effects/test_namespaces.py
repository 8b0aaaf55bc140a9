"""What is remembered of namespaces, and whom a change wakes."""

import pytest

from stopgap.api import ClusterRemediationPolicy
from stopgap.effects import wire
from stopgap.effects.kube import Kube
from stopgap.effects.namespaces import Namespaces
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.records import Records


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def namespaces(told: list[str]) -> Namespaces:
    return Namespaces(told.append)


def space(name: str = "shop", *, uid: str = "u1", pause: str | None = None, **labels: str) -> wire.Namespace:
    return wire.Namespace(wire.NamespaceMeta(name, uid, "1", labels, wire.PauseAnnotations(pause)))


def test_what_nobody_told_of_is_not_known(namespaces: Namespaces) -> None:
    assert namespaces.labels("shop") is None
    assert namespaces.paused("shop") == ""


def test_a_label_or_a_pause_that_changed_is_told_and_the_same_again_is_not(namespaces: Namespaces, told: list[str]) -> None:
    namespaces.put(space())
    namespaces.put(space())
    namespaces.put(space(stage="live"))
    namespaces.put(space(stage="live", pause="upgrade"))
    assert told == ["shop"] * 3
    assert namespaces.labels("shop") == {"stage": "live"}
    assert namespaces.paused("shop") == "upgrade"


def test_a_pause_without_a_reason_is_a_pause_all_the_same(namespaces: Namespaces) -> None:
    namespaces.put(space(pause=""))
    assert namespaces.paused("shop") == "(no reason was given)"


def test_one_that_is_gone_is_forgotten(namespaces: Namespaces, told: list[str]) -> None:
    namespaces.put(space())
    namespaces.gone(space())
    assert (namespaces.labels("shop"), list(namespaces.known()), namespaces.names()) == (None, [], [])
    assert told == ["shop", "shop"]


def test_one_that_was_made_again_under_the_same_name_outlives_the_late_news_of_the_first(namespaces: Namespaces) -> None:
    namespaces.put(space(uid="u1"))
    namespaces.put(space(uid="u2", stage="live"))
    namespaces.forget("u1")
    assert namespaces.labels("shop") == {"stage": "live"}
    assert list(namespaces.known()) == ["u2"]


@pytest.mark.parametrize(("watched", "paths"), [((), 1), (("shop", "desk"), 0)], ids=["everywhere", "in some namespaces only"])
def test_cluster_policies_are_read_only_by_who_may_read_them(kube: Kube, watched: tuple[str, ...], paths: int) -> None:
    lists = OwnLists(kube, Records(lambda _: None, lambda _: None), watched, "stopgap-system")
    assert len(lists.paths_of(ClusterRemediationPolicy)) == paths


@pytest.fixture
def kube() -> Kube:
    return Kube.__new__(Kube)
