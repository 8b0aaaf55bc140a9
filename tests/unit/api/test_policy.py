"""Policies: what the model refuses, what it lets through for a newer operator, and what it makes of nothing."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.conftest import make_policy

from stopgap.api.ladder import Mode, Source
from stopgap.core.matching import fault
from stopgap.detectors import CrashLoop, ImagePull, RolloutStuck, Unavailable
from stopgap.model.reasons import Reason
from stopgap.model.severity import Severity

WINDOW = {"cron": "0 18 * * FRI", "duration": "60h", "reason": "freeze"}


def test_a_policy_that_says_as_little_as_possible_only_observes() -> None:
    policy = make_policy(mode="Observe")
    assert make_policy().model_validate(
        {**policy.model_dump(), "spec": {"targets": {"names": ["api"]}, "triggers": [{"name": "x"}]}}
    ).spec.mode is (Mode.OBSERVE)


def test_the_defaults_are_those_of_the_reference() -> None:
    spec = make_policy().spec
    assert spec.steps[0].changed_within == timedelta(minutes=30)
    assert spec.steps[0].when.sources == (Source.WORKLOAD,)
    assert (spec.guards.cooldown, spec.guards.max_actions_per_incident) == (timedelta(minutes=10), 3)
    assert (spec.guards.max_actions.count, spec.guards.max_actions.within) == (5, timedelta(hours=1))
    assert (spec.verification.healthy_for, spec.verification.timeout) == (timedelta(minutes=1), timedelta(minutes=10))
    assert (spec.resolution.after, spec.severity.default) == (timedelta(minutes=15), Severity.P3)


@pytest.mark.parametrize(
    ("trigger", "detector"),
    [
        ({"crashLoop": {}}, CrashLoop()),
        (
            {"crashLoop": {"exits": 1, "within": "10m", "podsAtLeast": "10%"}},
            CrashLoop(exits=1, within=timedelta(minutes=10), pods_at_least="10%"),
        ),
        ({"rolloutStuck": {"after": "2m"}}, RolloutStuck(after=timedelta(minutes=2))),
        ({"imagePull": {"for": "40s"}}, ImagePull(for_=timedelta(seconds=40))),
        ({"unavailable": {"below": "50%", "for": "2m"}}, Unavailable(below="50%", for_=timedelta(minutes=2))),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_trigger_is_its_one_detector(trigger: dict[str, Any], detector: Any) -> None:
    policy = make_policy(triggers=[{"name": "crash", **trigger}])
    assert policy.spec.triggers[0].detector == detector


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        pytest.param({"mode": "Wild"}, "mode", id="a mode that does not exist"),
        pytest.param({"triggers": []}, "triggers", id="no trigger"),
        pytest.param({"triggers": [{"name": "Crash!", "crashLoop": {}}]}, "name", id="a name that is none"),
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {"exits": 0}}]}, "exits", id="no exits"),
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {"within": "soon"}}]}, "within", id="a duration that is none"),
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {"within": "-5m"}}]}, "within", id="a duration into the past"),
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {"podsAtLeast": "101%"}}]}, "podsAtLeast", id="more than all"),
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {"podsAtLeast": "half"}}]}, "podsAtLeast", id="a share in words"),
        pytest.param({"targets": {"selector": {"matchLabels": {}}}}, "matchLabels", id="a selector that would mean everything"),
        pytest.param({"targets": {"names": []}}, "names", id="no names"),
        pytest.param({"targets": {"kinds": ["CronJob"], "names": ["api"]}}, "kinds", id="a kind that is not handled"),
        pytest.param({"steps": [{"name": "undo", "rollback": {}}]}, "when", id="a step that does not say when"),
        pytest.param(
            {"steps": [{"name": "undo", "when": {}, "rollback": {"maxRevisionsBack": 0}}]}, "maxRevisionsBack", id="not back at all"
        ),
        pytest.param({"guards": {"maxActionsPerIncident": 0}}, "maxActionsPerIncident", id="a limit of nothing"),
        pytest.param({"guards": {"freezeWindows": [{**WINDOW, "cron": "*" * 101}]}}, "cron", id="a window without a bound"),
        pytest.param({"guards": {"freezeWindows": [{**WINDOW, "timeZone": "A/" + "b" * 64}]}}, "timeZone", id="a zone without a bound"),
        pytest.param({"guards": {"freezeWindows": [{**WINDOW, "reason": ""}]}}, "reason", id="a window that does not say why"),
        pytest.param({"guards": {"freezeWindows": [{**WINDOW, "allowSeverities": ["P0"]}]}}, "allowSeverities", id="an unknown severity"),
        pytest.param({"guards": {"freezeWindows": [WINDOW] * 17}}, "freezeWindows", id="more windows than anyone oversees"),
        pytest.param({"gitOps": "Fight"}, "gitOps", id="an answer to GitOps that does not exist"),
    ],
)
def test_the_model_refuses_what_cannot_be_meant_and_says_where(spec: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as error:
        make_policy(**spec)
    assert where in [str(part) for part in error.value.errors()[0]["loc"]]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"triggers": [{"name": "crash", "crashLoop": {}}, {"name": "new", "detectorOfTheFuture": {"x": 1}}]}, id="a detector"),
        pytest.param({"steps": [{"name": "new", "when": {}, "actionOfTheFuture": {"x": 1}}]}, id="an action"),
    ],
)
def test_what_a_newer_version_knows_is_read_and_never_acts(spec: dict[str, Any]) -> None:
    refusal = fault(make_policy(**spec))
    assert refusal is not None
    assert refusal.reason is Reason.NewerThanOperator


def test_an_unknown_field_of_a_newer_version_is_ignored() -> None:
    assert fault(make_policy(fieldOfTheFuture={"x": 1})) is None


def test_a_policy_is_written_as_it_is_read() -> None:
    policy = make_policy(triggers=[{"name": "crash", "imagePull": {"for": "40s"}}])
    written = policy.model_dump(mode="json", by_alias=True)
    assert written["spec"]["triggers"][0]["imagePull"] == {"for": "40s", "podsAtLeast": "50%"}
    assert type(policy).model_validate(written) == policy
