"""The live reads beside the opening of an incident: what must not be taken from an index before something is changed."""

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from stopgap.api.ladder import Mode
from stopgap.core import owners, pausing
from stopgap.core.case import Case, Reads
from stopgap.effects import revised
from stopgap.effects.ahead import ReadAhead
from stopgap.effects.databases import Databases
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import Kube, item
from stopgap.effects.records import Records
from stopgap.effects.rights import Rights
from stopgap.effects.scalers import RESOURCES, Scalers, Scaling
from stopgap.effects.standing import Standings
from stopgap.effects.written import PLURALS
from stopgap.model.base import Permission
from stopgap.model.database import Listing, Wanted
from stopgap.model.merging import Json
from stopgap.model.observation import Live, Pausable
from stopgap.model.patch import ObjectAt
from stopgap.model.query import Silence
from stopgap.model.refs import Target
from stopgap.model.template import Template
from stopgap.model.workload import Workload

PERMISSIONS: Final = (
    Permission("apps", ("deployments", "replicasets"), ("get", "list", "watch"), "watch rollouts, and read the older template"),
    Permission(
        "apps",
        ("statefulsets", "daemonsets", "controllerrevisions"),
        ("get", "list", "watch"),
        "watch rollouts, and read the older template",
    ),
    Permission("", ("pods",), ("list", "watch"), "count exits, and see who is ready"),
    Permission("", ("namespaces",), ("get",), "see a pause annotation"),
    Permission("", ("serviceaccounts", "persistentvolumeclaims"), ("get",), "see whether what the older template needs is there"),
    Permission("argoproj.io", ("applications",), ("get",), "see whether Argo CD would undo a change"),
    Permission("kustomize.toolkit.fluxcd.io", ("kustomizations",), ("get",), "see whether Flux would undo a change"),
    Permission("helm.toolkit.fluxcd.io", ("helmreleases",), ("get",), "see whether Flux would undo a change"),
)

MOST_TEMPLATES: Final = 3
"""Of so many older revisions the templates are read beforehand."""
OBJECT_WITHIN: Final = 1.0
"""Seconds for which a decision waits for another object that a step would patch."""

_REFERENCES: Final = {
    "configmap": "configmaps",
    "secret": "secrets",
    "persistentvolumeclaim": "persistentvolumeclaims",
    "serviceaccount": "serviceaccounts",
}
_OWNER_PATHS: Final = {
    owners.OwnerKind.ARGO_CD: pausing.OWNERS["Application"],
    owners.OwnerKind.FLUX_KUSTOMIZATION: pausing.OWNERS["Kustomization"],
    owners.OwnerKind.FLUX_HELM_RELEASE: pausing.OWNERS["HelmRelease"],
}


class _Templated(msgspec.Struct):
    template: dict[str, Any]


class _ReplicaSet(msgspec.Struct):
    spec: _Templated


class _ControllerRevision(msgspec.Struct):
    data: msgspec.Raw


class LiveReads:
    """Reads what a decision to act must not take from memory."""

    def __init__(  # noqa: PLR0913 - whom it asks
        self, kube: Kube, records: Records, rights: Rights, *, databases: Databases, own_namespace: str, argocd_namespace: str
    ) -> None:
        self._kube = kube
        self._rights = rights
        self._databases = databases
        self._scalers = Scalers(kube)
        self._argocd_namespace = argocd_namespace
        self._ahead = ReadAhead()
        self._standings = Standings(kube, records, self._ahead, own_namespace=own_namespace)

    def expect(self, case: Case) -> None:
        """A rollout under a policy that acts may need an action soon: learn meanwhile whether we may."""
        work, policy, seen = case.seen.workload, case.policy, case.seen
        if work is None or policy is None or work.rolled_out or policy.spec.mode is Mode.OBSERVE:
            return
        self._rights.ask_ahead(work.namespace, PLURALS[work.kind])
        if not any(one.restarts or one.ended for pod in seen.pods for one in pod.containers):
            return
        # Its containers end: it may be proved bad within moments.
        self._standings.expect(work.namespace, policy)
        known = {one.replica_set_uid for one in case.health.known_good} | {one.uid for one in seen.revisions[1:2]}
        for name in [one.name for one in seen.revisions if one.uid in known][:MOST_TEMPLATES]:
            self._ahead.expect(_about_revision(work.target, name), partial(self.template, work.target, name))

    async def quick(self, case: Case, reads: Reads) -> Live | None:
        """Read only the templates, where memory says that nothing else will differ; the rest is confirmed beside the intent.

        None where something else has to be known before an intent is stored: who owns the workload, what scales it, whether we may, or
        whether what the older template needs is there.
        """
        work, present = case.seen.workload, case.seen.template
        if (
            work is None
            or present is None
            or reads.scaler
            or reads.needs
            or reads.lists
            or reads.objects
            or owners.owner(work) is not None
            or not self._rights.known(work.namespace, PLURALS[work.kind])
        ):
            return None
        templates = await self._templates(work.target, _names(case, reads))
        if any(one.references - present.references for one in templates.values()):
            return None
        return Live(templates=templates, namespace_annotations={}, replica_sets=reads.replica_sets, confirmed=False)

    async def confirm(self, case: Case, live: Live) -> Live:
        """Read what a quick reading has left out."""
        if live.confirmed:
            return live
        standing = await self._standings.of(case)
        return replace(
            live,
            namespace_annotations=standing.annotations,
            policy_current=standing.policy_current,
            config_readable=standing.config_readable,
            confirmed=True,
        )

    async def read(self, case: Case, reads: Reads) -> Live:
        """Read everything at once; only the objects that the older template needs in addition come after it."""
        work = case.seen.workload
        if work is None:
            raise ValueError(f"{case.seen.target} has no workload to read about")
        scaling, standing, templates, (ownership, pausable), may_patch, (rights, objects, listings) = await asyncio.gather(
            self._scaling(work, wanted=reads.scaler),
            self._standings.of(case),
            self._templates(work.target, _names(case, reads)),
            self._ownership(work),
            self._rights.may_patch(work.namespace, resource=PLURALS[work.kind]),
            asyncio.gather(
                self._rights.of(work.namespace, reads.needs),
                self._objects(work.namespace, reads.objects),
                self._listings(reads.lists),
            ),
        )
        scaler = scaling.scaler if scaling else None
        return Live(
            templates=templates,
            namespace_annotations=standing.annotations,
            missing=await self._missing(case, templates),
            owner=ownership.message if ownership and ownership.reconciles else "",
            pausable=pausable,
            drifting_owner=ownership.message if ownership and not ownership.reconciles else "",
            may_patch=may_patch,
            rights=rights,
            listings=listings,
            objects=objects,
            replica_sets=reads.replica_sets,
            scaler=scaler,
            scaler_known=scaling is not None,
            may_patch_scaler=scaler is None or await self._rights.may_patch(work.namespace, *RESOURCES[scaler.kind]),
            disruption_floor=scaling.disruption_floor if scaling else 0,
            policy_current=standing.policy_current,
            config_readable=standing.config_readable,
        )

    async def _objects(self, namespace: str, wanted: Collection[ObjectAt]) -> dict[ObjectAt, Json | Silence | None]:
        async def one(at: ObjectAt) -> Json | Silence | None:
            # Whoever serves or converts such an object may be down or slow: the other steps do not wait for it, or fail with it.
            try:
                async with asyncio.timeout(OBJECT_WITHIN):
                    raw = await self._kube.get(item(at.api_version, at.resource, at.name, namespace=namespace))
            except (NotFound, Forbidden):
                return None
            except TimeoutError:
                return Silence("no answer in time", theirs=True)
            except KubeError as error:
                return Silence(f"{error.status or 'no answer'}", theirs=True)
            body: Json = msgspec.json.decode(raw)
            return body

        return dict(zip(wanted, await asyncio.gather(*(one(at) for at in wanted)), strict=True))

    async def _scaling(self, work: Workload, *, wanted: bool) -> Scaling | None:
        return await self._scalers.read(work) if wanted else None

    async def _listings(self, wanted: frozenset[Wanted]) -> dict[Wanted, Listing | Silence]:
        found = await asyncio.gather(*(self._databases.listing(one) for one in wanted))
        return dict(zip(wanted, found, strict=True))

    async def template(self, target: Target, name: str) -> Template | None:
        """Read the template of one revision of a workload, by the name of its ReplicaSet or ControllerRevision; None when it is gone."""
        plural = "replicasets" if target.kind == "Deployment" else "controllerrevisions"
        try:
            raw = await self._kube.get(item("apps/v1", plural, name, namespace=target.namespace))
        except NotFound:
            return None
        if target.kind != "Deployment":
            return revised.template_of(msgspec.json.decode(raw, type=_ControllerRevision).data)
        return Template.read(msgspec.json.decode(raw, type=_ReplicaSet).spec.template)

    async def _template(self, target: Target, name: str) -> Template | None:
        # What was asked beforehand is good enough, unless it says that there is none.
        read = partial(self.template, target, name)
        return await self._ahead.take(_about_revision(target, name), read) or await read()

    async def _templates(self, target: Target, names: dict[str, str]) -> dict[str, Template]:
        found = await asyncio.gather(*(self._template(target, name) for name in names.values()))
        return {uid: template for uid, template in zip(names, found, strict=True) if template is not None}

    async def _ownership(self, work: Workload) -> tuple[owners.Ownership | None, Pausable | None]:
        found = owners.owner(work)
        if found is None or found.kind not in _OWNER_PATHS:
            return None, None
        version, plural = _OWNER_PATHS[found.kind]
        namespace = found.namespace or self._argocd_namespace
        body = await self.owner(found)
        ownership = owners.judge(found, work, body)
        if body is None or ownership is None or not ownership.reconciles:
            return ownership, None
        meta, kind, group = body["metadata"], str(body["kind"]), version.partition("/")[0]
        may_patch = await self._rights.may_patch(namespace, group, plural)
        before = json.dumps(pausing.value(kind, body))
        return ownership, Pausable(version, kind, namespace, meta["name"], meta["uid"], before, ownership.parent, may_patch)

    async def owner(self, found: owners.Owner) -> dict[str, Any] | None:
        """Read the object of a tool that deploys a workload; None where it has none, or where that cannot be read."""
        if found.kind not in _OWNER_PATHS:
            return None
        version, plural = _OWNER_PATHS[found.kind]
        try:
            path = item(version, plural, found.name, namespace=found.namespace or self._argocd_namespace)
            body: dict[str, Any] = msgspec.json.decode(await self._kube.get(path))
        except (KubeError, ValueError):
            # Anybody may write the mark, also with a name that no object can have.
            return None
        return body

    async def _missing(self, case: Case, templates: dict[str, Template]) -> tuple[str, ...]:
        # What the present template needs too would be missing for it as well; only what the older ones need in addition is looked up.
        now = case.seen.template.references if case.seen.template else frozenset()
        wanted = sorted({one for template in templates.values() for one in template.references} - now)
        states = await asyncio.gather(*(self._is_there(case.seen.target.namespace, one) for one in wanted))
        return tuple(one for one, there in zip(wanted, states, strict=True) if not there)

    async def _is_there(self, namespace: str, reference: str) -> bool:
        """Say whether it exists. What may not be looked at (such as `secrets`) is not called missing."""
        kind, _, name = reference.partition("/")
        try:
            await self._kube.get(item("v1", _REFERENCES[kind], name, namespace=namespace))
        except NotFound:
            return False
        except Forbidden:
            pass
        return True


def _names(case: Case, reads: Reads) -> dict[str, str]:
    return {one.uid: one.name for one in case.seen.revisions if one.uid in reads.replica_sets}


def _about_revision(target: Target, name: str) -> tuple[str, ...]:
    return (target.kind, target.namespace, name)
