"""A pod is deleted only as it was just read: the one that is meant, of the bad revision, not ready, and after its predecessor is well."""

from typing import Any

import msgspec
import pytest
from tests.conftest import NOW, executed, make_remediation
from tests.stateful import BAD, GOOD, UID, pod

from stopgap.api.replacing import ReplacedPod
from stopgap.effects.errors import Conflict, Forbidden, KubeError, NotFound, Unanswered
from stopgap.effects.replacer import Replacer
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.revised import key

ILL = pod(2, BAD, restarts=3, ready=False)
MEANT = ReplacedPod(pod="db-2", uid=ILL["metadata"]["uid"], revision=key(UID, BAD), decided_at=NOW)
BEFORE = MEANT.model_copy(update={"pod": "db-1", "uid": "before"})


class Server:
    """Knows some pods, and answers each deletion with this error, if any."""

    def __init__(self, *pods: dict[str, Any], error: type[KubeError] | None = None) -> None:
        self.pods = {one["metadata"]["name"]: one for one in pods}
        self.error = error
        self.deleted: list[tuple[str, object]] = []

    async def get(self, path: str) -> bytes:
        name = path.rpartition("/")[2]
        if name not in self.pods:
            raise NotFound("get", path, status=404)
        return msgspec.json.encode(self.pods[name])

    async def delete(self, path: str, body: object) -> bytes:
        self.deleted.append((path, body))
        if self.error:
            raise self.error("delete", path)
        return b"{}"


async def replace(server: Server, *done: ReplacedPod, against: Refusal | None = None) -> str:
    one = make_remediation(status=executed(replaced=[each.model_dump(by_alias=True) for each in (*done, MEANT)]))
    return await Replacer(server).replace(one, MEANT, lambda: against)  # type: ignore[arg-type]  # the server stands in for it


async def test_it_is_deleted_as_it_was_read() -> None:
    server = Server(ILL)
    assert await replace(server) == ""
    only_if = {"uid": MEANT.uid, "resourceVersion": "77"}
    assert server.deleted == [("/api/v1/namespaces/shop/pods/db-2", {"preconditions": only_if})]


def changed(**metadata: Any) -> dict[str, Any]:
    return {**ILL, "metadata": {**ILL["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("pods", "done"),
    [
        pytest.param([], [], id="it is gone"),
        pytest.param([changed(uid="another")], [], id="it was made anew"),
        pytest.param([changed(deletionTimestamp="2026-11-23T10:00:00Z")], [], id="it is being deleted"),
        pytest.param([changed(ownerReferences=[])], [], id="nobody controls it"),
        pytest.param([changed(labels={"controller-revision-hash": GOOD})], [], id="it is of another revision"),
        pytest.param([{**pod(2, BAD, restarts=3), "metadata": ILL["metadata"]}], [], id="it is ready, though it was restarted"),
        pytest.param([ILL], [BEFORE], id="the one before is not there yet"),
        pytest.param([ILL, pod(1, GOOD, ready=False)], [BEFORE], id="the one before is not ready yet"),
        pytest.param([ILL, {**pod(1, GOOD), "metadata": {**pod(1, GOOD)["metadata"], "uid": "before"}}], [BEFORE], id="not even gone"),
    ],
)
async def test_it_is_left_alone_where(pods: list[dict[str, Any]], done: list[ReplacedPod]) -> None:
    server = Server(*pods)
    assert await replace(server, *done) == ""
    assert server.deleted == []


async def test_it_has_its_turn_when_the_one_before_is_ready_or_waits_for_it() -> None:
    for server, before in ((Server(ILL, pod(1, GOOD)), BEFORE), (Server(ILL), BEFORE.model_copy(update={"pod": "db-3"}))):
        await replace(server, before)
        assert len(server.deleted) == 1


async def test_an_order_to_stop_is_asked_for_last() -> None:
    server = Server(ILL)
    await replace(server, against=Refusal(Reason.Paused, "stop"))
    assert server.deleted == []


@pytest.mark.parametrize(("error", "told"), [(Forbidden, True), (Conflict, False), (NotFound, False), (Unanswered, False)])
async def test_only_what_will_not_end_by_itself_is_told(error: type[KubeError], told: bool) -> None:  # noqa: FBT001 - a table
    assert bool(await replace(Server(ILL, error=error))) is told
