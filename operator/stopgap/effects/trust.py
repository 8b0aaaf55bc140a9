"""Keeps what came of the incidents that are over: listed once when this copy begins to lead, then told of each as it is closed."""

from typing import Any, Final

import msgspec
from pydantic import ValidationError

from stopgap.api import Incident
from stopgap.api.incident import CLOSED_LABEL, IncidentStatus
from stopgap.api.policy import TrustRecord
from stopgap.core import trust
from stopgap.effects.errors import KubeError
from stopgap.effects.kube import Kube
from stopgap.effects.ownlists import OwnLists
from stopgap.model.base import API_VERSION

PAGE: Final = "500"


class TrustKeeper:
    """One record for each policy's UID."""

    def __init__(self, kube: Kube, own: OwnLists) -> None:
        self._kube = kube
        self._own = own
        self._records: dict[str, TrustRecord] | None = None
        self._counted: set[str] = set()
        """UIDs of the incidents in it: closing one twice counts it once."""

    def of(self, policy: str) -> TrustRecord | None:
        """Return what is known of a policy; None before anything was read, when what is stored is the better answer."""
        return None if self._records is None else self._records.get(policy, TrustRecord())

    def closed(self, incident: Incident, status: IncidentStatus) -> None:
        """Take in an incident that was closed."""
        ref, uid = status.policy_ref, incident.metadata.uid
        if self._records is None or ref is None or not uid or uid in self._counted:
            return
        self._counted.add(uid)
        self._records[ref.uid] = trust.total((self._records.get(ref.uid, TrustRecord()), trust.of_incident(status)))

    async def read(self) -> None:
        """List what is over and kept. What cannot be understood is left out: it is a statistic."""
        records, self._records, self._counted = self._records, {}, set()
        try:
            for path in self._own.paths(API_VERSION, Incident.plural):
                await self._read(path)
        except KubeError:
            # Half a record would be a wrong one.
            self._records = records
            raise

    async def _read(self, path: str) -> None:
        token = ""
        while True:
            params = {"limit": PAGE, "labelSelector": f"{CLOSED_LABEL}=true", **({"continue": token} if token else {})}
            page = msgspec.json.decode(await self._kube.get(path, params))
            for body in page["items"]:
                incident = _understood(body)
                if incident is not None and incident.status is not None:
                    self.closed(incident, incident.status)
            token = page["metadata"].get("continue", "")
            if not token:
                return


def _understood(body: dict[str, Any]) -> Incident | None:
    try:
        return Incident.model_validate({**body, "apiVersion": API_VERSION, "kind": "Incident"})
    except (ValidationError, OverflowError):
        return None
