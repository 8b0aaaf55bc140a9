"""The update of an incident: current with every transition, left alone in between, and reminded of when it is due."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import NOW, after_rollback, make_case, make_incident, make_policy, make_seen

from stopgap.api import Incident
from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentRemediation, IncidentStatus
from stopgap.core.case import Case, Decision
from stopgap.core.communication import kept_current
from stopgap.core.decide import RECORD_ONLY, decide
from stopgap.model.conditions import Truth, condition
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target

MINUTE = timedelta(minutes=1)


def record_only(**spec: Any) -> Case:
    """An incident that nothing but a person moves."""
    incident = Incident.model_validate(
        {"metadata": {"name": "mails", "namespace": "shop"}, "spec": {"title": "Mails are late", "severity": "P1", **spec}}
    )
    return make_case(seen=make_seen(target=Target("shop", RECORD_ONLY, "mails"), workload=None), policy=None, incident=incident)


def stored(status: IncidentStatus | None) -> IncidentStatus:
    """The status as the API server gives it back."""
    assert status is not None
    return IncidentStatus.model_validate(msgspec.json.decode(status.model_dump_json(by_alias=True, exclude_none=True)))


def then(case: Case, decision: Decision, after: timedelta, **spec: Any) -> tuple[Case, Decision]:
    """The next look, so much later, at what was stored."""
    assert case.incident is not None
    changed = case.incident.spec.model_copy(update=spec)
    incident = case.incident.model_copy(update={"status": stored(decision.status), "spec": changed})
    later = replace(case, incident=incident, seen=replace(case.seen, now=case.now + after))
    return later, decide(later)


def reminders(decision: Decision) -> list[str]:
    return [one.message for one in decision.notices if one.reason is Reason.UpdateDue]


def test_while_nothing_changes_the_update_is_left_alone_and_says_as_of_when_it_is_true() -> None:
    case = record_only(acknowledgedBy="ana")
    case = replace(case, seen=replace(case.seen, now=NOW + timedelta(microseconds=900_000)))
    first = decide(case)
    case, second = then(case, first, timedelta(minutes=4, seconds=59, microseconds=500_000))
    assert case.incident is not None
    assert second.status == case.incident.status
    assert second.status is not None
    assert "**Duration:** less than a minute (as of 10:00 UTC)" in second.status.update
    assert reminders(second) == []
    assert second.status.reminded_at is None


def test_a_transition_brings_an_update_as_of_now_and_moves_the_next_one() -> None:
    case = record_only()
    case, second = then(case, decide(case), 20 * MINUTE, acknowledged_by="ana")
    assert second.status is not None
    assert "**Duration:** 20 minutes (as of 10:20 UTC)" in second.status.update
    assert "- ana has taken it" in second.status.update
    assert second.status.next_update_due == case.now + 30 * MINUTE
    assert reminders(second) == []


def test_what_a_person_says_of_the_impact_is_passed_on() -> None:
    case = record_only()
    _, second = then(case, decide(case), MINUTE, impact="nobody gets a receipt")
    assert second.status is not None
    assert "### Impact\nnobody gets a receipt\n" in second.status.update


def test_an_update_that_is_due_is_written_anew_once_and_people_are_reminded_once() -> None:
    case = record_only(acknowledgedBy="ana")
    case, due = then(case, decide(case), 30 * MINUTE)
    assert due.status is not None
    assert "**Duration:** 30 minutes (as of 10:30 UTC)" in due.status.update
    assert due.status.reminded_at == due.status.updated_at
    [said] = reminders(due)
    assert "by 2026-11-23T10:30:00Z, and nothing has changed" in said
    assert "the next time by 2026-11-23T11:00:00Z" in said
    case, again = then(case, due, MINUTE)
    assert case.incident is not None
    assert again.status == case.incident.status
    assert reminders(again) == []


def test_after_a_long_absence_people_are_reminded_once_and_not_for_each_time_that_was_missed() -> None:
    case = record_only(acknowledgedBy="ana")
    case, due = then(case, decide(case), timedelta(days=5))
    assert len(reminders(due)) == 1
    assert due.status is not None
    assert due.status.next_update_due == case.now + 30 * MINUTE


def test_each_reminder_is_an_event_of_its_own() -> None:
    case = record_only(acknowledgedBy="ana")
    case, first = then(case, decide(case), 30 * MINUTE)
    _, second = then(case, first, 30 * MINUTE)
    assert reminders(first) != reminders(second)


def test_it_is_looked_at_again_when_the_update_or_the_acknowledgement_is_due() -> None:
    untaken, taken = decide(record_only()), decide(record_only(acknowledgedBy="ana"))
    assert untaken.look_again == 5 * MINUTE
    assert taken.look_again == 30 * MINUTE


def test_an_incident_that_is_over_has_no_next_update_and_nobody_is_reminded() -> None:
    case = record_only(acknowledgedBy="ana")
    case, over = then(case, decide(case), MINUTE, resolution="Resolved")
    assert over.closed
    assert over.status is not None
    assert (over.status.communication_status, over.status.next_update_due) == ("Resolved", None)
    _, later = then(case, over, timedelta(days=1))
    assert later.status == stored(over.status)
    assert reminders(later) == []


@pytest.mark.parametrize(("severity", "minutes"), [("P1", 30), ("P2", 60), ("P3", 240), ("P4", None)])
def test_the_severity_says_how_often_those_who_wait_hear(severity: str, minutes: int | None) -> None:
    status = decide(record_only(severity=severity)).status
    assert status is not None
    assert status.next_update_due == (NOW + timedelta(minutes=minutes) if minutes else None)
    assert ("none is planned at this severity" in status.update) is (minutes is None)


def test_the_platform_says_how_often_and_a_change_of_it_holds_at_once() -> None:
    case = record_only(acknowledgedBy="ana")
    levels = [{"name": "P1", "acknowledgeWithin": "5m", "updateEvery": "10m"}]
    case, _ = then(replace(case, config=ConfigSpec()), decide(case), MINUTE)
    case = replace(case, config=ConfigSpec.model_validate({"severityLevels": levels}))
    third = decide(case)
    assert third.status is not None
    assert third.status.next_update_due == case.now + 10 * MINUTE
    assert reminders(third) == []


def test_a_duplicate_says_which_incident_is_handled_and_is_reminded_of_nothing() -> None:
    other = make_incident(name="other", severity="P1")
    decision = decide(make_case(others=(other,), policy=make_policy(mode="Observe")))
    [(_, status)] = decision.duplicates
    assert "Incident api-1 of the same workload is handled instead" in status.update
    assert "### Next Update\nSee incident api-1." in status.update
    assert status.next_update_due is None


def test_the_act_does_not_wait_for_prose() -> None:
    decision = decide(make_case())
    assert decision.intent is not None
    assert decision.status is not None
    assert decision.status.update == ""


def test_adding_the_update_twice_changes_nothing_and_reminds_once() -> None:
    case = record_only(acknowledgedBy="ana")
    case, due = then(case, decide(case), 30 * MINUTE)
    assert kept_current(case, due) == due


def test_what_was_put_back_after_the_decision_is_in_the_update_that_is_written() -> None:
    case = make_case(policy=make_policy(mode="Observe"))
    decision = decide(case)
    assert decision.status is not None
    done = IncidentRemediation(name="r", step="more", action="Scale", state="Succeeded", summary="scale 2 → 4", revert="Done")
    later = kept_current(case, replace(decision, status=decision.status.model_copy(update={"remediations": (done,)})))
    assert later.status is not None
    assert "- scale 2 → 4: done, and it helped" in later.status.update


def test_once_it_is_mitigated_a_time_to_take_it_that_has_passed_is_not_waited_for() -> None:
    case = after_rollback(make_case(incident=make_incident(severity="P1", status={"detectedAt": NOW - 10 * MINUTE})))
    calm = replace(case, remediations=(), seen=replace(case.seen, now=NOW + 2 * MINUTE))
    mitigated = condition("Mitigated", Truth.TRUE, "Mitigated", "", NOW)
    assert calm.incident is not None
    assert calm.incident.status is not None
    status = calm.incident.status.model_copy(update={"conditions": (mitigated,), "findings": ()})
    decision = decide(replace(calm, incident=calm.incident.model_copy(update={"status": status})))
    assert decision.status is not None
    assert decision.status.acknowledge_by == NOW - 5 * MINUTE
    assert decision.look_again is not None
    assert decision.look_again >= timedelta(seconds=1)
