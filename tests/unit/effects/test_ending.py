"""What came of queries that were to be ended, as it stands in the record."""

from datetime import timedelta

import pytest
from tests.unit.actions.test_postgres import HOT, REF, query

from stopgap.effects.ending import judged
from stopgap.effects.outside import Fate
from stopgap.model.database import End, Ended, EndQueries
from stopgap.model.query import Silence
from stopgap.model.reasons import Reason

DEED = EndQueries(secret_ref=REF, queries=(query(1), query(2)), terminate_after=timedelta(seconds=5), hot=(HOT,))


@pytest.mark.parametrize(
    ("ends", "again", "fate", "said"),
    [
        pytest.param((End.CANCELLED, End.CANCELLED), False, Fate.DONE, "2 cancelled", id="both were cancelled"),
        pytest.param((End.CANCELLED, End.TERMINATED), False, Fate.DONE, "1 cancelled, 1 terminated", id="one had to be terminated"),
        pytest.param((End.GONE, End.CANCELLED), False, Fate.DONE, "1 cancelled, 1 not running any more", id="one was gone"),
        pytest.param((End.LEFT, End.LEFT), False, Fate.DONE, "2 still running (pid 1, 2)", id="they do not heed it"),
        pytest.param((End.GONE, End.GONE), False, Fate.NOT_DONE, "each of them had ended before", id="both were gone"),
        pytest.param((End.GONE, End.GONE), True, Fate.DONE, "2 not running any more", id="both are gone, perhaps by an earlier try"),
        pytest.param((End.FORBIDDEN, End.GONE), False, Fate.NOT_DONE, "1 not running any more, 1 refused by the server", id="may not"),
    ],
)
def test_what_came_of_them(ends: tuple[End, End], *, again: bool, fate: Fate, said: str) -> None:
    receipt = judged(DEED, Ended(dict(zip((1, 2), ends, strict=True))), again=again)
    assert receipt.fate is fate
    assert said in receipt.message


def test_each_is_named_and_so_is_what_could_be_cached() -> None:
    receipt = judged(DEED, Ended({1: End.CANCELLED, 2: End.TERMINATED}), again=False)
    assert receipt.details == (
        "pid 1 cancelled, after 7m by app (shop): select ?",
        "pid 2 terminated, after 7m by app (shop): select ?",
        "candidate for caching: 41 % of the time, 9 calls of 3.0 ms: select name from products where id = $1",
    )
    assert receipt.message.endswith("; there is nothing to put back")


def test_nothing_came_of_them_where_nobody_was_left_to_end() -> None:
    assert judged(DEED, Ended({1: End.GONE, 2: End.GONE}), again=False).reason is Reason.Superseded


@pytest.mark.parametrize(("sent", "fate"), [(True, Fate.UNKNOWN), (False, Fate.NOT_DONE)], ids=["while it was at work", "before"])
def test_a_connection_that_breaks_leaves_open_what_came_of_them_only_once_it_was_at_work(*, sent: bool, fate: Fate) -> None:
    receipt = judged(DEED, Silence("the connection broke", theirs=False, sent=sent), again=False)
    assert (receipt.fate, receipt.message) == (fate, "the database: the connection broke")
