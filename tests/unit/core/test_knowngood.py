"""Which revisions are remembered as healthy, and which are not gone back to."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    GOOD,
    NOW,
    after_rollback,
    ago,
    make_case,
    make_exits,
    make_good,
    make_health,
    make_pod,
    make_policy,
    make_revision,
    make_seen,
    make_workload,
)

from stopgap.api.health import WorkloadHealthStatus
from stopgap.core import knowngood
from stopgap.core.decide import judge
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.workload import Flag, State, Stint

QUIET = (Finding("crash", Reason.CrashLoop, State.QUIET, ""),)


def settled(since: datetime, **changes: Any) -> Observation:
    """Revision 2 is rolled out and everything of it has been available since then."""
    work = make_workload(
        **{
            "current_replicas": 3,
            "updated_replicas": 3,
            "available": Flag(True, "MinimumReplicasAvailable", "", ago(days=9), None),
            "progressing": Flag(True, "NewReplicaSetAvailable", "", since, since),
            **changes.pop("work", {}),
        }
    )
    newest = make_revision(2, wanted=3, replicas=3, ready=3, available=3)
    fields = {"workload": work, "revisions": (newest, make_revision(1)), "pods": (), "exits": (), "current_since": since}
    return make_seen(**{**fields, **changes})


def recorded(seen: Observation, findings: tuple[Finding, ...] = QUIET, **case: Any) -> list[tuple[str, str]]:
    made = make_case(**{"seen": seen, "health": make_health(known_good=()), "incident": None, **case})
    return [(one.replica_set_uid, one.digest) for one in knowngood.with_newest(made, made.health, findings).known_good]


def stint(lasted: timedelta, **changes: Any) -> Stint:
    fields: dict[str, Any] = {
        "replica_set": "rs-1",
        "digest": GOOD.digest,
        "revision": 1,
        "since": ago(minutes=2) - lasted,
        "until": ago(minutes=2),
        "images": {"app": "shop/api:1.9"},
        "image_ids": {"app": "sha256:1"},
    }
    return Stint(**{**fields, **changes})


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        pytest.param(settled(ago(minutes=9)), ago(minutes=9), id="since the rollout was complete"),
        pytest.param(settled(ago(minutes=9), exits=make_exits(1)), ago(seconds=10), id="since its last exit"),
        pytest.param(settled(ago(minutes=9), exits=make_exits(1, owner="rs-1")), ago(minutes=9), id="whatever an older revision does"),
        pytest.param(
            settled(ago(minutes=9), work={"available": Flag(True, "", "", ago(minutes=3), None)}),
            ago(minutes=3),
            id="since it is available",
        ),
        pytest.param(
            settled(ago(minutes=9), pods=(make_pod(ready=True, ready_since=ago(minutes=4)),)), ago(minutes=4), id="since a pod is ready"
        ),
        pytest.param(settled(ago(minutes=9), pods=(make_pod(),)), NOW, id="not yet while a pod is not ready"),
        pytest.param(settled(ago(minutes=9), pods=(make_pod(leaving=True),)), ago(minutes=9), id="whatever a leaving pod does"),
        pytest.param(settled(ago(minutes=9), work={"updated_replicas": 2}), None, id="never while it rolls out"),
        pytest.param(settled(ago(minutes=9), work={"current_replicas": 4}), None, id="never while older pods are left"),
        pytest.param(settled(ago(minutes=9), work={"available_replicas": 2}), None, id="never while too few are available"),
        pytest.param(settled(ago(minutes=9), work={"replicas": 0}), None, id="never at zero replicas"),
        pytest.param(settled(ago(minutes=9), work={"available": None}), None, id="never without the condition"),
        pytest.param(settled(ago(minutes=9), work={"available": Flag(False, "", "", None, None)}), None, id="never while it says no"),
        pytest.param(settled(ago(minutes=9), work={"generation": 5}), None, id="never before it is observed"),
    ],
)
def test_a_revision_is_healthy_since_the_last_of_its_proofs(seen: Observation, since: datetime | None) -> None:
    assert knowngood.healthy_since(seen) == since


def test_a_revision_is_recorded_once_it_was_healthy_for_as_long_as_the_policy_asks() -> None:
    assert recorded(settled(ago(minutes=5))) == [("rs-2", BAD.digest)]
    assert recorded(settled(ago(minutes=4, seconds=59))) == []


def test_the_shortest_time_that_any_step_asks_for_is_enough_to_be_recorded() -> None:
    steps = [{"name": name, "when": {}, "rollback": {"minHealthyFor": length}} for name, length in (("a", "1h"), ("b", "2m"))]
    assert knowngood.needed_for(make_policy(steps=steps)) == timedelta(minutes=2)
    assert knowngood.needed_for(make_policy(steps=[])) == timedelta(minutes=5)


def test_a_revision_is_recorded_once_for_each_rollout() -> None:
    early = make_good(2, template=BAD, recorded_at=ago(minutes=3))
    assert recorded(settled(ago(minutes=9)), health=make_health(known_good=(early,))) == [("rs-2", BAD.digest)]
    case = make_case(seen=settled(ago(minutes=9)), health=make_health(known_good=(early,)), incident=None)
    assert knowngood.with_newest(case, case.health, QUIET) == case.health


def test_a_rollout_that_was_not_watched_is_not_recorded() -> None:
    assert recorded(settled(ago(minutes=9), changed_under_watch=False)) == []


def test_a_revision_on_which_a_trigger_fires_is_not_recorded() -> None:
    assert recorded(settled(ago(minutes=9)), (Finding("crash", Reason.CrashLoop, State.FIRING, ""),)) == []


def test_without_a_policy_nothing_is_recorded() -> None:
    assert recorded(settled(ago(minutes=9)), policy=None) == []
    case = make_case(policy=None, health=make_health(known_good=()), seen=make_seen(stints=(stint(timedelta(days=1)),)))
    assert knowngood.with_stints(case).known_good == ()


def test_signals_that_were_unknown_at_the_time_are_recorded_with_it() -> None:
    case = make_case(seen=settled(ago(minutes=9)), health=make_health(known_good=()), incident=None)
    unknown = (*QUIET, Finding("errors", Reason.Unavailable, State.UNKNOWN, ""))
    assert knowngood.with_newest(case, case.health, unknown).known_good[0].unknown == ("errors",)


def test_what_the_images_were_is_recorded_with_it() -> None:
    case = make_case(seen=settled(ago(minutes=9)), health=make_health(known_good=()), incident=None)
    good = knowngood.with_newest(case, case.health, QUIET).known_good[0]
    assert good.images == ("app=shop/api:2.0-crash",)
    assert good.healthy_for == timedelta(minutes=9)


def test_a_revision_that_was_healthy_before_the_newest_is_remembered_at_once() -> None:
    case = make_case(health=make_health(known_good=()), seen=make_seen(stints=(stint(timedelta(minutes=5)),)))
    good = knowngood.with_stints(case).known_good[0]
    assert (good.replica_set_uid, good.digest, good.revision, good.healthy_for) == ("rs-1", GOOD.digest, 1, timedelta(minutes=5))
    assert good.image_ids == ("app=sha256:1",)


def test_a_revision_that_was_healthy_for_years_can_be_read_back() -> None:
    case = make_case(health=make_health(known_good=()), seen=make_seen(stints=(stint(timedelta(days=900)),)))
    stored = knowngood.with_stints(case).model_dump(mode="json", by_alias=True)
    assert WorkloadHealthStatus.model_validate(stored).known_good[0].healthy_for == timedelta(days=366)


def test_a_short_stint_is_not_remembered() -> None:
    case = make_case(health=make_health(known_good=()), seen=make_seen(stints=(stint(timedelta(minutes=4)),)))
    assert knowngood.with_stints(case).known_good == ()


def test_a_stint_that_the_record_holds_is_not_recorded_again() -> None:
    case = make_case(
        health=make_health(known_good=(make_good(recorded_at=ago(minutes=2)),)), seen=make_seen(stints=(stint(timedelta(days=1)),))
    )
    assert knowngood.with_stints(case) == case.health


def test_being_good_again_clears_the_denial_and_moves_the_revision_to_the_end() -> None:
    health = knowngood.deny(make_health(known_good=(make_good(1), make_good(2, template=BAD))), GOOD.digest, "api-1", "it crashed", NOW)
    assert [one.digest for one in health.denied] == [GOOD.digest]
    again = knowngood.remember(health, make_good(1))
    assert again.denied == ()
    assert [one.replica_set_uid for one in again.known_good] == ["rs-2", "rs-1"]


def test_a_denial_is_written_once_and_forgiven_by_its_digest() -> None:
    once = knowngood.deny(make_health(), BAD.digest, "api-1", "it crashed", NOW)
    assert knowngood.deny(once, BAD.digest, "api-2", "again", NOW + timedelta(days=1)) == once
    assert (once.denied[0].incident, once.denied[0].reason, once.denied[0].time) == ("api-1", "it crashed", NOW)
    assert knowngood.forgive(once, "another") == once
    assert knowngood.forgive(once, BAD.digest).denied == ()


def test_the_record_is_bounded_and_the_oldest_go_first() -> None:
    health = make_health(known_good=())
    for number in range(30):
        health = knowngood.remember(health, make_good(number))
        health = knowngood.deny(health, f"digest-{number}", "", "", NOW)
    assert [one.revision for one in health.known_good] == list(range(20, 30))
    assert [one.digest for one in health.denied] == [f"digest-{number}" for number in range(10, 30)]


def test_after_a_rollback_the_revision_is_healthy_only_from_then_on() -> None:
    case = after_rollback(make_case(), now=NOW + timedelta(minutes=4))
    assert knowngood.healthy_since(case.seen) == NOW
    assert knowngood.with_newest(case, case.health, judge(case)) == case.health


def test_a_flapping_release_is_never_recorded() -> None:
    exits = tuple(("rs-2", msgspec.structs.replace(one, at=ago(minutes=4 * number))) for number, (_, one) in enumerate(make_exits(5)))
    assert recorded(settled(ago(minutes=30), exits=exits)) == []


def of_a_hundred(*pods: Any, available: int = 75, **changes: Any) -> Observation:
    """A hundred replicas, of which the strategy lets 25 be missing."""
    work = {"replicas": 100, "current_replicas": 100, "updated_replicas": 100, "available_replicas": available}
    newest = make_revision(2, wanted=100, replicas=100, ready=100 - len(pods), available=100 - len(pods))
    return settled(ago(hours=1), work=work, revisions=(newest, make_revision(1)), pods=pods, **changes)


def test_a_few_troubled_pods_of_a_hundred_do_not_end_its_health() -> None:
    pods = tuple(make_pod(f"p{number}") for number in range(25))
    exits = tuple(one for pod in pods for one in make_exits(pod=pod.name))
    assert knowngood.healthy_since(of_a_hundred(*pods, exits=exits)) == ago(hours=1)


def test_more_troubled_pods_than_the_strategy_lets_be_missing_end_the_health() -> None:
    ready = tuple(make_pod(f"p{number}", ready=True, ready_since=ago(seconds=5), containers=()) for number in range(26))
    assert knowngood.healthy_since(of_a_hundred(*ready, available=100)) == ago(seconds=5)
