"""What an installation may set, from flags or the environment. Everything about incidents is set in objects instead."""

import os
import socket
from dataclasses import dataclass, field

DEFAULT_NAMESPACE = "stopgap-system"


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
    health_port: int = field(default_factory=lambda: int(os.environ.get("STOPGAP_HEALTH_PORT", "8080")))
    metrics_port: int = field(default_factory=lambda: int(os.environ.get("STOPGAP_METRICS_PORT", "9090")))
    host: str = field(default_factory=lambda: os.environ.get("STOPGAP_HOST", "0.0.0.0"))  # noqa: S104 - probes come from the node
    argocd_namespace: str = field(default_factory=lambda: os.environ.get("STOPGAP_ARGOCD_NAMESPACE", "argocd"))
