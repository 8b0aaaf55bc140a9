"""Our own objects as they were last seen or written, keyed the way decisions need them."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationConfig, RemediationPolicy, WorkloadHealth
from stopgap.api.clusterpolicy import Policy
from stopgap.api.incident import CLOSED_LABEL
from stopgap.api.remediation import RemediationState
from stopgap.core import freeze, matching
from stopgap.core.case import Spent
from stopgap.effects.byalert import ByAlert, listed
from stopgap.effects.lending import Lending, about, oldest_first
from stopgap.model.base import Kind, Permission
from stopgap.model.observation import Refusal
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
CLUSTER_PERMISSIONS: Final = (
    Permission("stopgap.dev", ("clusterremediationpolicies",), ("get", "list", "watch"), "read what is declared"),
    Permission("stopgap.dev", ("clusterremediationpolicies/status",), ("patch",), "write what was seen, done and refused"),
)
OWN_NAMESPACE_PERMISSIONS: Final = (
    Permission("stopgap.dev", ("remediationconfigs",), ("get", "list", "watch"), "read the platform's ceilings and the kill switch"),
)

CLUSTER: Final = ""
"""The namespace of what is in none: cluster policies are kept under it."""

_Key = tuple[str, str]
_Misfit = tuple[Refusal, dict[str, Any]]
log = logging.getLogger(__name__)


class Records:
    """Incidents, policies, the config, remediations and the memory of workloads."""

    def __init__(self, changed: Callable[[Target], None], policies_changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._policies_changed = policies_changed
        self._versions: dict[tuple[str, str, str], int] = {}
        self._incidents: dict[_Key, Incident] = {}
        self._by_target: dict[Target, dict[str, Incident]] = defaultdict(dict)
        self.by_alert = ByAlert()
        self._policies: dict[str, dict[str, Policy]] = defaultdict(dict)
        self.unreadable_policies: dict[_Key, _Misfit] = {}
        """Policies that do not fit the model: why, and the object."""
        self._remediations: dict[str, dict[str, Remediation]] = defaultdict(dict)
        self._unended: dict[str, Remediation] = {}
        self.lending = Lending()
        # As JSON, and as models only when asked for: there is one for each workload, and few are looked at.
        self._healths: dict[str, tuple[_Key, bytes]] = {}
        # Of which workload (by UID) a Remediation or WorkloadHealth is, so that a deletion looks nowhere else.
        self._of: dict[tuple[type[Kind], str, str], str] = {}
        self._spent: dict[str, Spent] = {}
        self.config: RemediationConfig | None = None
        self.config_trouble = ""
        """Why the config that is there cannot be understood."""

    # --------------------------------------------------------------------------------------------------- reading

    def policies(self, namespace: str) -> Collection[Policy]:
        """Return the policies of a namespace, or those of the CLUSTER."""
        return self._policies[namespace].values() if namespace in self._policies else ()

    def all_policies(self) -> Iterable[Policy]:
        """Return every policy that could be read."""
        return [one for each in self._policies.values() for one in each.values()]

    def namespaces_with_policies(self) -> frozenset[str]:
        """Return where there is something to watch for."""
        return frozenset(where for where, each in self._policies.items() if each)

    def incidents(self, target: Target) -> list[Incident]:
        """Return the open incidents of a workload, oldest first."""
        if target not in self._by_target:
            return []
        return sorted(self._by_target[target].values(), key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))

    def open_incidents(self) -> Iterable[Incident]:
        """Return every open incident."""
        return self._incidents.values()

    def health(self, uid: str) -> WorkloadHealth | None:
        """Return what is remembered about a workload."""
        found = self._healths.get(uid)
        return WorkloadHealth.model_validate_json(found[1]) if found else None

    def remediations(self, uid: str) -> tuple[Remediation, ...]:
        """Return the remediations of a workload, oldest first."""
        return oldest_first(self._remediations.get(uid, {}).values())

    def unfinished(self) -> Collection[Target]:
        """Return the workloads of actions that have not ended or owe something, whatever became of the incidents and the records."""
        return self.lending.targets()

    def unended(self) -> Iterable[Remediation]:
        """Return every remediation that has not ended, anywhere."""
        return self._unended.values()

    def spent(self) -> tuple[Spent, ...]:
        """Return every action that was really sent in the longest window that counts, from both places that remember it."""
        return tuple(self._spent.values())

    def forget_spent(self, before: datetime) -> None:
        """Forget actions that no window reaches any more."""
        self._spent = {uid: one for uid, one in self._spent.items() if one.at >= before}

    # --------------------------------------------------------------------------------------------------- writing

    def take(self, kind: type[Kind], body: dict[str, Any]) -> None:
        """Take in an object as the API server sent it; an older version than the known one is dropped, an unreadable one left alone."""
        if not self._is_newer(kind, body["metadata"]):
            return
        try:
            _TAKE[kind](self, body)
        except (ValidationError, OverflowError) as error:
            # Somebody's odd object must stop nothing for anybody else.
            meta = body["metadata"]
            where = f"{kind.__name__} {meta.get('namespace', '')}/{meta['name']}"
            log.warning("an object cannot be understood and is left alone", extra={"object": where, "error": str(error)[:300]})

    def drop(self, kind: type[Kind], namespace: str, name: str) -> None:
        """Take in a deletion."""
        self._versions.pop((kind.plural, namespace, name), None)
        key = (namespace, name)
        if kind is Incident and (incident := self._incidents.pop(key, None)):
            self._unlist(incident)
            self._changed(target_of(incident))
        elif kind in {RemediationPolicy, ClusterRemediationPolicy}:
            self._policies[namespace].pop(name, None)
            self.unreadable_policies.pop(key, None)
            self._policies_changed(namespace)
        elif kind is RemediationConfig:
            self._set_config(None, "")
        elif kind is Remediation:
            self._unended.pop(f"{namespace}/{name}", None)
            one = self._unlist_remediation(key)
            if one is not None and (owed := self.lending.drop(one)):
                self._changed(owed)
        elif kind is WorkloadHealth:
            uid = self._of.pop((kind, *key), "")
            if uid in self._healths and self._healths[uid][0] == key:
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

    def _take_incident(self, body: dict[str, Any]) -> None:
        incident = Incident.model_validate(body)
        key = (incident.metadata.namespace or "", incident.metadata.name)
        before = self._incidents.pop(key, None)
        if before is not None:
            self._unlist(before)
        if incident.metadata.labels.get(CLOSED_LABEL) != "true":
            self._incidents[key] = incident
            self._by_target[target_of(incident)][key[1]] = incident
            self.by_alert.put(incident)
        # What we wrote ourselves changes status and labels only, and is no news to us; but any copy may have taken in an alert.
        if before is None or before.metadata.generation != incident.metadata.generation or listed(before) != listed(incident):
            self._changed(target_of(incident))

    def _unlist(self, incident: Incident) -> None:
        target = target_of(incident)
        self._by_target[target].pop(incident.metadata.name, None)
        if not self._by_target[target]:
            del self._by_target[target]
        self.by_alert.drop(incident)

    def _take_cluster_policy(self, body: dict[str, Any]) -> None:
        self._take_policy(body, ClusterRemediationPolicy)

    def _take_policy(self, body: dict[str, Any], kind: type[Policy] = RemediationPolicy) -> None:
        key = (body["metadata"].get("namespace", ""), body["metadata"]["name"])
        before = self._policies[key[0]].get(key[1])
        try:
            policy = kind.model_validate(body)
        except ValidationError as error:
            self._policies[key[0]].pop(key[1], None)
            self.unreadable_policies[key] = (matching.misfit(error), body)
            self._policies_changed(key[0])
            return
        self.unreadable_policies.pop(key, None)
        self._policies[key[0]][key[1]] = policy
        if before is None or _declared(before) != _declared(policy):
            self._policies_changed(key[0])

    def _take_config(self, body: dict[str, Any]) -> None:
        try:
            config = RemediationConfig.model_validate(body)
        except ValidationError as error:
            self._set_config(None, matching.misfit(error).message)
            return
        trouble = freeze.fault(config.spec.freeze_windows, "spec.freezeWindows")
        self._set_config(None if trouble else config, trouble)

    def _set_config(self, config: RemediationConfig | None, trouble: str) -> None:
        """Keep it, and tell only of a difference: it is read again before every act, and that must wake nobody."""
        before, self.config = self.config, config
        old_trouble, self.config_trouble = self.config_trouble, trouble
        same = (before and _declared(before)) == (config and _declared(config))
        if not same or trouble != old_trouble:
            self._policies_changed("")

    def _take_remediation(self, body: dict[str, Any]) -> None:
        one = Remediation.model_validate(body)
        where = (one.metadata.namespace or "", one.metadata.name)
        key = f"{one.metadata.namespace}/{one.metadata.name}"
        before = self._unlist_remediation(where)
        self._remediations[one.spec.target_ref.uid][key] = one
        self._of[Remediation, *where] = one.spec.target_ref.uid
        self.lending.take(one)
        self._unended.pop(key, None)
        if not one.state.ended:
            self._unended[key] = one
        self.charge(one)
        # Statuses are our own and no news; a person's word, in the spec or in an annotation, is.
        if before is not None and _said(before) != _said(one):
            self._changed(about(one))

    def _unlist_remediation(self, where: _Key) -> Remediation | None:
        uid = self._of.pop((Remediation, *where), "")
        each = self._remediations.get(uid, {})
        found = each.pop("/".join(where), None)
        if not each:
            self._remediations.pop(uid, None)
        return found

    def charge(self, one: Remediation) -> None:
        """Count an action against every budget once it was sent, also before its own record says so, and where nobody can know."""
        at = one.status.executed_at if one.status else None
        if one.status and one.state is RemediationState.OUTCOME_UNKNOWN:
            at = at or one.status.ended_at
        if at is not None:
            self._spend(one.metadata.uid, at, one.metadata.namespace, one.spec.target_ref.uid, one.spec.policy_ref.uid)

    def _take_health(self, body: dict[str, Any]) -> None:
        uid, namespace = body["spec"]["targetRef"]["uid"], body["metadata"].get("namespace", "")
        self._healths[uid] = ((namespace, body["metadata"]["name"]), msgspec.json.encode(body))
        self._of[WorkloadHealth, namespace, body["metadata"]["name"]] = uid
        for one in (body.get("status") or {}).get("lastActions") or ():
            self._spend(one["remediation"], datetime.fromisoformat(one["at"]), namespace, uid, one.get("policyUid", ""))

    def _spend(self, remediation: str | None, at: datetime, namespace: str | None, target: str, policy: str) -> None:
        if remediation:
            self._spent[remediation] = Spent(remediation, at, namespace or "", target, policy)


def target_of(incident: Incident) -> Target:
    """Return the key that an incident is handled under; one without a workload is its own."""
    namespace, ref = incident.metadata.namespace or "", incident.spec.target_ref
    return Target(namespace, ref.kind, ref.name) if ref else Target(namespace, "Incident", incident.metadata.name)


def _said(one: Remediation) -> tuple[Any, ...]:
    return (one.metadata.generation, one.metadata.annotations)


def _declared(one: Policy | RemediationConfig) -> tuple[Any, ...]:
    """Return what a person declares with an object: everything but its status."""
    return (one.metadata.uid, one.metadata.generation, one.metadata.annotations, one.spec)


_TAKE: Final[dict[type[Kind], Callable[[Records, dict[str, Any]], None]]] = {
    Incident: Records._take_incident,  # noqa: SLF001 - the one table of them, in the same module
    RemediationPolicy: Records._take_policy,  # noqa: SLF001
    ClusterRemediationPolicy: Records._take_cluster_policy,  # noqa: SLF001
    RemediationConfig: Records._take_config,  # noqa: SLF001
    Remediation: Records._take_remediation,  # noqa: SLF001
    WorkloadHealth: Records._take_health,  # noqa: SLF001
}
KEPT: Final = tuple(_TAKE)  # the kinds that decisions are made from: read once before the first
