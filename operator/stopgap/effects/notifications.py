"""Tells people outside the cluster of incidents, after the records are written and beside everything else: nothing waits for it.

Each channel has a lane of its own: one message at a time, the most urgent incident first, and what fails there holds up no other. What was
told is remembered in the Incident's status. That rides along with the next write of it where one comes soon, so that a crash may tell
something twice, under the same key, and never loses it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from stopgap.api import Incident
from stopgap.api.incident import CLOSED_LABEL, UNTOLD_LABEL, IncidentStatus
from stopgap.api.notify import Told
from stopgap.core import notifying
from stopgap.core.case import Case, Decision
from stopgap.core.notifying import Listener
from stopgap.effects.errors import KubeError
from stopgap.effects.ownlists import OwnLists
from stopgap.effects.queue import WorkQueue
from stopgap.effects.record import Recorder
from stopgap.effects.records import CLUSTER, Records, target_of
from stopgap.effects.telling import Pace, Teller
from stopgap.model.news import Delivered, GivenUp, Later, News, Verdict
from stopgap.model.query import PLATFORM
from stopgap.model.refs import Target

AT_ONCE, AT_ONCE_OF_A_NAMESPACE = 32, 4
"""Messages under way: in all, and of one namespace's policies."""
SAVED_AFTER: Final = 5.0
"""Seconds that what was told waits for a write that is made anyway."""
STANDBY_SECONDS: Final = 15.0
log = logging.getLogger(__name__)


class Lane(NamedTuple):
    """One channel: whose rules hold, and which."""

    scope: str
    id: str


class _Key(NamedTuple):
    namespace: str
    name: str


class _Counts(Protocol):
    def notified(self, namespace: str, channel: str, result: str) -> None: ...


class _Pick(NamedTuple):
    incident: Incident
    listener: Listener
    news: News


@dataclass(slots=True)
class _State:
    """How a channel does."""

    pace: Pace = field(default_factory=Pace)
    waiting: dict[_Key, int] = field(default_factory=dict)
    """Incidents of which it has still to hear, and how often each has failed: then another one has its turn first."""


class Notifications:
    """The worker. `soon` asks for a look at a workload in so many seconds, which writes what was told."""

    def __init__(  # noqa: PLR0913 - what it reads, where it writes, and whom it asks
        self,
        records: Records,
        recorder: Recorder,
        own: OwnLists,
        teller: Teller,
        *,
        counts: _Counts,
        leading: Callable[[], bool],
        soon: Callable[[Target, float], None],
        now: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._recorder = recorder
        self._own = own
        self._teller = teller
        self._counts = counts
        self._leading = leading
        self._soon = soon
        self._now = now
        self._lanes: defaultdict[Lane, _State] = defaultdict(_State)
        self._sending: defaultdict[str, int] = defaultdict(int)
        self._incidents: dict[_Key, Incident] = {}
        """Those of which somebody has still to hear, or of which something is not written yet, as they are with that."""
        self._unsaved: dict[_Key, dict[str, Told]] = {}
        self._queue: WorkQueue[Lane] = WorkQueue(namespace=lambda lane: lane.scope, on_error=_failed, concurrency=AT_ONCE)
        self._ended: WorkQueue[_Key] = WorkQueue(namespace=lambda key: key.namespace, on_error=_failed, concurrency=2)

    async def run(self) -> None:
        """Tell what is due, for ever; whoever begins to lead looks for what the one before had not finished telling."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(self._turn))
            group.create_task(self._ended.run(self._save_ended))
            led = False
            while True:
                if not self._leading():
                    self._forget()
                    led = False
                elif not led:
                    led = await self._took_over()
                await asyncio.sleep(1)

    async def _took_over(self) -> bool:
        try:
            async for incident in self._own.labelled(UNTOLD_LABEL):
                self.written(incident, incident.status or IncidentStatus())
        except KubeError as error:
            log.info("what was not told yet cannot be listed", extra={"error": str(error)})
            return False
        return True

    def _forget(self) -> None:
        """Another copy tells; what this one has not written is told again by that."""
        self._incidents.clear()
        self._unsaved.clear()
        self._lanes.clear()

    # ---------------------------------------------------------------------------------------------- beside the records

    def joined(self, case: Case, decision: Decision) -> Decision:
        """Put what was told and is not written yet into the status that is about to be written."""
        incident = case.incident
        if incident is None or not (unsaved := self._unsaved.get(_key(incident))):
            return decision
        status = decision.status or case.status
        return replace(decision, status=notifying.noted(incident, status, unsaved.values(), case.now))

    def owes(self, incident: Incident, status: IncidentStatus) -> bool:
        """Whether somebody has still to hear of it."""
        return any(notifying.due(one, incident, status, self._now()) for one in self._listeners(incident, status))

    def written(self, incident: Incident, status: IncidentStatus) -> None:
        """Take in an incident as it is written: what is due of it is told from now on."""
        key, now = _key(incident), self._now()
        if unsaved := self._unsaved.get(key):
            noted = notifying.noted(incident, status, unsaved.values(), now)
            if noted.notifications == status.notifications:
                del self._unsaved[key]
            status = noted
        listeners = self._listeners(incident, status)
        lanes = [Lane(one.scope, one.id) for one in listeners if notifying.due(one, incident, status, now)]
        if lanes or key in self._unsaved:
            self._incidents[key] = incident.model_copy(update={"status": status})
        else:
            self._incidents.pop(key, None)
        for lane in lanes:
            self._lanes[lane].waiting.setdefault(key, 0)
            self._queue.add(lane, _urgency(status))
        if not lanes and _is_over(incident) and (key in self._unsaved or UNTOLD_LABEL in incident.metadata.labels):
            self._ended.add(key)

    def _listeners(self, incident: Incident, status: IncidentStatus) -> tuple[Listener, ...]:
        config, ref = self._records.config, status.policy_ref
        policies = self._records.policies(CLUSTER if ref.kind != "RemediationPolicy" else incident.metadata.namespace or "") if ref else ()
        policy = next((one for one in policies if ref and one.metadata.name == ref.name), None)
        return notifying.listeners(policy, config.spec if config else None)

    # --------------------------------------------------------------------------------------------------------- telling

    async def _turn(self, lane: Lane) -> float | None:
        """Tell one channel one thing; return the seconds until its next turn, or None where it has heard everything."""
        state, time = self._lanes[lane], asyncio.get_running_loop().time
        if not state.waiting or not self._leading():
            return None
        if (wait := state.pace.wait(time())) > 0:
            return wait
        if lane.scope != PLATFORM and self._sending[lane.scope] >= AT_ONCE_OF_A_NAMESPACE:
            return 0.2
        if (picked := self._most_urgent(lane, state)) is None:
            return None
        state.pace.sent(time())
        self._sending[lane.scope] += 1
        try:
            found = await self._teller.tell(*picked, self._now())
        finally:
            self._sending[lane.scope] -= 1
        state.pace.answered(found, time())
        self._conclude(state, picked, found)
        self._counts.notified(*lane, type(found).__name__)
        return 0.0

    def _most_urgent(self, lane: Lane, state: _State) -> _Pick | None:
        """Pick what failed least, then what is most severe, then what came first; drop what is not due any more."""

        def order(key: _Key) -> tuple[int, int]:
            incident = self._incidents.get(key)
            return state.waiting[key], _urgency(incident.status if incident else None)

        for key in sorted(state.waiting, key=order):
            if (picked := self._next(lane, self._incidents.get(key))) is not None:
                return picked
            del state.waiting[key]
            self._ended.add(key)
        return None

    def _next(self, lane: Lane, incident: Incident | None) -> _Pick | None:
        if incident is None or not self._is_there(incident):
            return None
        status = incident.status or IncidentStatus()
        listener = next((one for one in self._listeners(incident, status) if (one.scope, one.id) == lane), None)
        due = notifying.due(listener, incident, status, self._now()) if listener else ()
        return _Pick(incident, listener, due[0]) if listener and due else None

    def _is_there(self, incident: Incident) -> bool:
        """Whether it was not deleted meanwhile; of one that is over nothing is heard any more."""
        known = self._records.incidents(target_of(incident))
        return _is_over(incident) or any(one.metadata.uid == incident.metadata.uid for one in known)

    def _conclude(self, state: _State, picked: _Pick, found: Verdict) -> None:
        """Note what became of it in the incident as it is by now."""
        key = _key(picked.incident)
        incident = self._incidents.get(key, picked.incident)
        status = incident.status or IncidentStatus()
        old = notifying.entry(status, picked.listener.id)
        if isinstance(found, Later):
            state.waiting[key] = state.waiting.get(key, 0) + 1
        if not isinstance(found, Delivered):
            about = {"incident": key.name, "namespace": key.namespace, "channel": picked.listener.id, "occasion": str(picked.news.occasion)}
            log.info("a notification was not taken", extra={**about, "why": found.why})
        new = _after(old, picked.news, found)
        if new == old:
            return
        self._unsaved.setdefault(key, {})[new.channel] = new
        self.written(incident, status)
        if not _is_over(incident):
            self._soon(target_of(incident), SAVED_AFTER)
        elif new.trouble:
            self._ended.add(key)

    # --------------------------------------------------------------------------------------------- incidents that are over

    async def _save_ended(self, key: _Key) -> None:
        """Write what was told of an incident that is over, for nothing else writes it any more; the label goes when all is told."""
        incident = self._incidents.get(key)
        if incident is None or not _is_over(incident) or not self._leading():
            return
        live = await self._recorder.reread(incident)
        if live is None or live.status is None or live.metadata.uid != incident.metadata.uid:
            self._incidents.pop(key, None)
            self._unsaved.pop(key, None)
            return
        status = notifying.noted(live, live.status, self._unsaved.get(key, {}).values(), self._now())
        if status != live.status:
            live = await self._recorder.incident(live, status)
        if UNTOLD_LABEL in live.metadata.labels and not self.owes(live, status):
            live = await self._recorder.close(live, untold=False)
        self.written(live, live.status or status)


def _after(old: Told, news: News, found: Verdict) -> Told:
    match found:
        case Delivered(reference):
            changes = {"told": (*old.told, news.key), "trouble": "", "reference": old.reference or reference or ""}
        case Later(why, _, forget):
            changes = {"trouble": f"{news.occasion} is tried again: {why}"[:1024], "reference": "" if forget else old.reference}
        case GivenUp(why):
            changes = {"told": (*old.told, news.key), "trouble": f"{news.occasion} was not told: {why}"[:1024]}
    return old.model_copy(update=changes)


def _key(incident: Incident) -> _Key:
    return _Key(incident.metadata.namespace or "", incident.metadata.name)


def _is_over(incident: Incident) -> bool:
    return incident.metadata.labels.get(CLOSED_LABEL) == "true"


def _urgency(status: IncidentStatus | None) -> int:
    return int(status.severity[1]) if status and status.severity else WorkQueue.USUAL_PRIORITY


def _failed(key: NamedTuple, error: Exception) -> None:
    known = isinstance(error, KubeError)
    level, told = (logging.INFO, None) if known else (logging.ERROR, error)
    log.log(level, "telling of an incident failed and is tried again", extra={"about": str(key), "error": str(error)}, exc_info=told)
