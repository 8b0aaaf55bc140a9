"""Our own objects as they were last seen or written, keyed the way decisions need them."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

from pydantic import ValidationError

from stopgap.api import Incident, Remediation, RemediationConfig, RemediationPolicy, WorkloadHealth
from stopgap.api.incident import CLOSED_LABEL
from stopgap.core.case import Spent
from stopgap.model.base import Kind, Permission
from stopgap.model.refs import Target

PERMISSIONS: Final = (
    Permission(
        "stopgap.dev", ("incidents", "remediations", "workloadhealths"), ("get", "list", "watch", "create", "patch"), "keep the records"
    ),
    Permission(
        "stopgap.dev",
        ("incidents/status", "remediations/status", "workloadhealths/status", "remediationpolicies/status"),
        ("patch",),
        "write what was seen, done and refused",
    ),
    Permission("stopgap.dev", ("remediationpolicies",), ("get", "list", "watch"), "read what is declared"),
)
OWN_NAMESPACE_PERMISSIONS: Final = (
    Permission("stopgap.dev", ("remediationconfigs",), ("get", "list", "watch"), "read the platform's ceilings and the kill switch"),
)

_Key = tuple[str, str]


class Records:
    """Incidents, policies, the config, remediations and the memory of workloads."""

    def __init__(self, changed: Callable[[Target], None], policies_changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._policies_changed = policies_changed
        self._versions: dict[tuple[str, str, str], int] = {}
        self._incidents: dict[_Key, Incident] = {}
        self._policies: dict[_Key, RemediationPolicy] = {}
        self.unreadable_policies: dict[_Key, tuple[str, dict[str, Any]]] = {}
        """Policies that do not fit the model: why, and the object."""
        self._remediations: dict[str, dict[str, Remediation]] = defaultdict(dict)
        self._healths: dict[str, WorkloadHealth] = {}
        self.config: RemediationConfig | None = None
        self.config_trouble = ""
        """Why the config that is there cannot be understood."""

    # --------------------------------------------------------------------------------------------------- reading

    def policies(self, namespace: str) -> Iterable[RemediationPolicy]:
        """Return the policies of a namespace."""
        return [one for (where, _), one in self._policies.items() if where == namespace]

    def all_policies(self) -> Iterable[RemediationPolicy]:
        """Return every policy that could be read."""
        return self._policies.values()

    def namespaces_with_policies(self) -> frozenset[str]:
        """Return where there is something to watch for."""
        return frozenset(where for where, _ in self._policies)

    def incidents(self, target: Target) -> list[Incident]:
        """Return the open incidents of a workload, oldest first."""
        found = [one for one in self._incidents.values() if target_of(one) == target]
        return sorted(found, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))

    def open_incidents(self) -> Iterable[Incident]:
        """Return every open incident."""
        return self._incidents.values()

    def health(self, uid: str) -> WorkloadHealth | None:
        """Return what is remembered about a workload."""
        return self._healths.get(uid)

    def remediations(self, uid: str) -> tuple[Remediation, ...]:
        """Return the remediations of a workload, oldest first."""
        found = self._remediations.get(uid, {}).values()
        return tuple(sorted(found, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name)))

    def spent(self) -> tuple[Spent, ...]:
        """Return every action that was really sent, from both places that remember it."""
        found: dict[str, Spent] = {}
        for health in self._healths.values():
            for one in health.status.last_actions if health.status else ():
                namespace = health.metadata.namespace or ""
                found[one.remediation] = Spent(one.remediation, one.at, namespace, health.spec.target_ref.uid, one.policy_uid)
        for each in self._remediations.values():
            for rem in each.values():
                if rem.status and rem.status.executed_at:
                    uid, namespace = rem.metadata.uid or "", rem.metadata.namespace or ""
                    found[uid] = Spent(uid, rem.status.executed_at, namespace, rem.spec.target_ref.uid, rem.spec.policy_ref.uid)
        return tuple(sorted(found.values(), key=lambda one: one.at))

    # --------------------------------------------------------------------------------------------------- writing

    def take(self, kind: type[Kind], body: dict[str, Any]) -> None:
        """Take in an object as the API server sent it; an older version than the known one is dropped."""
        if not self._is_newer(kind, body["metadata"]):
            return
        if kind is Incident:
            self._take_incident(Incident.model_validate(body))
        elif kind is RemediationPolicy:
            self._take_policy(body)
        elif kind is RemediationConfig:
            self._take_config(body)
        elif kind is Remediation:
            self._take_remediation(Remediation.model_validate(body))
        else:
            self._take_health(WorkloadHealth.model_validate(body))

    def drop(self, kind: type[Kind], namespace: str, name: str) -> None:
        """Take in a deletion."""
        self._versions.pop((kind.plural, namespace, name), None)
        key = (namespace, name)
        if kind is Incident and (incident := self._incidents.pop(key, None)):
            self._tell(target_of(incident))
        elif kind is RemediationPolicy:
            self._policies.pop(key, None)
            self.unreadable_policies.pop(key, None)
            self._policies_changed(namespace)
        elif kind is RemediationConfig:
            self.config, self.config_trouble = None, ""
            self._policies_changed("")
        elif kind is Remediation:
            for each in self._remediations.values():
                each.pop(f"{namespace}/{name}", None)
        elif kind is WorkloadHealth:
            gone = [uid for uid, one in self._healths.items() if (one.metadata.namespace, one.metadata.name) == key]
            for uid in gone:
                del self._healths[uid]

    def names(self, kind: type[Kind]) -> set[_Key]:
        """Return which objects of a kind are known, to find those that vanished unseen."""
        return {(namespace, name) for plural, namespace, name in self._versions if plural == kind.plural}

    def _is_newer(self, kind: type[Kind], meta: dict[str, Any]) -> bool:
        # Resource versions of one resource can be compared as integers (KEP-5504); so our own fresh write is not undone by a late event.
        key = (kind.plural, meta.get("namespace", ""), meta["name"])
        version = int(meta.get("resourceVersion") or 0)
        if version < self._versions.get(key, -1):
            return False
        self._versions[key] = version
        return True

    def _take_incident(self, incident: Incident) -> None:
        key = (incident.metadata.namespace or "", incident.metadata.name)
        before = self._incidents.get(key)
        if incident.metadata.labels.get(CLOSED_LABEL) == "true":
            self._incidents.pop(key, None)
        else:
            self._incidents[key] = incident
        # What we wrote ourselves changes status and labels only, and is no news to us.
        if before is None or before.metadata.generation != incident.metadata.generation:
            self._tell(target_of(incident))

    def _take_policy(self, body: dict[str, Any]) -> None:
        key = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._policies.get(key)
        try:
            policy = RemediationPolicy.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            self._policies.pop(key, None)
            self.unreadable_policies[key] = (f"{'.'.join(map(str, first['loc']))}: {first['msg']}", body)
            self._policies_changed(key[0])
            return
        self.unreadable_policies.pop(key, None)
        self._policies[key] = policy
        known = before and (before.metadata.generation, before.metadata.annotations) == (
            policy.metadata.generation,
            policy.metadata.annotations,
        )
        if not known:
            self._policies_changed(key[0])

    def _take_config(self, body: dict[str, Any]) -> None:
        try:
            self.config, self.config_trouble = RemediationConfig.model_validate(body), ""
        except ValidationError as error:
            self.config, self.config_trouble = None, str(error.errors()[0]["msg"])
        self._policies_changed("")

    def _take_remediation(self, one: Remediation) -> None:
        key = f"{one.metadata.namespace}/{one.metadata.name}"
        self._remediations[one.spec.target_ref.uid][key] = one

    def _take_health(self, one: WorkloadHealth) -> None:
        self._healths[one.spec.target_ref.uid] = one

    def _tell(self, target: Target | None) -> None:
        if target is not None:
            self._changed(target)


def target_of(incident: Incident) -> Target:
    """Return the key that an incident is handled under; one without a workload is its own."""
    namespace, ref = incident.metadata.namespace or "", incident.spec.target_ref
    return Target(namespace, ref.kind, ref.name) if ref else Target(namespace, "Incident", incident.metadata.name)
