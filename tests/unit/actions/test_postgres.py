"""`postgres`: the very queries that would be ended are named before, and kept in the plan; nothing else ever is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, UID, make_case, make_incident, make_live, make_policy, make_seen, make_waiting

from stopgap.actions import Postgres
from stopgap.api.remediation import RemediationState
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.model.change import Aim, Field, Known, Outside, Plan
from stopgap.model.database import EndQueries, Exempt, HotQuery, Listing, RunningQuery, Wanted
from stopgap.model.observation import Refusal, Right
from stopgap.model.query import PLATFORM, Silence
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef

REF = SecretKeyRef(name="db", key="dsn")
FIELDS: dict[str, Any] = {"secretRef": {"name": "db", "key": "dsn"}, "queriesLongerThan": "5m"}
STEP = {"name": "cancel", "when": {"triggers": ["crash"]}, "postgres": FIELDS}
WANTED = Wanted("shop", REF, timedelta(minutes=5), Exempt(), 5)
RIGHT = Right("get", "", "secrets", "db")
HOT = HotQuery(text="select name from products where id = $1", calls=9, mean=timedelta(milliseconds=3), share=41)


def query(pid: int = 4711, minutes: int = 7) -> RunningQuery:
    start = NOW - timedelta(minutes=minutes)
    return RunningQuery(
        pid=pid,
        backend_start=start,
        query_start=start,
        user="app",
        application="shop",
        running_for=timedelta(minutes=minutes),
        text="select ?",
    )


def case(listed: Listing | Silence | None, *, may: bool = True, **changes: Any) -> Case:
    live = make_live(rights={RIGHT: may}, listings={} if listed is None else {WANTED: listed})
    incident = make_incident(status={"detectedAt": NOW, "severity": "P1", "targetUid": UID})
    spec = {"steps": changes.pop("steps", [STEP]), **changes.pop("policy", {})}
    return make_case(**{"seen": make_seen(live=live), "policy": make_policy(**spec), "incident": incident, **changes})


def refusals(of: Case) -> dict[Reason, str]:
    return {one.reason: one.message for one in decide(of).refusals}


def planned(listed: Listing, **fields: Any) -> Plan | Refusal:
    action = Postgres.model_validate({**FIELDS, **fields})
    aim = action.wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    assert aim.lists is not None
    return action.plan(make_seen(live=make_live(listings={aim.lists: listed})), aim)


def test_it_says_what_it_looks_for_and_which_secret_that_takes() -> None:
    action = Postgres.model_validate({**FIELDS, "most": 3, "exempt": {"users": ["backup"]}})
    aim = action.wants(make_seen(), Known())
    assert isinstance(aim, Aim)
    assert aim.summary == "cancel queries that have been running for more than 5m"
    assert aim.needs == {RIGHT}
    assert aim.lists == Wanted("shop", REF, timedelta(minutes=5), Exempt(users=("backup",)), 3)
    platform = action.wants(make_seen(), Known(platform=True))
    assert isinstance(platform, Aim)
    assert platform.lists is not None
    assert (platform.lists.scope, platform.needs) == (PLATFORM, frozenset({replace(RIGHT, platform=True)}))


def test_nothing_is_planned_before_the_database_was_asked() -> None:
    decision = decide(case(None))
    assert decision.intent is None
    assert decision.reads.lists == {WANTED}


def test_observe_names_the_very_queries() -> None:
    status = decide(case(Listing((query(),), more=1), policy={"mode": "Observe"})).status
    assert status is not None
    assert status.decision is not None
    assert status.decision.message == (
        "cancel 1 query that has been running for more than 5m (of 2): since 09:53:00 by app (shop): select ?"
    )
    assert [one.reason for one in status.decision.refusals] == [Reason.ObserveOnly]


def test_that_a_query_goes_on_running_is_no_news() -> None:
    mode, later = {"mode": "Observe"}, query().model_copy(update={"running_for": timedelta(minutes=8)})
    first = decide(case(Listing((query(),)), policy=mode)).status
    assert first is not None
    stored = make_incident().model_copy(update={"status": first})
    second = decide(case(Listing((later,)), policy=mode, incident=stored)).status
    assert second is not None
    assert first.decision is not None
    assert second.decision == first.decision


def test_the_plan_holds_the_queries_and_all_that_it_takes_to_end_them() -> None:
    intent = decide(case(Listing((query(), query(4712, 6)), hot=(HOT,)))).intent
    assert intent is not None
    plan = intent.spec.plan
    assert plan.field is Field.ELSEWHERE
    assert plan.outside == Outside(postgres=EndQueries(secret_ref=REF, queries=(query(), query(4712, 6)), hot=(HOT,)))
    assert plan.revert is None
    assert plan.suspends is None


@pytest.mark.parametrize(
    ("listed", "may", "reason", "said"),
    [
        pytest.param(Listing((query(),)), False, Reason.NotAuthorized, "get secrets/db", id="the Secret may not be read"),
        pytest.param(
            Silence("no connection", theirs=False), True, Reason.DatabaseUnknown, "the database: no connection", id="it is silent"
        ),
        pytest.param(Listing(()), True, Reason.NothingToDo, "no query that may be ended", id="none runs that long"),
        pytest.param(Listing((), spared=2), True, Reason.NothingToDo, "(2 that do are left alone)", id="those that do are exempt"),
        pytest.param(Listing((query(),), forbidden=1), True, Reason.NotAuthorized, "GRANT pg_signal_backend TO it", id="the user may not"),
    ],
)
def test_why_nothing_is_ended(listed: Listing | Silence, *, may: bool, reason: Reason, said: str) -> None:
    of = case(listed, may=may)
    assert decide(of).intent is None
    assert said in refusals(of)[reason]


@pytest.mark.parametrize(
    "listed", [Listing(()), Silence("it has no connection left", theirs=True)], ids=["nothing to end", "a database that is full"]
)
def test_the_ladder_goes_on_where_nothing_can_be_ended(listed: Listing | Silence) -> None:
    more = {"name": "more", "when": {}, "scale": {"by": "1", "max": 5}}
    decision = decide(case(listed, steps=[STEP, more]))
    assert decision.reads.scaler


def test_a_database_is_not_asked_for_steps_that_come_after_another() -> None:
    kick = {"name": "kick", "when": {}, "restart": {}}
    of = case(None, steps=[kick, STEP])
    asked = decide(replace(of, seen=replace(of.seen, live=None))).reads
    assert (asked.live, asked.needs, asked.lists) == (True, frozenset({RIGHT}), frozenset[Wanted]())


def test_what_was_read_for_the_steps_before_is_read_again_with_the_list() -> None:
    undo = {"name": "undo", "when": {}, "rollback": {"minHealthyFor": "1m"}}
    of = case(None, steps=[undo, STEP])
    gone = replace(of, seen=replace(of.seen, live=replace(make_live(), templates={}, rights={RIGHT: True})))
    assert gone.seen.live is not None
    asked = decide(gone).reads
    assert asked.lists == {WANTED}
    assert asked.replica_sets >= gone.seen.live.replica_sets


def test_a_summary_fits_into_the_record_however_long_the_queries_are() -> None:
    long = query().model_copy(update={"text": "x" * 200, "user": "u" * 63, "application": "a" * 63})
    plan = planned(Listing(tuple(long.model_copy(update={"pid": pid}) for pid in range(20)), more=80), most=20)
    assert isinstance(plan, Plan)
    assert len(plan.summary) <= 900
    assert plan.summary.startswith("cancel 20 queries that have been running for more than 5m (of 100): since 09:53:00 by uuu")


def test_what_was_approved_is_done_while_any_of_its_queries_still_runs() -> None:
    approved = EndQueries(secret_ref=REF, queries=(query(1), query(2)))
    later = query(2).model_copy(update={"running_for": timedelta(minutes=9)})
    assert approved.stands_for(EndQueries(secret_ref=REF, queries=(query(3), later), hot=(HOT,)))
    assert not approved.stands_for(EndQueries(secret_ref=REF, queries=(query(3),)))


@pytest.mark.parametrize(
    ("now", "state"),
    [
        pytest.param((2, 3), RemediationState.PENDING, id="one of them still runs"),
        pytest.param((3,), RemediationState.SUPERSEDED, id="others do by now"),
        pytest.param((), RemediationState.REFUSED, id="none does"),
    ],
)
def test_an_approval_is_for_the_queries_of_the_record_and_no_others(now: tuple[int, ...], state: RemediationState) -> None:
    deed = EndQueries(secret_ref=REF, queries=(query(1), query(2)))
    plan = {"summary": "cancel", "field": "Elsewhere", "outside": {"postgres": deed.model_dump(mode="json", by_alias=True)}}
    waiting = make_waiting("Approved", step="cancel", action="Postgres", plan=plan)
    of = case(Listing(tuple(query(one) for one in now)), policy={"mode": "Approve"}, remediations=(waiting,))
    decision = decide(of)
    status = decision.approved or decision.remediation
    assert status is not None
    assert status[1].state is state
