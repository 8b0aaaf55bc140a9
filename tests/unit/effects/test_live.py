"""The live reads: what odd marks of others must not break."""

import asyncio

import pytest
from tests.conftest import make_workload

from stopgap.effects import live
from stopgap.effects.connection import Connection
from stopgap.effects.databases import Databases
from stopgap.effects.errors import Unanswered
from stopgap.effects.kube import Kube
from stopgap.effects.live import LiveReads
from stopgap.effects.records import Records
from stopgap.effects.rights import Rights
from stopgap.effects.secrets import Secrets
from stopgap.model.patch import ObjectAt
from stopgap.model.query import Silence


async def no_credentials() -> None:
    return None


async def nowhere(_host: str, _scope: str) -> Silence:
    return Silence("nobody is asked", theirs=False)


def reads() -> LiveReads:
    """Live reads over a connection that was never opened: they must come to an answer without asking."""
    kube = Kube(Connection("http://127.0.0.1:1", no_credentials))
    records = Records(lambda _: None, lambda _: None)
    own = "stopgap-system"
    databases = Databases(Secrets(kube, own), nowhere)
    return LiveReads(kube, records, Rights(kube, own), databases=databases, own_namespace=own, argocd_namespace="argocd")


async def test_an_owner_whose_name_no_object_can_have_is_one_that_cannot_be_read() -> None:
    mark = {"argocd.argoproj.io/tracking-id": "../shop:apps/Deployment:shop/api"}
    found, pausable = await reads()._ownership(make_workload(annotations=mark))
    assert pausable is None
    assert found is not None
    assert found.reconciles
    assert "could not be read" in found.message


@pytest.mark.parametrize(
    ("status", "hangs", "why"),
    [
        pytest.param(503, False, "503", id="whoever converts it is down"),
        pytest.param(0, True, "no answer in time", id="whoever serves it hangs"),
    ],
)
async def test_an_object_that_cannot_be_read_costs_the_other_steps_nothing(
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    hangs: bool,  # noqa: FBT001
    why: str,
) -> None:
    async def get(*_: object) -> bytes:
        if hangs:
            await asyncio.Event().wait()
        raise Unanswered("get", "/x", status=status)

    monkeypatch.setattr(Kube, "get", get)
    monkeypatch.setattr(live, "OBJECT_WITHIN", 0.01)
    at = ObjectAt("networking.istio.io/v1", "destinationrules", "reviews")
    assert await reads()._objects("shop", {at}) == {at: Silence(why, theirs=True)}
