"""Jobs of steps: made once under the name of their Remediation, and what is written down of their end holds no secret."""

from typing import Any

import msgspec
import pytest
from tests.conftest import make_remediation

from stopgap.api.jobstatus import JobState
from stopgap.effects.errors import Conflict, Forbidden, KubeError, NotFound, Unanswered, Unreachable
from stopgap.effects.jobs import Jobs
from stopgap.effects.outside import Fate, Order, Receipt
from stopgap.model.job import REMEDIATION_LABEL, job_name

PLAN = {"summary": "run", "field": "Elsewhere", "outside": {"job": {"template": "spec: {containers: [{name: fix, image: b}]}"}}}
ONE = make_remediation(name="r", step="fix", action="Job", plan=PLAN)
PATH = f"/apis/batch/v1/namespaces/shop/jobs/{job_name('r-uid')}"
COMPLETE = {"type": "Complete", "status": "True"}
FAILED = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Job was active longer\nthan specified deadline"}


def job(*conditions: dict[str, Any], uid: str = "r-uid") -> dict[str, Any]:
    return {"metadata": {"name": job_name("r-uid"), "labels": {REMEDIATION_LABEL: uid}}, "status": {"conditions": list(conditions)}}


class Server:
    """Answers reads with these objects or bytes by their path, and the creation with this error, if any."""

    def __init__(self, objects: dict[str, Any] | None = None, error: type[KubeError] | None = None) -> None:
        self.objects, self.error = objects or {}, error
        self.created: list[dict[str, Any]] = []
        self.asked: dict[str, Any] = {}

    async def get(self, path: str, params: Any = None) -> bytes:
        self.asked[path] = params
        found = self.objects.get(path)
        if found is None:
            raise NotFound("get", path, status=404)
        if isinstance(found, type):
            raise found("get", path)
        return found if isinstance(found, bytes) else msgspec.json.encode(found)

    async def create(self, path: str, body: dict[str, Any]) -> bytes:
        self.created.append({"path": path, **body})
        if self.error:
            raise self.error("create", path, reason="AlreadyExists" if self.error is Conflict else "")
        return b"{}"


async def send(server: Server) -> Receipt:
    outside = ONE.spec.plan.outside
    assert outside is not None
    ready = await Jobs(server).ready(Order(ONE, outside, inverse=False, again=False))  # type: ignore[arg-type]  # stands in
    assert callable(ready)
    assert not server.created, "nothing is made before it is asked for"
    return await ready()


async def test_it_is_created_where_the_workload_is() -> None:
    server = Server()
    assert (await send(server)).fate is Fate.DONE
    (made,) = server.created
    assert (made["path"], made["metadata"]["name"]) == ("/apis/batch/v1/namespaces/shop/jobs", "stopgap-r-uid")


@pytest.mark.parametrize(
    ("error", "there", "fate"),
    [
        pytest.param(Conflict, job(), Fate.DONE, id="it is there already, and ours"),
        pytest.param(Conflict, job(uid="another"), Fate.NOT_DONE, id="somebody else's has that name"),
        pytest.param(Conflict, Unanswered, Fate.UNKNOWN, id="whose it is cannot be read"),
        pytest.param(Forbidden, None, Fate.NOT_DONE, id="it is refused"),
        pytest.param(Unanswered, None, Fate.UNKNOWN, id="no answer"),
        pytest.param(Unreachable, None, Fate.UNKNOWN, id="nobody there: it is tried again"),
    ],
)
async def test_what_comes_of_it(error: type[KubeError], there: Any, fate: Fate) -> None:
    assert (await send(Server({PATH: there}, error))).fate is fate


@pytest.mark.parametrize(
    ("there", "receipt"),
    [
        pytest.param(job(), Fate.DONE, id="it is there"),
        pytest.param(job(uid="another"), Fate.NOT_DONE, id="somebody else's is there"),
        pytest.param(None, None, id="it is not there: it is made now"),
        pytest.param(Unanswered, None, id="that cannot be read: making it twice does no harm"),
    ],
)
async def test_after_a_crash_it_is_looked_for_first(there: Any, receipt: Fate | None) -> None:
    outside, server = ONE.spec.plan.outside, Server({PATH: there})
    assert outside is not None
    ready = await Jobs(server).ready(Order(ONE, outside, inverse=False, again=True))  # type: ignore[arg-type]  # stands in
    assert (ready.fate if isinstance(ready, Receipt) else None) == receipt
    assert isinstance(ready, Receipt) or callable(ready)
    assert server.created == []


PODS = "/api/v1/namespaces/shop/pods"


def pods(*created: str) -> dict[str, Any]:
    meta = [{"name": f"p{number}", "creationTimestamp": at} for number, at in enumerate(created)]
    return {"items": [{"metadata": one, "spec": {"containers": [{"name": "fix"}]}} for one in meta]}


async def test_its_end_is_told_with_the_last_lines_and_without_secrets() -> None:
    written = b"begin\n" + b"step\n" * 20 + "password=hunter2\nmoved 12 rows \x1b[31m\u202eevil\n".encode()
    objects = {PATH: job(COMPLETE), PODS: pods("2026-11-23T10:00:00Z", "2026-11-23T10:00:09Z"), f"{PODS}/p1/log": written}
    server = Server(objects)
    ended = await Jobs(server).ended(ONE)  # type: ignore[arg-type]  # stands in
    assert ended is not None
    assert (ended.state, ended.name, len(ended.log)) == (JobState.COMPLETE, "stopgap-r-uid", 10)
    assert ended.log[-1].startswith("moved 12 rows")
    assert "\x1b" not in ended.log[-1]
    assert "\u202e" not in ended.log[-1]
    assert "hunter2" not in " ".join(ended.log)
    asked = server.asked[f"{PODS}/p1/log"]
    assert (asked["tailLines"], asked["container"]) == (10, "fix")
    assert asked["limitBytes"] <= 1 << 14


@pytest.mark.parametrize(
    ("there", "state"),
    [
        pytest.param(job(FAILED), JobState.FAILED, id="it failed"),
        pytest.param(None, JobState.GONE, id="somebody removed it"),
        pytest.param(job(), None, id="it has not ended"),
        pytest.param(job({**COMPLETE, "status": "False"}), None, id="a condition that does not hold says nothing"),
        pytest.param(Unanswered, None, id="no answer"),
    ],
)
async def test_how_it_ended(there: Any, state: JobState | None) -> None:
    ended = await Jobs(Server({PATH: there})).ended(ONE)  # type: ignore[arg-type]  # stands in
    assert (ended.state if ended else None) == state
    if state is JobState.FAILED and ended is not None:
        assert str(ended) == "job/stopgap-r-uid failed: DeadlineExceeded: Job was active longer than specified deadline"
