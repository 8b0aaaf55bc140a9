"""What incidents have in common, and when that is a suspected cause."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import NOW, ago

from stopgap.api.incident import IncidentStatus
from stopgap.core.relations import MOST, Traits, related

NODE = "at least three incidents that began within 10m have all their failing pods on node a: look at that node first"
IMAGE = "at least three incidents that began within 10m run image i: look at what is in it, and at what it needs"
SPACE = (
    "at least three incidents began in namespace shop within one minute: look at what its workloads share, "
    "such as a quota, a network policy, a database or a credential"
)


def one(name: str, namespace: str = "shop", *, onset: datetime = NOW, **traits: Any) -> Traits:
    return Traits(namespace, name, onset, **traits)


OWN = one("api-1", node="a", images=frozenset({"i"}))


def beside(*others: Traits, before: IncidentStatus | None = None) -> IncidentStatus:
    return related(before or IncidentStatus(), OWN, others)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        pytest.param(one("cart-1"), ("cart-1",), id="the namespace, at once"),
        pytest.param(one("cart-1", onset=ago(minutes=2)), (), id="the namespace, at another time"),
        pytest.param(one("cart-1", "pay"), (), id="nothing but the time"),
        pytest.param(one("cart-1", "pay", node="a", onset=ago(minutes=9)), ("pay/cart-1",), id="the node"),
        pytest.param(one("cart-1", "pay", node="a", onset=ago(minutes=11)), (), id="the node, long ago"),
        pytest.param(one("cart-1", "pay", node="b"), (), id="another node"),
        pytest.param(one("cart-1", "pay", images=frozenset({"i", "j"}), onset=ago(days=1)), ("pay/cart-1",), id="the image, whenever"),
        pytest.param(OWN, (), id="itself"),
    ],
)
def test_incidents_are_related_by_what_they_share(other: Traits, named: tuple[str, ...]) -> None:
    status = beside(other)
    assert (status.related_incidents, status.common_cause) == (named, "")


@pytest.mark.parametrize(
    ("share", "cause"),
    [
        pytest.param({}, SPACE, id="the namespace"),
        pytest.param({"images": frozenset({"i"})}, IMAGE, id="the image, of which the namespace tells less"),
        pytest.param({"node": "a", "images": frozenset({"i"})}, NODE, id="the node, which is nearest"),
    ],
)
def test_what_more_than_two_share_is_the_suspected_cause(share: dict[str, Any], cause: str) -> None:
    assert beside(one("cart-1", **share), one("web-1", **share)).common_cause == cause
    assert beside(one("cart-1", **share)).common_cause == ""


def test_things_that_different_ones_share_explain_nothing() -> None:
    assert beside(one("a-1", "a", node="a"), one("b-1", "b", images=frozenset({"i"}))).common_cause == ""


def test_what_was_once_named_stays_and_the_list_is_bounded() -> None:
    before = beside(one("gone-1"), one("web-1"))
    many = [one(f"w{number}-1", onset=NOW + timedelta(seconds=number)) for number in range(50)]
    after = beside(*many, before=before)
    assert after.related_incidents[:2] == ("gone-1", "web-1")
    assert after.related_incidents[2] == "w0-1"
    assert len(after.related_incidents) == MOST
    assert after.common_cause == before.common_cause == SPACE
    assert IncidentStatus.model_validate(after.model_dump()) == after
