"""The index: what is folded in from replies and watches never goes back in time."""

from tests.conftest import NOW, TARGET, make_workload

from stopgap.effects.index import Index


def index() -> Index:
    return Index(lambda _: None, lambda: NOW)


def test_a_reply_that_comes_after_a_newer_event_of_the_same_generation_does_not_undo_it() -> None:
    made = index()
    made.put_workload(make_workload(version=12, generation=5, observed_generation=5))
    made.put_workload(make_workload(version=11, generation=5, observed_generation=4))
    work = made.workload(TARGET)
    assert work is not None
    assert work.observed_generation == 5


def test_a_newer_state_of_the_same_generation_is_taken_in() -> None:
    made = index()
    made.put_workload(make_workload(version=11, generation=5, observed_generation=4))
    made.put_workload(make_workload(version=12, generation=5, observed_generation=5))
    work = made.workload(TARGET)
    assert work is not None
    assert work.observed_generation == 5


def test_another_object_of_the_same_name_is_taken_in_whatever_its_version() -> None:
    made = index()
    made.put_workload(make_workload(version=12, uid="old"))
    made.put_workload(make_workload(version=11, uid="new"))
    work = made.workload(TARGET)
    assert work is not None
    assert work.uid == "new"
