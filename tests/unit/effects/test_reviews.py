"""What a review costs an incident that ends: never its end, never a second review, and no other incident's review."""

from typing import Any

import msgspec
import pytest
from tests.conftest import NOW, make_incident

from stopgap.api.incident import IncidentStatus
from stopgap.effects.errors import Conflict, Forbidden, NotFound, Unanswered
from stopgap.effects.reviews import Reviews
from stopgap.model.conditions import Truth, condition

OWED = IncidentStatus(conditions=(condition("Reviewed", Truth.FALSE, "ReviewOwed", "", NOW),))


class Server:
    """Stands in for the API server: answers a create with this error, once each, and knows these objects."""

    def __init__(self, *errors: type[Exception], there: dict[str, Any] | None = None) -> None:
        self.errors = list(errors)
        self.there = there or {}
        self.created: list[str] = []
        self.told: list[str] = []

    async def create(self, path: str, body: dict[str, Any]) -> None:
        assert path.endswith("/namespaces/shop/postmortems")
        if self.errors:
            raise self.errors.pop(0)("POST", path)
        assert body["spec"]["incidentRef"] == {"name": "api-1", "uid": "api-1-uid"}
        self.created.append(body["metadata"]["name"])

    async def get(self, path: str) -> bytes:
        name = path.rpartition("/")[2]
        if name not in self.there:
            raise NotFound("GET", path)
        return msgspec.json.encode({"metadata": {"name": name}, "spec": {"incidentRef": self.there[name]}})

    async def event(self, _: Any, notice: Any, __: Any) -> None:
        self.told.append(notice.message)


def reviews(server: Server) -> Reviews:
    return Reviews(server, server, leading=lambda: True, now=lambda: NOW)  # type: ignore[arg-type]  # stands in for both


async def test_the_end_of_an_incident_that_owes_its_review_drafts_one_and_says_so() -> None:
    server = Server()
    await reviews(server).over(make_incident(), OWED)
    assert server.created == ["api-1"]
    assert server.told == ["PostMortem api-1 was drafted; complete it with: kubectl -n shop edit pm api-1"]


async def test_the_end_of_any_other_incident_drafts_none() -> None:
    server = Server()
    await reviews(server).over(make_incident(), IncidentStatus())
    assert server.created == []


async def test_a_draft_that_was_made_before_a_crash_is_not_made_again() -> None:
    server = Server(Conflict, there={"api-1": {"name": "api-1", "uid": "api-1-uid"}})
    await reviews(server).over(make_incident(), OWED)
    assert server.created == []
    assert server.told == ["PostMortem api-1 was drafted; complete it with: kubectl -n shop edit pm api-1"]


async def test_the_review_of_an_earlier_incident_of_the_same_name_is_left_alone() -> None:
    server = Server(Conflict, there={"api-1": {"name": "api-1", "uid": "an-earlier-one"}})
    await reviews(server).over(make_incident(), OWED)
    assert server.created == ["api-1-api-1-ui"]


async def test_a_review_that_a_person_has_begun_is_the_review() -> None:
    server = Server()
    keeper = reviews(server)
    keeper.take({"metadata": {"name": "mine", "namespace": "shop", "generation": 1}, "spec": {"incidentRef": {"name": "api-1"}}})
    await keeper.over(make_incident(), OWED)
    assert server.created == []


async def test_a_review_that_may_not_be_drafted_keeps_no_incident_from_ending() -> None:
    server = Server(Forbidden)
    await reviews(server).over(make_incident(), OWED)
    assert server.created == server.told == []


async def test_where_the_api_server_does_not_answer_the_end_is_tried_again() -> None:
    with pytest.raises(Unanswered):
        await reviews(Server(Unanswered)).over(make_incident(), OWED)


@pytest.mark.parametrize(
    ("generation", "conditions", "left"),
    [
        pytest.param(2, [{"type": "Resolved", "status": "True"}], 0, id="written, and over"),
        pytest.param(1, [{"type": "Resolved", "status": "True"}], 1, id="filled in since"),
        pytest.param(2, [{"type": "Resolved", "status": "False"}], 1, id="the incident was open then"),
    ],
)
async def test_only_what_is_left_to_write_is_remembered(generation: int, conditions: list[dict[str, str]], left: int) -> None:
    keeper = reviews(Server())
    status = {"observedGeneration": generation, "facts": {"status": {"conditions": conditions}}}
    body = {"metadata": {"name": "a", "namespace": "shop", "generation": 2}, "spec": {"incidentRef": {"name": "api-1"}}, "status": status}
    keeper.take(body)
    assert keeper._queue.waiting == left
    keeper.drop("shop", "a")
    assert keeper._unwritten == {}
