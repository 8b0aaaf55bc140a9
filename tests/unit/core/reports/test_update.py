"""What the update says of each kind of record. Whole texts are in tests/golden."""

from typing import Any

import pytest
from tests.conftest import NOW, ago, make_incident

from stopgap.api.communication import CommunicationStatus
from stopgap.api.incident import IncidentSpec, IncidentStatus
from stopgap.core.reports import record, update
from stopgap.model.conditions import Truth, condition

CRASH = {"trigger": "crash", "type": "CrashLoop", "state": "Firing", "message": "3 exits of container app"}
DOWN = {"trigger": "down", "type": "Unavailable", "state": "Firing", "message": "0 of 3 replicas are available"}
CHANGE = {"revision": 2, "images": ["app: a:1 → a:2"], "by": "helm"}


def refused(*reasons: str) -> dict[str, Any]:
    return {"refusals": [{"reason": reason, "message": f"because of {reason}"} for reason in reasons]}


def status(*conditions: tuple[str, bool, str], **fields: Any) -> IncidentStatus:
    held = tuple(
        condition(kind, Truth.TRUE if truth else Truth.FALSE, reason, f"{reason} it is", NOW) for kind, truth, reason in conditions
    )
    body = {"severity": "P2", "startedAt": ago(minutes=5), "updatedAt": NOW, **fields}
    made = IncidentStatus.model_validate(body).model_copy(update={"conditions": held})
    return made.model_copy(update={"communication_status": record.standing(made)})


def rendered(made: IncidentStatus, **spec: Any) -> str:
    return update.render(make_incident(**spec).spec, made)


def part(text: str, name: str) -> str:
    return text.partition(f"### {name}\n")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param(status(), "Investigating", id="nothing is known"),
        pytest.param(status(findings=[DOWN]), "Investigating", id="a signal that names no component"),
        pytest.param(status(findings=[CRASH]), "Identified", id="the container that fails is known"),
        pytest.param(status(findings=[DOWN], suspectedChange=CHANGE), "Identified", id="a suspected change is known"),
        pytest.param(
            status(findings=[DOWN], suspectedChange=CHANGE, decision=refused("Paused", "NotAttributable")),
            "Investigating",
            id="the newest change was cleared",
        ),
        pytest.param(status(findings=[DOWN], decision=refused("QuotaExceeded")), "Identified", id="what is behind it is known"),
        pytest.param(status(("Mitigated", True, "Mitigated"), findings=[CRASH]), "Mitigated", id="the bleeding has stopped"),
        pytest.param(status(("Mitigated", False, "Detected"), findings=[CRASH]), "Identified", id="it bleeds again"),
        pytest.param(status(("Mitigated", True, "Mitigated"), ("Resolved", True, "Resolved")), "Resolved", id="it is over"),
        pytest.param(status(("Resolved", True, "FalseAlarm")), "Resolved", id="there was none"),
    ],
)
def test_the_status_follows_the_facts(made: IncidentStatus, wanted: str) -> None:
    assert record.standing(made) is CommunicationStatus(wanted)
    assert f"**Status:** {wanted}\n" in rendered(made)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param(status(), "The cause is not known yet.", id="nothing is known"),
        pytest.param(status(suspectedChange=CHANGE), "The suspected change is revision 2 (app: a:1 → a:2), written by helm.", id="change"),
        pytest.param(status(findings=[CRASH]), "What fails is known, and why is not yet.", id="component"),
        pytest.param(
            status(suspectedChange=CHANGE, decision=refused("NotAttributable")),
            "The newest release is not to blame: because of NotAttributable.",
            id="cleared",
        ),
        pytest.param(status(decision=refused("QuotaExceeded")), "The cause is known: because of QuotaExceeded.", id="cause"),
        pytest.param(
            status(("Escalated", True, "LadderExhausted")),
            "Automation has ended and people were called: LadderExhausted it is.",
            id="escalated",
        ),
        pytest.param(
            status(timeline=[{"time": NOW, "type": "Mitigated"}]), "It is back after it had been mitigated; the cause is", id="it came back"
        ),
        pytest.param(status(("Resolved", True, "FalseAlarm")), "It was a false alarm: FalseAlarm it is.", id="false alarm"),
    ],
)
def test_the_second_sentence_says_how_it_stands(made: IncidentStatus, wanted: str) -> None:
    assert wanted in part(rendered(made), "Summary")


def test_without_a_word_of_a_person_the_impact_is_what_the_signals_say_and_said_to_be_unknown() -> None:
    unknown = "Nobody has reported yet who is affected and how."
    assert part(rendered(status()), "Impact") == unknown
    assert part(rendered(status(findings=[DOWN])), "Impact") == f"0 of 3 replicas are available. {unknown}"
    assert part(rendered(status(), impact="checkout is down"), "Impact") == "checkout is down"


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param(status(), ["none was taken"], id="nothing was decided"),
        pytest.param(status(decision=refused("Paused")), ["none was taken: because of Paused"], id="refused"),
        pytest.param(
            status(decision={**refused("Paused", "Excluded", "FreezeWindow"), "step": "undo", "message": "roll back 2 → 1"}),
            ["roll back 2 → 1: not done, because of Paused (and 2 more reasons)"],
            id="refused for several reasons",
        ),
        pytest.param(
            status(acknowledgeBy=NOW), ["none was taken", "nobody has taken it yet; somebody is to by 10:00 UTC"], id="nobody has taken it"
        ),
        pytest.param(
            status(("Acknowledged", False, "AcknowledgementOverdue"), acknowledgeBy=NOW),
            ["none was taken", "nobody has taken it yet; somebody was to by 10:00 UTC"],
            id="nobody has taken it in time",
        ),
        pytest.param(
            status(
                remediations=[{"name": "r", "step": "more", "action": "Scale", "state": "Succeeded", "summary": "3 → 5", "revert": "Held"}]
            ),
            ["3 → 5: done, and it helped", "temporary: 3 → 5; it stays until the signals are quiet"],
            id="something is to be put back",
        ),
        pytest.param(
            status(remediations=[{"name": f"r{n}", "step": f"s{n}", "action": "Restart", "state": "Newer"} for n in range(5)]),
            ["2 earlier, see the timeline", *(f"Restart (step s{n}): Newer" for n in (2, 3, 4))],
            id="many, of a newer version",
        ),
    ],
)
def test_each_action_and_what_stands_against_the_next_is_one_line(made: IncidentStatus, wanted: list[str]) -> None:
    assert part(rendered(made), "Current Actions").splitlines() == [f"- {one}" for one in wanted]


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    text = update.render(IncidentSpec(title="odd"), IncidentStatus())
    assert "**Severity:** not set yet\n**Started:** not known yet\n**Duration:** not known yet\n" in text


def test_trouble_that_is_said_to_begin_later_has_not_lasted_yet() -> None:
    assert "**Duration:** none yet: it is said to begin later\n" in rendered(status(startedAt=ago(minutes=-5)))
