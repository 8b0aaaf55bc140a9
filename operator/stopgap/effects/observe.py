"""Puts a case together from the index and the records. Copies; never waits."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from stopgap.api import Incident
from stopgap.api.config import ConfigSpec
from stopgap.api.health import WorkloadHealthStatus
from stopgap.core import matching
from stopgap.core.case import Case
from stopgap.effects.index import Index
from stopgap.effects.records import Records, target_of
from stopgap.model.observation import Live
from stopgap.model.refs import Target
from stopgap.model.workload import Neighbour

PAUSE = "stopgap.dev/pause"


class Observer:
    """Knows where everything is that a decision is made from."""

    def __init__(self, index: Index, records: Records, *, synced: Callable[[], bool], leading: Callable[[], bool]) -> None:
        self._index = index
        self._records = records
        self._synced = synced
        self._leading = leading
        self._ill: dict[Target, datetime] = {}

    def case(self, target: Target, live: Live | None = None) -> Case:
        """Return the case of one workload now."""
        seen = self._index.observe(target, synced=self._synced())
        seen = replace(seen, live=live, neighbours=tuple(Neighbour(key, at) for key, at in self._ill.items() if key != target))
        work, config = seen.workload, self._records.config
        health = self._records.health(work.uid) if work else None
        incidents = [one for one in self._records.incidents(target) if not (one.status and one.status.duplicate_of)]
        return Case(
            seen=seen,
            policy=matching.deciding(self._records.policies(target.namespace), target, work.labels) if work else None,
            config=None if self._records.config_trouble else (config.spec if config else ConfigSpec()),
            config_paused=config.metadata.annotations.get(PAUSE, "") if config else "",
            incident=next(iter(incidents), None),
            others=tuple(incidents[1:]),
            health=(health.status if health else None) or WorkloadHealthStatus(),
            remediations=self._records.remediations(work.uid) if work else (),
            spent=self._records.spent(),
            leading=self._leading(),
        )

    def incidents(self, like: Incident) -> list[Incident]:
        """Return the open incidents of the same workload, as they are stored."""
        return self._records.incidents(target_of(like))

    def note_onset(self, target: Target, since: datetime | None) -> None:
        """Remember since when a workload is ill, for the others; None: it is not."""
        if since is None:
            self._ill.pop(target, None)
        else:
            self._ill[target] = since
