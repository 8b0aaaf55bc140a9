"""Did the action help? Judged from facts only."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    GOOD,
    NOW,
    after_rollback,
    executed,
    make_case,
    make_container,
    make_exits,
    make_incident,
    make_pod,
    make_remediation,
    make_revision,
    make_template,
    make_workload,
)

from stopgap.api.remediation import RemediationState
from stopgap.core.decide import judge
from stopgap.core.verification import LONGEST_ROLLOUT, Verdict, verify
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Flag

FIRED = {"detectedAt": NOW, "findings": [{"trigger": "crash", "type": "CrashLoop", "state": "Quiet"}]}
REVISIONS = (make_revision(3, uid="rs-1", name="api-1", wanted=3, replicas=3, ready=3, available=3), make_revision(2))


def work(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "template": GOOD,
        "generation": 5,
        "observed_generation": 5,
        "annotations": {"deployment.kubernetes.io/revision": "3"},
        "current_replicas": 3,
        "updated_replicas": 3,
        "progressing": Flag(True, "NewReplicaSetAvailable", "", NOW, NOW),
    }
    return make_workload(**{**fields, **changes})


def verdict(*, after: float, healthy_since: float | None = 0, case: dict[str, Any] | None = None, **seen: Any) -> Verdict:
    """Judge the rollback of NOW so many seconds later; it has been healthy since so many seconds after it."""
    base = after_rollback(make_case(incident=make_incident(status=FIRED)), **{"now": NOW + timedelta(seconds=after), **seen})
    since = {} if healthy_since is None else {"healthySince": NOW + timedelta(seconds=healthy_since)}
    done = make_remediation(status=executed(**since))
    full = replace(base, remediations=(done,), **(case or {}))
    return verify(full, done, judge(full))


def test_available_and_quiet_for_long_enough_is_success() -> None:
    found = verdict(after=60)
    assert (found.state, found.reason) == (RemediationState.SUCCEEDED, Reason.Succeeded)
    assert found.message == "available and every signal quiet for 1m"


def test_a_moment_less_is_not_and_says_when_it_will_be() -> None:
    found = verdict(after=59, healthy_since=10)
    assert (found.state, found.reason) == (RemediationState.VERIFYING, Reason.Executed)
    assert found.message == "available and quiet since 10:00:10; proven after 1m"
    assert found.look_again == timedelta(seconds=11)


def test_the_first_quiet_look_begins_the_proof() -> None:
    found = verdict(after=300, healthy_since=None)
    assert found.state is RemediationState.VERIFYING
    assert found.healthy_since == NOW + timedelta(seconds=300)


def test_a_look_at_which_something_is_lacking_ends_the_proof() -> None:
    found = verdict(after=90, workload=work(available_replicas=1))
    assert found.state is RemediationState.VERIFYING
    assert found.healthy_since is None


@pytest.mark.parametrize(
    ("seen", "lacking"),
    [
        pytest.param(
            {"workload": work(generation=6)},
            "the controller has not taken up the change yet",
            id="before the controller took it up",
        ),
        pytest.param({"workload": work(replicas=0)}, "it was scaled to zero, so that nothing can be proved", id="while scaled to zero"),
        pytest.param(
            {"workload": work(updated_replicas=1)}, "rolling out: 1 of 3 replicas are updated, 3 available", id="while it rolls out"
        ),
        pytest.param(
            {"revisions": (REVISIONS[0], make_revision(2, replicas=1))},
            "rolling out: 3 of 3 replicas are updated, 3 available",
            id="while a pod of the bad revision is left",
        ),
        pytest.param(
            {"workload": work(available_replicas=2)}, "2 of 3 replicas are available, 3 are needed", id="while too few are available"
        ),
    ],
)
def test_the_proof_says_what_it_lacks(seen: dict[str, Any], lacking: str) -> None:
    found = verdict(after=90, **seen)
    assert (found.state, found.message) == (RemediationState.VERIFYING, lacking)
    assert found.look_again == timedelta(seconds=30)


SCALE = {"summary": "scale 3 → 5 replicas", "field": "Replicas", "before": 3, "ours": 5}
NO_NODE = "0/3 nodes are available: insufficient cpu"


def unplaced(text: str, **changes: Any) -> Any:
    return make_pod(owner="rs-1", node="", phase="Pending", started=None, unschedulable=text, containers=(make_container(),), **changes)


@pytest.mark.parametrize(
    ("pod", "lacking", "end"),
    [
        pytest.param(unplaced(NO_NODE), f"; no node for a pod: {NO_NODE}", (RemediationState.FAILED, Reason.NoCapacity), id="one waits"),
        pytest.param(unplaced(""), "", (RemediationState.INCONCLUSIVE, Reason.Inconclusive), id="a pod that is only slow"),
        pytest.param(unplaced(NO_NODE, leaving=True), "", (RemediationState.INCONCLUSIVE, Reason.Inconclusive), id="one that is leaving"),
    ],
)
def test_replicas_that_find_no_node_are_not_called_success(pod: Any, lacking: str, end: tuple[RemediationState, Reason]) -> None:
    done = make_remediation(step="more", action="Scale", plan=SCALE, status=executed())
    short = work(replicas=5, current_replicas=5, updated_replicas=5, available_replicas=4)
    for after, expected in ((90, (RemediationState.VERIFYING, Reason.Executed)), (600, end)):
        base = make_case(incident=make_incident(status=FIRED), remediations=(done,))
        now = NOW + timedelta(seconds=after)
        case = replace(after_rollback(base, now=now, workload=short, pods=(pod,), exits=()), remediations=(done,))
        found = verify(case, done, judge(case))
        assert (found.state, found.reason) == expected
        assert found.message.endswith(f"4 of the 5 replicas that were asked for are available, 5 are wanted now{lacking}")


def test_the_bad_template_put_back_is_contested_and_says_by_whom() -> None:
    found = verdict(after=90, workload=work(template=BAD, changed_by="argocd-controller"))
    assert (found.state, found.reason) == (RemediationState.FAILED, Reason.Contested)
    assert "argocd-controller put the bad template back" in found.message


def test_any_other_template_is_somebodys_next_release() -> None:
    found = verdict(after=90, workload=work(template=Template.read(make_template("shop/api:2.1"))))
    assert (found.state, found.reason) == (RemediationState.INCONCLUSIVE, Reason.SupersededByRevision)
    assert "rolled out another template" in found.message


def test_a_template_that_admission_changed_is_still_ours() -> None:
    stored = Template.read(make_template("mirror/shop/api:1.9"))
    done = make_remediation(status=executed(writtenDigest=stored.digest, healthySince=NOW))
    base = after_rollback(make_case(incident=make_incident(status=FIRED)), now=NOW + timedelta(minutes=1), workload=work(template=stored))
    case = replace(base, remediations=(done,))
    assert verify(case, done, judge(case)).state is RemediationState.SUCCEEDED


def test_the_same_trouble_on_the_older_revision_means_that_the_release_was_not_to_blame() -> None:
    seconds = {"now": NOW + timedelta(seconds=60)}
    exits = tuple((owner, one) for pod in ("a", "b") for owner, one in make_exits(owner="rs-1", pod=pod))
    base = after_rollback(make_case(incident=make_incident(status=FIRED)), exits=exits, **seconds)
    done = make_remediation(status=executed(NOW - timedelta(seconds=60)))
    case = replace(base, remediations=(done,))
    found = verify(case, done, judge(case))
    assert (found.state, found.reason) == (RemediationState.FAILED, Reason.NotTheRelease)
    assert "6 exits" in found.message
    assert "look for what else changed" in found.message


def test_out_of_time_without_anything_that_fires_is_inconclusive() -> None:
    found = verdict(after=600, workload=work(available_replicas=1))
    assert (found.state, found.reason) == (RemediationState.INCONCLUSIVE, Reason.Inconclusive)
    assert "ran out" in found.message
    assert "1 of 3 replicas are available" in found.message


def test_out_of_time_because_a_signal_is_unknown_says_so() -> None:
    restarted = make_pod(owner="rs-1", containers=[make_container(restarts=1, running_since=NOW + timedelta(seconds=590), ready=True)])
    once = tuple((owner, msgspec.structs.replace(one, at=NOW + timedelta(seconds=589))) for owner, one in make_exits(1, owner="rs-1"))
    found = verdict(after=600, pods=(restarted,), exits=once)
    assert (found.state, found.reason) == (RemediationState.INCONCLUSIVE, Reason.SignalUnknown)
    assert "trigger crash is Unknown" in found.message


def test_out_of_time_while_a_signal_fires_is_failure() -> None:
    policy = {"triggers": [{"name": "stuck", "rolloutStuck": {"after": "2m"}}]}
    moved = Flag(True, "ReplicaSetUpdated", "", NOW, NOW)
    from_policy = make_case().policy
    assert from_policy is not None
    found = verdict(
        after=700,
        workload=work(updated_replicas=1, progressing=moved, progress_deadline=timedelta(minutes=10)),
        case={"policy": from_policy.model_validate({**from_policy.model_dump(), "spec": {**from_policy.spec.model_dump(), **policy}})},
    )
    assert (found.state, found.reason) == (RemediationState.FAILED, Reason.Failed)
    assert "did not help in time" in found.message


def test_a_rollout_of_ours_that_progresses_within_its_own_deadline_is_given_time() -> None:
    moved = Flag(True, "ReplicaSetUpdated", "", NOW, NOW + timedelta(seconds=590))
    assert verdict(after=700, workload=work(updated_replicas=1, progressing=moved)).state is RemediationState.VERIFYING


def test_a_rollout_of_ours_that_missed_its_own_deadline_is_given_none() -> None:
    missed = Flag(False, "ProgressDeadlineExceeded", "", NOW, NOW + timedelta(seconds=590))
    assert verdict(after=700, workload=work(updated_replicas=1, progressing=missed)).state is RemediationState.INCONCLUSIVE


def test_an_endless_deadline_does_not_make_the_verification_endless() -> None:
    moved = Flag(True, "ReplicaSetUpdated", "", NOW, NOW)
    slow = work(updated_replicas=1, progressing=moved, progress_deadline=timedelta(days=9000))
    assert verdict(after=LONGEST_ROLLOUT.total_seconds() - 1, workload=slow).state is RemediationState.VERIFYING
    assert verdict(after=LONGEST_ROLLOUT.total_seconds(), workload=slow).state is RemediationState.INCONCLUSIVE


def test_pods_that_come_and_go_do_not_make_the_verification_endless() -> None:
    end = 600 + LONGEST_ROLLOUT.total_seconds()
    for after, state in ((end - 1, RemediationState.VERIFYING), (end, RemediationState.INCONCLUSIVE)):
        moved = Flag(True, "ReplicaSetUpdated", "", NOW, NOW + timedelta(seconds=after - 20))
        assert verdict(after=after, workload=work(updated_replicas=1, progressing=moved)).state is state


def test_a_persons_incident_in_which_no_signal_ever_fired_proves_nothing() -> None:
    manual = make_incident(source={"type": "Manual"}, status={"detectedAt": NOW})
    found = verdict(after=60, case={"incident": manual})
    assert (found.state, found.reason) == (RemediationState.INCONCLUSIVE, Reason.Inconclusive)
    assert "no signal ever fired" in found.message


def test_without_the_policy_nothing_proves_that_it_helped() -> None:
    found = verdict(after=60, case={"policy": None})
    assert (found.state, found.reason) == (RemediationState.INCONCLUSIVE, Reason.Inconclusive)
    assert "the policy is gone" in found.message
