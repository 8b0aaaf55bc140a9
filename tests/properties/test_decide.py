"""What always holds of a decision, whatever the case."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import (
    BAD,
    GOOD,
    NEW,
    NOW,
    OLD,
    ago,
    executed,
    make_case,
    make_exits,
    make_good,
    make_health,
    make_incident,
    make_live,
    make_pod,
    make_policy,
    make_remediation,
    make_revision,
    make_seen,
    make_spent,
    make_template,
    make_workload,
)

from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.core.timeline import tell
from stopgap.model.observation import Live, Observation
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Level

steady = settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MIDDLE = Template.read(make_template("shop/api:1.9.5"))
TEMPLATES = {"rs-1": GOOD, "rs-2": BAD, "rs-m": MIDDLE}
REVISIONS = (msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-m", name="api-m"), OLD)
ANNOTATIONS = {"deployment.kubernetes.io/revision": "3"}
TRIGGERS = [
    {"name": "crash", "crashLoop": {}},
    {"name": "down", "unavailable": {}},
    {"name": "stuck", "rolloutStuck": {"after": "1m"}},
    {"name": "pull", "imagePull": {}},
]


@st.composite
def lives(draw: st.DrawFn) -> Live | None:
    if draw(st.integers(0, 3)) == 0:
        return None
    held = draw(st.sets(st.sampled_from(sorted(TEMPLATES)))) if draw(st.integers(0, 3)) == 0 else set(TEMPLATES)
    return make_live(
        templates={uid: TEMPLATES[uid] for uid in held},
        missing=draw(st.sampled_from([(), (), (), ("configmap/settings",)])),
        owner=draw(st.sampled_from(["", "", "", "Flux reconciles this"])),
        may_patch=draw(st.sampled_from([True, True, True, False])),
        policy_current=draw(st.sampled_from([True, True, True, False])),
        config_readable=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    template = draw(st.sampled_from([BAD, BAD, BAD, GOOD, MIDDLE]))
    work = make_workload(
        template=template,
        annotations=ANNOTATIONS,
        generation=draw(st.sampled_from([4, 4, 4, 5])),
        paused=draw(st.integers(0, 9)) == 0,
        controller=draw(st.sampled_from(["", "", "", "Rollout/api"])),
        strategy=draw(st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate"])),
        available_replicas=draw(st.integers(0, 3)),
        updated_replicas=draw(st.integers(0, 3)),
        current_replicas=draw(st.integers(3, 4)),
    )
    count = draw(st.sampled_from([0, 2, 3, 3, 5]))
    container = draw(st.sampled_from(["app", "app", "app", "mesh"]))
    return make_seen(
        synced=draw(st.integers(0, 9)) > 0,
        workload=work,
        revisions=REVISIONS[draw(st.sampled_from([0, 0, 0, 1])) :],
        pods=(make_pod(),) if draw(st.booleans()) else (),
        exits=make_exits(count, container=container) if count else (),
        levels=(Level(ago(minutes=draw(st.integers(0, 3))), 1, 3),) if draw(st.booleans()) else (),
        current_since=draw(st.sampled_from([None, ago(minutes=2), ago(minutes=2), ago(minutes=2), ago(hours=2)])),
        live=draw(lives()),
    )


@st.composite
def remembered(draw: st.DrawFn) -> Any:
    uids = draw(st.sets(st.sampled_from(["rs-1", "rs-m", "rs-2"])))
    goods = tuple(
        make_good(template=TEMPLATES[uid], replica_set_uid=uid, healthy_for=timedelta(minutes=draw(st.integers(1, 30)))) for uid in uids
    )
    denied = [{"digest": TEMPLATES[uid].digest, "time": NOW} for uid in draw(st.sets(st.sampled_from(["rs-1", "rs-m", "rs-2"])))]
    return make_health(known_good=goods, denied=denied)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["none", "none", "none", "pending", "verifying", "Succeeded", "Failed", "Inconclusive", "other"]))
    if kind == "none":
        return ()
    if kind == "pending":
        return (make_remediation(),)
    if kind == "verifying":
        return (make_remediation(status=executed(ago(minutes=draw(st.integers(0, 20))))),)
    if kind == "other":
        return (make_remediation(incident="api-0", status=executed(ago(hours=1), state="Succeeded")),)
    why = {"type": "Succeeded", "status": "False", "reason": kind, "message": "", "lastTransitionTime": ago(minutes=1)}
    return (make_remediation(status=executed(ago(minutes=5), state=kind, conditions=[why])),)


@st.composite
def incidents(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 3)) == 0:
        return None
    kind = draw(st.sampled_from(["new", "new", "Triaged", "Escalated", "Mitigated"]))
    spec: dict[str, Any] = {} if draw(st.integers(0, 9)) else {"resolution": "Resolved"}
    if kind == "new":
        return make_incident(**spec)
    one = {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": ago(minutes=1)}
    status = {"detectedAt": ago(minutes=1), "digest": BAD.digest, "targetUid": "d-uid", "conditions": [one]}
    return make_incident(status={**status, **({"mitigatedAt": ago(minutes=1)} if kind == "Mitigated" else {})}, **spec)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    triggers = draw(st.sampled_from([TRIGGERS, TRIGGERS[:1], TRIGGERS[1:]]))
    policy = make_policy(
        mode=draw(st.sampled_from(["Automatic", "Automatic", "Automatic", "Observe"])),
        triggers=triggers,
        steps=[{"name": "undo", "when": {}, "rollback": {}}],
        pauseRequests=draw(st.sampled_from([[], [], [], [{"name": "ana", "reason": "audit"}]])),
    )
    return make_case(
        seen=draw(observations()),
        policy=policy if draw(st.integers(0, 9)) else None,
        config=draw(st.sampled_from([ConfigSpec(), ConfigSpec(), ConfigSpec(), None])),
        incident=draw(incidents()),
        health=draw(remembered()),
        remediations=draw(histories()),
        spent=draw(st.sampled_from([(), (), (make_spent(ago(minutes=3)),)])),
        leading=draw(st.integers(0, 9)) > 0,
    )


@st.composite
def cases_that_act(draw: st.DrawFn) -> Case:
    """Nearer to an action, so that what holds of intents is not held of nothing."""
    work = make_workload(annotations=ANNOTATIONS, strategy=draw(st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate"])))
    count = draw(st.integers(1, 6))
    seen = make_seen(workload=work, revisions=REVISIONS, exits=make_exits(count), live=make_live(templates=TEMPLATES))
    return replace(draw(cases()), seen=seen, policy=make_policy(), config=ConfigSpec(), incident=make_incident(), remediations=(), spent=())


@steady
@given(cases() | cases_that_act())
def test_no_intent_stands_beside_a_refusal(case: Case) -> None:
    decision = decide(case)
    if decision.intent is not None:
        assert decision.refusals == ()
        assert case.incident is not None
        assert case.seen.live is not None
        assert case.active is None


@steady
@given(cases() | cases_that_act())
def test_an_intent_goes_back_to_a_recorded_revision_that_is_not_denied_and_older(case: Case) -> None:
    decision = decide(case)
    if decision.intent is None:
        return
    plan = decision.intent.spec.plan
    assert plan.to_digest not in {one.digest for one in case.health.denied}
    assert (plan.replica_set_uid, plan.to_digest) in {(one.replica_set_uid, one.digest) for one in case.health.known_good}
    assert plan.to_digest != plan.from_digest
    assert plan.to_revision < plan.from_revision


@steady
@given(cases_that_act())
def test_cases_that_act_do_act_where_something_good_is_left(case: Case) -> None:
    denied = {one.digest for one in case.health.denied}
    left = [
        one
        for one in case.health.known_good
        if one.replica_set_uid != "rs-2" and one.digest not in denied and one.healthy_for >= timedelta(minutes=5)
    ]
    # A newest template that was good before is never the suspect.
    suspect = all(one.replica_set_uid != "rs-2" for one in case.health.known_good)
    work = case.seen.workload
    assert work is not None
    acts = bool(left) and suspect and work.strategy != "Recreate" and case.leading
    assert (decide(case).intent is not None) is acts


@steady
@given(cases() | cases_that_act())
def test_the_same_case_gives_the_same_decision_and_is_left_as_it_was(case: Case) -> None:
    before = replace(case)
    assert decide(case) == decide(case)
    assert case == before


@steady
@given(cases())
def test_before_every_watch_has_its_first_list_nothing_follows(case: Case) -> None:
    decision = decide(replace(case, seen=replace(case.seen, synced=False)))
    assert (decision.status, decision.intent, decision.opening, decision.resume, decision.health) == (None, None, None, None, None)


@steady
@given(cases() | cases_that_act())
def test_a_person_who_pauses_is_obeyed(case: Case) -> None:
    policy = make_policy(pauseRequests=[{"name": "ana", "reason": "audit"}])
    assert decide(replace(case, policy=policy)).intent is None
    assert decide(replace(case, config=None)).intent is None
    assert decide(replace(case, config_paused="audit")).intent is None


@steady
@given(cases() | cases_that_act())
def test_once_its_status_is_stored_the_same_facts_have_nothing_new_to_tell(case: Case) -> None:
    first = decide(case)
    if case.incident is None or first.status is None or first.closed or first.intent or first.remediation:
        return
    stored = replace(case, incident=case.incident.model_copy(update={"status": first.status}), health=first.health or case.health)
    second = decide(stored)
    if second.intent or second.remediation:
        return
    assert second.status == first.status
    assert second.notices == ()
    assert second.health is None


@steady
@given(cases() | cases_that_act())
def test_every_refusal_and_notice_carries_a_reason_and_a_message(case: Case) -> None:
    decision = decide(case)
    told = [*((one.reason, one.message) for one in decision.refusals), *((one.reason, one.message) for one in decision.notices)]
    assert all(isinstance(reason, Reason) and message for reason, message in told)


@steady
@given(cases())
def test_a_decision_fits_the_schema(case: Case) -> None:
    decision = decide(case)
    for one in (decision.status, decision.health, decision.remediation[1] if decision.remediation else None):
        if one is not None:
            assert type(one).model_validate(one.model_dump()) == one


@steady
@given(st.lists(st.tuples(st.sampled_from(list(Reason)), st.text(max_size=600)), max_size=300))
def test_the_timeline_is_bounded_whatever_is_told(told: list[tuple[Reason, str]]) -> None:
    status = IncidentStatus()
    for number, (reason, message) in enumerate(told):
        before = status
        status = tell(status, NOW + timedelta(seconds=number), reason, message)
        assert len(status.timeline) <= 100
        assert status.timeline[:20] == (before.timeline[:20] if len(before.timeline) >= 20 else status.timeline[:20])
        assert (status.timeline[-1].type, status.timeline[-1].message) == (reason, message[:512])
