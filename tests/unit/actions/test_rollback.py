"""`rollback`: which revision it goes back to, and what it plans."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD, GOOD, NEW, OLD, make_live, make_revision, make_seen, make_workload

from stopgap.actions import Rollback
from stopgap.model.change import Aim, Good, Known, Plan
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason

DAY = timedelta(days=1)
FIVE = make_seen(
    workload=make_workload(annotations={"deployment.kubernetes.io/revision": "5"}),
    revisions=(msgspec.structs.replace(NEW, number=5), *(make_revision(number, uid=f"older-{number}") for number in (4, 3, 2, 1))),
)

TO_OLD = Aim("roll back 2 → 1", back_to=OLD)


def good(number: int, digest: str = "", lasted: timedelta = DAY) -> Good:
    return Good(f"older-{number}", digest or f"digest-{number}", lasted)


def wants(*known: Good, denied: tuple[str, ...] = (), seen: Observation = FIVE, **fields: Any) -> str | Refusal:
    found = Rollback.model_validate(fields).wants(seen, Known(known, frozenset(denied)))
    if isinstance(found, Refusal):
        return found
    assert found.back_to is not None
    return found.back_to.uid


def test_it_goes_back_to_the_youngest_revision_that_was_healthy() -> None:
    assert wants(good(1), good(3)) == "older-3"


def test_it_skips_revisions_that_were_never_healthy() -> None:
    assert wants(good(1)) == "older-1"


def test_it_skips_denied_templates() -> None:
    assert wants(good(1), good(3), denied=("digest-3",)) == "older-1"


def test_it_skips_those_that_were_not_healthy_for_long_enough() -> None:
    assert wants(good(1), good(3, lasted=timedelta(minutes=4))) == "older-1"
    assert wants(good(1), good(3, lasted=timedelta(minutes=4)), minHealthyFor="4m") == "older-3"


def test_it_looks_no_further_back_than_the_policy_says() -> None:
    refusal = wants(good(1), maxRevisionsBack=3)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.NoHealthyRevision
    assert "4 (never seen healthy), 3 (never seen healthy), 2 (never seen healthy)" in refusal.message


def test_it_never_goes_back_to_the_newest_itself() -> None:
    assert isinstance(wants(Good("rs-2", BAD.digest, DAY)), Refusal)


def test_it_says_of_each_revision_why_not() -> None:
    refusal = wants(good(4), good(3, lasted=timedelta(minutes=1)), good(2, digest="x", lasted=timedelta(0)), denied=("digest-4",))
    assert isinstance(refusal, Refusal)
    assert refusal.message == (
        "none of the last 4 older revisions is known to have been healthy: "
        "4 (denied), 3 (not healthy for long enough), 2 (not healthy for long enough), 1 (never seen healthy)"
    )


def test_the_first_release_is_fixed_forward() -> None:
    refusal = wants(seen=make_seen(revisions=(NEW,)))
    assert isinstance(refusal, Refusal)
    assert "fix forward" in refusal.message


def test_it_waits_for_the_controller() -> None:
    refusal = wants(good(1), seen=make_seen(workload=make_workload(generation=5)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.RolloutInProgress


def test_the_plan_is_an_absolute_end_state() -> None:
    plan = Rollback().plan(make_seen(live=make_live()), TO_OLD)
    assert isinstance(plan, Plan)
    assert plan.summary == "roll back 2 → 1"
    assert (plan.action, plan.from_revision, plan.to_revision) == ("Rollback", 2, 1)
    assert (plan.from_digest, plan.to_digest) == (BAD.digest, GOOD.digest)
    assert (plan.replica_set, plan.replica_set_name) == ("rs-1", "api-1")


def test_nothing_is_planned_without_the_live_reads() -> None:
    with pytest.raises(ValueError, match="without its newest revision or the live reads"):
        Rollback().plan(make_seen(), TO_OLD)


def test_what_was_removed_meanwhile_is_not_gone_back_to() -> None:
    refusal = Rollback().plan(make_seen(live=make_live(templates={"rs-2": BAD})), TO_OLD)
    assert isinstance(refusal, Refusal)
    assert refusal == Refusal(Reason.NoHealthyRevision, "api-1 (revision 1) is gone; fix forward")


def test_it_needs_no_more_than_to_patch_workloads_and_to_delete_pods_that_hold_the_way_back_up() -> None:
    assert [(one.group, one.resources, one.verbs) for one in Rollback.rules] == [
        ("apps", ("deployments", "statefulsets", "daemonsets"), ("patch",)),
        ("", ("pods",), ("get", "delete")),
    ]
