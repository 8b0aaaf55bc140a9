"""Changing another object: one guarded write after a look, found again after a crash, and only what is still ours is put back."""

import json
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from tests.conftest import make_remediation

from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Unanswered
from stopgap.effects.outside import Fate, Order, Receipt
from stopgap.effects.patching import Patcher, written
from stopgap.effects.written import LAST_ACTION
from stopgap.model.change import Outside
from stopgap.model.merging import Json, changed, kept, merged
from stopgap.model.observation import Refusal
from stopgap.model.patch import RESTORE, PatchChange
from stopgap.model.reasons import Reason

REF = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "resource": "virtualservices", "name": "reviews"}
PATH = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/reviews"
MERGE = {"spec": {"http": [{"fault": 1}], "tls": None, "new": {"deep": True}}}
BEFORE: Json = {
    "metadata": {"name": "reviews", "uid": "vs", "resourceVersion": "7"},
    "spec": {"host": "r", "http": [{"route": 1}], "tls": [2]},
}
WHOLE = {"spec": {"host": "reviews"}}


class Server:
    """One object, as an API server keeps it: it counts versions, checks them, and does as it is told to go wrong."""

    def __init__(self, body: Json | None, *faults: type[KubeError], late: bool = False) -> None:
        self.body, self.faults, self.late = deepcopy(body), list(faults), late
        self.writes: list[tuple[str, str, Any]] = []

    async def get(self, path: str) -> bytes:
        assert path == PATH
        if self.body is None:
            raise NotFound("get", path, status=404)
        return msgspec.json.encode(self.body)

    async def patch(self, path: str, body: Json, *, how: str) -> bytes:
        assert how == "application/merge-patch+json"
        return self._write("patch", path, body)

    async def create(self, path: str, body: Json) -> bytes:
        assert path == PATH.removesuffix("/reviews")
        return self._write("create", path, body)

    async def delete(self, path: str, options: Json) -> bytes:
        return self._write("delete", path, options)

    def _write(self, verb: str, path: str, body: Json) -> bytes:
        fault = self.faults.pop(0) if self.faults else None
        if fault is Conflict and self.body is not None:
            self.body["metadata"]["resourceVersion"] += "1"  # its status has moved
        if fault is not None and not self.late:
            raise fault(verb, path, status=403)
        meta: Json = body["preconditions"] if verb == "delete" else body["metadata"]
        if verb != "create" and (self.body is None or meta["resourceVersion"] != self.body["metadata"]["resourceVersion"]):
            raise Conflict(verb, path, status=409)
        if verb == "create" and self.body is not None:
            raise Conflict(verb, path, status=409, reason="AlreadyExists")
        self.writes.append((verb, path, body))
        made: Json = merged(self.body or {"metadata": {"uid": "vs"}}, body)
        made["metadata"]["resourceVersion"] = meta.get("resourceVersion", "7") + "0"
        self.body = None if verb == "delete" else made
        if fault is not None:
            raise fault(verb, path)
        return msgspec.json.encode(self.body)


def change(**fields: Any) -> PatchChange:
    said = {"object_ref": REF, "content": json.dumps(MERGE), "uid": "vs", "leaves": kept(changed(BEFORE, MERGE))}
    return PatchChange.model_validate({**said, **fields})


CREATING = change(content=json.dumps(WHOLE), create=True, uid="", leaves=kept(changed({}, WHOLE)))


def order(what: PatchChange, *, inverse: bool = False, again: bool = False) -> Order:
    return Order(make_remediation(name="r"), Outside(patch=what), inverse, again)


async def carry_out(server: Server, placed: Order) -> Receipt:
    ready = await Patcher(server).ready(placed)  # type: ignore[arg-type]  # the server stands in for it
    assert not isinstance(ready, Refusal)
    return ready if isinstance(ready, Receipt) else await ready()


def without_marks(body: Json | None) -> Json | None:
    """Return what the owner of the object sees."""
    if body is None:
        return None
    meta = {key: value for key, value in body["metadata"].items() if key in {"name", "uid"}}
    return {**body, "metadata": meta}


def after(what: PatchChange, body: Json | None = BEFORE, **changes: Any) -> Json:
    """The object as we left it, with what somebody has changed since."""
    marks = {LAST_ACTION: "r-uid", RESTORE: json.dumps({"remediationUID": "r-uid"})}
    base = body or {"metadata": {"name": "reviews", "uid": "made", "resourceVersion": "1"}}
    left: Json = merged(merged(base, what.body), merged({"metadata": {"annotations": marks}}, changes))
    return left


async def test_it_is_written_once_with_the_marks_that_explain_it() -> None:
    server = Server(BEFORE)
    assert (await carry_out(server, order(change()))).fate is Fate.DONE
    ((verb, path, body),) = server.writes
    assert (verb, path, body["spec"]) == ("patch", PATH, MERGE["spec"])
    marks = body["metadata"]["annotations"]
    assert marks[LAST_ACTION] == "r-uid"
    assert json.loads(marks[RESTORE]) == {"remediationUID": "r-uid", "values": json.loads(change().leaves)}


@pytest.mark.parametrize("fault", [[Conflict], [Conflict, Conflict]], ids=["its status moved", "it moved twice"])
async def test_a_status_that_moves_does_not_keep_it_from_being_written(fault: list[type[KubeError]]) -> None:
    server = Server(BEFORE, *fault)
    assert (await carry_out(server, order(change()))).fate is Fate.DONE
    assert len(server.writes) == 1


@pytest.mark.parametrize("what", [change(), CREATING], ids=["patched", "created"])
async def test_a_write_without_an_answer_is_found_and_not_repeated(what: PatchChange) -> None:
    server = Server(None if what.create else BEFORE, Unanswered, late=True)
    assert (await carry_out(server, order(what))).fate is Fate.UNKNOWN
    assert (await carry_out(server, order(what, again=True))).fate is Fate.DONE
    assert len(server.writes) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(None, Reason.Superseded, id="it is gone"),
        pytest.param({**BEFORE, "metadata": {**BEFORE["metadata"], "uid": "another"}}, Reason.Superseded, id="another of that name"),
        pytest.param(merged(BEFORE, {"spec": {"http": []}}), Reason.Superseded, id="somebody was faster"),
        pytest.param(merged(BEFORE, {"metadata": {"annotations": {RESTORE: "{}"}}}), Reason.Superseded, id="it is lent to another"),
    ],
)
async def test_what_was_changed_meanwhile_is_left_alone(body: Json | None, reason: Reason) -> None:
    server = Server(body)
    receipt = await carry_out(server, order(change()))
    assert (receipt.fate, receipt.reason, server.writes) == (Fate.NOT_DONE, reason, [])


@pytest.mark.parametrize(("fault", "reason"), [(Forbidden, Reason.NotAuthorized), (Invalid, Reason.Refused)])
async def test_what_the_api_server_will_not_have_is_not_done(fault: type[KubeError], reason: Reason) -> None:
    receipt = await carry_out(Server(BEFORE, fault), order(change()))
    assert (receipt.fate, receipt.reason) == (Fate.NOT_DONE, reason)


async def test_an_object_that_somebody_else_made_first_is_left_alone() -> None:
    server = Server(None)
    ready = await Patcher(server).ready(order(CREATING))  # type: ignore[arg-type]  # the server stands in for it
    assert callable(ready)
    server.body = deepcopy(BEFORE)
    assert (await ready()).reason is Reason.Superseded
    assert server.writes == []


# ---------------------------------------------------------------------------------------------------------------- putting back


async def test_what_was_there_is_put_back_exactly_once() -> None:
    server = Server(BEFORE)
    await carry_out(server, order(change()))
    assert (await carry_out(server, order(change(), inverse=True))).fate is Fate.DONE
    assert without_marks(server.body) == without_marks(BEFORE)
    assert server.body is not None
    assert server.body["metadata"]["annotations"] == {LAST_ACTION: "r-uid"}
    assert (await carry_out(server, order(change(), inverse=True, again=True))).fate is Fate.DONE
    assert len(server.writes) == 2


async def test_what_was_created_is_removed_by_its_very_version() -> None:
    server = Server(None)
    await carry_out(server, order(CREATING))
    assert (await carry_out(server, order(CREATING, inverse=True))).fate is Fate.DONE
    assert server.body is None
    assert server.writes[-1][0] == "delete"
    assert set(server.writes[-1][2]["preconditions"]) == {"uid", "resourceVersion"}


@pytest.mark.parametrize(
    ("what", "body", "fate", "reason", "left"),
    [
        pytest.param(change(), None, Fate.NOT_DONE, Reason.TargetGone, None, id="the object is gone"),
        pytest.param(
            change(),
            after(change(), spec={"http": ["theirs"]}),
            Fate.DONE,
            None,
            merged(BEFORE, {"spec": {"http": ["theirs"]}}),
            id="one value is somebody's by now: it stays, and the others are put back",
        ),
        pytest.param(
            change(),
            after(change(), spec={"new": {"deep": False, "more": 1}, "http": [], "tls": [3]}),
            Fate.NOT_DONE,
            Reason.NotOurs,
            merged(BEFORE, {"spec": {"new": {"deep": False, "more": 1}, "http": [], "tls": [3]}}),
            id="all of it is somebody's: the mark alone goes",
        ),
        pytest.param(
            change(), merged(after(change()), {"metadata": {"annotations": None}}), Fate.DONE, None, BEFORE, id="all marks were replaced"
        ),
        pytest.param(
            change(),
            merged(after(change()), {"metadata": {"annotations": {RESTORE: None}}}),
            Fate.NOT_DONE,
            Reason.NotOurs,
            merged(BEFORE, MERGE),
            id="put back by us, and set again by somebody",
        ),
        pytest.param(
            change(),
            merged(after(change()), {"metadata": {"annotations": {RESTORE: '{"remediationUID": "another"}'}}}),
            Fate.NOT_DONE,
            Reason.NotOurs,
            merged(BEFORE, MERGE),
            id="lent to another by now",
        ),
        pytest.param(
            CREATING, after(CREATING, None, spec={"host": "theirs"}), Fate.NOT_DONE, Reason.NotOurs,
            {"metadata": {"name": "reviews", "uid": "made"}, "spec": {"host": "theirs"}}, id="what was created was changed by somebody",
        ),
        pytest.param(
            CREATING, {**BEFORE, "spec": WHOLE["spec"]}, Fate.NOT_DONE, Reason.NotOurs, {**BEFORE, "spec": WHOLE["spec"]},
            id="what was created was made anew by somebody",
        ),
    ],
)  # fmt: skip
async def test_only_what_is_still_ours_is_put_back(
    what: PatchChange, body: Json | None, fate: Fate, reason: Reason | None, left: Json | None
) -> None:
    server = Server(body)
    receipt = await carry_out(server, order(what, inverse=True))
    assert (receipt.fate, receipt.reason if reason else None) == (fate, reason)
    assert without_marks(server.body) == without_marks(left)
    marks = (server.body or {}).get("metadata", {}).get("annotations") or {}
    assert json.loads(marks.get(RESTORE, "{}")).get("remediationUID") != "r-uid"


# ---------------------------------------------------------------------------------------------------------- a status, no marks


ABORT = change(content='{"status": {"abort": true}}', status=True, leaves=kept(changed(BEFORE, {"status": {"abort": True}})))


async def test_a_status_is_merged_without_marks_and_known_by_its_value_after_a_crash() -> None:
    server = Server(BEFORE)
    assert (await carry_out(server, order(ABORT))).fate is Fate.DONE
    assert server.writes == [("patch", f"{PATH}/status", {"status": {"abort": True}, "metadata": {"resourceVersion": "7"}})]
    assert (await carry_out(server, order(ABORT, again=True))).message == "found written"
    assert (await carry_out(server, order(ABORT, inverse=True))).fate is Fate.DONE
    assert server.writes[-1][2]["status"] is None


def test_the_fields_of_what_is_patched_are_given_back_and_not_of_what_was_made() -> None:
    def of(what: PatchChange) -> Any:
        plan = {"summary": "s", "field": "Elsewhere", "outside": {"patch": what.model_dump(by_alias=True)}}
        return written(make_remediation(plan=plan))

    assert (of(change()).path, of(change()).uid) == (PATH, "vs")
    assert of(CREATING) is None
    assert written(make_remediation()) is None
