"""Putting back what was lent: only what is still ours is written, whatever became of it meanwhile, and of the write itself."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.conftest import TARGET, UID, make_remediation

from stopgap.api.revert import RevertState
from stopgap.core.marks import RESTORE, lent_by, mark
from stopgap.core.restoring import Put
from stopgap.effects import objects
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected, Unanswered
from stopgap.effects.execute import Executor
from stopgap.effects.objects import MOST_TRIES
from stopgap.effects.written import LAST_ACTION
from stopgap.model.reasons import Reason

SCALER = {"kind": "HorizontalPodAutoscaler", "name": "api-hpa", "uid": "hpa-uid"}
PLAN = {
    "summary": "raise the minimum 2 → 5",
    "field": "MinReplicas",
    "scaler": SCALER,
    "before": 2,
    "ours": 5,
    "revert": {"upon": "Resolved"},
}
LENT = lent_by(make_remediation(name="r", step="more", action="Scale", plan=PLAN))
OURS = {LAST_ACTION: "r-uid", RESTORE: mark(LENT)}
FIELD, MARK = "/spec/minReplicas", "/metadata/annotations/stopgap.dev~1restore"


def hpa(value: int, annotations: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    said = {"uid": "hpa-uid", "resourceVersion": "1", "annotations": OURS if annotations is None else annotations, **meta}
    return {"metadata": said, "spec": {"minReplicas": value}}


class Server:
    """Shows these states one after the other, the last for ever, and answers each write with the next of these errors, if any."""

    def __init__(self, states: list[dict[str, Any] | None], errors: list[type[KubeError]]) -> None:
        self.states, self.errors = list(states), list(errors)
        self.written: list[list[dict[str, Any]]] = []

    async def get(self, path: str) -> bytes:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise NotFound("get", path, status=404)
        return msgspec.json.encode(state)

    async def patch(self, path: str, body: list[dict[str, Any]], *, how: object) -> bytes:  # noqa: ARG002 - the shape of the real one
        self.written.append(body)
        if self.errors:
            raise self.errors.pop(0)("patch", path)
        return b"{}"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PAUSE_BETWEEN_LOOKS", 0)


async def put_back(server: Server, *, abandoned: bool = False) -> Put | None:
    executor = Executor(server, None, None, None)  # type: ignore[arg-type]  # the server stands in for it, and nothing else is asked
    return await executor.put_back(TARGET, UID, replace(LENT, abandoned=abandoned))


def changes(patch: list[dict[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(one["op"], one["path"], one.get("value")) for one in patch if one["op"] != "test"]


BACK = [("add", FIELD, 2), ("remove", MARK, None)]
ONLY_THE_MARK = [("remove", MARK, None)]
DONE, NOT_NEEDED, FAILED = RevertState.DONE, RevertState.NOT_NEEDED, RevertState.FAILED


@pytest.mark.parametrize(
    ("states", "errors", "end", "written"),
    [
        pytest.param([hpa(5)], [], (DONE, Reason.Restored), [BACK], id="it is as we left it"),
        pytest.param([hpa(5, {})], [], (DONE, Reason.Restored), [BACK[:1]], id="every annotation was replaced, and the value is ours"),
        pytest.param([hpa(2, {})], [], (DONE, Reason.Restored), [], id="it was put back, and nobody wrote it down"),
        pytest.param([hpa(7)], [], (NOT_NEEDED, Reason.NotOurs), [ONLY_THE_MARK], id="somebody wants another value: the mark alone goes"),
        pytest.param([hpa(7, {})], [], (NOT_NEEDED, Reason.NotOurs), [], id="another value, and no mark"),
        pytest.param(
            [hpa(5, {LAST_ACTION: "r-uid"})], [], (NOT_NEEDED, Reason.NotOurs), [], id="put back by us, and set again by somebody"
        ),
        pytest.param([None], [], (NOT_NEEDED, Reason.TargetGone), [], id="the object is gone"),
        pytest.param([hpa(5, uid="another")], [], (NOT_NEEDED, Reason.TargetGone), [], id="another object of that name"),
        pytest.param(
            [hpa(5, deletionTimestamp="2026-11-23T10:00:00Z")], [], (NOT_NEEDED, Reason.TargetGone), [], id="the object is being deleted"
        ),
        pytest.param([hpa(5)], [Conflict], (DONE, Reason.Restored), [BACK, BACK], id="a lost race is tried again"),
        pytest.param([hpa(5), hpa(7)], [Invalid], (NOT_NEEDED, Reason.NotOurs), [BACK, ONLY_THE_MARK], id="changed before the write"),
        pytest.param([hpa(5), hpa(2, {})], [Unanswered], (DONE, Reason.Restored), [BACK], id="written, and the answer was lost"),
        pytest.param([hpa(5)], [Unanswered], (DONE, Reason.Restored), [BACK, BACK], id="not written, and the answer was lost"),
        pytest.param([hpa(5)], [Invalid], (FAILED, Reason.RestoreFailed), [BACK], id="refused by validation, though nothing had changed"),
        pytest.param([hpa(5)], [Forbidden], (FAILED, Reason.RestoreFailed), [BACK], id="we may not"),
        pytest.param([hpa(5)], [Rejected], (FAILED, Reason.RestoreFailed), [BACK], id="the request is refused"),
        pytest.param([hpa(7)], [Forbidden], (NOT_NEEDED, Reason.NotOurs), [ONLY_THE_MARK], id="we may not even take the mark away"),
        pytest.param([hpa(5)], [Conflict] * MOST_TRIES, None, [BACK] * MOST_TRIES, id="always changed by somebody: not now"),
    ],
)
async def test_only_what_is_still_ours_is_put_back(
    states: list[dict[str, Any] | None],
    errors: list[type[KubeError]],
    end: tuple[RevertState, Reason] | None,
    written: list[list[tuple[str, str, Any]]],
) -> None:
    server = Server(states, errors)
    put = await put_back(server)
    assert (put and (put.state, put.reason)) == end
    assert [changes(one) for one in server.written] == written


async def test_each_write_tests_that_the_value_and_the_marks_are_those_that_were_seen() -> None:
    server = Server([hpa(5)], [])
    await put_back(server)
    assert [(one["path"], one["value"]) for one in server.written[0] if one["op"] == "test"] == [
        ("/metadata/uid", "hpa-uid"),
        (MARK, OURS[RESTORE]),
        (FIELD, 5),
    ]


async def test_what_a_person_takes_care_of_loses_its_mark_and_keeps_its_value() -> None:
    server = Server([hpa(5)], [])
    put = await put_back(server, abandoned=True)
    assert put is not None
    assert (put.state, put.message) == (NOT_NEEDED, "a person takes care of it")
    assert [changes(one) for one in server.written] == [ONLY_THE_MARK]
