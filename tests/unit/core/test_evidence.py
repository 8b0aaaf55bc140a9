"""What is found when an incident is looked into, as people read it."""

from datetime import datetime
from typing import Any

import pytest
from tests.conftest import (
    BAD,
    BAD_IMAGE,
    GOOD,
    GOOD_IMAGE,
    NOW,
    ago,
    crashing_container,
    make_case,
    make_health,
    make_pod,
    make_revision,
    make_seen,
)

from stopgap.api.evidence import SuspectedChange
from stopgap.api.health import Denied
from stopgap.api.incident import IncidentStatus
from stopgap.core.evidence import Answers, Found, NodeTrouble, Touched, Warned, Written, taken_in, told
from stopgap.core.failing import Scene, scene
from stopgap.model.logs import LogDigest
from stopgap.model.usage import Measured

CHANGE = SuspectedChange(revision=2, previous_revision=1, changed_at=ago(minutes=2), by="kubectl-set")
BEGAN = IncidentStatus(started_at=ago(seconds=30), revision=2, suspected_change=CHANGE)
TEMPLATES = {"rs-1": GOOD, "rs-2": BAD}
DENIED = Denied(digest=BAD.digest, incident="api-6", time=ago(days=1))


def crashed(*nodes: str, **case: Any) -> Scene:
    """Revision 2 crashes in a pod on each of these nodes."""
    pods = tuple(make_pod(f"p{number}", node=node) for number, node in enumerate(nodes or ("node-1",), 1))
    return scene(make_case(seen=make_seen(pods=pods), **case), BEGAN)


def said(source: str, where: Scene | None = None, **answers: Any) -> str:
    """What the evidence of one source says."""
    found = told(where or crashed(), Answers(NOW, **answers))
    return next((one.message for one in found.evidence if one.source == source), "")


def warned(reason: str, message: str, *, about: str = "pod/p1", count: int = 1, last: datetime = NOW) -> Warned:
    return Warned(reason, message, about, count, last)


def test_it_is_told_from_the_pods_outwards_and_without_what_is_not_known() -> None:
    everything = Answers(
        NOW,
        templates=TEMPLATES,
        warnings=(warned("BackOff", "Back-off restarting failed container"),),
        logs=Written(LogDigest(1, 9, 3, (("db: connection refused", 3),)), 1),
    )
    assert [one.source for one in told(crashed(), everything).evidence] == ["Container", "Logs", "Events", "Nodes", "Rollout", "Changes"]
    assert {one.observed_at for one in told(crashed(), everything).evidence} == {NOW}
    assert [one.source for one in told(crashed(), Answers(NOW)).evidence] == ["Container", "Nodes", "Rollout", "Changes"]


def test_the_failing_component_is_named_with_its_share_and_its_end() -> None:
    assert said("Container", crashed("node-1", "node-2")) == (
        "container app of revision 2 fails in 2 of 2 pods, such as p1: exit code 1, 3 restarts, last at 09:59:50"
    )


def test_a_probe_that_fails_is_part_of_why() -> None:
    probe = warned("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500")
    other = warned("Unhealthy", "of another pod", about="pod/other")
    assert said("Container", warnings=(probe, other)).endswith("; Liveness probe failed: HTTP probe failed with statuscode: 500")


def test_a_container_that_is_not_in_the_template_is_said_to_be_injected() -> None:
    where = scene(make_case(seen=make_seen(pods=(make_pod(containers=[crashing_container(name="mesh")]),))), BEGAN)
    assert said("Container", where, templates=TEMPLATES).startswith("injected container mesh")


def test_where_no_container_fails_that_is_said() -> None:
    where = scene(make_case(seen=make_seen(pods=(), exits=())), BEGAN)
    assert said("Pods", where) == "no container fails by what the kubelets say: look at what the logs and the signals say"
    assert said("Container", where) == ""
    assert said("Nodes", where) == ""


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        pytest.param(("a",), "the failing pod is on node a", id="one pod"),
        pytest.param(("a", "a", "a"), "all 3 failing pods are on node a", id="one node"),
        pytest.param(("a", "b", "a"), "3 failing pods on 2 nodes: a (2), b (1)", id="several"),
    ],
)
def test_the_spread_over_nodes_is_said(nodes: tuple[str, ...], text: str) -> None:
    assert said("Nodes", crashed(*nodes)) == text


def test_what_a_node_says_of_itself_stands_beside_it() -> None:
    trouble = (NodeTrouble("a", "MemoryPressure", ago(minutes=3)), NodeTrouble("a", "cordoned", None))
    assert said("Nodes", crashed("a"), nodes=trouble) == "the failing pod is on node a; a: MemoryPressure since 09:57:00; a: cordoned"


def test_events_are_folded_by_reason_the_most_frequent_first() -> None:
    events = (
        warned("FailedMount", "no such volume", last=ago(minutes=1)),
        warned("BackOff", "Back-off restarting", count=7, last=ago(minutes=1)),
        warned("BackOff", "Back-off 5m restarting", about="pod/p2", count=2),
    )
    assert said("Events", warnings=events) == (
        "BackOff 9 times (last 10:00:00, pod/p2): 'Back-off 5m restarting'; FailedMount 1 times (last 09:59:00, pod/p1): 'no such volume'"
    )


def test_the_history_says_which_revision_is_suspected_which_was_good_and_which_is_denied() -> None:
    where = crashed(health=make_health(denied=(DENIED,)))
    assert said("Rollout", where, templates=TEMPLATES) == (
        f"2: app={BAD_IMAGE}; current at onset since 2026-11-23 09:58:00, denied (api-6) | "
        f"1: app={GOOD_IMAGE}; made 2026-11-14 11:00:00, healthy for 24h by 2026-11-21 10:00:00"
    )


def test_what_else_changed_shortly_before_is_named_the_latest_first() -> None:
    touched = (
        Touched("configmap/settings", "was changed", ago(minutes=4), "kubectl-edit"),
        Touched("deployment/cart", "rolled out revision 5", ago(minutes=1), "helm"),
        Touched("node/a", "(MemoryPressure) changed", ago(seconds=28)),
        Touched("configmap/old", "was changed", ago(minutes=31)),
        Touched("configmap/new", "was changed", ago(seconds=20)),
    )
    assert said("Changes", touched=touched) == (
        "shortly before it began at 09:59:30: node/a (MemoryPressure) changed 0s before; "
        "deployment/cart rolled out revision 5 30s before, by helm; "
        "configmap/settings was changed 3m30s before, by kubectl-edit"
    )


def test_that_nothing_else_changed_is_said_and_what_was_not_looked_at() -> None:
    unread = {"ConfigMaps": "not granted", "Logs": "could not be read"}
    assert said("Changes", unread=unread) == (
        "nothing else that is looked at changed in the 30m before it began at 09:59:30 (not looked at: ConfigMaps, not granted)"
    )
    assert said("Logs", unread=unread) == "not read: could not be read"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(
            Written(LogDigest(3, 9000, 214, (("db: connection refused", 180), ("bye", 34))), 3, previous=True),
            "214 of 9000 lines of the run before of 3 containers; most frequent (180): 'db: connection refused'; then (34) 'bye'",
            id="the run before",
        ),
        pytest.param(
            Written(LogDigest(1, 3, 1, (("x", 1),), missed="the logs of 1 containers are longer than is read of one"), 2),
            "1 of 3 lines of 1 container; most frequent (1): 'x'; the logs of 1 containers are longer than is read of one",
            id="more than is read",
        ),
        pytest.param(
            Written(LogDigest(0, 0, 0), 2),
            "no log of 2 containers could be read: their pods are gone, or wrote none",
            id="nothing",
        ),
    ],
)
def test_logs_are_told_by_their_most_frequent_shapes(written: Written, text: str) -> None:
    assert said("Logs", logs=written) == text


def measured(pod: str, mebibytes: float, cpu: float, **limits: float) -> Measured:
    return Measured(pod, "app", NOW, {"memory": mebibytes * 2**20, "cpu": cpu}, {}, limits)


def test_usage_is_told_by_the_container_that_is_nearest_to_its_limit() -> None:
    limit = 256.0 * 2**20
    usage = (measured("p1", 100, 2, memory=limit), measured("p2", 250, 0.1, memory=limit), measured("p3", 900, 0.2))
    assert said("Usage", usage=usage) == (
        "memory at most 250 MiB of its limit of 256 MiB (98%), in p2/app; cpu at most 2.00 cores, without a limit, in p1/app"
    )
    assert said("Usage") == ""


def test_what_others_wrote_is_one_line_masked_and_cut() -> None:
    hostile = warned("Failed", "x" * 40 + " password=" + "hunter2" * 20 + " \x1b[31m\u202e\nsecond line", count=9)
    text = said("Events", warnings=(hostile, *(warned(f"R{n}", "y" * 500) for n in range(50))))
    assert "hunter" not in text
    assert "[redacted]" in text
    assert text.isprintable()
    assert len(text) <= 1024


def test_what_was_found_completes_the_suspected_change_and_is_taken_in_once() -> None:
    found = told(crashed(), Answers(NOW, templates=TEMPLATES, source_revision="main@sha1:4f2a (Flux Kustomization shop)"))
    status = taken_in(BEGAN, found)
    assert status.suspected_change is not None
    assert status.suspected_change.images == (f"app: {GOOD_IMAGE} → {BAD_IMAGE}",)
    assert status.suspected_change.source_revision == "main@sha1:4f2a (Flux Kustomization shop)"
    assert status.suspected_change.by == "kubectl-set"
    again = taken_in(status, Found((), ("app: x → y",), ""))
    assert (again.evidence, again.suspected_change.images if again.suspected_change else ()) == (
        status.evidence,
        status.suspected_change.images,
    )


def test_the_record_holds_whatever_is_found_of_a_workload_with_much_of_everything() -> None:
    many = tuple(make_pod(f"p{n}", node=f"node-{n}") for n in range(200))
    revisions = tuple(make_revision(number) for number in range(60, 0, -1))
    where = scene(make_case(seen=make_seen(pods=many, revisions=revisions)), BEGAN)
    touched = tuple(Touched(f"configmap/{'c' * 200}{n}", "was changed", ago(minutes=1)) for n in range(300))
    found = told(where, Answers(NOW, templates={one.uid: BAD for one in revisions}, touched=touched))
    status = IncidentStatus.model_validate(taken_in(BEGAN, found).model_dump())
    assert all(len(one.message) <= 1024 for one in status.evidence)
