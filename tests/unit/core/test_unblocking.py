"""Pods of the bad revision that all others wait for are deleted one after the other, and no other pod ever is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD, GOOD, NEW, NOW, OLD, executed, make_case, make_incident, make_pod, make_policy, make_remediation, make_seen
from tests.stateful import make_stateful

from stopgap.core import unblocking
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.model.reasons import Reason
from stopgap.model.template import packed
from stopgap.model.workload import Pod


def ill(number: int, owner: str = "rs-2", **changes: Any) -> Pod:
    return make_pod(f"api-{number}", owner=owner, **changes)


def meant(number: int, *, uid: str = "", refused: str = "") -> dict[str, Any]:
    """A pod that was deleted before: by default an earlier incarnation."""
    return {"pod": f"api-{number}", "uid": uid or f"before-{number}", "revision": "rs-2", "decidedAt": NOW, "refused": refused}


def a_case(*pods: Pod, done: tuple[dict[str, Any], ...] = (), action: str = "Rollback", **work: Any) -> Case:
    """The older template was written back while these pods are in trouble; all others are available."""
    there = {"available_replicas": 3 - sum(1 for pod in pods if not pod.ready), "updated_replicas": 1}
    body = make_stateful(
        **{**there, "update_revision": "api-1", "current_replicas": 3, "template": packed(msgspec.json.encode(GOOD.body)), **work}
    )
    revisions = (msgspec.structs.replace(OLD, number=3), msgspec.structs.replace(NEW, replicas=2))
    seen = make_seen(workload=body, pods=pods, revisions=revisions, exits=())
    out = make_remediation(status=executed(replaced=list(done)), action=action)
    return replace(make_case(seen=seen), remediations=(out,))


def look(case: Case) -> unblocking.Stuck | None:
    return unblocking.look(case, case.remediations[0], ())


def deleted(case: Case) -> str:
    """Return the name of the pod that is deleted now, or nothing."""
    stuck = look(case)
    return stuck.pod.pod if stuck and stuck.pod else ""


def test_the_first_that_is_not_ready_is_deleted_for_the_controller_waits_for_it() -> None:
    assert deleted(a_case(ill(2), ill(1))) == "api-1"
    assert deleted(a_case(ill(10), ill(9))) == "api-9"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(a_case(ill(2, ready=True)), id="it is ready"),
        pytest.param(a_case(ill(2, leaving=True)), id="it is being deleted"),
        pytest.param(a_case(ill(1, leaving=True), ill(2)), id="another is being deleted"),
        pytest.param(a_case(ill(2, owner="rs-1")), id="it is of the restored revision"),
        pytest.param(a_case(ill(1, owner="rs-1"), ill(2)), id="one of the restored revision has its turn first"),
        pytest.param(a_case(ill(2), done=(meant(1),), available_replicas=1), id="the one before it is not back yet"),
        pytest.param(a_case(ill(2), ordered=False), id="pods do not wait for each other"),
        pytest.param(a_case(ill(2), action="Restart"), id="it was not a rollback"),
        pytest.param(a_case(ill(2), observed_generation=3), id="the controller has not taken up the older template"),
    ],
)
def test_nothing_is_deleted_and_nothing_said_where(case: Case) -> None:
    assert look(case) is None


@pytest.mark.parametrize(
    ("case", "said"),
    [
        pytest.param(a_case(ill(2, owner="rs-0")), "delete it by hand, kubectl delete pod api-2 -n shop", id="it is of another revision"),
        pytest.param(a_case(ill(2), strategy="OnDelete"), "updateStrategy OnDelete", id="pods are replaced by hand"),
        pytest.param(a_case(ill(0), ill(2), partition=2), "partition is 2", id="it would come back as it is"),
        pytest.param(a_case(ill(2), done=(meant(2),)), "made anew already", id="its name had its turn"),
        pytest.param(a_case(ill(2), done=(meant(2, uid="api-2-uid", refused="no"),)), "refused to delete it (no)", id="it was refused"),
    ],
)
def test_what_is_left_to_people_says_why_and_how(case: Case, said: str) -> None:
    stuck = look(case)
    assert stuck is not None
    assert (stuck.pod, stuck.reason) == (None, Reason.OrderedReady)
    assert said in stuck.message
    assert "kubectl delete pod" in stuck.message


def test_ordinals_are_counted_from_the_first() -> None:
    assert deleted(a_case(ill(7), partition=2, first_ordinal=5)) == "api-7"
    assert deleted(a_case(ill(6), partition=2, first_ordinal=5)) == ""


def test_the_next_has_its_turn_when_the_one_before_is_back_or_waits_for_it() -> None:
    assert deleted(a_case(ill(2), done=(meant(1),))) == "api-2"
    assert deleted(a_case(ill(0), done=(meant(1),), available_replicas=1)) == "api-0"


def test_what_a_crash_left_undone_is_done_under_the_same_entry() -> None:
    case = a_case(ill(2), done=(meant(2, uid="api-2-uid"),))
    stuck = look(case)
    assert stuck is not None
    assert case.remediations[0].status is not None
    assert stuck.pod is case.remediations[0].status.replaced[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy": make_policy(annotations={"stopgap.dev/pause": "db upgrade"})}, Reason.Paused),
        ({"policy": make_policy(mode="Observe")}, Reason.ObserveOnly),
        ({"incident": make_incident(resolution="Resolved")}, Reason.Superseded),
    ],
    ids=["paused", "told to observe", "closed by a person"],
)
def test_what_stops_an_action_stops_this_too_and_is_told(changes: dict[str, Any], reason: Reason) -> None:
    stuck = look(replace(a_case(ill(2)), **changes))
    assert stuck is not None
    assert (stuck.pod, stuck.reason) == (None, reason)
    assert "api-2 of another revision is not ready and holds it up, and is not deleted: " in stuck.message


def test_that_it_is_meant_is_written_down_and_told_before_it_is_deleted() -> None:
    decision = decide(a_case(ill(2)))
    assert decision.remediation is not None
    assert decision.replace is not None
    assert decision.status is not None
    (entry,) = decision.remediation[1].replaced
    assert decision.replace == (decision.remediation[0], entry)
    assert (entry.pod, entry.uid, entry.revision) == ("api-2", "api-2-uid", "rs-2")
    assert decision.status.timeline[-1].type == Reason.PodDeleted
    assert decision.look_again is not None
    assert decision.look_again <= timedelta(seconds=2)


def test_nothing_is_deleted_once_the_bad_template_was_put_back() -> None:
    case = a_case(ill(2), template=packed(msgspec.json.encode(BAD.body)))
    assert decide(case).replace is None
