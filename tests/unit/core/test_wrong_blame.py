"""Facts that look like a bad release and are not one, or that were once dated or counted wrongly."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    GOOD,
    NEW,
    NOW,
    OLD,
    ago,
    executed,
    make_case,
    make_container,
    make_exits,
    make_good,
    make_health,
    make_incident,
    make_live,
    make_pod,
    make_policy,
    make_remediation,
    make_revision,
    make_seen,
    make_template,
    make_workload,
)

from stopgap.api import RemediationPolicy
from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.core.ledger import new_exits
from stopgap.model.duration import parse
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Container, End, Exit, Flag, Level, State

NO_OLD_PODS = msgspec.structs.replace(OLD, wanted=0, replicas=0, ready=0, available=0)


def with_trigger(**trigger: Any) -> RemediationPolicy:
    return make_policy(triggers=[{"name": "x", **trigger}], steps=[{"name": "undo", "when": {}, "rollback": {}}])


def an_exit(number: int, *, seconds: float) -> tuple[str, Exit]:
    return "rs-2", Exit("p1-uid", "p1", "node-1", "app", False, number, ago(seconds=seconds), 1, "Error")


def new_revision(pods: int, *, ready: int) -> Any:
    return msgspec.structs.replace(NEW, replicas=pods, wanted=pods, ready=ready)


def waiting_for_image(image: str = "shop/api:2.0", message: str = "not found") -> Container:
    return make_container(image=image, waiting="ErrImagePull", waiting_message=message, waiting_since=ago(seconds=30))


def reasons(case: Case) -> list[Reason]:
    return [one.reason for one in decide(case).refusals]


def test_a_single_exit_days_ago_does_not_date_todays_crash_loop() -> None:
    exits = (an_exit(1, seconds=3 * 86400 - 300), an_exit(2, seconds=30), an_exit(3, seconds=20), an_exit(4, seconds=10))
    seen = make_seen(live=make_live(), current_since=ago(days=3), exits=exits, revisions=(NEW, NO_OLD_PODS))
    assert reasons(make_case(seen=seen)) == [Reason.NoRecentChange]


def test_pods_lost_long_after_the_rollout_are_no_stuck_rollout() -> None:
    progressing = Flag(True, "NewReplicaSetAvailable", "", ago(days=3), ago(days=3))
    work = make_workload(updated_replicas=3, current_replicas=3, available_replicas=1, ready_replicas=1, progressing=progressing)
    revisions = (new_revision(3, ready=1), NO_OLD_PODS)
    seen = make_seen(live=make_live(), workload=work, current_since=ago(days=3), exits=(), pods=(), revisions=revisions)
    case = make_case(policy=with_trigger(rolloutStuck={"after": "2m"}), seen=seen)
    assert judge(case)[0].state is State.QUIET
    assert decide(case).intent is None


def test_a_release_that_came_after_the_trouble_may_be_the_cure_and_is_not_undone() -> None:
    levels = (Level(ago(minutes=10), 0, 3),)
    work = make_workload(available_replicas=0)
    seen = make_seen(live=make_live(), workload=work, levels=levels, current_since=ago(minutes=2), exits=(), revisions=(NEW, NO_OLD_PODS))
    assert Reason.NotAttributable in reasons(make_case(policy=with_trigger(unavailable={}), seen=seen))


def test_one_of_three_pods_waiting_for_its_image_is_not_half_of_them() -> None:
    pods = (make_pod(containers=(waiting_for_image(),)),)
    seen = make_seen(live=make_live(), exits=(), pods=pods, revisions=(new_revision(3, ready=2), NO_OLD_PODS))
    assert judge(make_case(policy=with_trigger(imagePull={}), seen=seen))[0].state is not State.FIRING


def test_exits_between_two_looks_are_dated_by_the_last_that_is_proven() -> None:
    proven = End(1, "Error", None, ago(hours=1))
    before = make_pod(containers=(make_container(restarts=1, running_since=ago(hours=1), ready=True, last_ended=proven),))
    after = make_pod(containers=(make_container(restarts=4, last_ended=End(1, "Error", ago(minutes=1), ago(seconds=5))),))
    assert [one.at for one in new_exits(before, after, NOW)][:2] == [ago(hours=1)] * 2


def test_a_progress_deadline_dates_the_trouble_by_the_last_progress() -> None:
    progressing = Flag(False, "ProgressDeadlineExceeded", "", ago(seconds=3), ago(seconds=3))
    work = make_workload(progress_deadline=timedelta(minutes=40), progressing=progressing)
    seen = make_seen(live=make_live(), workload=work, current_since=ago(minutes=40, seconds=3), exits=(), pods=())
    case = make_case(policy=with_trigger(rolloutStuck={}), seen=seen)
    assert judge(case)[0].since == ago(minutes=40, seconds=3)
    assert decide(case).intent is not None


def test_a_number_in_the_image_tag_is_no_answer_of_the_registry() -> None:
    container = waiting_for_image("shop/api:1.0.512", "docker.io/shop/api:1.0.512: not found")
    seen = make_seen(live=make_live(), exits=(), pods=(make_pod(containers=(container,)),))
    assert judge(make_case(policy=with_trigger(imagePull={}), seen=seen))[0].cause is None


def test_pods_that_are_leaving_are_not_counted_among_the_started() -> None:
    leaving = tuple(make_pod(f"leaving-{number}", leaving=True, containers=(make_container(),)) for number in (1, 2))
    seen = make_seen(live=make_live(), pods=(make_pod(), *leaving), revisions=(new_revision(4, ready=3), OLD))
    assert judge(make_case(seen=seen))[0].state is not State.FIRING


def test_scaling_up_does_not_make_yesterday_unavailable() -> None:
    levels = (Level(ago(days=1), 9, 10), Level(ago(minutes=2), 9, 20))
    seen = make_seen(workload=make_workload(replicas=20, available_replicas=9), levels=levels, exits=())
    assert judge(make_case(policy=with_trigger(unavailable={}), seen=seen))[0].since == ago(minutes=2)


@pytest.mark.parametrize("text", ["2d", "1w", "1y", "1h-30m", "9999999h"])
def test_a_duration_that_the_schema_refuses_is_refused_here_too(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse(text)


def bad_after_bad(**health: Any) -> Case:
    """Revision 3 fails, revision 2 before it was never seen healthy, revision 1 was; no older pod is left."""
    work = make_workload(annotations={"deployment.kubernetes.io/revision": "3"}, current_replicas=1, available_replicas=0)
    newest = msgspec.structs.replace(NEW, uid="rs-3", number=3)
    seen = make_seen(
        live=make_live(templates={"rs-1": GOOD, "rs-2": BAD, "rs-3": BAD}),
        workload=work,
        revisions=(newest, msgspec.structs.replace(NEW, replicas=0, wanted=0, created=ago(minutes=9)), NO_OLD_PODS),
        exits=make_exits(owner="rs-3"),
        pods=(make_pod(owner="rs-3"),),
    )
    return make_case(seen=seen, health=make_health(**health))


def test_without_older_pods_a_release_after_one_that_was_never_healthy_is_not_to_blame() -> None:
    assert reasons(bad_after_bad()) == [Reason.NotAttributable]


def test_without_older_pods_a_release_after_a_healthy_one_is_to_blame() -> None:
    case = bad_after_bad(known_good=(make_good(1), make_good(2, template=Template.read(make_template("shop/api:1.9.5")))))
    assert Reason.NotAttributable not in reasons(case)


MUTATED = Template.read(make_template("mirror.local/shop/api:1.9"))


def after_mutation(**incident: Any) -> Case:
    """What Stopgap put back was changed by admission on its way, was proved to help, and fails a while later."""
    work = make_workload(template=MUTATED, annotations={"deployment.kubernetes.io/revision": "3"})
    newest = msgspec.structs.replace(NEW, uid="rs-3", number=3)
    older = msgspec.structs.replace(NEW, replicas=0, wanted=0, created=ago(minutes=9))
    seen = make_seen(
        live=make_live(templates={"rs-1": GOOD, "rs-2": BAD}),
        workload=work,
        revisions=(newest, older, OLD),
        exits=make_exits(owner="rs-3"),
        pods=(make_pod(owner="rs-3"),),
    )
    status = executed(ago(minutes=5), state="Succeeded", writtenDigest=MUTATED.digest)
    return make_case(seen=seen, remediations=(make_remediation(status=status),), **incident)


def test_what_stopgap_put_back_is_not_the_suspect_where_admission_changed_it() -> None:
    case = replace(after_mutation(), incident=make_incident(name="api-2"))
    assert Reason.NotAttributable in reasons(case)


def test_what_stopgap_put_back_is_no_other_release_where_admission_changed_it() -> None:
    status = {"detectedAt": ago(minutes=9), "mitigatedAt": ago(minutes=3), "digest": BAD.digest}
    assert not decide(after_mutation(incident=make_incident(status=status))).closed


def test_a_revision_that_a_person_went_back_to_is_not_the_suspect_once_it_was_recorded_again() -> None:
    # Revision 1 is current again as revision 3 since ten minutes and was recorded as healthy five minutes ago; the ReplicaSet is reused.
    newest = make_revision(3, uid="rs-1", name="api-1", wanted=1, replicas=1, created=ago(days=9))
    left = make_revision(2, created=ago(hours=1))
    seen = make_seen(
        live=make_live(),
        workload=make_workload(template=GOOD, annotations={"deployment.kubernetes.io/revision": "3"}, available_replicas=0),
        revisions=(newest, left),
        exits=make_exits(owner="rs-1"),
        pods=(make_pod(owner="rs-1"),),
        current_since=ago(minutes=10),
    )
    recorded = (make_good(2, template=BAD), make_good(1, recorded_at=ago(minutes=5), healthy_since=ago(minutes=10)))
    assert reasons(make_case(seen=seen, health=make_health(known_good=recorded))) == [Reason.NotAttributable]


def short_of_replicas(**work: Any) -> Case:
    """A rolling update whose pods take long to get ready: three of four replicas are available since more than a minute."""
    fields = {"replicas": 4, "available_replicas": 3, "ready_replicas": 3, "updated_replicas": 1, "current_replicas": 5, **work}
    levels = (Level(ago(minutes=2), fields["available_replicas"], 4),)
    seen = make_seen(live=make_live(), workload=make_workload(**fields), levels=levels, exits=(), pods=())
    return make_case(policy=with_trigger(unavailable={"below": "80%", "for": "1m"}), seen=seen)


def test_a_rollout_that_takes_no_more_than_its_strategy_allows_is_not_undone_for_that_alone() -> None:
    assert reasons(short_of_replicas()) == [Reason.NotAttributable]


@pytest.mark.parametrize(
    "work",
    [
        pytest.param({"available_replicas": 2}, id="it takes more than its strategy allows"),
        pytest.param({"progressing": Flag(False, "ProgressDeadlineExceeded", "", ago(seconds=3), ago(seconds=3))}, id="it stands still"),
    ],
)
def test_a_release_is_undone_for_missing_replicas_when(work: dict[str, Any]) -> None:
    assert decide(short_of_replicas(**work)).intent is not None
