"""How a foreign object becomes facts. Nothing of a page's bytes is kept: what is kept is copied, and what repeats is shared."""

import sys
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, TypedDict

from stopgap.effects import wire
from stopgap.model.template import packed
from stopgap.model.text import abridged
from stopgap.model.workload import Container, End, Flag, Pod, Revision, Workload

MOST_WORDS: Final = 2048
"""Characters kept of why a container waits. A back-off names a long image four times before it says what is wrong."""
_TELLING: Final = frozenset({"ReplicaFailure", "PodScheduled"})
"""Conditions whose message is read. Of the others it would be kept ten thousand times for nobody."""
_READ_ANNOTATIONS: Final = frozenset(
    {
        "deployment.kubernetes.io/revision",
        "stopgap.dev/pause",
        "stopgap.dev/last-action",
        "stopgap.dev/restore",
        "kubernetes.io/change-cause",
        "argocd.argoproj.io/tracking-id",
        "meta.helm.sh/release-name",
        "meta.helm.sh/release-namespace",
        "kustomize.toolkit.fluxcd.io/reconcile",
    }
)


def _flag(conditions: list[wire.Condition], kind: str) -> Flag | None:
    found = next((one for one in conditions if one.type == kind), None)
    if found is None:
        return None
    holds = {"True": True, "False": False}.get(found.status)
    message = found.message if kind in _TELLING else ""
    return Flag(holds, sys.intern(found.reason), message, found.last_transition_time, found.last_update_time)


def _changed_by(managed: list[wire.ManagedFields]) -> str:
    entries = [one for one in managed if not one.subresource and one.manager != "stopgap"]
    return sys.intern(max(entries, key=lambda one: one.time).manager) if entries else ""


@lru_cache(maxsize=1024)
def _shared(annotations: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Keep what most workloads have, their revision and nothing else, once for all of them."""
    return dict(annotations)


class Identity(TypedDict):
    """What is the same about workloads of every kind."""

    namespace: str
    name: str
    uid: str
    version: int
    generation: int
    labels: dict[str, str]
    annotations: dict[str, str]
    controller: str
    changed_by: str
    created: datetime
    deleting: bool


def identity(meta: wire.Meta) -> Identity:
    """Read `metadata` of a workload."""
    owner = wire.controller_of(meta.owner_references)
    return {
        "namespace": sys.intern(meta.namespace),
        "name": meta.name,
        "uid": meta.uid,
        "version": int(meta.resource_version),
        "generation": meta.generation,
        "labels": {sys.intern(key): sys.intern(value) for key, value in meta.labels.items()},
        "annotations": _shared(tuple(sorted(one for one in meta.annotations.items() if one[0] in _READ_ANNOTATIONS))),
        "controller": f"{owner.kind}/{owner.name}" if owner else "",
        "changed_by": _changed_by(meta.managed_fields),
        "created": meta.creation_timestamp,
        "deleting": meta.deletion_timestamp is not None,
    }


def workload(seen: wire.Deployment) -> Workload:
    """Turn a Deployment into facts."""
    spec, status = seen.spec, seen.status
    rolling = spec.strategy.rolling_update
    return Workload(
        **identity(seen.metadata),
        kind="Deployment",
        replicas=spec.replicas,
        paused=spec.paused,
        strategy=sys.intern(spec.strategy.type),
        max_unavailable=rolling.max_unavailable if rolling else ("100%" if spec.strategy.type == "Recreate" else 0),
        min_ready=timedelta(seconds=spec.min_ready_seconds),
        progress_deadline=timedelta(seconds=spec.progress_deadline_seconds),
        template=packed(spec.template),
        observed_generation=status.observed_generation,
        current_replicas=status.replicas,
        updated_replicas=status.updated_replicas,
        ready_replicas=status.ready_replicas,
        available_replicas=status.available_replicas,
        available=_flag(status.conditions, "Available"),
        progressing=_flag(status.conditions, "Progressing"),
        replica_failure=_flag(status.conditions, "ReplicaFailure"),
    )


def revision(seen: wire.ReplicaSet) -> Revision | None:
    """Turn a ReplicaSet into facts; None when no Deployment controls it."""
    meta = seen.metadata
    owner = wire.controller_of(meta.owner_references)
    if owner is None or owner.kind != "Deployment":
        return None
    number = meta.annotations.revision
    return Revision(
        uid=meta.uid,
        name=meta.name,
        owner=sys.intern(owner.uid),
        hash=meta.labels.hash,
        number=int(number) if number.isdigit() else 0,
        created=meta.creation_timestamp,
        wanted=seen.spec.replicas,
        replicas=seen.status.replicas,
        ready=seen.status.ready_replicas,
        available=seen.status.available_replicas,
        forbids_rollback=seen.spec.template.metadata.annotations.rollback == "Forbidden",
        replica_failure=_flag(seen.status.conditions, "ReplicaFailure"),
    )


def revision_label(kind: str) -> str:
    """Return the label by which the pods of a workload say which revision they are of."""
    return "pod-template-hash" if kind == "Deployment" else "controller-revision-hash"


def is_well(seen: wire.PodObject) -> bool:
    """Whether there is nothing to remember about a pod: ready, never restarted, and staying."""
    status = seen.status
    if seen.metadata.deletion_timestamp is not None or status.phase != "Running":
        return False
    # Not the containers' readiness alone: readiness gates and a lost node make a pod unready whose containers are all ready.
    if not any(one.type == "Ready" and one.status == "True" for one in status.conditions):
        return False
    return all(one.ready and one.restart_count == 0 for one in status.container_statuses) and all(
        one.restart_count == 0 for one in status.init_container_statuses
    )


def pod(seen: wire.PodObject, owner: str) -> Pod:
    """Turn a pod into facts."""
    meta, status = seen.metadata, seen.status
    ready, scheduled = _flag(status.conditions, "Ready"), _flag(status.conditions, "PodScheduled")
    disrupted = _flag(status.conditions, "DisruptionTarget")
    unplaced = scheduled is not None and scheduled.holds is False and scheduled.reason == "Unschedulable"
    return Pod(
        uid=meta.uid,
        name=meta.name,
        owner=owner,
        node=sys.intern(seen.spec.node_name),
        phase=sys.intern(status.phase),
        created=meta.creation_timestamp,
        started=status.start_time,
        leaving=meta.deletion_timestamp is not None or bool(disrupted and disrupted.holds),
        ready=bool(ready and ready.holds),
        ready_since=ready.since if ready and ready.holds else None,
        unschedulable=scheduled.message if unplaced and scheduled else "",
        containers=(
            *(_container(one, init=True) for one in status.init_container_statuses),
            *(_container(one, init=False) for one in status.container_statuses),
        ),
    )


def _container(seen: wire.ContainerStatus, *, init: bool) -> Container:
    waiting, running = seen.state.waiting, seen.state.running
    return Container(
        name=sys.intern(seen.name),
        image=sys.intern(seen.image),
        image_id=seen.image_id,
        init=init,
        ready=seen.ready,
        restarts=seen.restart_count,
        waiting=sys.intern(waiting.reason) if waiting else "",
        waiting_message=abridged(waiting.message, MOST_WORDS) if waiting else "",
        waiting_since=None,
        running_since=running.started_at if running else None,
        ended=_end(seen.state.terminated),
        last_ended=_end(seen.last_state.terminated),
    )


def _end(ended: wire.Ended | None) -> End | None:
    return End(ended.exit_code, sys.intern(ended.reason), ended.started_at, ended.finished_at) if ended else None
