"""The core under crash, duplicate, stale and conflict steps: what a hostile world can do to it, and what still always holds."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.conftest import BAD, GOOD, make_policy
from tests.scenarios.driver import BAD2, NEXT, Operator, start

from stopgap.api.incident import Closing
from stopgap.core.case import Decision
from stopgap.core.decide import decide
from stopgap.model.conditions import holds
from stopgap.model.observation import Observation

RELEASES = {"bad": BAD, "bad2": BAD2, "next": NEXT, "good": GOOD}
ACTIVE = make_policy()
PAUSED = make_policy(pauseRequests=[{"name": "ana", "reason": "audit"}])


class Core(RuleBasedStateMachine):
    """One workload, its records, and steps of people, of the cluster, and of an operator that may die anywhere."""

    operator: Operator
    older: Observation

    @initialize()
    def begin(self) -> None:
        self.operator = start(GOOD)
        self.older = self.operator.cluster.seen()

    # ------------------------------------------------------------------------------------------------- the world

    @rule(seconds=st.sampled_from([1, 10, 30, 30, 70, 600]))
    def time_passes(self, seconds: int) -> None:
        self.older = self.operator.cluster.seen(live=True)
        self.operator.cluster.pass_time(timedelta(seconds=seconds))

    @rule(name=st.sampled_from(["bad", "bad", "bad2", "next", "good"]))
    def somebody_releases(self, name: str) -> None:
        if self.operator.cluster.template != RELEASES[name]:
            self.older = self.operator.cluster.seen(live=True)
            self.operator.cluster.apply(RELEASES[name])

    @rule(name=st.sampled_from(["bad", "bad2"]))
    def somebody_releases_and_it_crashes(self, name: str) -> None:
        self.somebody_releases(name)
        self.operator.cluster.pass_time(timedelta(seconds=30))

    @rule(ill=st.booleans())
    def what_the_good_release_needs_breaks_or_heals(self, *, ill: bool) -> None:
        self.operator.cluster.ill = frozenset({BAD.digest, BAD2.digest, *([GOOD.digest] if ill else [])})

    @rule(paused=st.booleans())
    def somebody_pauses_or_resumes(self, *, paused: bool) -> None:
        self.operator.policy = PAUSED if paused else ACTIVE

    @precondition(lambda self: self.operator.incident is not None)
    @rule(closing=st.sampled_from(list(Closing)))
    def somebody_closes_the_incident(self, closing: Closing) -> None:
        incident = self.operator.incident
        assert incident is not None
        self.operator.incident = incident.model_copy(update={"spec": incident.spec.model_copy(update={"resolution": closing})})

    # ------------------------------------------------------------------------------------------------- the operator

    @rule(times=st.integers(1, 3))
    def it_looks(self, times: int) -> None:
        for _ in range(times):
            self.operator.look()

    def _decided(self) -> Decision:
        decision = decide(self.operator.case())
        if decision.opening or decision.reads:
            self.operator.open(decision)
            decision = decide(self.operator.case(live=True))
        return decision

    @rule()
    def it_crashes_after_it_opened_the_incident(self) -> None:
        self._decided()

    @rule()
    def it_crashes_after_the_intent(self) -> None:
        self._intend(self._decided())

    @rule()
    def it_crashes_after_the_act(self) -> None:
        before = self.operator.remediations
        self._intend(self._decided())
        intended = {one.metadata.uid for one in self.operator.remediations} - {one.metadata.uid for one in before}
        self.operator.execute()
        # The act was done, its record was not written.
        self.operator.remediations = tuple(
            one.model_copy(update={"status": None}) if one.metadata.uid in intended and one.status and one.status.executed_at else one
            for one in self.operator.remediations
        )

    @rule()
    def two_copies_decide_on_the_same(self) -> None:
        self._decided()
        one, two = decide(self.operator.case(live=True)), decide(self.operator.case(live=True))
        for decision in (one, two):
            self._intend(decision)
        self.operator.execute()
        self.operator.execute()
        for decision in (one, two):
            if not decision.remediation:
                self.operator.record(decision)

    @rule()
    def it_decides_on_a_stale_observation(self) -> None:
        if self.operator.incident is None:
            return
        decision = decide(replace(self.operator.case(), seen=replace(self.older, live=self.operator.cluster.seen(live=True).live)))
        self._intend(decision)
        self.operator.execute()

    @rule()
    def a_person_closes_it_between_the_intent_and_the_act(self) -> None:
        written = len(self.operator.written)
        self._intend(self._decided())
        if self.operator.incident is not None:
            self.somebody_closes_the_incident(Closing.FALSE_ALARM)
            self.operator.look()
            self.operator.look()
            assert len(self.operator.written) == written, "nothing is done in an incident that a person has closed"

    @rule(lost=st.sampled_from(["status", "health", "remediation", "all"]))
    def a_write_is_lost_in_a_conflict(self, lost: str) -> None:
        decision = self._decided()
        if decision.intent or decision.resume:
            return
        gone: dict[str, Any] = {"status": None, "health": None, "remediation": None}
        self.operator.record(replace(decision, **(gone if lost == "all" else {lost: None}), closed=decision.closed and lost == "health"))

    def _intend(self, decision: Decision) -> None:
        if decision.intent is None:
            return
        incident = self.operator.incident
        assert incident is not None
        assert not (incident.status and holds(incident.status.conditions, "Escalated")), "no intent once people were called"
        assert self.operator.policy == ACTIVE, "no intent while paused"
        assert decision.refusals == ()
        assert decision.intent.spec.plan.to_digest not in {one.digest for one in self.operator.health.denied}
        self.operator.intend(decision)

    # ------------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def at_most_one_action_is_out_at_a_time(self) -> None:
        assert sum(1 for one in self.operator.remediations if not one.state.ended) <= 1

    @invariant()
    def each_action_was_written_at_most_once_and_at_the_generation_it_was_decided_on(self) -> None:
        uids = [one.metadata.uid for one in self.operator.written]
        assert len(uids) == len(set(uids))
        generations = [one.spec.generation for one in self.operator.written]
        assert len(generations) == len(set(generations))

    @invariant()
    def no_incident_acts_more_often_than_its_policy_allows(self) -> None:
        counts: dict[str, int] = {}
        for one in self.operator.written:
            counts[one.spec.incident_ref.uid] = counts.get(one.spec.incident_ref.uid, 0) + 1
        assert max(counts.values(), default=0) <= 3

    @invariant()
    def nothing_was_put_back_that_was_never_healthy(self) -> None:
        assert all(one.spec.plan.to_digest not in {BAD.digest, BAD2.digest} for one in self.operator.written)

    @invariant()
    def the_story_is_bounded(self) -> None:
        incident = self.operator.incident
        assert incident is None or incident.status is None or len(incident.status.timeline) <= 100

    @invariant()
    def the_same_case_gives_the_same_decision(self) -> None:
        assert decide(self.operator.case()) == decide(self.operator.case())


Core.TestCase.settings = settings(
    derandomize=True,
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestCore = Core.TestCase
