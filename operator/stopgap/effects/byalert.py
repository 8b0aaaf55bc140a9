"""Open incidents by the alerts in them: how an alert that is told again finds its own. Kept by the records, asked by the receiver."""

from collections import defaultdict

from stopgap.api import Incident
from stopgap.api.incident import IncidentAlert


class ByAlert:
    """Incidents by namespace and fingerprint: of each alert that is listed, and of the one that an incident was opened for."""

    def __init__(self) -> None:
        self._incidents: dict[tuple[str, str], dict[str, Incident]] = defaultdict(dict)

    def of(self, namespace: str, fingerprint: str) -> list[Incident]:
        """Return the open incidents of a namespace that an alert is in."""
        return list(self._incidents.get((namespace, fingerprint), {}).values())

    def put(self, incident: Incident) -> None:
        """Take in an open incident."""
        for key in _keys(incident):
            self._incidents[key][incident.metadata.name] = incident

    def drop(self, incident: Incident) -> None:
        """Forget an incident, in the state in which it was put."""
        for key in _keys(incident):
            self._incidents[key].pop(incident.metadata.name, None)
            if not self._incidents[key]:
                del self._incidents[key]


def listed(incident: Incident) -> tuple[IncidentAlert, ...]:
    """Return the alerts in an incident."""
    return incident.status.alerts if incident.status else ()


def _keys(incident: Incident) -> set[tuple[str, str]]:
    fingerprints = {incident.spec.source.fingerprint, *(one.fingerprint for one in listed(incident))}
    return {(incident.metadata.namespace or "", one) for one in fingerprints if one}
