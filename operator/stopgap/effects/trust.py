"""Keeps what came of the incidents that are over: listed once when this copy begins to lead, then told of each as it is closed."""

from dataclasses import dataclass, field

import msgspec
from pydantic import ValidationError

from stopgap.api import Incident
from stopgap.api.incident import CLOSED_LABEL, IncidentStatus
from stopgap.api.policy import TrustRecord
from stopgap.core import trust
from stopgap.effects.breath import Breath
from stopgap.effects.kube import Kube
from stopgap.effects.ownlists import OwnLists
from stopgap.model.base import API_VERSION


@dataclass
class _Count:
    """One record for each policy's UID."""

    records: dict[str, TrustRecord] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    """UIDs of the incidents in it: closing one twice counts it once."""

    def add(self, incident: Incident, status: IncidentStatus) -> None:
        ref, uid = status.policy_ref, incident.metadata.uid
        if ref is None or not uid or uid in self.counted:
            return
        self.counted.add(uid)
        self.records[ref.uid] = trust.total((self.records.get(ref.uid, TrustRecord()), trust.of_incident(status)))


class TrustKeeper:
    """What is told while a list is under way is the last whole count: half of one would be a wrong one."""

    def __init__(self, kube: Kube, own: OwnLists) -> None:
        self._kube = kube
        self._own = own
        self._known: _Count | None = None
        self._reading: _Count | None = None

    def of(self, policy: str) -> TrustRecord | None:
        """Return what is known of a policy; None before anything was read, when what is stored is the better answer."""
        return None if self._known is None else self._known.records.get(policy, TrustRecord())

    def closed(self, incident: Incident, status: IncidentStatus) -> None:
        """Take in an incident that was closed."""
        for one in (self._known, self._reading):
            if one is not None:
                one.add(incident, status)

    def forget(self) -> None:
        """Another copy leads from now on, and nobody tells us what it closes."""
        self._known = None

    async def read(self) -> None:
        """List what is over and kept. What cannot be understood is left out: it is a statistic."""
        self._reading = fresh = _Count()
        breath = Breath()
        try:
            for path in self._own.paths(API_VERSION, Incident.plural):
                async for raw in self._kube.items(path, {"labelSelector": f"{CLOSED_LABEL}=true"}):
                    incident = _understood(raw)
                    if incident is not None and incident.status is not None:
                        fresh.add(incident, incident.status)
                    await breath.taken()
            self._known = fresh
        finally:
            self._reading = None


def _understood(raw: msgspec.Raw) -> Incident | None:
    try:
        return Incident.model_validate({**msgspec.json.decode(raw), "apiVersion": API_VERSION, "kind": "Incident"})
    except (ValidationError, OverflowError):
        return None
