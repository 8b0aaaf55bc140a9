"""The first sight of a workload in the middle of a rollout: whether the revisions that it leaves were healthy.

Their beginning was not seen, so one live LIST of each such revision's pods tells: for how long have they been Ready, without a restart?
"""

from datetime import datetime
from typing import Final

import msgspec

from stopgap.core.case import Case
from stopgap.effects import facts, wire
from stopgap.effects.errors import KubeError
from stopgap.effects.index import Index
from stopgap.effects.kube import Kube, collection
from stopgap.effects.live import LiveReads
from stopgap.model.template import Template
from stopgap.model.workload import Revision, Stint, Workload

MOST_PODS: Final = "500"


class _Pods(msgspec.Struct):
    items: list[wire.PodObject]


class FirstSight:
    """Looks once at each workload that is found in trouble and about which nothing is remembered."""

    def __init__(self, kube: Kube, index: Index, live: LiveReads) -> None:
        self._kube = kube
        self._index = index
        self._live = live
        self._looked: set[tuple[str, str]] = set()

    async def look(self, case: Case) -> bool:
        """Look where it is needed; say whether something was learned. A failed look is repeated at the next occasion."""
        work, newest = case.seen.workload, case.seen.newest
        if work is None or newest is None or case.policy is None or not case.seen.synced or work.rolled_out:
            return False
        known = {one.replica_set_uid for one in case.health.known_good} | {one.replica_set for one in case.seen.stints}
        older = [one for one in case.seen.revisions if one.uid != newest.uid and one.replicas > 0 and one.uid not in known]
        unseen = [one for one in older if (one.uid, newest.uid) not in self._looked]
        if not unseen:
            return False
        self._index.mark_rollout(work.uid)
        stints = [stint for one in unseen if (stint := await self._judge(work, one, newest, case.now))]
        self._index.add_stints(work.uid, tuple(stints))
        return bool(stints)

    async def _judge(self, work: Workload, revision: Revision, newest: Revision, now: datetime) -> Stint | None:
        params = {"labelSelector": f"{facts.revision_label(work.kind)}={revision.hash}", "limit": MOST_PODS}
        try:
            raw = await self._kube.get(collection("v1", "pods", work.namespace), params)
            template = await self._live.template(work.target, revision.name)
        except KubeError:
            return None
        self._looked.add((revision.uid, newest.uid))
        pods = [one for one in msgspec.json.decode(raw, type=_Pods).items if _belongs(one, revision)]
        since = _ready_since(pods)
        if since is None or template is None:
            return None
        return _stint(revision, template, pods, since, now)


def _belongs(pod: wire.PodObject, revision: Revision) -> bool:
    owner = wire.controller_of(pod.metadata.owner_references)
    # A ReplicaSet controls its pods; a ControllerRevision leaves that to its workload, and the label has told which pods are its own.
    return owner is not None and owner.uid in {revision.uid, revision.owner} and pod.metadata.deletion_timestamp is None


def _ready_since(pods: list[wire.PodObject]) -> datetime | None:
    """Since when every one of the pods has been Ready without a restart; None where one is not, or where there are none."""
    known = [facts.pod(one, "") for one in pods]
    ends = [one.last_ended.finished for pod in known for one in pod.containers if not one.init and one.last_ended]
    since = [pod.ready_since for pod in known]
    times = [one for one in (*since, *ends) if one is not None]
    return max(times) if known and None not in since and None not in ends else None


def _stint(revision: Revision, template: Template, pods: list[wire.PodObject], since: datetime, now: datetime) -> Stint:
    ids = {one.name: one.image_id for pod in pods[:1] for one in pod.status.container_statuses}
    return Stint(revision.uid, template.digest, revision.number, since, now, template.containers, ids)
