"""`http`: the request that is shown is the one that is kept in the plan, with the secrets masked and the names filled in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import NOW, UID, executed, make_case, make_incident, make_live, make_policy, make_remediation, make_seen, make_workload

from stopgap.actions import Http
from stopgap.api import Remediation
from stopgap.api.plan import PlannedRevert
from stopgap.api.remediation import RemediationState
from stopgap.api.revert import RevertState
from stopgap.core.case import Case, Intent
from stopgap.core.decide import decide
from stopgap.model.change import Aim, Field, Known, Plan
from stopgap.model.conditions import find
from stopgap.model.observation import Right
from stopgap.model.reasons import Reason

TOKEN = {"name": "Authorization", "prefix": "Bearer ", "secretRef": {"name": "unleash", "key": "token"}}
CALL: dict[str, Any] = {
    "url": "http://admin.$(NAMESPACE).svc/flags/$(NAME)",
    "headers": [TOKEN, {"name": "X-Reason", "value": "incident"}],
    "body": '{"feature": false, "comment": "$(SEVERITY) $(INCIDENT)"}',
    "restore": {"method": "PUT", "url": "http://admin.shop.svc/flags/api", "body": '{"feature": true}', "idempotent": True},
}
STEP = {"name": "flag-off", "when": {"triggers": ["crash"]}, "http": CALL}


def made(**changes: Any) -> Http:
    return Http.model_validate({**CALL, **changes})


def calling(*, may: bool = True, **changes: Any) -> Case:
    """The bad release under a policy that switches a feature off."""
    seen = make_seen(live=make_live(rights={Right("get", "", "secrets", "unleash"): may}))
    incident = make_incident(status={"detectedAt": NOW, "severity": "P1", "targetUid": UID}, severity="P1")
    spec = {"steps": [{**STEP, **changes.pop("step", {})}], **changes.pop("policy", {})}
    return make_case(**{"seen": seen, "policy": make_policy(**spec), "incident": incident, **changes})


def intended(case: Case) -> Intent:
    intent = decide(case).intent
    assert intent is not None
    return intent


def test_the_secrets_it_takes_are_asked_about_by_name() -> None:
    aim = made().wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    assert aim.needs == {Right("get", "", "secrets", "unleash")}
    platform = made().wants(make_seen(), Known(platform=True))
    assert isinstance(platform, Aim)
    assert platform.needs == {Right("get", "", "secrets", "unleash", platform=True)}


def test_observe_shows_the_very_request_with_secrets_masked() -> None:
    status = decide(calling(policy={"mode": "Observe"})).status
    assert status is not None
    assert status.decision is not None
    assert status.decision.message == (
        'POST http://admin.shop.svc/flags/api with Authorization: Bearer ***, X-Reason: incident, {"feature": false, "comment": "P1 api-1"}'
    )
    assert [one.reason for one in status.decision.refusals] == [Reason.ObserveOnly]


def test_the_plan_holds_both_calls_whole_with_the_incident_s_own_names() -> None:
    plan = intended(calling()).spec.plan
    assert plan.field is Field.ELSEWHERE
    assert plan.outside is not None
    kept = plan.outside.http
    assert kept is not None
    assert (kept.url, kept.body) == ("http://admin.shop.svc/flags/api", '{"feature": false, "comment": "P1 api-1"}')
    assert kept.restore is not None
    assert (kept.restore.method, kept.repeatable(inverse=False), kept.repeatable(inverse=True)) == ("PUT", False, True)
    assert plan.suspends is None


def test_a_long_body_is_kept_whole_and_shown_in_part() -> None:
    body = '{"why": "%s $(INCIDENT)"}' % ("x" * 4000)
    spec = intended(calling(step={"http": {**CALL, "body": body}})).spec
    assert spec.plan.outside is not None
    assert spec.plan.outside.http is not None
    assert spec.plan.outside.http.body == body.replace("$(INCIDENT)", "api-1")
    assert len(spec.plan.summary) == 1000


def test_what_is_too_long_with_the_incident_s_names_is_refused_and_not_tried_for_ever() -> None:
    decision = decide(calling(step={"http": {**CALL, "body": '{"why": "%s"}' % ("$(INCIDENT)" * 300 + "x" * 700)}}))
    assert decision.intent is not None
    incident = make_incident(name="a" * 60, status={"detectedAt": NOW, "severity": "P1", "targetUid": UID}, severity="P1")
    decision = decide(calling(step={"http": {**CALL, "body": '{"why": "%s"}' % ("$(INCIDENT)" * 300)}}, incident=incident))
    assert (decision.intent, [one.reason for one in decision.refusals]) == (None, [Reason.InvalidPolicy])


@pytest.mark.parametrize(
    ("step", "revert"),
    [
        pytest.param({}, PlannedRevert(upon="Manual"), id="by a person, where nothing is said"),
        pytest.param({"revert": {"upon": "Resolved"}}, PlannedRevert(upon="Resolved"), id="with the incident"),
        pytest.param({"revert": {"after": "30m"}}, PlannedRevert(after="30m"), id="after a while"),
        pytest.param({"http": {key: value for key, value in CALL.items() if key != "restore"}}, None, id="never, without a call for it"),
    ],
)
def test_when_it_is_put_back(step: dict[str, Any], revert: PlannedRevert | None) -> None:
    assert intended(calling(step=step)).spec.plan.revert == revert


def test_who_owns_the_workload_does_not_matter() -> None:
    case = calling()
    live = replace(case.seen.live or make_live(), may_patch=False, owner="Argo CD would undo it")
    work = make_workload(controller="Rollout api", paused=True)
    assert intended(replace(case, seen=replace(case.seen, live=live, workload=work))).spec.action == "Http"


def test_without_the_right_to_read_the_secret_nothing_is_intended() -> None:
    decision = decide(calling(may=False))
    assert (decision.intent, [one.reason for one in decision.refusals]) == (None, [Reason.NotAuthorized])


def test_the_rights_are_read_before_anything_is_planned() -> None:
    case = calling()
    decision = decide(replace(case, seen=replace(case.seen, live=None)))
    assert decision.intent is None
    assert decision.reads.needs == {Right("get", "", "secrets", "unleash")}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"body": "{feature: false}"}, "body", id="a body that is no JSON"),
        pytest.param({"timeout": "2m"}, "at most 1m", id="a timeout that outlasts the intent"),
        pytest.param({"url": "http://user:pw@admin.shop.svc/"}, "url", id="a secret in the URL"),
        pytest.param({"url": "ftp://admin.shop.svc/"}, "url", id="no HTTP"),
    ],
)
def test_what_cannot_be_sent_is_not_understood(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        made(**wrong)
    assert said in str(error.value)


def test_a_plan_says_what_is_sent() -> None:
    aim = made().wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    plan = made().plan(make_seen(), aim)
    assert isinstance(plan, Plan)
    assert (plan.action, plan.field) == ("Http", Field.ELSEWHERE)


# -------------------------------------------------------------------------------------------------------- what becomes of it


def sent(state: str = "Verifying", *, revert: dict[str, Any] | None = None, on: dict[str, Any] | None = None, **status: Any) -> Remediation:
    plan = {"summary": "POST flag", "field": "Elsewhere", "outside": {"http": CALL}, "revert": on or {"upon": "Manual"}}
    reason = status.pop("reason", "Failed")
    condition = {"type": "Succeeded", "status": "False", "reason": reason, "message": "m", "lastTransitionTime": NOW}
    done = executed(writtenDigest="") if state == "Verifying" or revert else {"message": "answered 403", "conditions": [condition]}
    said = {**done, "state": state, **({"endedAt": NOW} if state != "Verifying" else {}), **status}
    return make_remediation(step="flag-off", action="Http", plan=plan, status=said | ({"revert": revert} if revert else {}))


def test_a_taken_on_call_that_is_found_is_brought_to_an_outcome() -> None:
    one = sent("Executing", endedAt=None)
    decision = decide(calling(remediations=(one,)))
    assert (decision.resume, decision.intent) == (one, None)


def test_also_where_the_workload_is_gone_meanwhile() -> None:
    one = sent("Executing", endedAt=None)
    case = calling(remediations=(one,))
    assert decide(replace(case, seen=replace(case.seen, workload=None, template=None))).resume == one


def test_it_is_proved_by_the_signals_like_any_action() -> None:
    case = calling(remediations=(sent(),))
    decision = decide(case)
    assert decision.remediation is None
    assert decision.status is not None
    mitigated = find(decision.status.conditions, "Mitigated")
    assert mitigated is not None
    assert mitigated.reason == Reason.Mitigating


@pytest.mark.parametrize(
    ("one", "step", "escalated"),
    [
        pytest.param(sent("OutcomeUnknown", reason="OutcomeUnknown"), {"onFailure": "Next"}, "OutcomeUnknown", id="nobody can tell"),
        pytest.param(sent("Failed"), {"onFailure": "Escalate"}, "Failed", id="the other side said no"),
        pytest.param(sent("Failed"), {"onFailure": "Next"}, "", id="the other side said no, and another step is there"),
    ],
)
def test_people_are_called_where_it_was_not_done_or_nobody_knows(one: Remediation, step: dict[str, Any], escalated: str) -> None:
    kick = {"name": "kick", "when": {"triggers": ["crash"]}, "restart": {}}
    case = calling(remediations=(one,), policy={"steps": [{**STEP, **step}, kick]})
    decision = decide(case)
    assert decision.status is not None
    found = find(decision.status.conditions, "Escalated")
    assert (found.reason if found else "") == escalated
    if not escalated:
        assert decision.status.decision is not None
        assert decision.status.decision.step == "kick"


def owing(state: str = "Pending", *, asked: str = "", on: dict[str, Any] | None = None, **revert: Any) -> Remediation:
    one = sent("Succeeded", on=on, revert={"state": state, **revert}, fieldsReturned=True)
    return one.model_copy(
        update={"metadata": one.metadata.model_copy(update={"annotations": {"stopgap.dev/revert": asked} if asked else {}})}
    )


@pytest.mark.parametrize(
    ("one", "restored"),
    [
        pytest.param(owing(), False, id="it waits for a person"),
        pytest.param(owing(asked="now"), True, id="a person asks for it"),
        pytest.param(owing("Executing"), True, id="it was taken on and nobody said what became of it"),
        pytest.param(owing("OutcomeUnknown"), False, id="nobody knows"),
        pytest.param(owing("OutcomeUnknown", asked="now"), False, id="nobody knows, whoever asks"),
        pytest.param(owing("OutcomeUnknown", asked="abandon"), True, id="nobody knows, and a person has looked"),
        pytest.param(owing("Failed"), False, id="it failed"),
        pytest.param(owing("Failed", asked="now"), True, id="it failed, and a person asks for it"),
    ],
)
def test_when_it_is_sent_back(one: Remediation, restored: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (decide(calling(incident=None, remediations=(one,), seen=quiet())).restore is not None) is restored


def quiet() -> Any:
    return replace(calling().seen, pods=(), exits=(), current_since=NOW - timedelta(hours=1))


@pytest.mark.parametrize("policy", [None, make_policy(mode="Observe")], ids=["the policy was deleted", "the policy only observes by now"])
def test_it_is_sent_back_whatever_became_of_the_policy(policy: Any) -> None:
    one = owing(on={"upon": "Resolved"})
    case = replace(calling(incident=None, remediations=(one,), seen=quiet()), policy=policy)
    restore = decide(case).restore
    assert restore is not None
    assert restore.remediation == one


def test_it_is_sent_back_where_the_workload_is_gone() -> None:
    one = owing(on={"upon": "Resolved"})
    case = calling(incident=None, left=(one,), seen=replace(quiet(), workload=None, template=None))
    assert decide(case).restore is not None


def test_the_states_of_a_call_are_told_apart() -> None:
    assert RemediationState.EXECUTING.out
    assert not RemediationState.EXECUTING.ended
    assert RevertState.EXECUTING.open
    assert RevertState.OUTCOME_UNKNOWN.open
