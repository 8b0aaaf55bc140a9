"""What changed, and since when the trouble lasts. The cause classes themselves are rows in test_guards.py."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import (
    BAD,
    BAD_IMAGE,
    GOOD,
    GOOD_IMAGE,
    NEW,
    OLD,
    ago,
    make_case,
    make_incident,
    make_live,
    make_policy,
    make_seen,
    make_template,
    make_workload,
)

from stopgap.core import attribution
from stopgap.core.decide import judge
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import State


def finding(state: State, minutes: float | None) -> Finding:
    return Finding("x", Reason.CrashLoop, state, "", since=None if minutes is None else ago(minutes=minutes))


def test_the_trouble_began_with_the_earliest_finding_that_fires() -> None:
    found = (finding(State.FIRING, 2), finding(State.FIRING, 5), finding(State.QUIET, 9), finding(State.FIRING, None))
    assert attribution.onset(found) == ago(minutes=5)


def test_nothing_that_fires_has_no_onset() -> None:
    assert attribution.onset((finding(State.QUIET, 9), finding(State.UNKNOWN, 9))) is None


def test_the_suspected_change_names_both_revisions_the_images_and_who_wrote_it() -> None:
    work = make_workload(annotations={"deployment.kubernetes.io/revision": "2", "kubernetes.io/change-cause": "release 2.0"})
    change = attribution.suspected_change(make_case(seen=make_seen(workload=work, live=make_live())))
    assert change is not None
    assert (change.revision, change.previous_revision, change.changed_at) == (2, 1, ago(minutes=2))
    assert change.images == (f"app: {GOOD_IMAGE} → {BAD_IMAGE}",)
    assert (change.by, change.cause) == ("kubectl-set", "release 2.0")


def test_a_container_that_is_new_is_called_so() -> None:
    body = make_template(GOOD_IMAGE)
    body["spec"]["containers"].append({"name": "cache", "image": "redis:8"})
    two = Template.read(body)
    seen = make_seen(workload=make_workload(template=two), live=make_live(templates={"rs-1": GOOD, "rs-2": two}))
    change = attribution.suspected_change(make_case(seen=seen))
    assert change is not None
    assert change.images == ("cache: (new container) → redis:8",)


def test_without_the_older_template_the_images_are_left_out() -> None:
    change = attribution.suspected_change(make_case(live=False))
    assert change is not None
    assert change.images == ()


def test_the_first_release_is_no_change() -> None:
    assert attribution.suspected_change(make_case(seen=make_seen(revisions=(NEW,)))) is None


def test_before_the_controller_has_taken_it_up_nothing_is_suspected() -> None:
    assert attribution.suspected_change(make_case(seen=make_seen(workload=make_workload(generation=9)))) is None


def test_the_release_is_to_blame_where_its_pods_fail_and_older_ones_are_well() -> None:
    case = make_case()
    assert attribution.cause(case, judge(case), timedelta(minutes=30), undoes=True) is None


def test_a_cause_that_the_detector_sees_is_told_before_those_that_are_inferred() -> None:
    blamed = Finding("x", Reason.ErrImagePull, State.FIRING, "registry says 429", ago(days=3), cause=Reason.RegistryUnavailable)
    refusal = attribution.cause(make_case(seen=make_seen(current_since=None)), (blamed,), timedelta(minutes=30), undoes=True)
    assert refusal is not None
    assert (refusal.reason, refusal.message) == (Reason.RegistryUnavailable, "registry says 429")


def test_a_cause_of_a_finding_that_went_quiet_blames_nobody() -> None:
    quiet = Finding("x", Reason.ErrImagePull, State.QUIET, "", cause=Reason.RegistryUnavailable)
    assert attribution.cause(make_case(), (quiet, *judge(make_case())), timedelta(minutes=30), undoes=True) is None


def test_each_step_says_for_itself_how_recent_a_change_must_be() -> None:
    case = make_case(seen=make_seen(current_since=ago(minutes=20)), policy=make_policy())
    assert attribution.cause(case, judge(case), timedelta(minutes=30), undoes=True) is None
    refusal = attribution.cause(case, judge(case), timedelta(minutes=10), undoes=True)
    assert refusal is not None
    assert refusal.reason is Reason.NoRecentChange
    assert "last 10m" in refusal.message


@pytest.mark.parametrize(
    ("opened", "digest", "suspected"),
    [
        pytest.param(ago(minutes=40), BAD.digest, True, id="as long as it was held back"),
        pytest.param(ago(minutes=40), GOOD.digest, False, id="not for what another template did"),
        pytest.param(ago(hours=2), BAD.digest, False, id="nor for what was before it became current"),
    ],
)
def test_a_release_stays_the_suspect_while_its_own_incident_is_open(opened: Any, digest: str, suspected: bool) -> None:  # noqa: FBT001
    incident = make_incident(startedAt=opened, status={"digest": digest})
    case = make_case(seen=make_seen(current_since=ago(minutes=41)), incident=incident)
    refusal = attribution.cause(case, judge(case), timedelta(minutes=30), undoes=True)
    assert (refusal is None) == suspected
    assert refusal is None or refusal.reason is Reason.NoRecentChange


def test_a_leaving_older_pod_is_not_ill() -> None:
    seen = make_seen(revisions=(NEW, OLD))
    assert attribution.cause(make_case(seen=seen), judge(make_case(seen=seen)), timedelta(minutes=30), undoes=True) is None
