"""Whom a policy may have asked: by name before a lookup, by address after it."""

import ipaddress

import pytest

from stopgap.api.config import Outbound
from stopgap.core.reach import Address, Reach
from stopgap.model.query import PLATFORM

SERVER = ipaddress.ip_address("10.96.0.1")


def reach(*allow: str) -> Reach:
    return Reach(Outbound(allow=allow), frozenset({SERVER}))


def refusal(host: str, address: str, *allow: str, scope: str = "shop") -> str:
    """What stands against asking this host, at either point."""
    where: tuple[Address, ...] = (ipaddress.ip_address(address),)
    one = reach(*allow)
    return one.forbids_name(host, scope) or one.forbids_addresses(host, where, scope)


@pytest.mark.parametrize("host", ["api.shop.svc", "api.shop.svc.cluster.local"])
def test_a_namespaced_policy_reaches_the_services_of_its_own_namespace(host: str) -> None:
    assert refusal(host, "10.96.7.7") == ""


@pytest.mark.parametrize(
    "host",
    [
        "api.other.svc",
        "api.shop.svc.example.com",
        "shop.svc",
        "api.shop",
        "apishop.svc",
        "example.com",
        "10.0.0.7",
        "api.shop.svc.other.svc",
    ],
)
def test_a_namespaced_policy_reaches_nothing_else_and_does_not_even_look_it_up(host: str) -> None:
    assert "no Service of namespace shop" in reach().forbids_name(host, "shop")


def test_a_cluster_policy_reaches_any_host() -> None:
    assert refusal("api.other.svc", "10.96.7.7", scope=PLATFORM) == ""


@pytest.mark.parametrize(
    ("allowed", "host", "fits"),
    [
        ("prometheus.monitoring.svc", "prometheus.monitoring.svc", True),
        ("Grafana.Example.com", "grafana.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("example.com", "a.example.com", False),
    ],
)
def test_the_platform_allows_hosts_by_name(allowed: str, host: str, fits: bool) -> None:  # noqa: FBT001 - a table
    assert (refusal(host, "93.184.216.34", allowed) == "") is fits


@pytest.mark.parametrize(
    ("address", "fits"), [("10.1.2.3", True), ("10.2.0.1", False), ("::ffff:10.1.2.3", False)], ids=["within", "outside", "in disguise"]
)
def test_the_platform_allows_ranges_whatever_the_name_is(address: str, fits: bool) -> None:  # noqa: FBT001 - a table
    assert (refusal("db.internal", address, "10.1.0.0/16") == "") is fits


FORBIDDEN = {
    "127.0.0.1": "this very machine",
    "127.9.9.9": "this very machine",
    "0.0.0.0": "this very machine",  # noqa: S104 - that is what is tested
    "0.1.2.3": "this very machine",
    "::1": "this very machine",
    "::": "this very machine",
    "::ffff:127.0.0.1": "this very machine",
    "::127.0.0.1": "this very machine",
    "64:ff9b::7f00:1": "this very machine",
    "2002:7f00:1::": "this very machine",
    "169.254.169.254": "metadata",
    "::ffff:169.254.169.254": "metadata",
    "64:ff9b::a9fe:a9fe": "metadata",
    "2002:a9fe:a9fe::1": "metadata",
    "fe80::1": "metadata",
    "fd00:ec2::254": "metadata",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "10.96.0.1": "the API server",
    "::ffff:10.96.0.1": "the API server",
    "224.0.0.1": "no single machine",
    "255.255.255.255": "no single machine",
    "ff02::1": "no single machine",
}


@pytest.mark.parametrize("scope", ["shop", PLATFORM])
@pytest.mark.parametrize(("address", "why"), FORBIDDEN.items())
def test_no_name_leads_to_an_address_that_is_special(address: str, why: str, scope: str) -> None:
    assert why in refusal("api.shop.svc", address, scope=scope)


def test_a_special_address_is_asked_only_where_a_range_says_so_and_not_where_only_a_name_does() -> None:
    assert refusal("api.shop.svc", "127.0.0.1", "127.0.0.0/8") == ""
    assert refusal("localhost", "127.0.0.1", "127.0.0.1") == ""
    assert "this very machine" in refusal("localhost", "127.0.0.1", "localhost")


def test_one_bad_address_of_several_is_enough() -> None:
    addresses = [ipaddress.ip_address(one) for one in ("10.96.7.7", "127.0.0.1")]
    assert "this very machine" in reach().forbids_addresses("api.shop.svc", addresses, "shop")


@pytest.mark.parametrize("address", ["10.96.7.7", "93.184.216.34", "2606:2800:220::1", "fd12:3456::7", "64:ff9b::5db8:d822"])
def test_usual_addresses_are_not_special(address: str) -> None:
    assert refusal("api.shop.svc", address) == ""


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/99"):
        Outbound(allow=("10.0.0.0/99",))
