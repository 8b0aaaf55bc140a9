"""Which addresses a policy may have asked. Names are judged before they are looked up, and every address that they mean afterwards."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from stopgap.api.config import Outbound
from stopgap.model.query import PLATFORM

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA: Final = frozenset(
    ipaddress.ip_address(one)
    for one in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")  # those that are not link-local
)
_EMBEDDING: Final = tuple(ipaddress.IPv6Network(one) for one in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"))
"""IPv6 ranges whose last four bytes are an IPv4 address."""
IPV4: Final = 4
_THIS_HOST: Final = ipaddress.IPv4Network("0.0.0.0/8")


@dataclass(frozen=True)
class Reach:
    """What is always allowed, and what the platform allows beyond that."""

    allow: Outbound
    servers: frozenset[Address] = field(default_factory=frozenset)
    """Addresses of the API server."""
    domain: str = "cluster.local"
    """The cluster's own domain."""

    def forbids_name(self, host: str, scope: str) -> str:
        """Say why a host must not even be looked up for this scope, or nothing."""
        if self._by_name(host, scope) or self._networks:
            return ""
        return self._refusal(host, scope)

    def forbids_addresses(self, host: str, addresses: Iterable[Address], scope: str) -> str:
        """Say why one of the addresses of a host must not be asked, or nothing."""
        by_name = self._by_name(host, scope)
        for each in addresses:
            if any(each in network for network in self._networks):
                continue
            for one in _meant(each):
                if why := self._special(one):
                    return f"{host} is {why}, which the platform would have to allow (RemediationConfig spec.outbound.allow)"
            if not by_name:
                return self._refusal(host, scope)
        return ""

    def _by_name(self, host: str, scope: str) -> bool:
        if scope == PLATFORM:
            return True
        own = (f".{scope}.svc", f".{scope}.svc.{self.domain}")
        return host.endswith(own) or any(_fits(host, one) for one in self.allow.allow)

    @cached_property
    def _networks(self) -> tuple[Network, ...]:
        return tuple(found for one in self.allow.allow if (found := _network(one)) is not None)

    def _refusal(self, host: str, scope: str) -> str:
        return f"{host} is no Service of namespace {scope}, and the platform does not allow it (RemediationConfig spec.outbound.allow)"

    def _special(self, one: Address) -> str:
        if one in self.servers:
            return "the API server"
        if one in _METADATA or one.is_link_local:
            return "a link-local or metadata address"
        if one.is_loopback or one.is_unspecified or one in _THIS_HOST:
            return "an address of this very machine"
        # In IPv6 "reserved" also covers the ranges that carry IPv4 addresses, which are judged by those.
        if one.is_multicast or (one.version == IPV4 and one.is_reserved):
            return "an address of no single machine"
        return ""


def _network(allowed: str) -> Network | None:
    try:
        return ipaddress.ip_network(allowed, strict=False)
    except ValueError:
        return None  # a host


def _fits(host: str, allowed: str) -> bool:
    allowed = allowed.lower()
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _meant(one: Address) -> Iterator[Address]:
    """Yield an address and those that it hides: one kind of address can carry another."""
    if isinstance(one, ipaddress.IPv6Address):
        hidden = [one.ipv4_mapped, one.sixtofour, one.teredo[1] if one.teredo else None]
        hidden += [ipaddress.IPv4Address(int(one) & 0xFFFFFFFF) for network in _EMBEDDING if one in network and int(one) > 1]
        yield from (each for each in hidden if each is not None)
        if one.ipv4_mapped is not None:
            return
    yield one
