"""Signals that are asked for: whom they blame, how they prove that something helped, and what is told while they are unknown."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import (
    NOW,
    after_rollback,
    ago,
    executed,
    make_case,
    make_health,
    make_incident,
    make_live,
    make_policy,
    make_remediation,
    make_revision,
    make_seen,
    make_workload,
)

from stopgap.api.remediation import RemediationState
from stopgap.core import lifecycle
from stopgap.core.attribution import ill_since
from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.model.observation import Refusal
from stopgap.model.query import Sample, appended
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.workload import Flag, Neighbour, State

EVERY = timedelta(seconds=10)
POLICY = make_policy(
    triggers=[{"name": "errors", "prometheus": {"query": "errors", "above": "0.05", "interval": "10s", "failures": 2}}],
    steps=[{"name": "undo", "when": {"triggers": ["errors"]}, "rollback": {}}],
)
STATES = {"F": State.FIRING, "Q": State.QUIET, "U": State.UNKNOWN}
ALONE = (make_revision(2, wanted=3, replicas=3, ready=3, available=3, created=ago(minutes=2)), make_revision(1))
"""The rollout is complete: no older pods are left."""
BESIDE = (
    make_revision(2, wanted=1, replicas=1, ready=1, available=1, created=ago(minutes=2)),
    make_revision(1, wanted=3, replicas=3, ready=3, available=3),
)


STARTING = make_revision(2, wanted=1, replicas=1, created=ago(minutes=2))


def sampled(states: str, *, last: datetime = NOW) -> dict[str, tuple[Sample, ...]]:
    """One sample every ten seconds."""
    ring: tuple[Sample, ...] = ()
    for number, letter in enumerate(states, start=1 - len(states)):
        ring = appended(
            ring, Sample(last + number * EVERY, STATES[letter], {"F": "0.4 is above 0.05", "U": "no data"}.get(letter, "0")), EVERY
        )
    return {"errors": ring}


def released(states: str = "QQFF", *, incident: Any = None, health: Any = None, **seen: Any) -> Case:
    """Every pod of a release of two minutes ago is well, and the metric says so much."""
    work = make_workload(current_replicas=3, updated_replicas=3, progressing=Flag(True, "NewReplicaSetAvailable", "", NOW, NOW))
    facts = {"workload": work, "revisions": ALONE, "pods": (), "exits": (), "samples": sampled(states), "live": make_live(), **seen}
    return make_case(policy=POLICY, seen=make_seen(**facts), incident=incident or make_incident(), health=health or make_health())


OTHER_GOOD = make_health(known_good=(make_health().known_good[0].model_copy(update={"replica_set_uid": "rs-0"}),))
"""Not the predecessor, but an older revision was healthy."""


def refusals(case: Case) -> dict[str, str]:
    found: dict[str, str] = {one.reason: one.message for one in decide(case).refusals if isinstance(one, Refusal)}
    return found


def with_finding(state: str, since: datetime) -> Any:
    finding = {"trigger": "errors", "type": "MetricThreshold", "state": state, "since": since, "message": "0.4 is above 0.05"}
    return make_incident(status={"detectedAt": ago(minutes=1), "findings": [finding]})


# ---------------------------------------------------------------------------------------------------------------- whom it blames


def test_a_metric_that_rises_after_a_release_undoes_it() -> None:
    intent = decide(released()).intent
    assert intent is not None
    assert intent.spec.plan.summary.startswith("roll back 2 → 1")
    assert intent.spec.finding is not None
    assert (intent.spec.finding.type, intent.spec.finding.since) == ("MetricThreshold", ago(seconds=10))


def test_older_pods_that_are_well_prove_nothing_for_a_metric_of_all_of_them() -> None:
    assert decide(released(revisions=BESIDE)).intent is not None
    unknown = released(revisions=BESIDE, health=OTHER_GOOD)
    assert "revision 1 before was never seen healthy" in refusals(unknown)["NotAttributable"]


@pytest.mark.parametrize(
    ("case", "reason", "says"),
    [
        (released("FF"), "NotAttributable", "errors was not seen quiet right before it fired"),
        (released("QUUUFF"), "NotAttributable", "errors was not seen quiet right before it fired"),
        (released(current_since=ago(seconds=4)), "NotAttributable", "the trouble began 6s before the newest revision became"),
        (released(current_since=ago(hours=2)), "NoRecentChange", "only changes of the last 30m are suspects"),
        (released(health=OTHER_GOOD), "NotAttributable", "never seen healthy"),
        (released(revisions=(STARTING, BESIDE[1])), "RolloutInProgress", "no pod of revision 2 is ready yet, so it is not what answers"),
        (
            released(revisions=(BESIDE[0], make_revision(1, wanted=3, replicas=3, ready=1, available=1))),
            "NotAttributable",
            "2 of 3 pods of older revisions are ill too",
        ),
        (
            released(neighbours=tuple(Neighbour(Target("shop", "Deployment", name), ago(seconds=12)) for name in ("b", "c"))),
            "NotAttributable",
            "2 other workloads fell ill at the same time",
        ),
    ],
    ids=[
        "never seen quiet",
        "not known for too long before",
        "ill before the release",
        "no recent release",
        "a predecessor that was never good",
        "not serving yet",
        "older pods that are ill",
        "others that are ill",
    ],
)  # fmt: skip
def test_a_metric_is_not_held_against_a_release_where_more_speaks_against_it(case: Case, reason: str, says: str) -> None:
    assert decide(case).intent is None
    assert says in refusals(case)[reason]


def test_after_a_restart_the_onset_that_was_written_down_counts() -> None:
    assert decide(released("FF", incident=with_finding("Unknown", ago(minutes=1)))).intent is not None
    before_the_release = released("FF", incident=with_finding("Firing", ago(minutes=9)))
    assert "before the newest revision became current" in refusals(before_the_release)["NotAttributable"]


def test_the_onset_of_trouble_that_was_over_does_not_count_for_the_next() -> None:
    assert "was not seen quiet" in refusals(released("FF", incident=with_finding("Quiet", ago(minutes=1))))["NotAttributable"]
    assert decide(released("QFF", incident=with_finding("Quiet", ago(minutes=9)))).intent is not None


def test_a_workload_whose_trouble_has_no_date_is_ill_all_the_same() -> None:
    case = released("FF")
    assert ill_since(case, judge(case)) == NOW
    case = released("FF", incident=with_finding("Unknown", ago(minutes=9)))
    assert ill_since(case, judge(case)) == ago(minutes=1)
    quiet = released("QQ")
    assert ill_since(quiet, judge(quiet)) is None


# ----------------------------------------------------------------------------------------------------------- whether it helped


def proof(states: str, *, seconds: float, since: datetime | None = None) -> Any:
    """Judge a rollback of so long ago; the samples go on until now."""
    case = after_rollback(replace(released(), incident=with_finding("Firing", ago(minutes=1))), samples=sampled(states))
    status = executed(NOW - timedelta(seconds=seconds), healthySince=since)
    one = make_remediation(status=status, verifyUntil=NOW - timedelta(seconds=seconds) + timedelta(minutes=10))
    case = replace(case, remediations=(one,))
    decision = decide(case)
    return decision.remediation[1] if decision.remediation else status["state"]


def test_only_samples_from_after_the_action_prove_anything() -> None:
    case = replace(after_rollback(released(), samples=sampled("QQQ")), remediations=(make_remediation(status=executed(NOW)),))
    (found,) = judge(case)
    assert (found.state, found.message) == (State.UNKNOWN, "nothing has been asked since the last action yet")


def test_quiet_samples_for_long_enough_prove_that_it_helped() -> None:
    assert proof("FFQQQ", seconds=25).state is RemediationState.VERIFYING
    done = proof("FFQQQQQQQQ", seconds=75, since=ago(seconds=60))
    assert (done.state, done.conditions[0].reason) == (RemediationState.SUCCEEDED, "Succeeded")


def test_a_bad_sample_or_one_that_tells_nothing_begins_the_proof_anew() -> None:
    for states in ("QQQQF", "QQQQU"):
        still = proof(states, seconds=100, since=ago(seconds=70))
        assert (still.state, still.healthy_since) == (RemediationState.VERIFYING, None)


def test_a_metric_that_stays_unknown_is_inconclusive_and_one_that_goes_on_firing_is_a_failure() -> None:
    lost = proof("UUU", seconds=601)
    assert lost.state is RemediationState.INCONCLUSIVE
    assert "trigger errors is Unknown: no data" in lost.message
    assert proof("FFF", seconds=601).state is RemediationState.FAILED


# ----------------------------------------------------------------------------------------------------------------- what is told


def test_a_signal_that_cannot_be_read_opens_nothing_and_does_nothing() -> None:
    decision = decide(replace(released("UUU"), incident=None))
    assert (decision.opening, decision.intent, decision.status) == (None, None, None)


def test_in_an_open_incident_a_signal_that_cannot_be_read_is_told_with_the_reason_behind_what_fired() -> None:
    triggers = [*(one.model_dump(by_alias=True, exclude_none=True) for one in POLICY.spec.triggers), {"name": "crash", "crashLoop": {}}]
    case = replace(make_case(policy=make_policy(triggers=triggers)), seen=make_seen(samples=sampled("U"), live=make_live()))
    case = replace(case, config=case.config.model_copy(update={"max_mode": "Observe"}) if case.config else None)
    status = decide(case).status
    assert status is not None
    assert [(one.trigger, one.type, one.state, one.unknown_because) for one in status.findings] == [
        ("crash", "CrashLoop", "Firing", ""),
        ("errors", "SignalUnknown", "Unknown", "no data"),
    ]


def test_what_fired_stays_readable_while_it_cannot_be_read() -> None:
    incident = with_finding("Firing", ago(minutes=1))
    status = decide(released("QFFU", incident=incident)).status
    assert status is not None
    (found,) = status.findings
    assert (found.type, found.state, found.message, found.unknown_because) == ("MetricThreshold", "Unknown", "0.4 is above 0.05", "no data")
    status = decide(released("QFFQ", incident=incident.model_copy(update={"status": status}))).status
    assert status is not None
    assert (status.findings[0].state, status.findings[0].unknown_because) == ("Quiet", "")


def test_a_signal_that_could_only_not_be_read_has_not_fired_and_leaves_no_trace_once_it_is_quiet() -> None:
    finding = {"trigger": "errors", "type": "SignalUnknown", "state": "Unknown", "unknownBecause": "no data"}
    incident = make_incident(source={"type": "Manual"}, status={"detectedAt": ago(minutes=1), "findings": [finding]})
    assert not lifecycle.fired(released(incident=incident))
    status = decide(released("QQ", incident=incident)).status
    assert status is not None
    assert status.findings == ()


def test_the_title_says_what_was_found() -> None:
    opening = decide(replace(released(), incident=None)).opening
    assert opening is not None
    assert (opening.title, opening.trigger) == (f"{Reason.MetricThreshold} in deployment api", "errors")
    assert opening.started_at == ago(seconds=10)


def test_trouble_that_comes_back_is_dated_anew() -> None:
    status = decide(released("QFF", incident=with_finding("Quiet", ago(minutes=9)))).status
    assert status is not None
    assert (status.findings[0].state, status.findings[0].since) == ("Firing", ago(seconds=10))
    status = decide(released("FF", incident=with_finding("Unknown", ago(minutes=9)))).status
    assert status is not None
    assert status.findings[0].since == ago(minutes=9)
