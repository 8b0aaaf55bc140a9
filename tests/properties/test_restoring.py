"""Nothing temporary is left behind once an incident has ended by itself, whatever signals, people, crashes and answers do."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW, make_case, make_incident
from tests.unit.core.test_restoring import POLICY, STATUS, lent, quiet

from stopgap.api import Incident, Remediation
from stopgap.api.config import ConfigSpec
from stopgap.api.remediation import RemediationStatus
from stopgap.api.revert import RevertState
from stopgap.core import restoring
from stopgap.core.case import Case, Decision, Lent
from stopgap.core.decide import decide
from stopgap.core.marks import RESTORE, lent_by, mark
from stopgap.core.restoring import Put
from stopgap.model.conditions import holds
from stopgap.model.reasons import Reason
from stopgap.model.workload import Level

STOPPED = ConfigSpec.model_validate({"pauseRequests": [{"name": "ana", "reason": "audit"}]})


@dataclass
class World:
    """A workload of which three replicas were raised to five, its records, and an operator that may die between any two writes."""

    one: Remediation | None
    now: datetime = NOW
    replicas: int = 5
    marked: bool = True
    missing: int = 0
    """Replicas that are not available: the trigger fires once that has lasted."""
    since: datetime = NOW
    incident: Incident | None = field(default_factory=lambda: make_incident(status=STATUS))
    policy: Any = POLICY
    config: ConfigSpec = field(default_factory=ConfigSpec)
    refusing: bool = False
    """Whether the API server refuses to put it back."""
    taken_over: bool = False
    """Whether a person has set another number, or taken care of it."""
    ended_by_itself: bool = False

    def case(self) -> Case:
        marks = {RESTORE: mark(lent_by(LENT)), "stopgap.dev/last-action": LENT.metadata.uid or ""} if self.marked else {}
        there = self.replicas - self.missing
        levels = (Level(self.since, there, self.replicas),) if self.missing else ()
        seen = quiet(replicas=self.replicas, available=there, annotations=marks, levels=levels)
        return make_case(
            seen=replace(seen, now=self.now),
            policy=self.policy,
            config=self.config,
            incident=self.incident,
            remediations=(self.one,) if self.one else (),
        )

    # ------------------------------------------------------------------------------------------------------------ what may happen

    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def trouble(self, missing: int) -> None:
        self.missing, self.since = missing, self.now

    def kill_switch(self, on: int) -> None:
        self.config = STOPPED if on else ConfigSpec()

    def no_policy(self, gone: int) -> None:
        self.policy = None if gone else POLICY

    def person_scales(self, replicas: int) -> None:
        self.replicas, self.taken_over = replicas, True

    def person_says(self, asked: str) -> None:
        if self.one is not None:
            self.one = self.one.model_copy(
                update={"metadata": self.one.metadata.model_copy(update={"annotations": {"stopgap.dev/revert": asked}})}
            )
            self.taken_over = self.taken_over or asked == "abandon"

    def record_is_deleted(self, _: int) -> None:
        self.one = None

    def incident_is_deleted(self, _: int) -> None:
        self.incident = None

    def refuses(self, on: int) -> None:
        self.refusing = bool(on)

    # ------------------------------------------------------------------------------------------------------------ the operator

    def look(self, dies: str) -> None:
        """Look once. `dies`: before anything is written, after the restore, or not at all."""
        case = self.case()
        decision = decide(case)
        if dies == "before":
            return
        if decision.restore is not None:
            put = self._put_back(decision.restore)
            if dies == "restored":
                return
            decision = restoring.told(case, decision, decision.restore, put)
        self._record(decision)

    def _put_back(self, lent_: Lent) -> Put:
        """As effects/execute.py does, whose unit test holds the rows of this."""
        if lent_.abandoned:
            self.marked = False
            return Put(RevertState.NOT_NEEDED, Reason.NotOurs, "a person takes care of it")
        if self.marked and self.replicas == lent_.ours:
            if self.refusing:
                return Put(RevertState.FAILED, Reason.RestoreFailed, "refused")
            assert lent_.before is not None
            self.replicas, self.marked = lent_.before, False
            return Put(RevertState.DONE, Reason.Restored, "put back")
        done = not self.marked and self.replicas == lent_.before
        self.marked = False
        return Put(RevertState.DONE, Reason.Restored, "put back") if done else Put(RevertState.NOT_NEEDED, Reason.NotOurs, "changed since")

    def _record(self, decision: Decision) -> None:
        if decision.remediation is not None and self.one is not None:
            self.one = self.one.model_copy(update={"status": self._round_trip(decision.remediation[1])})
        if self.incident is not None and decision.status is not None:
            self.incident = self.incident.model_copy(update={"status": decision.status})
        if decision.closed:
            assert decision.status is not None
            self.ended_by_itself = self.ended_by_itself or holds(decision.status.conditions, "Resolved")
            self.incident = None

    @staticmethod
    def _round_trip(status: RemediationStatus) -> RemediationStatus:
        return RemediationStatus.model_validate(msgspec.json.decode(status.model_dump_json(by_alias=True, exclude_none=True)))

    @property
    def something_is_left(self) -> bool:
        return self.marked or (self.replicas == 5 and not self.taken_over)


LENT = lent()
RARE = [
    st.tuples(st.just("kill_switch"), st.integers(0, 1)),
    st.tuples(st.just("no_policy"), st.integers(0, 1)),
    st.tuples(st.just("person_scales"), st.sampled_from([3, 4, 5, 7])),
    st.tuples(st.just("person_says"), st.sampled_from(["now", "abandon"])),
    st.tuples(st.just("record_is_deleted"), st.just(0)),
    st.tuples(st.just("incident_is_deleted"), st.just(0)),
    st.tuples(st.just("refuses"), st.integers(0, 1)),
]
OFTEN = [
    st.tuples(st.just("look"), st.sampled_from(["no", "no", "no", "before", "restored"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 15, 60, 240, 400])),
    st.tuples(st.just("trouble"), st.sampled_from([0, 0, 2])),
]
steps = st.lists(st.one_of(*OFTEN, *OFTEN, st.one_of(*RARE)), max_size=25)
kinds = st.sampled_from([{}, {"after": "30m", "due": NOW + timedelta(minutes=4)}])


@settings(
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    derandomize=True,
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(kind=kinds, steps=steps)
@example(kind={}, steps=[("record_is_deleted", 0), ("refuses", 1), ("look", "no"), ("look", "no")])
@example(kind={}, steps=[("refuses", 1), ("look", "no"), ("look", "no")])
def test_nothing_temporary_is_left_once_an_incident_has_ended_and_in_the_end_all_is_put_back(kind: Any, steps: list[Any]) -> None:
    world = World(lent(**kind))
    for name, argument in steps:
        getattr(world, name)(argument)
        assert not (world.ended_by_itself and world.something_is_left)
    # Everything becomes well again, and is looked at: then nothing is left, whatever had become of the records.
    world.trouble(0)
    world.kill_switch(0)
    world.no_policy(0)
    world.refuses(0)
    if world.one is not None and world.one.status and world.one.status.revert and world.one.status.revert.state is RevertState.FAILED:
        world.person_says("now")  # what failed is tried again for a person only
    for _ in range(12):
        world.wait(60)
        world.look("no")
    assert not world.something_is_left
    assert world.incident is None
    assert world.one is None or not world.one.owes_restore


def test_what_a_person_is_to_put_back_stays_owed_when_the_incident_has_ended() -> None:
    world = World(lent(on="Manual"))
    for _ in range(12):
        world.wait(60)
        world.look("no")
    assert (world.incident, world.replicas, world.marked) == (None, 5, True)
    assert world.one is not None
    assert world.one.owes_restore
    world.person_says("now")
    world.look("no")
    assert (world.replicas, world.marked, world.one.owes_restore) == (3, False, False)
