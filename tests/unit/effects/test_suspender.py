"""An owner resumes as a whole: what else it deploys must not have been changed after it compared."""

from collections.abc import Iterable
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
    """An application of the Deployments api and web, paused for api; it has compared at NOW and found both as Git wants them."""

    def __init__(self, one: Remediation, *, web: dict[str, Any] | type[Exception] | None) -> None:
        plan = one.spec.plan.suspends
        assert plan is not None
        listed = [{"group": "apps", "kind": "Deployment", "namespace": "shop", "name": name, "status": "Synced"} for name in ("api", "web")]
        self.objects: dict[str, Any] = {
            APPLICATION: {
                "metadata": {"uid": "app-uid", "generation": 3, "annotations": pausing.marks(one, plan)},
                "spec": {"syncPolicy": {"automated": pausing.ours(plan)}},
                "status": {"reconciledAt": NOW.isoformat(), "resources": listed},
            },
            "/apis/apps/v1/namespaces/shop/deployments/api": deployment("d-uid", ago(minutes=5)),
            "/apis/apps/v1/namespaces/shop/deployments/web": web,
        }
        self.written: list[str] = []

    async def get(self, path: str) -> bytes:
        found = self.objects[path]
        if found is None:
            raise NotFound("get", path, status=404)
        if isinstance(found, type):
            raise found("get", path, status=403)
        return msgspec.json.encode(found)

    async def patch(self, path: str, body: object, *, how: object) -> bytes:  # noqa: ARG002 - the shape of the real one
        self.written.append(path)
        return b"{}"


async def look(one: Remediation, web: Any, spent: Iterable[Spent] = ()) -> str:
    server = Server(one, web=web)
    found = await Suspender(server, None).look(one, NOW, spent)  # type: ignore[arg-type]  # stands in for it
    assert server.written == ([APPLICATION] if found else [])
    assert found is None or found.state is SuspensionState.RESUMED
    return found.message if found else ""


@pytest.mark.parametrize(
    ("web", "said"),
    [
        pytest.param(deployment("web-uid", ago(minutes=5)), GIT, id="its neighbour was not changed since"),
        pytest.param(deployment("web-uid", ago(seconds=5)), "", id="its neighbour was rolled back after the comparison"),
        pytest.param(None, GIT, id="its neighbour is gone"),
        pytest.param(Forbidden, "", id="its neighbour may not be looked at"),
    ],
)
async def test_a_comparison_from_before_another_workload_of_it_was_changed_says_nothing(web: Any, said: str) -> None:
    assert await look(paused(), web) == said


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
