"""Whom an alert is about: its labels name a workload, a pod, a service or a container. A name is looked up, never read as a path."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, get_args

import msgspec

from stopgap.effects import wire
from stopgap.effects.errors import Forbidden, NotFound
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, collection
from stopgap.effects.tokens import Credential
from stopgap.model.base import Permission
from stopgap.model.refs import Target, TargetRef
from stopgap.model.template import Template
from stopgap.model.text import plain

PERMISSIONS: Final = (Permission("", ("services",), ("list",), "find the workload behind the service that an alert names"),)

_KINDS: Final = {
    label: kind
    for label, kind in (("deployment", "Deployment"), ("statefulset", "StatefulSet"), ("daemonset", "DaemonSet"))
    if kind in get_args(TargetRef.model_fields["kind"].annotation)
}
"""Labels that name a workload, as kube-state-metrics and the common rules write them, for the kinds that can be a target."""
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Addressee:
    """Where an alert belongs: to a workload, or into a namespace as a mere record."""

    namespace: str
    target: Target | None = None
    why: str = ""
    """Why it is a record only, for people."""


class _Pod(msgspec.Struct):
    metadata: wire.SmallMeta


class _Pods(msgspec.Struct):
    items: list[_Pod]


class _ServiceSpec(msgspec.Struct):
    selector: dict[str, str] | None = None


class _Service(msgspec.Struct):
    spec: _ServiceSpec


class _Services(msgspec.Struct):
    items: list[_Service]


class Addressees:
    """Finds the workload that an alert is about. `namespaces`: those of a namespaced installation; empty: all."""

    def __init__(self, kube: Kube, index: Index, *, namespaces: tuple[str, ...], records: str) -> None:
        self._kube = kube
        self._index = index
        self._namespaces = namespaces
        self._records = records

    def home(self, labels: Mapping[str, str], who: Credential) -> str:
        """Return the namespace that an alert names, if it may, or where records are kept that are about nothing known."""
        named = labels.get("namespace", "")
        return named if self._may(named, who) else self.records(who)

    def records(self, who: Credential) -> str:
        """Return where the records of a sender are kept: who is bound to namespaces leaves nothing anywhere else."""
        within = [one for one in who.namespaces if not self._namespaces or one in self._namespaces]
        return self._records if not who.namespaces else next(iter(within), "")

    async def of(self, labels: Mapping[str, str], who: Credential) -> Addressee:
        """Return whom an alert is about. Raises a KubeError where that could not be asked."""
        named = labels.get("namespace", "")
        if not named:
            return Addressee(self.records(who), why="it has no label namespace")
        if not self._may(named, who):
            return Addressee(self.records(who), why=f"it names namespace {plain(named, 63)!r}, which its sender may not")
        target = self._workload(named, labels)
        if target is None:
            target = await self._of_pod(named, labels) or await self._of_service(named, labels) or self._of_container(named, labels)
        if target is None:
            return Addressee(self.records(who), why=f"its labels name no workload in {named} that is known (deployment, pod, service, …)")
        return Addressee(named, target)

    def _may(self, namespace: str, who: Credential) -> bool:
        fits = _NAMESPACE.fullmatch(namespace) is not None and who.may_name(namespace)
        return fits and (not self._namespaces or namespace in self._namespaces)

    def _known(self, namespace: str, kind: str, name: str) -> Target | None:
        target = Target(namespace, kind, name)
        return target if self._index.workload(target) is not None else None

    def _workload(self, namespace: str, labels: Mapping[str, str]) -> Target | None:
        named = ((kind, labels[label]) for label, kind in _KINDS.items() if label in labels)
        return next((found for kind, name in named if (found := self._known(namespace, kind, name))), None)

    async def _of_pod(self, namespace: str, labels: Mapping[str, str]) -> Target | None:
        name = labels.get("pod", "") or labels.get("pod_name", "")
        if not _NAME.fullmatch(name):
            return None
        raw = await self._asked(namespace, "pods", name)
        for pod in msgspec.json.decode(raw, type=_Pods).items if raw else ():
            owner = wire.controller_of(pod.metadata.owner_references)
            if owner is not None and owner.kind == "ReplicaSet":
                return self._index.owner(owner.uid)
            return self._known(namespace, owner.kind, owner.name) if owner else None
        return self._of_gone_pod(namespace, name)

    def _of_gone_pod(self, namespace: str, name: str) -> Target | None:
        """A pod that is gone already still names its ReplicaSet, and by that its Deployment."""
        workload, _, rest = name.rpartition("-")[0].rpartition("-")
        target = self._known(namespace, "Deployment", workload)
        revisions = self._index.observe(target, synced=True).revisions if target else ()
        return target if any(one.hash == rest for one in revisions) else None

    async def _of_service(self, namespace: str, labels: Mapping[str, str]) -> Target | None:
        name = labels.get("service", "")
        if not _NAME.fullmatch(name):
            return None
        raw = await self._asked(namespace, "services", name)
        listed = msgspec.json.decode(raw, type=_Services).items if raw else []
        selector = listed[0].spec.selector if listed else None
        return self._only(namespace, lambda template: selector.items() <= template.labels.items()) if selector else None

    def _of_container(self, namespace: str, labels: Mapping[str, str]) -> Target | None:
        name = labels.get("container", "")
        return self._only(namespace, lambda template: name in template.containers) if name else None

    def _only(self, namespace: str, fits: Callable[[Template], bool]) -> Target | None:
        """Return the workload whose template fits, if there is exactly one: of several, none is meant for certain."""
        found = [work.target for work in self._index.workloads() if work.namespace == namespace and fits(Template.unpacked(work.template))]
        return found[0] if len(found) == 1 else None

    async def _asked(self, namespace: str, plural: str, name: str) -> bytes:
        # A list of one, for which the right to watch is enough: no further right to read single objects is needed.
        try:
            return await self._kube.get(collection("v1", plural, namespace), {"fieldSelector": f"metadata.name={name}"})
        except (NotFound, Forbidden):
            return b""
