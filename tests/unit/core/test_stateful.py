"""What is said of a StatefulSet beside an action, and what is concluded from it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    GOOD,
    GOOD_IMAGE,
    NEW,
    NOW,
    OLD,
    TARGET,
    ago,
    executed,
    make_case,
    make_live,
    make_pod,
    make_policy,
    make_remediation,
    make_seen,
)
from tests.stateful import BAD as BAD_REVISION
from tests.stateful import DB, UID, Taken, controller_revision, make_stateful, released, settled, stateful_set, template
from tests.stateful import GOOD as GOOD_REVISION

from stopgap.core import knowngood, verification
from stopgap.core.case import Case
from stopgap.core.choosing import choose, intent
from stopgap.core.decide import judge
from stopgap.model.change import Field
from stopgap.model.reasons import Reason
from stopgap.model.revised import StatefulSet, key
from stopgap.model.template import Template
from stopgap.model.workload import Flag

MORE = {"steps": [{"name": "more", "when": {"triggers": ["crash"]}, "scale": {"by": "2", "max": 9}}]}


def a_case(policy: dict[str, Any] | None = None, *, live: dict[str, Any] | None = None, **work: Any) -> Case:
    seen = make_seen(
        target=TARGET._replace(kind="StatefulSet"), workload=make_stateful(**work), live=make_live(scaler_known=True, **(live or {}))
    )
    return make_case(seen=seen, policy=make_policy(**(policy or {})))


def test_the_way_back_says_that_the_broken_pods_are_deleted_then() -> None:
    case = a_case()
    choice = choose(case, judge(case))
    assert choice.refused == ()
    assert choice.summary.startswith("roll back 2 → 1")
    assert "pods of 2 that are not ready, as p1, are then deleted one at a time (OrderedReady)" in choice.summary


def test_where_pods_do_not_wait_for_each_other_nothing_is_deleted() -> None:
    case = a_case(ordered=False)
    assert "OrderedReady" not in choose(case, judge(case)).summary


def test_the_intent_names_the_stateful_set() -> None:
    case = a_case(ordered=False)
    found = judge(case)
    meant = intent(case, choose(case, found), found)
    assert meant is not None
    assert (meant.spec.target_ref.kind, meant.spec.plan.field, meant.spec.plan.to_digest) == ("StatefulSet", Field.TEMPLATE, GOOD.digest)


@pytest.mark.parametrize(("ordered", "reasons"), [(True, {Reason.OrderedReady}), (False, set())], ids=["they wait", "they do not"])
def test_more_pods_are_no_remedy_while_they_wait_for_a_broken_one(ordered: bool, reasons: set[Reason]) -> None:  # noqa: FBT001 - a table
    case = a_case(MORE, ordered=ordered)
    assert {one.reason for one in choose(case, judge(case)).refused} == reasons


def test_a_missing_right_names_the_kind() -> None:
    case = a_case(live={"may_patch": False}, ordered=False)
    (refusal,) = choose(case, judge(case)).refused
    assert refusal.message.startswith("Stopgap may not patch statefulsets in shop")


def put_back(work: StatefulSet, **seen: Any) -> Case:
    """The older template was written back."""
    case = make_case(seen=make_seen(**{"workload": work, "template": GOOD, "pods": (), **seen}), remediations=())
    return replace(case, remediations=(make_remediation(status=executed()),))


def test_while_a_broken_pod_holds_the_way_back_up_the_verification_names_it() -> None:
    work = make_stateful(update_revision="api-1", current_replicas=3, updated_replicas=2, available_replicas=2)
    case = put_back(work, revisions=(msgspec.structs.replace(NEW, replicas=1), OLD), pods=(make_pod(owner="rs-2"),), exits=())
    verdict = verification.verify(case, case.remediations[0], ())
    assert "p1 of another revision is not ready and holds it up" in verdict.message
    assert "it is deleted, when its turn comes" in verdict.message


def test_pods_that_are_kept_on_purpose_do_not_stand_against_the_proof_and_prove_nothing_good() -> None:
    work = make_stateful(partition=2, current_replicas=3, updated_replicas=1, available=Flag(True, "", "", ago(days=1), None))
    case = put_back(work, revisions=(msgspec.structs.replace(NEW, replicas=1, ready=1), OLD), exits=(), template=BAD)
    restart = make_remediation(status={**executed(), "writtenDigest": BAD.digest}, action="Restart")
    assert "available and quiet" in verification.verify(case, restart, ()).message
    assert knowngood.healthy_since(case.seen) is None


def test_a_release_that_broke_is_gone_back_from_with_what_the_watches_alone_have_told() -> None:
    older = Template.read(template(GOOD_IMAGE))
    live = make_live(templates={key(UID, GOOD_REVISION): older}, replica_sets=frozenset({key(UID, GOOD_REVISION)}))
    seen = replace(released().index.observe(DB, synced=True), live=live)
    policy = make_policy(targets={"kinds": ["StatefulSet"], "names": ["db"]})
    case = make_case(seen=seen, policy=policy, health=make_case().health.model_copy(update={"known_good": ()}))
    found = judge(case)
    choice = choose(case, found)
    assert choice.refused == ()
    assert choice.summary.startswith("roll back 2 → 1, last known healthy at")
    meant = intent(case, choice, found)
    assert meant is not None
    assert (meant.spec.plan.to_digest, meant.spec.plan.replica_set) == (older.digest, GOOD_REVISION)


def test_a_revision_that_is_available_for_long_enough_is_known_good() -> None:
    now = [ago(minutes=30)]
    taken = Taken(lambda: now[0]).take(controller_revision(BAD_REVISION, GOOD_IMAGE, 1), settled())
    now[0] = ago(minutes=20)
    done = {"updatedReplicas": 3, "currentReplicas": 3, "availableReplicas": 3, "readyReplicas": 3, "currentRevision": BAD_REVISION}
    taken.take(stateful_set(status=done))
    now[0] = NOW
    seen = taken.index.observe(DB, synced=True)
    assert knowngood.healthy_since(seen) == ago(minutes=20)
