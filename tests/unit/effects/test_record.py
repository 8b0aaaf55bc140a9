"""What is written is something that the API server takes, whatever the names and texts that it is made of."""

from typing import Any

import msgspec
import pytest
from tests.conftest import NOW, UID, make_remediation

from stopgap.api.remediation import RemediationState, RemediationStatus
from stopgap.effects.errors import Conflict, Invalid, KubeError, NotFound, Unanswered
from stopgap.effects.events import LONGEST_NOTE, within
from stopgap.effects.record import Recorder, _same_intent, dumped, numbered
from stopgap.effects.records import Records

SCALED: dict[str, Any] = {"summary": "scale 2 → 4 replicas", "field": "Replicas", "before": 2, "ours": 4}


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        pytest.param("api", "api-3", id="a usual one"),
        pytest.param("a" * 239 + ".canary", "a" * 239 + "-3", id="cut at a dot"),
        pytest.param("a" * 239 + "-canary", "a" * 239 + "-3", id="cut at a hyphen"),
        pytest.param("a" * 253, "a" * 240 + "-3", id="the longest"),
    ],
)
def test_the_name_of_an_incident_is_one(workload: str, name: str) -> None:
    assert numbered(workload, 3) == name


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("db upgrade", "db upgrade", id="a short one"),
        pytest.param("x" * 2000, "x" * 1024, id="a long one"),
        pytest.param("€" * 1000, "€" * 341, id="of characters of three bytes, none of them cut in two"),
    ],
)
def test_a_note_is_cut_by_its_bytes(text: str, kept: str) -> None:
    assert within(text, LONGEST_NOTE) == kept


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param({"plan": SCALED}, True, id="the answer to the first try was lost"),
        pytest.param({"plan": {**SCALED, "summary": "more replicas"}}, True, id="in other words"),
        pytest.param({"plan": {**SCALED, "ours": 6}}, False, id="another number by now"),
        pytest.param({"plan": {**SCALED, "scaler": {"kind": "ScaledObject", "name": "api", "uid": "s"}}}, False, id="of an autoscaler"),
        pytest.param({"plan": SCALED, "step": "even-more"}, False, id="another step"),
    ],
)
def test_an_intent_that_is_there_is_ours_only_if_it_leads_to_the_same_end(other: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    assert _same_intent(make_remediation(step="more", plan=SCALED).spec, make_remediation(**{"step": "more", **other}).spec) is same


def ending(pid: int, running_for: str) -> dict[str, Any]:
    began = "2026-11-23T09:53:00.000000Z"
    one = {"pid": pid, "backendStart": began, "queryStart": began, "user": "app", "runningFor": running_for, "text": "select ?"}
    deed = {"secretRef": {"name": "db", "key": "dsn"}, "queries": [one]}
    return {"summary": "cancel 1 query", "field": "Elsewhere", "outside": {"postgres": deed}}


@pytest.mark.parametrize(
    ("plan", "same"),
    [
        pytest.param(ending(1, "7m1s"), True, id="the same query, listed a second later"),
        pytest.param(ending(2, "7m"), False, id="another query"),
        pytest.param(SCALED, False, id="something else altogether"),
    ],
)
def test_an_intent_to_end_queries_is_there_once_however_long_they_run(plan: dict[str, Any], same: bool) -> None:  # noqa: FBT001
    assert _same_intent(make_remediation(step="x", plan=ending(1, "7m")).spec, make_remediation(step="x", plan=plan).spec) is same


# ------------------------------------------------------------------------------------------ a status of which nobody knows what became

BEFORE = make_remediation(status={"state": "Verifying", "executedAt": NOW})
ENDED = RemediationStatus(state=RemediationState.SUCCEEDED, executed_at=NOW, ended_at=NOW, message="it helped")
OTHER = RemediationStatus(state=RemediationState.FAILED, executed_at=NOW)


class Server:
    """Answers every patch with an error, and every read with an object of version 7 that has this status; None: there is none."""

    def __init__(self, error: type[KubeError], stored: RemediationStatus | None, uid: str = BEFORE.metadata.uid or "") -> None:
        self.error, self.stored, self.uid = error, stored, uid
        self.reads = 0

    async def patch(self, path: str, body: object, *, how: object) -> bytes:  # noqa: ARG002 - the shape of the real one
        raise self.error("patch", path)

    async def get(self, path: str) -> bytes:
        self.reads += 1
        if self.stored is None:
            raise NotFound("get", path, status=404)
        meta = BEFORE.metadata.model_copy(update={"resource_version": "7", "uid": self.uid})
        return msgspec.json.encode(dumped(BEFORE.model_copy(update={"metadata": meta, "status": self.stored})))


def recorder(server: Server) -> tuple[Recorder, Records]:
    records = Records(lambda _: None, lambda _: None)
    return Recorder(server, records, "me"), records  # type: ignore[arg-type]  # stands in for it


@pytest.mark.parametrize("error", [Invalid, Conflict, Unanswered])
async def test_a_status_that_was_stored_after_all_is_gone_on_from(error: type[KubeError]) -> None:
    server = Server(error, ENDED)
    one, records = recorder(server)
    found = await one.remediation(BEFORE, ENDED)
    assert (found.status, found.metadata.resource_version, server.reads) == (ENDED, "7", 1)
    assert records.remediations(UID) == (found,)


CLAIM = RemediationStatus(state=RemediationState.PENDING, approved_at=NOW)


@pytest.mark.parametrize(
    ("server", "status"),
    [
        pytest.param(Server(Invalid, OTHER), ENDED, id="others wrote something else"),
        pytest.param(Server(Unanswered, BEFORE.status), ENDED, id="nothing was written"),
        pytest.param(Server(Invalid, ENDED, uid="another"), ENDED, id="it is another object of that name"),
        pytest.param(Server(Invalid, CLAIM), CLAIM, id="whoever wrote it first carries the action out, and that may be another copy"),
    ],
)
async def test_what_was_not_stored_is_decided_afresh_from_what_is(server: Server, status: RemediationStatus) -> None:
    one, records = recorder(server)
    with pytest.raises(server.error):
        await one.remediation(BEFORE, status)
    (known,) = records.remediations(UID)
    assert (known.status, known.metadata.resource_version, server.reads) == (server.stored, "7", 1)


async def test_a_record_that_is_gone_is_not_written() -> None:
    one, _ = recorder(Server(Invalid, None))
    with pytest.raises(Invalid):
        await one.remediation(BEFORE, ENDED)
