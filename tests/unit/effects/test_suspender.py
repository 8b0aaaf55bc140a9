"""An owner resumes as a whole: what else it deploys must not have been changed after it compared."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
import pytest
from tests.conftest import BAD, GOOD, NOW, ago, make_spent
from tests.unit.core.test_suspending import paused

from stopgap.api import Remediation
from stopgap.api.suspension import SuspensionState
from stopgap.core import pausing
from stopgap.core.case import Spent
from stopgap.effects.errors import Forbidden, NotFound
from stopgap.effects.suspender import Suspender
from stopgap.model.template import Template

APPLICATION = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/web"
GIT = "resumed: Git no longer holds the bad version"


def deployment(uid: str, changed: datetime, template: Template = GOOD, *, status_at: datetime = NOW) -> dict[str, Any]:
    written = [{"manager": "kubectl", "time": changed.isoformat()}]
    written.append({"manager": "kube-controller-manager", "subresource": "status", "time": status_at.isoformat()})
    return {"metadata": {"uid": uid, "managedFields": written}, "spec": {"template": template.body}}


class Server:
    """An application of the Deployment api and of web, paused for api; it has compared at NOW and found both as Git wants them."""

    def __init__(self, one: Remediation, *, web: dict[str, Any] | type[Exception] | None, kind: str = "Deployment") -> None:
        plan = one.spec.plan.suspends
        assert plan is not None
        both = (("api", "Deployment"), ("web", kind))
        listed = [{"group": "apps", "kind": each, "namespace": "shop", "name": name, "status": "Synced"} for name, each in both]
        self.objects: dict[str, Any] = {
            APPLICATION: {
                "metadata": {"uid": "app-uid", "generation": 3, "annotations": pausing.marks(one, plan)},
                "spec": {"syncPolicy": {"automated": pausing.ours(plan)}},
                "status": {"reconciledAt": NOW.isoformat(), "resources": listed},
            },
            "/apis/apps/v1/namespaces/shop/deployments/api": deployment("d-uid", ago(minutes=5)),
            f"/apis/apps/v1/namespaces/shop/{kind.lower()}s/web": web,
        }
        self.written: list[str] = []
        self.bodies: list[list[dict[str, Any]]] = []

    async def get(self, path: str) -> bytes:
        found = self.objects[path]
        if found is None:
            raise NotFound("get", path, status=404)
        if isinstance(found, type):
            raise found("get", path, status=403)
        return msgspec.json.encode(found)

    async def patch(self, path: str, body: list[dict[str, Any]], *, how: object) -> bytes:  # noqa: ARG002 - the shape of the real one
        self.written.append(path)
        self.bodies.append(body)
        return b"{}"


async def look(one: Remediation, web: Any, spent: Iterable[Spent] = (), *, kind: str = "Deployment") -> str:
    server = Server(one, web=web, kind=kind)
    found = await Suspender(server, None).look(one, NOW, spent)  # type: ignore[arg-type]  # stands in for it
    assert server.written == ([APPLICATION] if found else [])
    assert found is None or found.state is SuspensionState.RESUMED
    return found.message if found else ""


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize(
    ("web", "said"),
    [
        pytest.param(deployment("web-uid", ago(minutes=5)), GIT, id="its neighbour was not changed since"),
        pytest.param(deployment("web-uid", ago(seconds=5)), "", id="its neighbour was rolled back after the comparison"),
        pytest.param(None, GIT, id="its neighbour is gone"),
        pytest.param(Forbidden, "", id="its neighbour may not be looked at"),
    ],
)
async def test_a_comparison_from_before_another_workload_of_it_was_changed_says_nothing(web: Any, said: str, kind: str) -> None:
    assert await look(paused(), web, kind=kind) == said


async def test_a_change_of_ours_counts_although_its_fields_were_given_back() -> None:
    web = deployment("web-uid", ago(days=1))
    assert await look(paused(), web, [make_spent(ago(seconds=5), target_uid="web-uid")]) == ""
    assert await look(paused(), web, [make_spent(ago(seconds=5), target_uid="another")]) == GIT


async def test_a_pause_for_an_action_that_was_not_taken_stays_while_another_workload_was_rolled_back_under_it() -> None:
    one = paused(executedAt=None)
    server = Server(one, web=deployment("web-uid", ago(seconds=30)))
    server.objects["/apis/apps/v1/namespaces/shop/deployments/api"] = deployment("d-uid", ago(minutes=4), BAD)
    suspender = Suspender(server, None)  # type: ignore[arg-type]  # stands in for it
    assert await suspender.look(one, NOW) is None
    server.objects["/apis/apps/v1/namespaces/shop/deployments/web"] = deployment("web-uid", ago(minutes=4))
    found = await suspender.look(one, NOW)
    assert found is not None
    assert found.message == "resumed: the action was not taken"


async def test_a_person_who_takes_care_of_it_finds_no_mark_of_ours_that_would_stand_in_the_way_of_the_next_pause() -> None:
    one = paused(annotations={"stopgap.dev/revert": "abandon"})
    server = Server(one, web=None)
    found = await Suspender(server, None).look(one, NOW)  # type: ignore[arg-type]  # stands in for it
    assert found is not None
    assert (found.state, found.message) == (SuspensionState.NOT_NEEDED, "a person takes care of it")
    assert [one["path"] for one in server.bodies[0] if one["op"] != "test"] == [
        "/metadata/annotations/stopgap.dev~1restore",
        "/metadata/annotations/stopgap.dev~1suspended-for",
    ]


@pytest.mark.parametrize(
    ("spec", "uid", "stays", "writes"),
    [
        pytest.param({"prune": True, "selfHeal": True, "enabled": False}, "", True, 0, id="it is still suspended"),
        pytest.param({"prune": True, "selfHeal": True, "enabled": True}, "", False, 1, id="a person has resumed it"),
        pytest.param({"prune": True, "selfHeal": True, "enabled": False}, "another", False, 0, id="it is suspended for something else"),
    ],
)
async def test_an_owner_whose_record_is_lost_stays_as_it_is_but_for_the_marks_once_a_person_has_resumed_it(
    spec: dict[str, Any],
    uid: str,
    stays: bool,  # noqa: FBT001 - a column of the table
    writes: int,
) -> None:
    one = paused()
    plan = one.spec.plan.suspends
    assert plan is not None
    server = Server(one, web=None)
    server.objects[APPLICATION]["spec"]["syncPolicy"]["automated"] = spec
    lost = pausing.LostPause.of(one, plan)
    lost = replace(lost, mark=replace(lost.mark, uid=uid or lost.mark.uid))
    found = await Suspender(server, None).still_paused(lost)  # type: ignore[arg-type]  # stands in for it
    assert (found is not None) is stays
    assert len(server.bodies) == writes
    assert not [one for body in server.bodies for one in body if one["op"] != "test" and one["path"].startswith("/spec")]
