"""The index of workloads: what it concludes from the order in which the API server tells things."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.conftest import BAD, GOOD, NOW, TARGET, make_revision, make_workload

from stopgap.effects.index import Index
from stopgap.model.observation import Observation
from stopgap.model.template import Template
from stopgap.model.workload import Workload

NEXT = Template.read({"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{"name": "app", "image": "shop/api:3.0"}]}})


def an_index(now: Callable[[], datetime] = lambda: NOW) -> Index:
    return Index(lambda _: None, now, lambda _work, *, there: None)  # noqa: ARG005 - nobody counts


def state(template: Template, generation: int, *, revision: int, observed: int | None = None, **changes: Any) -> Workload:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    observed = generation if observed is None else observed
    return make_workload(template=template, generation=generation, observed_generation=observed, annotations=annotations, **changes)


def after(*states: Workload) -> Observation:
    """What is observed once the workload went through these states; both ReplicaSets are there from the beginning."""
    index = an_index()
    index.put_revision(make_revision(1, uid="rs-1"))
    index.put_revision(make_revision(2, uid="rs-2"))
    for one in states:
        index.put_workload(one)
    return index.observe(TARGET, synced=True)


def newest(*states: Workload) -> str | None:
    found = after(*states).newest
    return found.uid if found else None


def test_the_newest_revision_is_the_one_with_the_deployments_number() -> None:
    assert newest(state(BAD, 4, revision=2)) == "rs-2"


def test_a_number_that_was_given_to_the_template_before_says_nothing_about_the_one_put_back() -> None:
    # The controller reuses a ReplicaSet in two writes: it reports the generation as observed before it moves the number.
    assert newest(state(BAD, 4, revision=2), state(GOOD, 5, revision=2, observed=4), state(GOOD, 5, revision=2)) is None


def test_once_the_number_has_moved_the_newest_revision_is_known_again() -> None:
    index = an_index()
    index.put_revision(make_revision(2, uid="rs-2"))
    index.put_revision(make_revision(3, uid="rs-1"))
    for one in (state(BAD, 4, revision=2), state(GOOD, 5, revision=2), state(GOOD, 5, revision=3)):
        index.put_workload(one)
    found = index.observe(TARGET, synced=True).newest
    assert found is not None
    assert found.uid == "rs-1"


def test_a_template_that_was_changed_twice_before_the_controller_looked_has_no_number_yet() -> None:
    assert newest(state(BAD, 4, revision=2), state(NEXT, 5, revision=2, observed=4), state(GOOD, 6, revision=2)) is None


def test_a_template_that_was_changed_and_put_back_at_once_keeps_its_number() -> None:
    assert newest(state(BAD, 4, revision=2), state(GOOD, 5, revision=2, observed=4), state(BAD, 6, revision=2)) == "rs-2"


def test_scaling_does_not_take_the_number_away() -> None:
    assert newest(state(BAD, 4, revision=2), state(BAD, 5, revision=2, replicas=9)) == "rs-2"


def test_a_number_that_never_moves_is_believed_after_a_while() -> None:
    now = [NOW]
    index = an_index(lambda: now[0])
    index.put_revision(make_revision(2, uid="rs-2"))
    for one in (state(BAD, 4, revision=2), state(GOOD, 5, revision=2)):
        index.put_workload(one)
    assert index.observe(TARGET, synced=True).newest is None
    now[0] += timedelta(minutes=1)
    assert index.observe(TARGET, synced=True).newest is not None


def test_a_template_that_is_shown_with_other_defaults_was_not_changed_by_anybody() -> None:
    seen = after(state(BAD, 4, revision=2), state(GOOD, 4, revision=2))
    assert not seen.changed_under_watch
    assert seen.current_since == make_revision(2).created


def test_the_template_is_the_present_one_all_the_while() -> None:
    seen = after(state(BAD, 4, revision=2), state(GOOD, 5, revision=2))
    assert seen.template is not None
    assert seen.template.digest == GOOD.digest
    assert seen.workload is not None
    assert Template.unpacked(seen.workload.template).body == GOOD.body


def test_a_reply_that_comes_after_a_newer_event_of_the_same_generation_does_not_undo_it() -> None:
    made = an_index()
    made.put_workload(make_workload(version=12, generation=5, observed_generation=5))
    made.put_workload(make_workload(version=11, generation=5, observed_generation=4))
    work = made.workload(TARGET)
    assert work is not None
    assert work.observed_generation == 5


def test_a_newer_state_of_the_same_generation_is_taken_in() -> None:
    made = an_index()
    made.put_workload(make_workload(version=11, generation=5, observed_generation=4))
    made.put_workload(make_workload(version=12, generation=5, observed_generation=5))
    work = made.workload(TARGET)
    assert work is not None
    assert work.observed_generation == 5


def test_another_object_of_the_same_name_is_taken_in_whatever_its_version() -> None:
    made = an_index()
    made.put_workload(make_workload(version=12, uid="old"))
    made.put_workload(make_workload(version=11, uid="new"))
    work = made.workload(TARGET)
    assert work is not None
    assert work.uid == "new"


def test_a_reply_does_not_bring_back_a_workload_that_the_watch_has_seen_deleted() -> None:
    made = an_index()
    made.put_workload(make_workload(version=11))
    made.drop_workload(make_workload().uid)
    made.fold(make_workload(version=12))
    assert made.workload(TARGET) is None
    assert list(made.workloads()) == []
