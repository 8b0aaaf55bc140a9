"""The trust record: what a team needs to decide whether a policy may do more by itself."""

from typing import Any

import pytest
from tests.conftest import NOW, make_case, make_incident, make_policy

from stopgap.api.config import ConfigSpec
from stopgap.api.incident import IncidentStatus
from stopgap.api.policy import TrustRecord
from stopgap.core.decide import decide
from stopgap.core.trust import of_incident, total

MEANT = {"step": "undo", "message": "roll back 2 → 1", "time": NOW}


def status(*states: str, meant: bool = False, revert: str = "") -> IncidentStatus:
    listed = [{"name": f"r-{n}", "step": "undo", "action": "Rollback", "state": state, "revert": revert} for n, state in enumerate(states)]
    return IncidentStatus.model_validate({"remediations": listed, **({"wouldHave": MEANT} if meant else {})})


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        pytest.param(status(), {}, id="nothing was meant and nothing done"),
        pytest.param(status(meant=True), {"would_have_acted": 1, "recovered_alone": 1}, id="observed, and it went away by itself"),
        pytest.param(
            status("Succeeded", meant=True), {"would_have_acted": 1, "acted": 1, "succeeded": 1}, id="observed, then let act, and it helped"
        ),
        pytest.param(status("Failed", "Succeeded"), {"acted": 2, "succeeded": 1, "failed": 1}, id="the second step helped"),
        pytest.param(status("Inconclusive"), {"acted": 1, "failed": 1}, id="not known to have helped"),
        pytest.param(status("Refused", "Superseded"), {}, id="nothing was sent"),
        pytest.param(status("Succeeded", revert="Done"), {"acted": 1, "succeeded": 1, "reverted": 1}, id="put back"),
        pytest.param(status("Succeeded", revert="Held"), {"acted": 1, "succeeded": 1}, id="not put back yet"),
    ],
)
def test_what_an_incident_adds(over: IncidentStatus, expected: dict[str, int]) -> None:
    assert of_incident(over) == TrustRecord(**expected)


def test_records_are_added_up() -> None:
    assert total((TrustRecord(acted=1, failed=1), TrustRecord(acted=2, succeeded=2))) == TrustRecord(acted=3, succeeded=2, failed=1)


@pytest.mark.parametrize(
    ("case", "noted"),
    [
        pytest.param({"policy": make_policy(mode="Observe")}, True, id="only the mode stands against it"),
        pytest.param(
            {"policy": make_policy(mode="Observe"), "config": ConfigSpec.model_validate({"excludedNamespaces": ["shop"]})},
            False,
            id="something else does too",
        ),
        pytest.param({}, False, id="it is done"),
    ],
)
def test_an_incident_notes_what_would_have_been_done(case: dict[str, Any], noted: bool) -> None:  # noqa: FBT001 - a column of the table
    found = decide(make_case(**case)).status
    assert found is not None
    assert (found.would_have is not None) is noted


def test_the_first_time_at_which_it_would_have_been_done_stays() -> None:
    known = make_incident(status={"detectedAt": NOW, "wouldHave": {**MEANT, "time": "2026-11-23T09:00:00Z"}})
    found = decide(make_case(policy=make_policy(mode="Observe"), incident=known)).status
    assert found is not None
    assert found.would_have is not None
    assert found.would_have.time.hour == 9
