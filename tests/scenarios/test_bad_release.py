"""Whole incidents: observations in, timeline out."""

from datetime import timedelta

import pytest
from tests.conftest import BAD, GOOD, make_policy
from tests.scenarios.driver import BAD2, NEXT, Operator, of, start, uid_of

from stopgap.api.incident import Closing
from stopgap.api.remediation import RemediationState
from stopgap.core.decide import decide
from stopgap.model.conditions import find, holds
from stopgap.model.reasons import Reason

HALF = timedelta(seconds=30)


def phase(operator: Operator) -> str | None:
    status = operator.incident.status if operator.incident else None
    return status.phase if status else None


def why(operator: Operator, kind: str) -> str:
    status = operator.incident.status if operator.incident else None
    found = find(status.conditions, kind) if status else None
    return found.reason if found else ""


def message(operator: Operator, kind: str) -> str:
    status = operator.incident.status if operator.incident else None
    found = find(status.conditions, kind) if status else None
    return found.message if found else ""


def released(operator: Operator) -> Operator:
    """A bad release, until it has crashed three times and was undone."""
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    return operator


def test_a_bad_release_is_undone_proved_and_resolved() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.live_through(timedelta(seconds=20))
    assert operator.incident is None

    operator.live_through(timedelta(seconds=10))
    assert operator.cluster.template == GOOD
    assert phase(operator) == "Mitigating"
    assert of(operator.incident) == ["Detected", "CrashLoop", "Executed"]
    [remediation] = operator.remediations
    assert remediation.state is RemediationState.VERIFYING
    assert remediation.spec.plan.summary.startswith("roll back 2 → 1, last known healthy at 2026-11-21")

    operator.live_through(timedelta(minutes=1))
    assert phase(operator) == "Mitigated"
    assert of(operator.incident)[-1] == "Mitigated"
    assert operator.remediations[0].state is RemediationState.SUCCEEDED

    operator.live_through(timedelta(minutes=16))
    assert operator.incident is None
    [incident] = operator.closed
    assert of(incident) == ["Detected", "CrashLoop", "Executed", "Mitigated", "Resolved"]
    assert incident.status is not None
    assert incident.status.phase == "Resolved"
    assert operator.writes == 1


def test_the_status_alone_tells_what_was_wrong_what_changed_and_what_was_done() -> None:
    operator = released(start(GOOD))
    assert operator.incident is not None
    assert operator.incident.spec.title == "CrashLoop in deployment api"
    status = operator.incident.status
    assert status is not None
    assert status.findings[0].message.startswith("6 exits in 20s of container app")
    assert status.suspected_change is not None
    assert status.suspected_change.images == ("app: shop/api:1.9 → shop/api:2.0-crash",)
    assert status.decision is not None
    assert status.decision.allowed
    assert [(one.step, one.action, one.state) for one in status.remediations] == [("undo", "Rollback", "Verifying")]
    assert (status.digest, status.revision) == (BAD.digest, 2)


def test_each_transition_is_told_once_as_an_event() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=20))
    assert [one.reason for one in operator.notices] == [Reason.Detected, Reason.Executed, Reason.Mitigated, Reason.Resolved]


def test_the_release_that_was_undone_is_denied_and_the_action_charged() -> None:
    operator = released(start(GOOD))
    assert [one.digest for one in operator.health.denied] == [BAD.digest]
    assert len(operator.health.last_actions) == 1


def test_looking_more_often_changes_nothing() -> None:
    seldom, often = released(start(GOOD)), released(start(GOOD))
    seldom.live_through(timedelta(minutes=20))
    for _ in range(3):
        often.look()
    often.live_through(timedelta(minutes=20))
    for _ in range(3):
        often.look()
    assert [of(one) for one in often.closed] == [of(one) for one in seldom.closed]
    assert often.writes == 1


def test_after_good_bad_and_bad_again_it_returns_to_the_good_one_and_not_to_the_one_before() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.cluster.apply(BAD2)
    operator.live_through(HALF)
    assert operator.cluster.template == GOOD
    [remediation] = operator.remediations
    assert remediation.spec.plan.replica_set_uid == uid_of(GOOD)
    assert (remediation.spec.plan.from_revision, remediation.spec.plan.to_revision) == (3, 1)


def test_where_only_bad_revisions_are_left_nothing_is_done_and_it_says_so() -> None:
    operator = start(template=BAD)
    operator.cluster.apply(BAD2)
    operator.live_through(HALF)
    assert operator.writes == 0
    assert operator.cluster.template == BAD2
    assert phase(operator) == "Triaged"
    assert why(operator, "ActionAllowed") == Reason.NoHealthyRevision
    assert "1 (never seen healthy)" in message(operator, "ActionAllowed")


def test_in_observe_mode_the_incident_says_what_would_have_been_done() -> None:
    operator = start(GOOD)
    operator.policy = make_policy(mode="Observe")
    released(operator)
    assert operator.writes == 0
    assert why(operator, "ActionAllowed") == Reason.ObserveOnly
    assert message(operator, "ActionAllowed").startswith("roll back 2 → 1")


def test_what_would_be_done_names_the_present_revision_also_after_another_bad_release() -> None:
    operator = start(GOOD)
    operator.policy = make_policy(mode="Observe")
    released(operator)
    operator.cluster.apply(BAD2)
    operator.live_through(timedelta(minutes=1))
    assert message(operator, "ActionAllowed").startswith("roll back 3 → 1")


def test_a_release_that_recovers_alone_is_mitigated_and_resolved_without_an_action() -> None:
    operator = start(GOOD)
    operator.policy = make_policy(mode="Observe")
    released(operator)
    operator.cluster.ill = frozenset()
    operator.cluster.exits = ()
    operator.live_through(timedelta(minutes=20))
    assert of(operator.closed[0])[-2:] == ["Recovered", "Resolved"]
    assert operator.writes == 0


def test_the_bad_template_put_back_is_contested_and_people_are_called_once() -> None:
    operator = released(start(GOOD))
    operator.cluster.apply(BAD, by="argocd-controller")
    operator.live_through(timedelta(minutes=5))
    assert operator.writes == 1
    assert operator.cluster.template == BAD
    assert operator.remediations[0].state is RemediationState.FAILED
    assert phase(operator) == "Escalated"
    assert "argocd-controller put the bad template back" in message(operator, "Contested")
    assert [one.reason for one in operator.notices].count(Reason.Escalated) == 1


def test_the_bad_template_put_back_after_success_is_contested_too() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=2))
    assert phase(operator) == "Mitigated"
    operator.cluster.apply(BAD, by="argocd-controller")
    operator.live_through(timedelta(minutes=2))
    assert operator.writes == 1
    assert phase(operator) == "Escalated"
    assert why(operator, "Contested") == Reason.Contested


def test_a_newer_revision_ends_the_proof_and_is_judged_afresh() -> None:
    operator = released(start(GOOD))
    operator.cluster.apply(NEXT)
    operator.look()
    assert operator.remediations[0].state is RemediationState.INCONCLUSIVE
    assert why(operator, "Mitigated") == Reason.SupersededByRevision
    operator.live_through(timedelta(minutes=20))
    assert of(operator.closed[0]) == ["Detected", "CrashLoop", "Executed", "SupersededByRevision", "SupersededByRevision", "Resolved"]
    assert operator.writes == 1


def test_a_newer_revision_that_is_bad_too_is_undone_in_the_same_incident() -> None:
    operator = released(start(GOOD))
    operator.cluster.apply(BAD2)
    operator.live_through(timedelta(minutes=2))
    assert operator.writes == 2
    assert operator.cluster.template == GOOD
    assert [one.spec.attempt for one in operator.remediations] == [1, 2]
    assert {one.digest for one in operator.health.denied} == {BAD.digest, BAD2.digest}
    assert phase(operator) == "Mitigated"


def test_another_bad_release_after_mitigation_is_an_incident_of_its_own() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=3))
    operator.cluster.apply(BAD2)
    operator.live_through(timedelta(minutes=1))
    [first] = operator.closed
    assert of(first)[-1] == "SupersededByRevision"
    assert operator.incident is not None
    assert operator.incident.metadata.name == "api-2"
    assert why(operator, "ActionAllowed") == Reason.CooldownActive


def test_after_the_cooldown_the_second_release_is_undone_as_well() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=3))
    operator.cluster.apply(BAD2)
    operator.live_through(timedelta(minutes=10))
    assert operator.writes == 2
    assert operator.cluster.template == GOOD


def test_where_the_older_revision_fails_in_the_same_way_the_release_is_pardoned_and_people_are_called() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    operator.cluster.ill = frozenset({BAD.digest, GOOD.digest})
    operator.live_through(HALF)
    assert operator.writes == 1
    assert operator.remediations[0].state is RemediationState.FAILED
    assert phase(operator) == "Escalated"
    assert why(operator, "Mitigated") == Reason.NotTheRelease
    assert operator.health.denied == ()
    assert why(operator, "ActionAllowed") == Reason.Escalated
    operator.live_through(timedelta(minutes=30))
    assert operator.writes == 1


def test_a_release_that_ran_well_for_a_day_is_not_undone() -> None:
    operator = start(GOOD)
    operator.cluster.ill = frozenset()
    operator.cluster.apply(BAD)
    operator.live_through(timedelta(days=1), every=timedelta(minutes=30))
    operator.cluster.ill = frozenset({BAD.digest})
    operator.live_through(HALF)
    assert operator.writes == 0
    assert why(operator, "ActionAllowed") == Reason.NoRecentChange


@pytest.mark.parametrize("closing", [Closing.RESOLVED, Closing.FALSE_ALARM])
def test_a_person_closes_it_and_the_same_signal_stays_silent(closing: Closing) -> None:
    operator = start(GOOD)
    operator.policy = make_policy(mode="Observe")
    released(operator)
    assert operator.incident is not None
    spec = operator.incident.spec.model_copy(update={"resolution": closing, "acknowledged_by": "ana"})
    operator.incident = operator.incident.model_copy(update={"spec": spec})
    operator.live_through(timedelta(minutes=5))
    assert operator.incident is None
    [incident] = operator.closed
    assert incident.status is not None
    assert incident.status.timeline[-1].actor == "ana"
    assert holds(incident.status.conditions, "Resolved")


def test_closing_an_incident_that_is_quiet_already_silences_nothing() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=2))
    assert operator.incident is not None
    assert phase(operator) == "Mitigated"
    spec = operator.incident.spec.model_copy(update={"resolution": Closing.RESOLVED})
    operator.incident = operator.incident.model_copy(update={"spec": spec})
    operator.look()
    operator.cluster.ill = frozenset({GOOD.digest})
    operator.cluster.pass_time(timedelta(minutes=2))
    operator.look()
    assert operator.incident is not None
    assert operator.incident.metadata.name == "api-2"


def test_after_a_person_closed_it_the_workload_is_looked_at_again_without_an_event() -> None:
    operator = released(start(GOOD))
    assert operator.incident is not None
    spec = operator.incident.spec.model_copy(update={"resolution": Closing.RESOLVED})
    operator.incident = operator.incident.model_copy(update={"spec": spec})
    decision = operator.look()
    assert decision.closed
    assert decision.look_again is not None


def test_a_crash_between_the_intent_and_the_act_is_finished_by_the_next_look() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.live_through(timedelta(seconds=20))
    operator.cluster.pass_time(timedelta(seconds=10))
    operator.open(decide(operator.case()))
    operator.intend(decide(operator.case(live=True)))
    operator.look()
    assert operator.writes == 1
    assert operator.cluster.template == GOOD
    assert len(operator.remediations) == 1


def test_a_crash_after_the_act_and_before_its_record_does_nothing_twice() -> None:
    operator = released(start(GOOD))
    forgotten = operator.remediations[0].model_copy(update={"status": None})
    operator.remediations = (forgotten,)
    operator.live_through(timedelta(minutes=2))
    assert operator.writes == 1
    assert operator.remediations[0].state is RemediationState.SUCCEEDED
    assert phase(operator) == "Mitigated"


def test_an_incident_whose_first_record_was_lost_with_a_crash_began_with_the_release_that_was_left() -> None:
    operator = released(start(GOOD))
    assert operator.incident is not None
    operator.incident = operator.incident.model_copy(update={"status": None})
    operator.remediations = (operator.remediations[0].model_copy(update={"status": None}),)
    operator.live_through(timedelta(minutes=2))
    status = operator.incident.status
    assert status is not None
    assert (status.digest, status.revision) == (BAD.digest, 2)
    operator.cluster.apply(BAD, by="argocd-controller")
    operator.live_through(timedelta(minutes=12))
    assert why(operator, "Contested") == Reason.Contested
    assert operator.writes == 1


def test_nothing_begins_again_in_an_incident_whose_end_is_written() -> None:
    operator = released(start(GOOD))
    operator.live_through(timedelta(minutes=17))
    [operator.incident] = operator.closed
    operator.closed = []
    operator.cluster.ill = frozenset({GOOD.digest})
    operator.cluster.pass_time(timedelta(minutes=1))
    assert operator.look().closed


def test_an_intent_that_is_found_too_late_is_given_up() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.live_through(timedelta(seconds=20))
    operator.cluster.pass_time(timedelta(seconds=10))
    operator.open(decide(operator.case()))
    operator.intend(decide(operator.case(live=True)))
    operator.cluster.pass_time(timedelta(seconds=61))
    operator.look()
    assert operator.writes == 0
    assert operator.remediations[0].state is RemediationState.SUPERSEDED


def test_an_action_that_somebody_forestalled_is_given_up() -> None:
    operator = start(GOOD)
    operator.cluster.apply(BAD)
    operator.live_through(timedelta(seconds=20))
    operator.cluster.pass_time(timedelta(seconds=10))
    operator.open(decide(operator.case()))
    operator.intend(decide(operator.case(live=True)))
    operator.cluster.apply(NEXT)
    operator.look()
    assert operator.writes == 0
    assert operator.cluster.template == NEXT
