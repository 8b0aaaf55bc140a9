"""What policies tell about themselves."""

from datetime import timedelta
from typing import Any

import pytest
from tests.conftest import NOW, TARGET, make_cluster_policy, make_incident, make_policy

from stopgap.api.clusterpolicy import Policy
from stopgap.core.standing import Overlap, Standing, cannot_wait, held_back, status
from stopgap.model.conditions import Truth, find
from stopgap.model.reasons import Reason

REFUSED = {"step": "undo", "allowed": False, "refusals": [{"reason": "ObserveOnly"}]}
MITIGATED = {"type": "Mitigated", "status": "True", "reason": "Mitigated", "lastTransitionTime": "2026-11-23T10:00:00Z"}


def said(policy: Policy, kind: str, standing: Standing = Standing()) -> tuple[str, str, str]:  # noqa: B008 - it is frozen
    found = find(status(policy, standing, NOW).conditions, kind)
    assert found is not None
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("policy", "standing", "message"),
    [
        pytest.param(make_policy(), Standing(matched=1), "Automatic: it is about 1 workload", id="one workload"),
        pytest.param(make_policy(), Standing(), "Automatic: it is about 0 workloads", id="none, of a namespace"),
        pytest.param(
            make_cluster_policy(mode="Observe"),
            Standing(matched=3, namespaces=(2, 9)),
            "Observe: it is about 3 workloads in the 2 of 9 namespaces that it selects",
            id="some namespaces",
        ),
        pytest.param(
            make_cluster_policy(),
            Standing(namespaces=(0, 9)),
            "Automatic: it is about 0 workloads; no namespace has the labels of spec.namespaceSelector",
            id="no namespace",
        ),
        pytest.param(
            make_cluster_policy(),
            Standing(matched=40, namespaces=(9, 9)),
            "Automatic: it is about 40 workloads; spec.namespaceSelector selects every namespace of this cluster (9)",
            id="every namespace, said plainly",
        ),
    ],
)
def test_a_policy_that_can_work_says_what_it_is_about(policy: Policy, standing: Standing, message: str) -> None:
    assert said(policy, "Ready", standing) == (Truth.TRUE, Reason.Ready, message)


def test_a_cluster_policy_that_cannot_work_says_why() -> None:
    policy = make_cluster_policy(verification={"healthyFor": "1h", "timeout": "1m"})
    assert said(policy, "Ready")[:2] == (Truth.FALSE, Reason.InvalidPolicy)


@pytest.mark.parametrize(
    ("deciders", "message"),
    [
        pytest.param(
            {"policy web": 2},
            "policy web decides about 2 of its 7 workloads instead, such as deployment/api in shop",
            id="one other",
        ),
        pytest.param(
            {"policy web": 1, "cluster policy all": 3, "policy api": 1},
            "cluster policy all and 2 more decide about 5 of its 7 workloads instead, such as deployment/api in shop",
            id="several others, the one with the most first",
        ),
        pytest.param(
            {"policy b": 1, "policy a": 1},
            "policy a and 1 more decide about 2 of its 7 workloads instead, such as deployment/api in shop",
            id="of equals the first by name",
        ),
    ],
)
def test_an_overlap_names_who_decides_instead(deciders: dict[str, int], message: str) -> None:
    standing = Standing(matched=7, overlap=Overlap(sum(deciders.values()), TARGET, deciders))
    assert said(make_policy(), "Overlapping", standing) == (Truth.TRUE, Reason.Overlapping, message)


def test_without_an_overlap_it_says_so() -> None:
    assert said(make_policy(), "Overlapping", Standing(matched=7)) == (Truth.FALSE, Reason.NotOverlapping, "")


@pytest.mark.parametrize(
    ("spec", "paused"),
    [
        pytest.param({}, "", id="no"),
        pytest.param({"pauseRequests": [{"name": "ana", "reason": "upgrade"}]}, "ana: upgrade", id="by a request"),
        pytest.param({"annotations": {"stopgap.dev/pause": "upgrade"}}, "upgrade", id="by an annotation"),
        pytest.param({"pauseRequests": [{"name": "ana", "reason": "x", "until": NOW - timedelta(1)}]}, "", id="not by one that has ended"),
    ],
)
def test_a_pause_is_shown_with_its_reason(spec: dict[str, Any], paused: str) -> None:
    truth, _, message = said(make_cluster_policy(**spec), "Paused")
    assert (truth is Truth.TRUE, message) == (bool(paused), paused)


@pytest.mark.parametrize(
    ("stored", "is_held"),
    [
        pytest.param({"decision": REFUSED}, True, id="an action that something stands against"),
        pytest.param({"decision": REFUSED | {"allowed": True}}, False, id="one that nothing stands against"),
        pytest.param({"decision": REFUSED | {"step": ""}}, False, id="no action is meant"),
        pytest.param({"decision": REFUSED, "conditions": [MITIGATED]}, False, id="the bleeding has stopped"),
        pytest.param({}, False, id="nothing is decided yet"),
        pytest.param(None, False, id="nothing is known yet"),
    ],
)
def test_an_action_is_held_back(stored: dict[str, Any] | None, *, is_held: bool) -> None:
    assert held_back(make_incident(status=stored)) is is_held


def test_figures_wait_for_their_minute_and_turns_do_not() -> None:
    policy, overlapping = make_policy(), Standing(overlap=Overlap(1, TARGET, {"policy a": 1}))
    stored = status(policy, Standing(matched=1), NOW)
    assert not cannot_wait(stored, status(policy, Standing(matched=2, open_incidents=1, recent_actions=1), NOW))
    assert cannot_wait(stored, status(policy, overlapping, NOW))
    assert cannot_wait(stored.model_copy(update={"observed_generation": 0}), stored)
    assert cannot_wait(None, stored)


def test_what_is_the_same_is_told_in_the_same_words() -> None:
    policy = make_policy()
    policy = policy.model_copy(update={"status": status(policy, Standing(), NOW)})
    assert status(policy, Standing(), NOW + timedelta(hours=1)) == policy.status
