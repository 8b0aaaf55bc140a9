"""What has no compare-and-swap: one executor wins it, it is sent once, and what nobody can tell is never sent again by guess."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import NOW, make_remediation

from stopgap.api import Remediation
from stopgap.api.remediation import RemediationState, RemediationStatus
from stopgap.api.revert import RevertState
from stopgap.core.restoring import Put
from stopgap.effects import outside
from stopgap.effects.errors import Invalid, Unanswered
from stopgap.effects.outcome import Outcome
from stopgap.effects.outside import MOST_SENDS, Fate, Order, Outsider, Receipt, Send
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason

DONE, NO, OPEN = Receipt(Fate.DONE, "answered 200"), Receipt(Fate.NOT_DONE, "answered 403"), Receipt(Fate.UNKNOWN, "no answer within 1s")
PENDING, EXECUTING, VERIFYING = RemediationState.PENDING, RemediationState.EXECUTING, RemediationState.VERIFYING


def intended(*, repeatable: bool = False, **status: Any) -> Remediation:
    call = {"url": "http://admin.shop.svc/flag", "body": '{"feature": false}', "idempotent": repeatable}
    restore = {**call, "body": '{"feature": true}'}
    plan = {"summary": "POST flag", "field": "Elsewhere", "outside": {"http": {**call, "restore": restore}}, "revert": {"upon": "Manual"}}
    return make_remediation(name="r", step="flag-off", action="Http", plan=plan, status=status or None)


def owing(*, repeatable: bool = False, **revert: Any) -> Remediation:
    said = {"state": "Pending", **revert}
    return intended(repeatable=repeatable, state="Succeeded", executedAt=NOW, endedAt=NOW, tries=1, fieldsReturned=True, revert=said)


@dataclass
class World:
    """The record as the API server has it, and the other side that is sent things."""

    receipts: list[Receipt] = field(default_factory=lambda: [DONE])
    against: list[Refusal | None] = field(default_factory=lambda: [None])
    ready: Refusal | Receipt | None = None
    stored: RemediationStatus | None = None
    annotated: bool = False
    taken: bool = False
    leads: bool = True
    now: datetime = NOW
    told: list[str] = field(default_factory=list)
    sent: list[tuple[str, bool]] = field(default_factory=list)
    identity: str = "me"

    # The recorder.
    async def remediation(self, one: Remediation, status: RemediationStatus) -> Remediation:
        state = status.revert.state if status.revert and status.state.ended else status.state
        if self.taken:
            raise Invalid("patch", "/rem")
        if self.annotated:
            self.annotated = False
            raise Invalid("patch", "/rem")
        self.told.append(f"{state}")
        self.stored = status
        return one.model_copy(update={"status": status})

    async def reread(self, one: Remediation) -> Remediation | None:
        if self.taken:
            return one.model_copy(update={"status": RemediationStatus(state=EXECUTING, tries=1, executor="another")})
        return one

    # The other side.
    async def prepared(self, order: Order) -> Send | Receipt | Refusal:
        if self.ready is not None:
            return self.ready

        async def send() -> Receipt:
            assert self.told, "it is taken on before anything is sent"
            self.told.append("sent")
            self.sent.append((order.key, order.again))
            return self.receipts.pop(0) if len(self.receipts) > 1 else self.receipts[0]

        return send

    def objection(self) -> Refusal | None:
        self.told.append("asked")
        return self.against.pop(0) if len(self.against) > 1 else self.against[0]

    def outsider(self) -> Outsider:
        doer = type("Doer", (), {"ready": lambda _, order: self.prepared(order)})()
        return Outsider(self, {"http": doer}, leading=lambda: self.leads, now=lambda: self.now)  # type: ignore[arg-type]  # it stands in


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "PAUSE_BETWEEN_SENDS", 0)


async def perform(world: World, one: Remediation, change: Refusal | None = None) -> Outcome | None:
    assert one.spec.plan.outside is not None
    return await world.outsider().perform(one, change or one.spec.plan.outside, objection=world.objection)


async def put_back(world: World, one: Remediation, *, abandoned: bool = False) -> Put | None:
    return await world.outsider().put_back(one, abandoned=abandoned)


# ------------------------------------------------------------------------------------------------------------------ doing it


async def test_it_is_taken_on_asked_about_once_more_and_then_sent() -> None:
    world = World()
    outcome = await perform(world, intended())
    assert outcome is not None
    assert world.told == ["asked", "Executing", "asked", "sent"]
    assert world.sent == [("r-uid", False)]
    assert (outcome.state, outcome.executed_at, outcome.message) == (VERIFYING, NOW, "POST flag: answered 200")
    assert outcome.claimed is not None
    assert outcome.claimed.status is not None
    assert (outcome.claimed.status.executor, outcome.claimed.status.tries) == ("me", 1)


PAUSED, LOST = Refusal(Reason.Paused, "ana paused it"), Refusal(Reason.NotLeader, "not any more")


@pytest.mark.parametrize(
    ("world", "state", "sends"),
    [
        pytest.param(World([NO]), RemediationState.FAILED, 1, id="the other side said no: it was tried, and the ladder goes on"),
        pytest.param(
            World([Receipt(Fate.NOT_DONE, "gone", Reason.Superseded)]), RemediationState.SUPERSEDED, 1, id="somebody else was faster"
        ),
        pytest.param(World([OPEN]), RemediationState.OUTCOME_UNKNOWN, 1, id="no answer: it is not sent again"),
        pytest.param(World(against=[PAUSED]), RemediationState.REFUSED, 0, id="something stands against it"),
        pytest.param(World(against=[None, PAUSED]), RemediationState.REFUSED, 0, id="something stands against it, once it is taken on"),
        pytest.param(World(against=[None, LOST]), RemediationState.SUPERSEDED, 0, id="the Lease is lost, once it is taken on"),
        pytest.param(World(ready=Refusal(Reason.NotAuthorized, "no")), RemediationState.REFUSED, 0, id="it cannot be made ready"),
        pytest.param(World(ready=DONE), VERIFYING, 0, id="it is found done"),
        pytest.param(World(now=NOW + timedelta(minutes=2)), RemediationState.SUPERSEDED, 0, id="it is too late"),
        pytest.param(World(annotated=True), VERIFYING, 1, id="a person annotated the record meanwhile"),
    ],
)
async def test_how_an_intent_ends(world: World, state: RemediationState, sends: int) -> None:
    outcome = await perform(world, intended())
    assert outcome is not None
    assert (outcome.state, len(world.sent)) == (state, sends)


@pytest.mark.parametrize(
    "world", [World(taken=True), World(against=[LOST])], ids=["another copy has taken it on", "another copy leads by now"]
)
async def test_what_another_copy_has_is_left_to_it(world: World) -> None:
    assert await perform(world, intended()) is None
    assert world.sent == []


async def test_without_an_answer_to_the_taking_on_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_answer(*_: Any) -> Remediation:
        raise Unanswered("patch", "/rem")

    world = World()
    monkeypatch.setattr(world, "remediation", no_answer, raising=False)
    with pytest.raises(Unanswered):
        await perform(world, intended())
    assert world.sent == []


# ---------------------------------------------------------------------------------------------------------- after a crash, F05


@pytest.mark.parametrize("against", [None, PAUSED], ids=["nothing stands against it", "it is paused"])
async def test_what_a_crash_left_open_is_not_sent_again(against: Refusal | None) -> None:
    world = World(against=[against])
    outcome = await perform(world, intended(state="Executing", tries=1, executor="another"))
    assert outcome is not None
    assert (outcome.state, outcome.reason, world.sent) == (RemediationState.OUTCOME_UNKNOWN, Reason.OutcomeUnknown, [])
    assert "cannot be told" in outcome.message


@pytest.mark.parametrize(
    "world", [World(ready=DONE, against=[PAUSED]), World(ready=DONE, now=NOW + timedelta(minutes=2))], ids=["paused", "late"]
)
async def test_what_is_found_done_after_a_crash_was_done_whatever_stands_against_it_now(world: World) -> None:
    outcome = await perform(world, intended(repeatable=True, state="Executing", tries=1, executor="another"))
    assert outcome is not None
    assert (outcome.state, world.sent) == (VERIFYING, [])


async def test_what_may_be_done_twice_is_sent_once_more_after_a_crash_under_the_same_key() -> None:
    world = World()
    outcome = await perform(world, intended(repeatable=True, state="Executing", tries=1, executor="another"))
    assert outcome is not None
    assert (outcome.state, world.sent) == (VERIFYING, [("r-uid", True)])
    assert world.stored is not None
    assert (world.stored.tries, world.stored.executor) == (2, "me")


@pytest.mark.parametrize(
    ("world", "change"),
    [
        pytest.param(World(against=[PAUSED]), None, id="it is paused meanwhile"),
        pytest.param(World(), Refusal(Reason.TargetGone, "gone"), id="the workload is gone meanwhile"),
        pytest.param(World(now=NOW + timedelta(minutes=2)), None, id="it is too late"),
        pytest.param(World(ready=Refusal(Reason.NotAuthorized, "no")), None, id="its Secret may not be read any more"),
    ],
)
async def test_even_what_may_be_done_twice_remains_open_where_something_stands_against_it(world: World, change: Refusal | None) -> None:
    outcome = await perform(world, intended(repeatable=True, state="Executing", tries=1), change)
    assert outcome is not None
    assert (outcome.state, world.sent) == (RemediationState.OUTCOME_UNKNOWN, [])


async def test_what_may_be_done_twice_is_tried_a_few_times_and_each_is_counted_first() -> None:
    world = World([OPEN])
    outcome = await perform(world, intended(repeatable=True))
    assert outcome is not None
    assert (outcome.state, len(world.sent)) == (RemediationState.OUTCOME_UNKNOWN, MOST_SENDS)
    assert world.stored is not None
    assert world.stored.tries == MOST_SENDS


async def test_the_next_leader_finds_out_what_a_copy_without_the_lease_has_left_open() -> None:
    world = World([OPEN], against=[None, None, LOST])
    assert await perform(world, intended(repeatable=True)) is None
    assert len(world.sent) == 1


async def test_an_intent_that_was_never_taken_on_is_sent_afresh_after_a_crash() -> None:
    world = World()
    outcome = await perform(world, intended(state="Pending"))
    assert outcome is not None
    assert (outcome.state, len(world.sent)) == (VERIFYING, 1)


async def test_what_could_not_be_stored_is_said_once_more_and_not_sent_once_more() -> None:
    world = World()
    outsider, one = world.outsider(), intended()
    assert one.spec.plan.outside is not None
    first = await outsider.perform(one, one.spec.plan.outside, objection=world.objection)
    found = one.model_copy(update={"status": world.stored})
    second = await outsider.perform(found, one.spec.plan.outside, objection=world.objection)
    assert first is not None
    assert second is not None
    assert (second.state, second.claimed, len(world.sent)) == (first.state, found, 1)


async def test_what_could_not_be_looked_at_in_time_was_certainly_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    world, asked = World(), [0]

    async def unreadable(_: Order) -> Receipt:
        asked[0] += 1
        world.now += timedelta(seconds=20)
        return Receipt(Fate.UNKNOWN, "the object could not be read (503)")

    monkeypatch.setattr(world, "prepared", unreadable)
    outcome = await perform(world, intended(repeatable=True))
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (RemediationState.SUPERSEDED, Reason.Superseded)
    assert "nothing was sent" in outcome.message
    assert asked[0] > 1


def of_a_newer_version(**status: Any) -> Remediation:
    plan = {"summary": "drain it", "field": "Elsewhere", "outside": {"drain": {"node": "a"}}, "revert": {"upon": "Manual"}}
    return make_remediation(name="r", step="drain", action="Drain", plan=plan, status=status or None)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        pytest.param({}, RemediationState.REFUSED, id="it was never taken on"),
        pytest.param({"state": "Executing", "tries": 1}, RemediationState.OUTCOME_UNKNOWN, id="a newer version may have done it"),
    ],
)
async def test_what_only_a_newer_version_knows_ends_in_words(status: dict[str, Any], state: RemediationState) -> None:
    world = World()
    outcome = await perform(world, of_a_newer_version(**status))
    assert outcome is not None
    assert (outcome.state, world.told[1:], world.sent) == (state, [], [])


async def test_what_only_a_newer_version_knows_is_put_back_by_people() -> None:
    said = {"state": "Pending"}
    put = await put_back(World(), of_a_newer_version(state="Succeeded", executedAt=NOW, endedAt=NOW, tries=1, revert=said))
    assert put is not None
    assert (put.state, put.message) == (RevertState.FAILED, "this version of Stopgap cannot do what action Drain does")


# ---------------------------------------------------------------------------------------------------------------- putting back


async def test_a_restore_that_cannot_be_looked_at_now_holds_up_nobody_and_is_tried_again() -> None:
    world = World(ready=Receipt(Fate.UNKNOWN, "the object could not be read (503)"))
    async with asyncio.timeout(1):
        assert await put_back(world, owing(repeatable=True)) is None
    assert world.told == []


async def test_the_restore_is_taken_on_first_and_has_a_key_of_its_own() -> None:
    world = World()
    put = await put_back(world, owing())
    assert put is not None
    assert world.told == ["Executing", "sent"]
    assert world.sent == [("r-uid-restore", False)]
    assert (put.state, put.reason) == (RevertState.DONE, Reason.Restored)
    assert put.claimed is not None
    assert put.claimed.revert_state is RevertState.EXECUTING


@pytest.mark.parametrize(
    ("world", "one", "state", "sends"),
    [
        pytest.param(World([NO]), owing(), RevertState.FAILED, 1, id="the other side said no"),
        pytest.param(World([OPEN]), owing(), RevertState.OUTCOME_UNKNOWN, 1, id="no answer"),
        pytest.param(
            World([Receipt(Fate.NOT_DONE, "x", Reason.NotOurs)]), owing(), RevertState.NOT_NEEDED, 1, id="it is not ours any more"
        ),
        pytest.param(World(), owing(state="Executing", tries=1), RevertState.OUTCOME_UNKNOWN, 0, id="a crash left it open"),
        pytest.param(World(), owing(repeatable=True, state="Executing", tries=1), RevertState.DONE, 1, id="open, and may be done twice"),
        pytest.param(World(ready=Refusal(Reason.NotAuthorized, "no")), owing(), RevertState.FAILED, 0, id="it cannot be made ready"),
    ],
)
async def test_how_a_restore_ends(world: World, one: Remediation, state: RevertState, sends: int) -> None:
    put = await put_back(world, one)
    assert put is not None
    assert (put.state, len(world.sent)) == (state, sends)


async def test_what_a_person_takes_care_of_is_not_sent() -> None:
    world = World()
    put = await put_back(world, owing(state="OutcomeUnknown", tries=1), abandoned=True)
    assert put is not None
    assert (put.state, world.sent) == (RevertState.NOT_NEEDED, [])


@pytest.mark.parametrize("world", [World(taken=True), World(leads=False)], ids=["another copy has it", "this copy does not lead"])
async def test_a_restore_that_another_copy_has_is_left_to_it(world: World) -> None:
    assert await put_back(world, owing()) is None
    assert world.sent == []
