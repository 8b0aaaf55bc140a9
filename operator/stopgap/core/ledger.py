"""The ledger of exits: which ends of which containers have been seen, each counted once.

Pure: the watch index keeps the ledger and asks these functions what a new state of a pod adds to it.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from stopgap.model.workload import Container, Exit, Pod

MOST_KEPT = 200
"""Exits kept for each ReplicaSet; older ones go first."""


def new_exits(before: Pod | None, pod: Pod, now: datetime) -> Iterator[Exit]:
    """Yield what this state of a pod adds to the state seen before it.

    Exit number n of a container is the one that restart n followed: `lastState.terminated` is exit `restartCount`, and
    `state.terminated` is exit `restartCount + 1`. Init containers that end well do not count.
    """
    if pod.leaving:
        return
    known = {one.name: one for one in before.containers} if before else {}
    for container in pod.containers:
        yield from _of_container(pod, container, known.get(container.name), now)


def _of_container(pod: Pod, container: Container, before: Container | None, now: datetime) -> Iterator[Exit]:
    if before is None:
        yield from _missed(pod, container, 0, pod.started or pod.created)
    else:
        counted = before.restarts + (1 if before.ended else 0)
        proofs = [end.finished for end in (before.ended, before.last_ended) if end and end.finished]
        yield from _missed(pod, container, counted, max([*proofs, *([before.running_since] if before.running_since else [])], default=now))
    counted = before.restarts + bool(before.ended) if before else 0
    if container.last_ended and container.restarts > counted:
        yield _exit(pod, container, container.restarts, container.last_ended.finished or now)
    known = before is not None and before.ended is not None and before.restarts == container.restarts
    if container.ended and not known and not (container.init and container.ended.code == 0):
        yield _exit(pod, container, container.restarts + 1, container.ended.finished or now)


def _missed(pod: Pod, container: Container, counted: int, earliest: datetime) -> Iterator[Exit]:
    """Exits between two looks, of which nothing is left but the count: dated as early as they can have been, so never too new."""
    last = container.last_ended
    limit = min(earliest, last.finished) if last and last.finished else earliest
    for ordinal in range(max(counted + 1, container.restarts - MOST_KEPT + 1), container.restarts):
        yield _exit(pod, container, ordinal, limit)


def _exit(pod: Pod, container: Container, ordinal: int, at: datetime) -> Exit:
    end = container.ended if ordinal > container.restarts else container.last_ended
    return Exit(
        pod_uid=pod.uid,
        pod=pod.name,
        node=pod.node,
        container=container.name,
        init=container.init,
        ordinal=ordinal,
        at=at,
        code=end.code if end else -1,
        reason=end.reason if end else "",
    )


def dated(before: Pod | None, pod: Pod, now: datetime) -> Pod:
    """Carry over since when each container waits: its own status does not say.

    The pull errors alternate (ErrImagePull, ImagePullBackOff), so that changing between two waits does not start the clock again.
    """
    known = {one.name: one for one in before.containers} if before else {}
    containers = []
    for one in pod.containers:
        old = known.get(one.name)
        since = (old.waiting_since if old and old.waiting else None) or now
        containers.append(msgspec.structs.replace(one, waiting_since=since if one.waiting else None))
    return msgspec.structs.replace(pod, containers=tuple(containers))
