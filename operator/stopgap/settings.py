"""What an installation may set, from flags or the environment. Everything about incidents is set in objects instead."""

import os
import re
import socket
from dataclasses import dataclass, field

DEFAULT_NAMESPACE = "stopgap-system"

LAST_PORT = 65535
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class Unusable(ValueError):  # noqa: N818 - read as what it says
    """A setting that cannot be meant: says which, and what is expected."""


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not text.isdecimal():
        raise Unusable(f"{variable} is {text!r}; a port is a number from 0 (none) to {LAST_PORT}")
    return int(text)


def _namespaces() -> tuple[str, ...]:
    return tuple(one for one in os.environ.get("STOPGAP_NAMESPACE", "").replace(",", " ").split() if one)


def _identity() -> str:
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class Settings:
    """One running copy's settings."""

    namespaces: tuple[str, ...] = field(default_factory=_namespaces)
    """Namespaces that are watched; empty: all."""
    own_namespace: str = field(default_factory=lambda: os.environ.get("STOPGAP_OWN_NAMESPACE", DEFAULT_NAMESPACE))
    """Where the Lease and the RemediationConfig are."""
    identity: str = field(default_factory=_identity)
    """Holder identity in the Lease."""
    lease: bool = field(default_factory=lambda: os.environ.get("STOPGAP_LEASE", "on") != "off")
    """Off: this copy acts without asking. Safety does not rest on the Lease, but two copies then do everything twice but the action."""
    health_port: int = field(default_factory=lambda: _port("STOPGAP_HEALTH_PORT", 8080))
    metrics_port: int = field(default_factory=lambda: _port("STOPGAP_METRICS_PORT", 9090))
    alerts_port: int = field(default_factory=lambda: _port("STOPGAP_ALERTS_PORT", 0))
    """Port of the alert receiver; 0: none."""
    alerts_tokens: str = field(default_factory=lambda: os.environ.get("STOPGAP_ALERTS_TOKENS", ""))
    """File of those who may send alerts."""
    alerts_namespace: str = field(default_factory=lambda: os.environ.get("STOPGAP_ALERTS_NAMESPACE", ""))
    """Where alerts are recorded that are about no workload that is known; by default our own namespace, or the first that is watched."""
    host: str = field(default_factory=lambda: os.environ.get("STOPGAP_HOST", "0.0.0.0"))  # noqa: S104 - probes come from the node
    argocd_namespace: str = field(default_factory=lambda: os.environ.get("STOPGAP_ARGOCD_NAMESPACE", "argocd"))

    def __post_init__(self) -> None:
        """Refuse what could only fail later, and less clearly."""
        for port in (self.health_port, self.metrics_port, self.alerts_port):
            if not 0 <= port <= LAST_PORT:
                raise Unusable(f"{port} is no port; a port is a number from 0 (none) to {LAST_PORT}")
        for namespace in (*self.namespaces, self.own_namespace, self.alert_records):
            if not _NAMESPACE.fullmatch(namespace):
                raise Unusable(f"{namespace!r} cannot be the name of a namespace")
        if self.alerts_port and not self.alerts_tokens:
            raise Unusable("the alert receiver takes nothing from strangers: name the file of its tokens (--alerts-tokens)")
        if self.alerts_port and self.namespaces and self.alert_records not in self.namespaces:
            raise Unusable(f"alerts cannot be recorded in {self.alert_records}: this copy is for {', '.join(self.namespaces)} only")

    @property
    def alert_records(self) -> str:
        """The namespace of records about alerts that are about nothing known."""
        return self.alerts_namespace or (self.namespaces[0] if self.namespaces else self.own_namespace)
