"""What the API server's audit log says about Stopgap's requests: the judge of how much it writes and asks."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.bench.world import NAMESPACES, STOPGAP, USER
from tests.cluster.cluster import Cluster

WRITES = frozenset({"create", "update", "patch", "delete"})
APART = frozenset({"events", "selfsubjectaccessreviews"})
LEASE = "leases"


@dataclass(frozen=True)
class Request:
    """One request by Stopgap."""

    at: float
    verb: str
    resource: str
    name: str
    namespace: str

    @property
    def what(self) -> str:
        """Verb and resource."""
        return f"{self.verb} {self.resource}"


def requests(cluster: Cluster) -> list[Request]:
    """Every request of Stopgap, in order; a watch counts when it was opened."""
    found = [_request(entry) for entry in cluster.audit() if entry["user"]["username"] == USER and _counts(entry)]
    return sorted(found, key=lambda one: one.at)


def _counts(entry: dict[str, Any]) -> bool:
    stage: str = entry["stage"]
    return stage == ("ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete")


def _request(entry: dict[str, Any]) -> Request:
    ref = entry.get("objectRef", {})
    resource = "/".join(part for part in (ref.get("resource"), ref.get("subresource")) if part) or entry["requestURI"]
    at = dt.datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
    return Request(at, entry["verb"], resource, ref.get("name", ""), ref.get("namespace", ""))


def between(all_of_it: Iterable[Request], since: float, until: float) -> Counter[str]:
    """Count what was asked in a stretch of time."""
    return Counter(one.what for one in all_of_it if since <= one.at <= until)


def of_incident(all_of_it: Iterable[Request], app: str) -> dict[str, Any]:
    """Count the writes that one incident took: until the template was back, in all, and apart from both."""
    about = [
        one
        for one in all_of_it
        if one.verb in WRITES and one.namespace == NAMESPACES[STOPGAP] and (one.name == app or one.name.startswith((f"{app}-", f"{app}.")))
    ]
    opened = next((one.at for one in about if one.what == "create incidents"), None)
    acted = next((one.at for one in about if one.what == "patch deployments"), None)
    counted = [one for one in about if one.resource not in APART]
    return {
        "until_action": [one.what for one in counted if opened is not None and acted is not None and opened <= one.at <= acted],
        "before": [one.what for one in counted if opened is None or one.at < opened],
        "all": [one.what for one in counted],
        "events": sum(1 for one in about if one.resource == "events"),
    }
