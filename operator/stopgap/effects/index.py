"""The index of workloads: what the typed watches have told, keyed so that one workload's facts are found at once.

Only troubled pods are kept; healthy ones are known by the counts of their ReplicaSet. Every change calls `changed(target)`.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from stopgap.core import knowngood, ledger
from stopgap.core.marks import RESTORE
from stopgap.model.observation import Observation
from stopgap.model.refs import Target
from stopgap.model.template import Template
from stopgap.model.workload import Exit, Level, Pod, Revision, Stint, Workload

Changed = Callable[[Target], None]
Now = Callable[[], datetime]


class Listed(Protocol):
    """Told of every workload that is new, labelled anew or gone."""

    def __call__(self, work: Workload, *, there: bool) -> None:
        """Take it in."""


MOST_LEVELS = 60
NUMBERED_WITHIN = timedelta(minutes=1)
"""In this time the Deployment controller gives a changed template its revision number."""


_template = lru_cache(maxsize=64)(Template.unpacked)
"""Of the few workloads that are looked at several times in a row."""


class _History:
    """What is remembered about one workload beyond its present state. Exists only once something happened to it."""

    __slots__ = ("changed_at", "changed_under_watch", "left", "levels", "stints")

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.changed_at: datetime | None = None
        self.changed_under_watch = False
        self.stints: tuple[Stint, ...] = ()
        self.left: tuple[str, bytes] = ("", b"")
        """What the revision was called before the last change of the template, and the template that it was given to."""

    def bears_old_number(self, work: Workload, now: datetime) -> bool:
        """Whether the workload's number is still the one of the template before."""
        # Not for ever: should the number never move, a workload that is judged late is better than one that is not judged.
        just_changed = self.changed_at is not None and now - self.changed_at < NUMBERED_WITHIN
        return just_changed and self.left[0] == work.revision_mark and self.left[1] != work.template


class Index:
    """Workloads, their revisions, and their troubled pods."""

    def __init__(self, changed: Changed, now: Now, listed: Listed) -> None:
        self._changed = changed
        self._listed = listed
        self.listings = 0
        """Changes whenever a workload is new, labelled anew or gone."""
        self._now = now
        self._workloads: dict[str, Workload] = {}
        self._uids: dict[Target, str] = {}
        self._revisions: dict[str, dict[str, Revision]] = defaultdict(dict)
        self._owners: dict[str, str] = {}
        self._pods: dict[str, dict[str, Pod]] = defaultdict(dict)
        self._pod_owner: dict[str, str] = {}
        self._exits: dict[str, list[Exit]] = defaultdict(list)
        self._histories: dict[str, _History] = {}

    # --------------------------------------------------------------------------------------------------- reading

    def now(self) -> datetime:
        """Return the API server's time."""
        return self._now()

    def workload(self, target: Target) -> Workload | None:
        """Return the present workload of this name."""
        uid = self._uids.get(target)
        return self._workloads.get(uid) if uid else None

    def workloads(self) -> Iterable[Workload]:
        """Return every workload."""
        return self._workloads.values()

    def observe(self, target: Target, *, synced: bool) -> Observation:
        """Copy the facts about one workload. Waits for nothing."""
        work = self.workload(target)
        if work is None:
            return Observation(now=self._now(), target=target, synced=synced, workload=None)
        revisions = self._newest_first(work)
        history = self._histories.get(work.uid)
        return Observation(
            now=self._now(),
            target=target,
            synced=synced,
            workload=work,
            template=_template(work.template),
            revisions=revisions,
            pods=tuple(pod for one in revisions for pod in self._pods.get(one.uid, {}).values()),
            exits=tuple((one.uid, end) for one in revisions for end in self._exits.get(one.uid, ())),
            levels=tuple(history.levels) if history else (),
            current_since=self._current_since(work, revisions, history),
            stints=history.stints if history else (),
            changed_under_watch=history.changed_under_watch if history else False,
            number_is_stale=history is not None and history.bears_old_number(work, self._now()),
        )

    def rolled_out_since(self, namespace: str, since: datetime) -> list[tuple[Workload, datetime]]:
        """Return the workloads of a namespace whose newest template became the wanted one after a moment, and when."""
        found = []
        for work in self._workloads.values():
            if work.namespace == namespace:
                at = self._current_since(work, self._newest_first(work), self._histories.get(work.uid))
                if at is not None and at >= since:
                    found.append((work, at))
        return found

    def troubled(self) -> list[Target]:
        """Return every workload that has a pod or a count worth a look."""
        return [work.target for work in self._workloads.values() if self.is_troubled(work)]

    def lent(self, target: Target) -> bool:
        """Whether a workload says that something was lent to it."""
        work = self.workload(target)
        return work is not None and RESTORE in work.annotations

    def is_troubled(self, work: Workload) -> bool:
        """Whether anything about a workload is worth a look."""
        if work.available_replicas < work.replicas or not work.rolled_out or work.uid in self._histories or RESTORE in work.annotations:
            return True
        return any(self._pods.get(uid) for uid in self._revisions.get(work.uid, ()))

    def _newest_first(self, work: Workload) -> tuple[Revision, ...]:
        known = sorted(self._revisions.get(work.uid, {}).values(), key=lambda one: one.number, reverse=True)
        return work.counted(tuple(known), self._pods)

    def _current_since(self, work: Workload, revisions: tuple[Revision, ...], history: _History | None) -> datetime | None:
        if history and history.changed_at:
            return history.changed_at
        newest = next((one for one in revisions if work.runs(one)), None)
        # A reused ReplicaSet keeps its old creation time, so that only the youngest one's says when it became current.
        if newest is None or any(one.created > newest.created for one in revisions):
            return None
        return newest.created

    # --------------------------------------------------------------------------------------------------- writing

    def put_workload(self, work: Workload) -> None:
        """Take in a new state of a workload; an older one than the known one is dropped: a reply may come after the events it caused."""
        old = self._workloads.get(work.uid)
        if old is not None and work.version < old.version:
            return
        work = work.following(old, self._now())
        # Without a new generation nobody wrote it: an upgraded API server shows the same template with more defaults.
        if old is not None and old.template != work.template and old.generation != work.generation:
            self._template_changed(old)
        self._uids[work.target] = work.uid
        self._workloads[work.uid] = work
        self._level(work)
        if old is None or old.labels != work.labels:
            self.listings += 1
            self._listed(work, there=True)
        if old is not None or self.is_troubled(work):
            self._changed(work.target)

    def fold(self, work: Workload) -> None:
        """Take in what a reply says about a workload that is known. One that the watch has seen deleted is not brought back by it."""
        if work.uid in self._workloads:
            self.put_workload(work)

    def drop_workload(self, uid: str) -> None:
        """Forget a workload and everything that hangs on it."""
        work = self._workloads.pop(uid, None)
        self._histories.pop(uid, None)
        for one in list(self._revisions.pop(uid, {})):
            self._forget_revision(one)
        if work is not None:
            if self._uids.get(work.target) == uid:
                del self._uids[work.target]
            self.listings += 1
            self._listed(work, there=False)
            self._changed(work.target)

    def put_revision(self, revision: Revision) -> None:
        """Take in a new state of a ReplicaSet."""
        self._revisions[revision.owner][revision.uid] = revision
        self._owners[revision.uid] = sys.intern(revision.owner)
        self._tell(revision.uid)

    def drop_revision(self, uid: str) -> None:
        """Forget a ReplicaSet."""
        owner = self._owners.get(uid, "")
        self._revisions.get(owner, {}).pop(uid, None)
        self._forget_revision(uid)
        if work := self._workloads.get(owner):
            self._changed(work.target)

    def put_pod(self, pod: Pod) -> None:
        """Take in a new state of a troubled pod, and count its exits."""
        before = self._pods[pod.owner].get(pod.uid)
        now = self._now()
        dated = ledger.dated(before, pod, now)
        exits = self._exits[pod.owner]
        exits.extend(ledger.new_exits(before, dated, now))
        del exits[: -ledger.MOST_KEPT]
        self._pods[pod.owner][pod.uid] = dated
        self._pod_owner[pod.uid] = pod.owner
        self._tell(pod.owner)

    def drop_pod(self, uid: str) -> None:
        """Forget a pod: it is gone, or it is well. Its exits stay counted."""
        owner = self._pod_owner.pop(uid, None)
        if owner is None:
            return
        self._pods.get(owner, {}).pop(uid, None)
        if owner not in self._owners and not self._pods.get(owner):
            # The ReplicaSet went first: nobody will ask for its exits any more.
            self._pods.pop(owner, None)
            self._exits.pop(owner, None)
        self._tell(owner)

    def add_stints(self, uid: str, stints: tuple[Stint, ...]) -> None:
        """Remember revisions that a live look at their pods has shown to be healthy."""
        history = self._history(uid)
        known = {one.replica_set for one in history.stints}
        history.stints = (*history.stints, *(one for one in stints if one.replica_set not in known))

    def mark_rollout(self, uid: str) -> None:
        """Note that a rollout of this workload is under way, although its beginning was not seen."""
        self._history(uid).changed_under_watch = True

    def _history(self, uid: str) -> _History:
        return self._histories.setdefault(uid, _History())

    def _template_changed(self, old: Workload) -> None:
        """Judge the revision that is being left, by the last state in which it was the newest."""
        seen = self.observe(old.target, synced=True)
        history = self._history(old.uid)
        since, newest = knowngood.healthy_since(seen), seen.newest
        if since and newest and seen.template:
            stint = Stint(newest.uid, seen.template.digest, newest.number, since, seen.now, seen.template.containers, {})
            history.stints = (*(one for one in history.stints if one.replica_set != newest.uid), stint)[-5:]
        history.changed_at = self._now()
        history.changed_under_watch = True
        if history.left[0] != old.revision_mark:
            # To reuse a ReplicaSet the controller writes twice: the generation is reported as observed before the number moves.
            history.left = (old.revision_mark, old.template)

    def _level(self, work: Workload) -> None:
        if work.available_replicas >= work.replicas:
            if history := self._histories.get(work.uid):
                history.levels.clear()
            return
        levels = self._history(work.uid).levels
        if not levels or (levels[-1].available, levels[-1].wanted) != (work.available_replicas, work.replicas):
            levels.append(Level(self._now(), work.available_replicas, work.replicas))
            del levels[:-MOST_LEVELS]

    def _forget_revision(self, uid: str) -> None:
        self._owners.pop(uid, None)
        self._exits.pop(uid, None)
        for pod in self._pods.pop(uid, {}):
            self._pod_owner.pop(pod, None)

    def _tell(self, revision: str) -> None:
        work = self._workloads.get(self._owners.get(revision, ""))
        if work is not None:
            self._changed(work.target)

    def owner(self, revision: str) -> Target | None:
        """Return the workload of a ReplicaSet."""
        work = self._workloads.get(self._owners.get(revision, ""))
        return work.target if work else None

    def workload_uids(self) -> Collection[str]:
        """UIDs of the workloads held."""
        return self._workloads.keys()

    def revision_uids(self) -> Collection[str]:
        """UIDs of the ReplicaSets held."""
        return self._owners.keys()

    def pod_uids(self) -> Collection[str]:
        """UIDs of the pods held."""
        return self._pod_owner.keys()
