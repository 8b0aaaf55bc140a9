"""What is temporary is put back: when, when not yet, by whose order, and what is told about it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import GOOD, NOW, ago, make_case, make_incident, make_policy, make_remediation, make_revision, make_seen, make_workload

from stopgap.api import Remediation
from stopgap.api.config import ConfigSpec
from stopgap.api.plan import PlannedScaler
from stopgap.api.revert import RevertState
from stopgap.core import restoring
from stopgap.core.case import Case, Lent
from stopgap.core.decide import decide
from stopgap.core.restoring import Put
from stopgap.core.storm import Breaker, Stage
from stopgap.model.change import Field
from stopgap.model.observation import Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Flag, Level

POLICY = make_policy(
    triggers=[{"name": "down", "unavailable": {"below": "90%", "for": "10s"}}],
    steps=[{"name": "more", "when": {"triggers": ["down"]}, "scale": {"by": "2", "max": 9}}],
    resolution={"after": "5m"},
)
STATUS: dict[str, Any] = {
    "detectedAt": ago(minutes=20),
    "targetUid": "d-uid",
    "quietSince": ago(minutes=10),
    "mitigatedAt": ago(minutes=10),
    "findings": [{"trigger": "down", "type": "Unavailable", "state": "Quiet"}],
    "conditions": [
        {"type": "Mitigated", "status": "True", "reason": "Mitigated", "message": "", "lastTransitionTime": "2026-11-23T09:50:00Z"}
    ],
}


STOPPED = ConfigSpec.model_validate({"pauseRequests": [{"name": "ana", "reason": "audit"}]})


def lent(*, on: str = "Resolved", after: str = "", asked: str = "", revert: str = "Pending", due: datetime | None = None) -> Remediation:
    """Three replicas were raised to five, twelve minutes ago, and that helped."""
    plan: dict[str, Any] = {"summary": "scale 3 → 5 replicas", "field": "Replicas", "before": 3, "ours": 5}
    plan["revert"] = {"after": after} if after else {"upon": on}
    status = {
        "state": "Succeeded",
        "executedAt": ago(minutes=12),
        "endedAt": ago(minutes=11),
        "fieldsReturned": True,
        "revert": {"state": revert, **({"dueAt": due} if due else {})},
    }
    made = make_remediation(step="more", action="Scale", plan=plan, status=status)
    annotations = {"stopgap.dev/revert": asked} if asked else {}
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"annotations": annotations})})


def quiet(*, replicas: int = 5, available: int = 5, annotations: dict[str, str] | None = None, **changes: Any) -> Observation:
    """Everything of the workload is well."""
    work = make_workload(
        template=GOOD,
        replicas=replicas,
        current_replicas=replicas,
        updated_replicas=replicas,
        ready_replicas=available,
        available_replicas=available,
        annotations={"deployment.kubernetes.io/revision": "1", **(annotations or {})},
        progressing=Flag(True, "NewReplicaSetAvailable", "", ago(hours=1), ago(hours=1)),
    )
    only = make_revision(1, wanted=replicas, replicas=replicas, ready=available, available=available)
    fields: dict[str, Any] = {"workload": work, "revisions": (only,), "pods": (), "exits": (), "current_since": ago(hours=1)}
    return make_seen(**{**fields, **changes})


def loud() -> Observation:
    """Two of five pods have been missing for longer than is allowed."""
    return quiet(available=3, levels=(Level(ago(minutes=1), 3, 5),))


def over(one: Remediation | None, **changes: Any) -> Case:
    """An incident that was quiet for long enough, with something lent."""
    fields: dict[str, Any] = {
        "seen": quiet(),
        "policy": POLICY,
        "incident": make_incident(status=STATUS),
        "remediations": (one,) if one else (),
    }
    return make_case(**{**fields, **changes})


def test_it_is_put_back_before_the_incident_is_over() -> None:
    decision = decide(over(lent()))
    assert decision.restore is not None
    assert (decision.restore.ours, decision.restore.before) == (5, 3)
    assert not decision.closed


def test_a_storm_keeps_nothing_from_being_put_back() -> None:
    assert decide(over(lent(), storm=(Breaker("shop", Stage.OPEN, NOW),))).restore is not None


def test_when_it_is_due_is_counted_from_the_write() -> None:
    owed = restoring.owed(lent(after="30m"), NOW)
    assert owed is not None
    assert owed.due_at == NOW + timedelta(minutes=30)
    at_the_end = restoring.owed(lent(), NOW)
    assert at_the_end is not None
    assert at_the_end.due_at is None
    assert restoring.owed(lent(), None) is None
    assert restoring.owed(make_remediation(), NOW) is None


def test_once_it_is_put_back_the_incident_is_over() -> None:
    decision = decide(over(lent(revert="Done"), seen=quiet(replicas=3, available=3)))
    assert decision.restore is None
    assert decision.closed


def test_the_restore_owns_fields_as_well_and_they_are_given_back_too() -> None:
    status = restoring.settled(lent(), Put(RevertState.DONE, Reason.Restored, "put back 5 → 3"), NOW)
    assert not status.fields_returned
    assert status.revert is not None
    assert status.revert.ended_at == NOW


def test_what_was_not_written_owns_no_further_fields() -> None:
    status = restoring.settled(lent(), Put(RevertState.NOT_NEEDED, Reason.NotOurs, "somebody set it to 7"), NOW)
    assert status.fields_returned


@pytest.mark.parametrize(
    ("one", "changes"),
    [
        pytest.param(lent(), {"incident": make_incident(status={**STATUS, "quietSince": ago(minutes=1)})}, id="it is not over yet"),
        pytest.param(lent(on="Manual"), {}, id="a person decides"),
        pytest.param(lent(after="30m", due=NOW + timedelta(minutes=18)), {}, id="it is not due yet"),
        pytest.param(lent(revert="Failed"), {}, id="it has failed, and waits for a person"),
        pytest.param(lent(revert="Done"), {}, id="it is done"),
        pytest.param(lent(on="Manual", asked="later"), {}, id="a person has written something else"),
        pytest.param(lent(), {"config_paused": "stop"}, id="the kill switch is on"),
        pytest.param(lent(), {"config": None}, id="nobody knows whether the kill switch is on"),
        pytest.param(lent(), {"config": STOPPED}, id="the kill switch is on, with a reason"),
        pytest.param(lent(), {"seen": loud()}, id="a signal fires"),
    ],
)
def test_it_stays_while(one: Remediation, changes: dict[str, Any]) -> None:
    assert decide(over(one, **changes)).restore is None


@pytest.mark.parametrize(
    ("one", "changes"),
    [
        pytest.param(lent(revert="Held"), {}, id="it was held, and the signal is quiet again"),
        pytest.param(lent(on="Manual", asked="now"), {}, id="a person says so"),
        pytest.param(lent(asked="now"), {"seen": loud()}, id="a person says so although a signal fires"),
        pytest.param(lent(revert="Failed", asked="now"), {}, id="it had failed, and a person says so"),
        pytest.param(
            lent(after="10m", due=ago(minutes=2)), {"incident": make_incident(status={**STATUS, "quietSince": NOW})}, id="its time has come"
        ),
        pytest.param(lent(), {"incident": None}, id="the incident was deleted"),
        pytest.param(lent(), {"incident": make_incident(name="api-2")}, id="it is of an earlier incident"),
        pytest.param(lent(), {"policy": None, "incident": None}, id="the incident and the policy were deleted"),
        pytest.param(lent(), {"policy": None}, id="the policy was deleted, and it has been well for long enough"),
    ],
)
def test_it_is_put_back_when(one: Remediation, changes: dict[str, Any]) -> None:
    later = {
        "remediations": (one.model_copy(update={"status": one.status and one.status.model_copy(update={"ended_at": ago(minutes=16)})}),)
    }
    assert decide(over(one, **{**later, **changes})).restore is not None


def test_without_a_policy_it_stays_while_too_few_are_available() -> None:
    assert decide(over(lent(), policy=None, seen=loud())).restore is None


def test_something_that_is_to_be_put_back_is_never_forgotten() -> None:
    for changes in ({"config_paused": "stop"}, {}):
        wait = decide(over(lent(), incident=None, **changes)).look_again
        assert wait is not None
        assert wait <= timedelta(seconds=30)


def test_a_signal_that_comes_back_holds_it_and_that_is_said_once() -> None:
    late = lent(after="10m", due=ago(minutes=2))
    held = decide(over(late, seen=loud()))
    assert held.remediation is not None
    assert held.remediation[1].revert is not None
    assert held.remediation[1].revert.state is RevertState.HELD
    assert Reason.RestoreHeld in {one.reason for one in held.notices}
    one, status = held.remediation
    again = decide(over(one.model_copy(update={"status": status}), seen=loud()))
    assert Reason.RestoreHeld not in {one.reason for one in again.notices}


def just_restarted() -> Observation:
    """Two of five pods are missing, and for how long cannot be known yet."""
    return quiet(available=3, levels=(Level(NOW, 3, 5),))


@pytest.mark.parametrize(
    ("one", "changes"),
    [
        pytest.param(lent(), {"incident": None}, id="its incident was closed by a person"),
        pytest.param(lent(after="10m", due=ago(minutes=2)), {}, id="its time has come"),
    ],
)
def test_while_a_signal_is_unknown_as_after_a_restart_it_stays_without_an_event(one: Remediation, changes: dict[str, Any]) -> None:
    decision = decide(over(one, seen=just_restarted(), **changes))
    assert [found.state for found in decision.findings] == ["Unknown"]
    assert decision.restore is None
    assert decision.remediation is not None
    assert decision.remediation[1].revert is not None
    assert "down is Unknown" in decision.remediation[1].revert.message
    assert Reason.RestoreHeld not in {each.reason for each in decision.notices}


def test_once_it_is_known_to_fire_that_is_said_although_it_was_held_before() -> None:
    one, status = decide(over(lent(after="10m", due=ago(minutes=2)), seen=just_restarted(), incident=None)).remediation or (None, None)
    assert one is not None
    told = decide(over(one.model_copy(update={"status": status}), seen=loud(), incident=make_incident(status=STATUS)))
    assert Reason.RestoreHeld in {each.reason for each in told.notices}


@pytest.mark.parametrize("incident", [make_incident(status=STATUS), None], ids=["to its incident", "to nobody but the workload"])
@pytest.mark.parametrize(
    "put",
    [
        Put(RevertState.DONE, Reason.Restored, "put back 5 → 3"),
        Put(RevertState.NOT_NEEDED, Reason.NotOurs, "somebody set it to 7"),
        Put(RevertState.FAILED, Reason.RestoreFailed, "the API server refused"),
    ],
    ids=["restored", "not ours", "failed"],
)
def test_how_it_went_is_told(put: Put, incident: Any) -> None:
    case = over(lent(), incident=incident)
    decision = decide(case)
    assert decision.restore is not None
    told = restoring.told(case, decision, decision.restore, put)
    assert [one.reason for one in told.notices] == [put.reason]
    assert told.remediation is not None
    assert told.remediation[1].revert is not None
    assert told.remediation[1].revert.state is put.state
    if incident is not None:
        assert told.status is not None
        assert told.status.timeline[-1].type == put.reason


def test_a_restore_that_fails_again_is_not_told_again_and_is_not_tried_every_second() -> None:
    case = over(lent(revert="Failed", asked="now"))
    decision = decide(case)
    assert decision.restore is not None
    told = restoring.told(case, decision, decision.restore, Put(RevertState.FAILED, Reason.RestoreFailed, "the API server refused"))
    assert told.notices == decision.notices
    assert told.look_again == timedelta(seconds=30)


def test_a_person_who_takes_care_of_it_closes_it_and_the_mark_goes_too() -> None:
    decision = decide(over(lent(revert="Failed", asked="abandon")))
    assert decision.restore is not None
    assert decision.restore.abandoned


MARK = {"stopgap.dev/restore": '{"field": "Replicas", "before": 3, "ours": 5, "remediationUID": "lost"}'}


def test_a_mark_without_a_record_is_put_back_before_the_incident_is_over() -> None:
    decision = decide(over(None, seen=quiet(annotations=MARK)))
    assert decision.restore is not None
    assert (decision.restore.remediation_uid, decision.restore.before) == ("lost", 3)
    assert not decision.closed


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"incident": make_incident(status={**STATUS, "quietSince": NOW})}, id="the incident is not over yet"),
        pytest.param({"incident": None, "config_paused": "stop"}, id="the kill switch is on"),
        pytest.param({"seen": quiet(annotations={"stopgap.dev/restore": "{}"}), "incident": None}, id="the mark says nothing"),
    ],
)
def test_a_mark_without_a_record_stays_while(changes: dict[str, Any]) -> None:
    assert decide(over(None, **{"seen": quiet(annotations=MARK), **changes})).restore is None


def test_a_mark_of_a_record_that_was_put_back_is_an_old_one_and_holds_nothing_up() -> None:
    old = {"stopgap.dev/restore": MARK["stopgap.dev/restore"].replace("lost", "api-d-uid-g4-1-uid")}
    decision = decide(over(lent(revert="Done"), seen=quiet(replicas=3, available=3, annotations=old)))
    assert decision.restore is None
    assert decision.closed


def test_nothing_more_is_lent_while_a_mark_says_that_something_is() -> None:
    firing = replace(loud(), workload=loud().workload and quiet(available=3, annotations=MARK).workload)
    decision = decide(over(None, seen=firing, incident=make_incident()))
    assert Reason.TargetBusy in {one.reason for one in decision.refusals}


def raised(**changes: Any) -> Remediation:
    """The minimum of an autoscaler was raised from two to five."""
    scaler = {"kind": "HorizontalPodAutoscaler", "name": "api", "uid": "hpa-uid"}
    made = lent(**changes)
    plan = made.spec.plan.model_copy(update={"field": Field.MIN_REPLICAS, "scaler": PlannedScaler(**scaler), "before": 2})
    return made.model_copy(update={"spec": made.spec.model_copy(update={"plan": plan})})


GONE = make_seen(workload=None, template=None, revisions=(), pods=(), exits=())


@pytest.mark.parametrize("incident", [make_incident(status=STATUS), None], ids=["as its incident is closed", "after its incident"])
def test_the_autoscaler_of_a_workload_that_is_gone_has_its_minimum_back(incident: Any) -> None:
    records: dict[str, Any] = {"remediations": (raised(),)} if incident else {"remediations": (), "left": (raised(),)}
    decision = decide(over(None, seen=GONE, incident=incident, policy=None, **records))
    assert decision.closed == (incident is not None)
    assert decision.restore is not None
    assert (decision.restore.ours, decision.restore.before) == (5, 2)


def test_the_autoscaler_of_a_workload_that_was_made_anew_has_its_minimum_back_once_that_is_quiet() -> None:
    assert decide(over(None, incident=None, left=(raised(),))).restore is not None
    assert decide(over(None, incident=None, left=(raised(),), seen=loud())).restore is None


def test_what_was_lent_to_a_workload_that_is_gone_is_closed_also_where_a_person_was_to_decide() -> None:
    decision = decide(over(None, seen=GONE, incident=None, policy=None, left=(lent(on="Manual"),)))
    assert decision.restore is not None
    assert decide(over(None, seen=GONE, incident=None, policy=None, left=(raised(on="Manual"),))).restore is None


def test_an_autoscaler_whose_record_is_lost_has_its_minimum_back_once_all_is_quiet() -> None:
    lost = Lent(Field.MIN_REPLICAS, PlannedScaler(kind="HorizontalPodAutoscaler", name="api", uid="hpa-uid"), 2, 5, "lost")
    assert decide(over(None, incident=None, lost=(lost,))).restore == lost
    assert decide(over(None, incident=None, seen=loud(), lost=(lost,))).restore is None
    assert decide(over(None, incident=None, seen=GONE, policy=None, lost=(lost,))).restore == lost


def test_while_an_earlier_autoscaler_value_is_lent_no_other_is_and_what_went_with_its_workload_holds_nothing_up() -> None:
    firing, fresh = loud(), make_incident()
    assert Reason.TargetBusy in {one.reason for one in decide(over(None, seen=firing, incident=fresh, left=(raised(),))).refusals}
    assert Reason.TargetBusy not in {one.reason for one in decide(over(None, seen=firing, incident=fresh, left=(lent(),))).refusals}


def test_an_incident_about_a_workload_that_is_gone_holds_nothing_up() -> None:
    lost = Lent(Field.MIN_REPLICAS, raised().spec.plan.scaler, 2, 5, "lost")
    by_hand = make_incident()
    assert decide(over(None, incident=by_hand, seen=GONE, policy=None, lost=(lost,))).restore == lost
    assert decide(over(None, incident=by_hand, seen=GONE, policy=None, left=(raised(),))).restore is not None


def test_what_was_lost_is_looked_at_again_also_where_nothing_happens() -> None:
    lost = Lent(Field.MIN_REPLICAS, raised().spec.plan.scaler, 2, 5, "lost")
    wait = decide(over(None, incident=None, seen=loud(), policy=None, lost=(lost,), config_paused="stop")).look_again
    assert wait is not None
    assert wait <= timedelta(seconds=30)


def out(state: str, **plan: Any) -> Remediation:
    """The same, before it was proved."""
    made = raised()
    status = {"state": state, **({"executedAt": NOW, "revert": {"state": "Pending"}} if state == "Verifying" else {})}
    planned = made.spec.plan.model_dump(by_alias=True) | plan
    return make_remediation(step="more", action="Scale", plan=planned, status=status)


@pytest.mark.parametrize("seen", [GONE, quiet()], ids=["it is gone", "another one is there"])
@pytest.mark.parametrize(
    ("one", "ends"),
    [
        pytest.param(out("Verifying"), "Inconclusive", id="what was done will never be proved"),
        pytest.param(out("Verifying", scaler=None), "Inconclusive", id="what was done to it is gone with it"),
        pytest.param(out("Pending", scaler=None), "Superseded", id="what was intended is not done"),
        pytest.param(out("AwaitingApproval"), "Superseded", id="nobody has to approve it any more"),
    ],
)
def test_what_is_out_on_a_workload_that_is_gone_ends_and_is_put_back_soon(one: Remediation, ends: str, seen: Observation) -> None:
    decision = decide(over(None, seen=seen, incident=None, left=(one,)))
    assert decision.remediation is not None
    assert (decision.remediation[0], decision.remediation[1].state) == (one, ends)
    assert "was deleted" in decision.remediation[1].message
    assert decision.look_again is not None
    assert decision.look_again <= timedelta(seconds=1)
    assert decision.restore is None
    assert not decision.intent


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"seen": GONE, "incident": None, "left": (out("Pending"),)}, id="and so is its incident"),
        pytest.param({"incident": None, "left": (out("Pending"),)}, id="and another one is there"),
        pytest.param({"seen": GONE, "remediations": (out("Pending"),)}, id="while its incident is open"),
    ],
)
def test_whether_an_autoscaler_was_written_is_looked_up_before_anything_is_forgotten(changes: dict[str, Any]) -> None:
    decision = decide(over(None, **changes))
    assert decision.resume == out("Pending")
    assert not decision.closed
    assert decision.remediation is None


def test_what_the_proof_owed_as_the_workload_vanished_is_put_back_at_the_next_look() -> None:
    decision = decide(over(out("Verifying"), seen=GONE))
    assert decision.closed
    assert decision.remediation is not None
    assert decision.remediation[1].state == "Inconclusive"
    assert decision.look_again == timedelta(seconds=1)


def test_as_a_person_closes_the_incident_what_is_to_be_put_back_has_its_turn_soon() -> None:
    closed = make_incident(status=STATUS, resolution="Resolved")
    assert decide(over(lent(), incident=closed)).look_again == timedelta(seconds=1)
    assert decide(over(lent(revert="Done"), incident=closed)).look_again == timedelta(seconds=30)


@pytest.mark.parametrize("state", ["Superseded", "OutcomeUnknown", "Refused"])
def test_a_write_that_took_effect_after_its_record_had_ended_is_put_back_and_recorded(state: str) -> None:
    ended = make_remediation(name="lost", step="more", action="Scale", plan=lent().spec.plan.model_dump(), status={"state": state})
    late = {"stopgap.dev/restore": MARK["stopgap.dev/restore"].replace("lost", "lost-uid")}
    case = over(ended, seen=quiet(annotations=late))
    decision = decide(case)
    assert decision.restore is not None
    assert decision.restore.remediation == ended
    told = restoring.told(case, decision, decision.restore, Put(RevertState.DONE, Reason.Restored, "put back 5 → 3"))
    assert told.remediation is not None
    assert told.remediation[1].revert is not None
    assert told.remediation[1].revert.state is RevertState.DONE


def test_a_write_that_may_still_take_effect_is_not_put_back_yet() -> None:
    out = make_remediation(name="lost", step="more", action="Scale", plan=lent().spec.plan.model_dump())
    late = {"stopgap.dev/restore": MARK["stopgap.dev/restore"].replace("lost", "lost-uid")}
    assert decide(over(out, seen=quiet(annotations=late))).restore is None
