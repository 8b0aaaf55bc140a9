"""Writes the records: incidents, remediations, the memory of workloads, and Events. Each own write is folded in from its reply."""

from contextlib import aclosing
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel

from stopgap.api import ClusterRemediationPolicy, Incident, Remediation, RemediationPolicy, WorkloadHealth
from stopgap.api.clusterpolicy import Policy
from stopgap.api.health import WorkloadHealthSpec, WorkloadHealthStatus
from stopgap.api.incident import CLOSED_LABEL, TARGET_UID_LABEL, UNTOLD_LABEL, IncidentSpec, IncidentStatus
from stopgap.api.policy import PolicyStatus
from stopgap.api.remediation import RemediationSpec, RemediationState, RemediationStatus
from stopgap.core.case import Notice
from stopgap.effects import events
from stopgap.effects.errors import Conflict, Invalid, KubeError, NotFound, Unanswered
from stopgap.effects.events import beginning
from stopgap.effects.kube import Kube, PatchKind, collection, item
from stopgap.effects.records import Records
from stopgap.model.base import API_VERSION, Kind
from stopgap.model.refs import TargetUidRef
from stopgap.model.workload import Workload

INCIDENT_LABEL: Final = "stopgap.dev/incident"
MOST_NUMBERS: Final = 50

KindT = TypeVar("KindT", bound=Kind)


class Recorder:
    """Writes our own kinds."""

    def __init__(self, kube: Kube, records: Records, identity: str) -> None:
        self._kube = kube
        self._records = records
        self.identity = identity[:128]

    async def open(self, announced: Incident, number: int) -> tuple[Incident, bool]:
        """Create the n-th incident of a workload, or adopt the one that says the same. Returns it, and whether it is new.

        Another one of that name makes it take the next number.
        """
        namespace, spec = announced.metadata.namespace or "", announced.spec
        workload = spec.target_ref.name if spec.target_ref else ""
        for attempt in range(MOST_NUMBERS):
            if attempt == 1:
                # The memory of numbers was lost with an earlier workload of this name; its incidents are still there.
                number = max(number, await self._highest_number(namespace, workload))
            name = numbered(workload, number + attempt)
            try:
                return await self._create(Incident, namespace, name, spec, announced.metadata.labels), True
            except Conflict:
                found = await self._read(Incident, namespace, name)
                if found and found.spec.source.fingerprint == spec.source.fingerprint and not is_closed(found):
                    return found, False
        raise RuntimeError(f"no free name for an incident of {workload} in {namespace} from {numbered(workload, number)} on")

    async def report(self, namespace: str, name: str, spec: IncidentSpec) -> tuple[Incident, bool]:
        """Create the incident of an alert; the same alert has the same name. Returns it, and whether it is new; Conflict: it just went."""
        try:
            return await self._create(Incident, namespace, name, spec, {}), True
        except Conflict:
            if (found := await self._read(Incident, namespace, name)) is None:
                raise
            return found, False

    async def reread(self, known: KindT) -> KindT | None:
        """Read an object of ours again, after a write to it lost a race; None: it is gone."""
        where = known.metadata.namespace or "", known.metadata.name
        if (found := await self._read(type(known), *where)) is None:
            self._records.drop(type(known), *where)
        return found

    async def _highest_number(self, namespace: str, workload: str) -> int:
        listed = msgspec.json.decode(await self._kube.get(collection(API_VERSION, Incident.plural, namespace)))["items"]
        tails = [one["metadata"]["name"].removeprefix(f"{beginning(workload, 240)}-") for one in listed]
        return max((int(tail) for tail in tails if tail.isdigit()), default=0)

    async def intend(self, work: Workload, spec: RemediationSpec) -> tuple[Remediation, bool]:
        """Record the intent. Returns it, and whether it is new: one that was there may have been carried out already."""
        labels = {INCIDENT_LABEL: spec.incident_ref.uid, TARGET_UID_LABEL: work.uid}
        for sequence in range(1, MOST_NUMBERS):
            name = f"{beginning(work.name, 200)}-{work.uid[:8]}-g{spec.generation}-{sequence}"
            try:
                return await self._create(Remediation, work.namespace, name, spec, labels), True
            except Conflict:
                found = await self._read(Remediation, work.namespace, name)
                if found and _same_intent(found.spec, spec) and not found.state.ended:
                    return found, False
        raise RuntimeError(f"no free name for a remediation of {work.target} at generation {spec.generation}")

    async def record_of(self, namespace: str, uid: str) -> Remediation | None:
        """Return the Remediation of this UID where there is one, whatever was heard of it so far."""
        # Not by the label of a workload: another one of its name may be there by now.
        async with aclosing(self._kube.items(collection(API_VERSION, Remediation.plural, namespace))) as listed:
            async for raw in listed:
                body = msgspec.json.decode(raw)
                if body["metadata"]["uid"] == uid:
                    # In a list, an object does not say what it is.
                    return Remediation.model_validate({**body, "apiVersion": API_VERSION, "kind": Remediation.__name__})
        return None

    async def incident(self, incident: Incident, status: IncidentStatus) -> Incident:
        """Write an incident's status."""
        return await self._status(incident, status)

    async def close(self, incident: Incident, *, untold: bool = False) -> Incident:
        """Label an incident as over: from then on it is not watched. `untold`: somebody outside the cluster has still to hear of it."""
        path = item(API_VERSION, Incident.plural, incident.metadata.name, namespace=incident.metadata.namespace)
        body = {"metadata": {"labels": {CLOSED_LABEL: "true", UNTOLD_LABEL: "true" if untold else None}}}
        return self._take(Incident, await self._kube.patch(path, body, how=PatchKind.MERGE))

    async def remediation(self, remediation: Remediation, status: RemediationStatus) -> Remediation:
        """Write a remediation's status."""
        return await self._status(remediation, status)

    async def health(self, work: Workload, status: WorkloadHealthStatus) -> None:
        """Write what is remembered about a workload; the object is made at the first thing worth remembering."""
        known = self._records.health(work.uid)
        if known is None:
            known = await self._make_health(work)
        await self._status(known, status)

    async def policy(self, policy: Policy | dict[str, Any], status: PolicyStatus) -> None:
        """Write what we make of a policy, also of one that does not fit our model."""
        if not isinstance(policy, dict):
            await self._status(policy, status)
            return
        meta = policy["metadata"]
        kind = RemediationPolicy if meta.get("namespace") else ClusterRemediationPolicy
        path = item(API_VERSION, kind.plural, meta["name"], namespace=meta.get("namespace"), subresource="status")
        raw = await self._kube.patch(path, replacing_status(meta["resourceVersion"], status), how=PatchKind.JSON)
        self._records.take(kind, msgspec.json.decode(raw))

    async def event(self, regarding: Kind | Workload | dict[str, Any], notice: Notice, now: datetime) -> None:
        """Post one Event. Its name is made of what it says, so that saying it twice posts it once."""
        body = events.written(events.reference(regarding), notice, now, by=self.identity)
        try:
            await self._kube.create(collection("events.k8s.io/v1", "events", body["metadata"]["namespace"]), body)
        except Conflict:
            return

    async def _make_health(self, work: Workload) -> WorkloadHealth:
        spec = WorkloadHealthSpec(target_ref=TargetUidRef(kind=work.kind, name=work.name, uid=work.uid))
        name = f"{beginning(work.name, 230)}-{work.uid[:8]}"
        owner = {"apiVersion": "apps/v1", "kind": work.kind, "name": work.name, "uid": work.uid}
        try:
            return await self._create(WorkloadHealth, work.namespace, name, spec, {TARGET_UID_LABEL: work.uid}, owners=[owner])
        except Conflict:
            found = await self._read(WorkloadHealth, work.namespace, name)
            if found is None:
                raise
            return found

    async def _create(  # noqa: PLR0913 - the parts of an object
        self,
        kind: type[KindT],
        namespace: str,
        name: str,
        spec: BaseModel,
        labels: dict[str, str],
        *,
        owners: list[dict[str, Any]] | None = None,
    ) -> KindT:
        meta: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels}
        if owners:
            meta["ownerReferences"] = owners
        body = {"apiVersion": API_VERSION, "kind": kind.__name__, "metadata": meta, "spec": dumped(spec)}
        return self._take(kind, await self._kube.create(collection(API_VERSION, kind.plural, namespace), body))

    async def _read(self, kind: type[KindT], namespace: str, name: str) -> KindT | None:
        try:
            return self._take(kind, await self._kube.get(item(API_VERSION, kind.plural, name, namespace=namespace)))
        except NotFound:
            return None

    async def _status(self, stored: KindT, status: BaseModel) -> KindT:
        meta = stored.metadata
        path = item(API_VERSION, stored.plural, meta.name, namespace=meta.namespace, subresource="status")
        try:
            raw = await self._kube.patch(path, replacing_status(meta.resource_version, status), how=PatchKind.JSON)
        except (Invalid, Conflict, Unanswered) as error:
            return await self._found(stored, status, error)
        return self._take(type(stored), raw)

    async def _found(self, stored: KindT, status: BaseModel, error: KubeError) -> KindT:
        """Read once what is stored after all, so that nothing waits for the watch to tell."""
        found = await self._read(type(stored), stored.metadata.namespace or "", stored.metadata.name)
        # Who may carry out an action is settled by the write itself: another copy may have written the very same.
        claim = isinstance(status, RemediationStatus) and status.state is RemediationState.PENDING
        if found is None or claim or found.metadata.uid != stored.metadata.uid or _written(found) != dumped(status):
            raise error
        return found

    def _take(self, kind: type[KindT], raw: bytes) -> KindT:
        body = msgspec.json.decode(raw)
        self._records.take(kind, body)
        return kind.model_validate(body)


def _written(found: Kind) -> dict[str, Any] | None:
    status = getattr(found, "status", None)
    return dumped(status) if isinstance(status, BaseModel) else None


def dumped(model: BaseModel) -> dict[str, Any]:
    """Return a model as it stands in a manifest: nothing that is empty, for a reader has to skip it."""
    body: dict[str, Any] = _filled(model.model_dump(mode="json", by_alias=True, exclude_none=True))
    return body


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(one) for one in value]
    if isinstance(value, dict):
        # metav1.Condition requires its message, even an empty one.
        return {
            key: _filled(one)
            for key, one in value.items()
            if one not in ("", [], {}) or (key == "message" and "lastTransitionTime" in value)
        }
    return value


def numbered(workload: str, number: int) -> str:
    """Return the name of a workload's n-th incident."""
    return f"{beginning(workload, 240)}-{number}"


def is_closed(incident: Incident) -> bool:
    """Whether an incident is over."""
    return incident.metadata.labels.get(CLOSED_LABEL) == "true"


def _same_intent(found: RemediationSpec, wanted: RemediationSpec) -> bool:
    there, planned = found.plan.outside, wanted.plan.outside
    if there is None or planned is None:
        return there is planned and _end_state(found) == _end_state(wanted)
    # What was listed a moment later differs in its figures only.
    return _end_state(found) == _end_state(wanted) and there.deed.stands_for(planned.deed)


def _end_state(spec: RemediationSpec) -> tuple[object, ...]:
    plan, target = spec.plan, spec.target_ref.uid
    return (spec.incident_ref.uid, target, spec.step, plan.field, plan.to_digest, plan.before, plan.ours, plan.scaler)


def replacing_status(version: str | None, status: BaseModel) -> list[dict[str, Any]]:
    """Replace the whole status at once, tested against the version it was derived from: a lost race is seen, and decided afresh."""
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status", "value": dumped(status)},
    ]
