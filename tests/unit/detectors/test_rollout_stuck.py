"""`rolloutStuck`: a rollout makes no progress."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.conftest import ago, make_seen, make_workload

from stopgap.detectors import RolloutStuck
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Flag, State


def judge(seen: Observation, **fields: Any) -> Finding:
    return RolloutStuck.model_validate(fields).judge(seen, "stuck", after=None, quiet_for=timedelta(minutes=1))


def rolling(moved: datetime, *, reason: str = "ReplicaSetUpdated", since: datetime | None = None, **changes: Any) -> Observation:
    """A rollout whose last progress was then; the template is older."""
    work = make_workload(progressing=Flag(reason != "ProgressDeadlineExceeded", reason, "", moved, moved), **changes)
    return make_seen(workload=work, exits=(), pods=(), current_since=since or ago(minutes=20))


def test_no_progress_for_as_long_as_the_policy_says_fires() -> None:
    finding = judge(rolling(ago(minutes=2)), after="2m")
    assert (finding.state, finding.type) == (State.FIRING, Reason.RolloutStuck)
    assert finding.message == "no progress for 2m: 1 of 3 replicas updated, 3 available"
    assert finding.since == ago(minutes=2)
    assert finding.revision == "rs-2"


def test_a_rollout_that_moves_is_quiet_and_looked_at_again_when_it_would_be_stuck() -> None:
    finding = judge(rolling(ago(seconds=90)), after="2m")
    assert finding.state is State.QUIET
    assert finding.look_again == timedelta(seconds=30)


def test_without_a_time_of_its_own_the_deployments_deadline_decides() -> None:
    assert judge(rolling(ago(minutes=9))).state is State.QUIET
    assert judge(rolling(ago(minutes=1), reason="ProgressDeadlineExceeded")).state is State.FIRING


def test_the_deployments_deadline_fires_even_where_the_policy_allows_longer() -> None:
    assert judge(rolling(ago(minutes=1), reason="ProgressDeadlineExceeded"), after="1h").state is State.FIRING


def test_the_time_of_the_newest_template_counts_where_the_condition_is_older() -> None:
    assert judge(rolling(ago(minutes=9), since=ago(seconds=5)), after="2m").state is State.QUIET


def test_a_completed_rollout_is_quiet() -> None:
    done = rolling(ago(minutes=9), updated_replicas=3, current_replicas=3)
    assert judge(done, after="2m").state is State.QUIET


def test_a_paused_deployment_is_quiet() -> None:
    finding = judge(rolling(ago(minutes=9), paused=True), after="2m")
    assert finding.state is State.QUIET
    assert finding.message == "no rollout is waiting"


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(make_seen(synced=False), id="before every watch has its first list"),
        pytest.param(make_seen(workload=None), id="while the workload was not seen"),
        pytest.param(make_seen(workload=make_workload(generation=5)), id="while the newest template has no replica set yet"),
    ],
)
def test_what_cannot_be_told_is_unknown(seen: Observation) -> None:
    assert judge(seen, after="1s").state is State.UNKNOWN
