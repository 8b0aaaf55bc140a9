"""Alerts in incidents: what is kept, what is news, what follows for the decision, and when it is over."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import (
    BAD,
    GOOD,
    NOW,
    OLD,
    UID,
    ago,
    make_case,
    make_good,
    make_health,
    make_incident,
    make_live,
    make_policy,
    make_revision,
    make_seen,
    make_workload,
)
from tests.unit.detectors.test_alert import make_alert

from stopgap.api import Incident
from stopgap.api.incident import IncidentStatus
from stopgap.core import alerts
from stopgap.core.case import Case, Decision
from stopgap.core.decide import decide
from stopgap.model.alert import Alert, AlertState
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.workload import State

FIRING, RESOLVED = AlertState.FIRING, AlertState.RESOLVED
BEGAN = ago(minutes=3)
SEEN = IncidentStatus(detected_at=ago(minutes=2))


def told(state: AlertState = FIRING, *, since: datetime = BEGAN, at: datetime = NOW, ended: datetime | None = None) -> Alert:
    return replace(make_alert(state=state, since=since, heard_at=at), ended=ended)


def status_of(*messages: Alert, begin: IncidentStatus = SEEN) -> IncidentStatus:
    """Take in one message after the other."""
    status = begin
    for one in messages:
        status = alerts.taken_in(status, [one], 0) or status
    return status


def states(status: IncidentStatus) -> list[AlertState]:
    return [one.state for one in status.alerts]


# ------------------------------------------------------------------------------------------------------------ what is kept


ROWS = [
    pytest.param((told(),), [FIRING], id="it fires"),
    pytest.param((told(RESOLVED),), [], id="it ended before it was ever told"),
    pytest.param((told(), told(RESOLVED, ended=NOW)), [RESOLVED], id="it ends"),
    pytest.param((told(since=BEGAN), told(RESOLVED, ended=BEGAN - timedelta(hours=1))), [FIRING], id="an old end is told late"),
    pytest.param((told(), told(RESOLVED), told(at=NOW + timedelta(seconds=9))), [RESOLVED], id="the same firing is replayed after its end"),
    pytest.param((told(), told(RESOLVED), told(since=NOW)), [FIRING], id="it fires anew"),
    pytest.param((told(), told(RESOLVED), told(at=NOW + timedelta(minutes=6))), [FIRING], id="the same firing is told long after its end"),
]


@pytest.mark.parametrize(("messages", "kept"), ROWS)
def test_what_is_kept_where(messages: tuple[Alert, ...], kept: list[AlertState]) -> None:
    assert states(status_of(*messages)) == kept


def test_a_repeat_is_no_news_until_it_is_worth_saying_that_the_sender_is_still_there() -> None:
    status = status_of(told())
    assert alerts.taken_in(status, [told(at=NOW + timedelta(minutes=4, seconds=59))], 0) is None
    later = alerts.taken_in(status, [told(at=NOW + timedelta(minutes=5))], 0)
    assert later is not None
    assert later.alerts[0].last_received_at == NOW + timedelta(minutes=5)
    assert later.timeline == status.timeline


def test_each_turn_is_told_once_and_what_it_began_with_is_left_to_the_first_look() -> None:
    status = status_of(told(), told(), told(RESOLVED), told(RESOLVED))
    assert [entry.type for entry in status.timeline] == [Reason.AlertFiring, Reason.AlertResolved]
    assert status_of(told(), begin=IncidentStatus()).timeline == ()


def many(count: int) -> list[Alert]:
    return [replace(make_alert(f"A{number:02}"), heard_at=NOW) for number in range(count)]


def test_of_too_many_those_that_fire_are_kept_the_rest_is_counted_and_told_again_it_is_no_news() -> None:
    status = alerts.taken_in(SEEN, [replace(many(1)[0], fingerprint="over", name="Over")], 0)
    assert status is not None
    status = alerts.taken_in(status, [replace(many(1)[0], fingerprint="over", state=RESOLVED)], 0)
    assert status is not None
    full = alerts.taken_in(status, many(40), 0)
    assert full is not None
    assert len(full.alerts) == alerts.MOST_LISTED
    assert set(states(full)) == {FIRING}
    assert full.truncated_alerts == 9
    assert full.timeline[-1].message == "9 more alerts are not told here"
    assert alerts.taken_in(full, many(40), 0) is None


def test_what_the_sender_left_out_is_said() -> None:
    status = alerts.taken_in(SEEN, [told()], 17)
    assert status is not None
    assert status.truncated_alerts == 17
    assert [entry.type for entry in status.timeline] == [Reason.AlertFiring, Reason.AlertsLeftOut]
    assert alerts.taken_in(status, [told()], 17) is None


def test_of_two_open_incidents_the_later_state_of_an_alert_counts() -> None:
    old = make_incident(name="a", status=body(told(), told(RESOLVED)))
    new = make_incident(name="b", status=body(told(since=NOW)))
    assert [one.state for one in alerts.told((old, new))] == [FIRING]
    assert [one.state for one in alerts.told((new, old))] == [FIRING]


# ---------------------------------------------------------------------------------------------------------- what follows

POLICY = {
    "triggers": [{"name": "paged", "alert": {"matchLabels": {"alertname": "ApiHigh5xx"}}}],
    "steps": [{"name": "undo", "when": {"triggers": ["paged"], "sources": ["Alert"]}, "rollback": {}}],
}


def body(*messages: Alert, **changes: Any) -> dict[str, Any]:
    return {**status_of(*messages, begin=IncidentStatus()).model_dump(mode="json", by_alias=True, exclude_none=True), **changes}


def incident_of(*messages: Alert, name: str = "api-alert-1", **changes: Any) -> Incident:
    source = {"type": "Alert", "name": "ApiHigh5xx", "fingerprint": "fp-ApiHigh5xx"}
    return make_incident(name=name, source=source, startedAt="2026-11-23T09:57:00Z", status=body(*messages, **changes))


def paged(*messages: Alert, incident: Incident | None = None, seen: dict[str, Any] | None = None, **policy: Any) -> Case:
    """The pods of the new revision are well for all that Kubernetes knows; an alert says otherwise."""
    work = make_workload(
        current_replicas=3, updated_replicas=3, available_replicas=3, progressing=make_workload().progressing, template=BAD
    )
    new = make_revision(2, wanted=3, replicas=3, ready=3, available=3, created=ago(minutes=5))
    incident = incident or incident_of(*messages)
    facts: dict[str, Any] = {
        "workload": work,
        "revisions": (new, make_revision(1)),
        "pods": (),
        "exits": (),
        "current_since": ago(minutes=5),
        "live": make_live(),
        "alerts": alerts.told((incident,)),
        **(seen or {}),
    }
    return make_case(seen=make_seen(**facts), policy=make_policy(**{**POLICY, **policy}), incident=incident)


def reasons(decision: Decision) -> list[str]:
    return [one.reason for one in decision.refusals]


def test_an_alert_about_a_recent_release_rolls_it_back_to_the_revision_that_was_healthy() -> None:
    decision = decide(paged(told()))
    assert decision.intent is not None
    assert decision.intent.spec.plan.to_revision == 1
    assert decision.intent.spec.finding is not None
    assert decision.intent.spec.finding.type == Reason.AlertFiring


def test_while_it_rolls_out_older_pods_that_are_well_prove_nothing_about_an_alert() -> None:
    rolling = {"revisions": (make_revision(2, wanted=1, replicas=1, ready=1), OLD)}
    case = paged(told(), seen=rolling)
    unproven = replace(case, health=make_health(known_good=(make_good(0),)))
    assert decide(case).intent is not None
    assert Reason.NotAttributable in reasons(decide(unproven))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        pytest.param(paged(told(since=ago(minutes=9))), Reason.NotAttributable, id="it began before the release"),
        pytest.param(paged(told(since=NOW), seen={"current_since": ago(minutes=40)}), Reason.NoRecentChange, id="nothing changed lately"),
        pytest.param(
            paged(told(), steps=[{"name": "undo", "when": {"triggers": ["paged"]}, "rollback": {}}]),
            Reason.NoStepApplies,
            id="no step takes alerts",
        ),
        pytest.param(paged(told(), mode="Observe"), Reason.ObserveOnly, id="it only looks on"),
    ],
)
def test_nothing_is_done_where(case: Case, reason: Reason) -> None:
    decision = decide(case)
    assert decision.intent is None
    assert reasons(decision) == [reason]


def test_an_alert_that_no_trigger_asks_for_is_told_and_moves_nothing() -> None:
    case = paged(told(), triggers=[{"name": "crash", "crashLoop": {}}], steps=[{"name": "undo", "when": {}, "rollback": {}}])
    decision = decide(case)
    assert decision.intent is None
    assert decision.status is not None
    assert decision.status.decision is not None
    (refusal,) = decision.status.decision.refusals
    assert refusal.reason == Reason.NoStepApplies
    assert "asks for this alert" in refusal.message


def test_without_a_policy_it_is_told_that_it_ends_with_its_alerts_and_it_does() -> None:
    incident = incident_of(told(), told(RESOLVED), detectedAt=NOW.isoformat(), targetUid=UID)
    first = decide(replace(paged(incident=incident), policy=None))
    assert first.status is not None
    assert first.status.decision is not None
    assert "it is over once its alerts are" in first.status.decision.refusals[0].message
    later = incident.model_copy(update={"status": first.status})
    case = paged(incident=later, seen={"now": NOW + timedelta(minutes=15)})
    assert decide(replace(case, policy=None)).closed


def test_an_incident_of_the_watch_that_an_alert_joins_is_also_one_of_an_alert() -> None:
    watched = make_incident(status=body(told()))
    assert decide(paged(incident=watched)).intent is not None


@pytest.mark.parametrize("claimed", [True, False], ids=["a trigger asks for it", "none does"])
def test_once_resolved_and_quiet_for_long_enough_it_is_over(claimed: bool) -> None:  # noqa: FBT001 - a column of the table
    policy: dict[str, Any] = {} if claimed else {"triggers": [{"name": "crash", "crashLoop": {}}], "steps": []}
    firing = decide(paged(told(), **policy))
    assert firing.status is not None
    assert firing.status.quiet_since is None
    at = NOW
    incident = incident_of(told(), told(RESOLVED), detectedAt=NOW.isoformat(), startedAt=NOW.isoformat(), targetUid=UID)
    phases = []
    for minutes in (0, 2, 18):
        case = paged(incident=incident, seen={"now": at + timedelta(minutes=minutes)}, **policy)
        decision = decide(case)
        assert decision.status is not None
        incident = incident.model_copy(update={"status": decision.status})
        phases.append(str(decision.status.phase))
    assert phases[1:] == ["Mitigated", "Resolved"]


def test_an_alert_that_nobody_repeats_does_not_keep_a_mitigated_incident_open_for_ever() -> None:
    now = NOW + timedelta(hours=13)
    case = paged(told(), seen={"now": now}, triggers=[{"name": "crash", "crashLoop": {}}], steps=[])
    assert not alerts.pending(case)
    assert alerts.pending(paged(told()))


def test_nothing_is_concluded_before_the_alert_is_in_its_incident() -> None:
    bare = make_incident(source={"type": "Alert", "name": "x", "fingerprint": "x"})
    created = bare.metadata.model_copy(update={"creation_timestamp": "2026-11-23T09:59:58Z"})
    case = make_case(incident=bare.model_copy(update={"metadata": created}), seen=make_seen(exits=(), pods=()))
    assert decide(case) == Decision(look_again=timedelta(seconds=1))
    assert decide(replace(case, seen=replace(case.seen, now=NOW + timedelta(seconds=9)))).status is not None


def test_an_alert_on_another_release_after_the_mitigation_is_an_incident_of_its_own() -> None:
    first = incident_of(told(), told(RESOLVED), name="a", mitigatedAt=NOW.isoformat(), digest=GOOD.digest, targetUid=UID)
    second = incident_of(told(since=NOW), name="b")
    case = replace(paged(incident=first), others=(second,))
    case = replace(case, seen=replace(case.seen, alerts=alerts.told((first, second))))
    decision = decide(case)
    assert decision.closed
    assert decision.duplicates == ()
    next_one = decide(replace(case, incident=second, others=(), seen=replace(case.seen, alerts=alerts.told((second,)))))
    assert next_one.intent is not None


# ----------------------------------------------------------------------------------------------------- without a workload


def record(incident: Incident, now: datetime) -> Case:
    alone = incident.model_copy(update={"spec": incident.spec.model_copy(update={"target_ref": None})})
    target = Target("shop", "Incident", incident.metadata.name)
    seen = make_seen(now=now, target=target, workload=None, template=None, alerts=alerts.told((incident,)))
    return make_case(seen=seen, policy=None, incident=alone)


def test_a_record_without_a_workload_is_over_once_its_alerts_have_been_for_long_enough() -> None:
    assert not decide(record(incident_of(told()), NOW + timedelta(hours=1))).closed
    incident = incident_of(told(), told(RESOLVED), detectedAt=NOW.isoformat(), quietSince=NOW.isoformat())
    assert not decide(record(incident, NOW + timedelta(minutes=14))).closed
    decision = decide(record(incident, NOW + timedelta(minutes=15)))
    assert decision.closed
    assert decision.status is not None
    assert (decision.status.phase, decision.status.timeline[-1].message) == ("Resolved", "every alert has been resolved for 15m")


def test_while_it_is_quiet_it_is_looked_at_again_in_time() -> None:
    incident = incident_of(told(), told(RESOLVED), detectedAt=NOW.isoformat(), quietSince=NOW.isoformat())
    assert decide(record(incident, NOW + timedelta(minutes=14, seconds=50))).look_again == timedelta(seconds=10)


def test_a_finding_of_an_alert_is_written_down_and_goes_quiet() -> None:
    decision = decide(paged(told(), mode="Observe"))
    assert decision.status is not None
    assert [(one.trigger, one.state) for one in decision.status.findings] == [("paged", State.FIRING)]
