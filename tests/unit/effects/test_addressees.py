"""Whom an alert is about, by its labels."""

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.conftest import make_revision, make_template, make_workload

from stopgap.effects.addressees import Addressees
from stopgap.effects.errors import NotFound
from stopgap.effects.index import Index
from stopgap.effects.tokens import Credential
from stopgap.model.refs import Target
from stopgap.model.template import Template

if TYPE_CHECKING:
    from stopgap.effects.kube import Kube

FREE = Credential("bearer", b"0123456789abcdef", ())
BOUND = Credential("bearer", b"fedcba9876543210", ("shop", "desk"))
API, CART = Target("shop", "Deployment", "api"), Target("shop", "Deployment", "cart")
STORE = Target("shop", "StatefulSet", "store")


class Server:
    """Answers lists of one by name, and remembers what was asked."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[str] = []

    async def get(self, path: str, params: dict[str, str]) -> bytes:
        self.asked.append(path)
        if "/gone/" in path:
            raise NotFound("list", path)
        name = params["fieldSelector"].removeprefix("metadata.name=")
        found = self.objects.get((path, name))
        return json.dumps({"items": [found] if found else []}).encode()

    def pod(self, name: str, kind: str, owner: str, uid: str = "") -> None:
        reference = {"kind": kind, "name": owner, "uid": uid, "controller": True}
        meta = {"name": name, "uid": name, "resourceVersion": "1", "ownerReferences": [reference]}
        self.objects["/api/v1/namespaces/shop/pods", name] = {"metadata": meta}

    def service(self, name: str, selector: dict[str, str] | None) -> None:
        self.objects["/api/v1/namespaces/shop/services", name] = {"spec": {"selector": selector} if selector else {}}


class Scene:
    def __init__(self, namespaces: tuple[str, ...] = ()) -> None:
        self.server = Server()
        index = Index(lambda _: None, lambda: NotImplemented, lambda work, *, there: None)  # noqa: ARG005 - the shape of a listener
        for name, image in (("api", "api:1"), ("cart", "cart:1")):
            template = make_template(image)
            template["metadata"]["labels"] = {"app": name, "tier": "web"}
            template["spec"]["containers"].append({"name": f"{name}-proxy", "image": "p"})
            index._workloads[name] = make_workload(name=name, uid=name, template=Template.read(template))
            index._uids[Target("shop", "Deployment", name)] = name
        index._workloads["store"] = make_workload(name="store", uid="store", kind="StatefulSet")
        index._uids[STORE] = "store"
        index.put_revision(make_revision(1, uid="rs-api", owner="api", hash="6d9f4"))
        index._now = lambda: index._workloads["api"].created
        kube = cast("Kube", self.server)
        self.whom = Addressees(kube, index, namespaces=namespaces, records="stopgap-system")


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        pytest.param({"deployment": "api"}, API, id="a deployment"),
        pytest.param({"deployment": "api", "pod": "cart-1"}, API, id="a deployment and a pod"),
        pytest.param({"pod": "api-6d9f4-x2x4z"}, API, id="a pod of a ReplicaSet"),
        pytest.param({"pod": "api-6d9f4-gone1"}, API, id="a pod that is gone"),
        pytest.param({"pod": "cart-6d9f4-gone1"}, None, id="a pod that is gone, of no ReplicaSet that is known"),
        pytest.param({"statefulset": "store"}, STORE, id="a stateful set"),
        pytest.param({"pod": "store-0"}, STORE, id="a pod of a stateful set"),
        pytest.param({"pod": "db-0"}, None, id="a pod of a stateful set that is not watched"),
        pytest.param({"pod": "node-agent-x2x4z"}, None, id="a pod of a kind that is no target"),
        pytest.param({"pod": "lonely"}, None, id="a pod of nobody"),
        pytest.param({"service": "cart"}, CART, id="a service of one workload"),
        pytest.param({"service": "web"}, None, id="a service of two workloads"),
        pytest.param({"service": "headless"}, None, id="a service that selects nothing"),
        pytest.param({"container": "cart-proxy"}, CART, id="a container of one workload"),
        pytest.param({"container": "app"}, None, id="a container that two have"),
        pytest.param({"deployment": "nosuch"}, None, id="a deployment that is not there"),
        pytest.param({"deployment": "../cart"}, None, id="a deployment that is a path"),
        pytest.param({"pod": "../../secrets/x"}, None, id="a pod that is a path"),
        pytest.param({"service": "a%2fb"}, None, id="a service that is an escaped path"),
        pytest.param({"pod": ""}, None, id="a pod without a name"),
        pytest.param({}, None, id="nothing but the namespace"),
    ],
)
async def test_the_workload_is_found_by(labels: dict[str, str], target: Target | None) -> None:
    scene = Scene()
    scene.server.pod("api-6d9f4-x2x4z", "ReplicaSet", "api-6d9f4", "rs-api")
    scene.server.pod("store-0", "StatefulSet", "store")
    scene.server.pod("db-0", "StatefulSet", "db")
    scene.server.pod("node-agent-x2x4z", "DaemonSet", "node-agent")
    scene.server.service("cart", {"app": "cart"})
    scene.server.service("web", {"tier": "web"})
    scene.server.service("headless", None)
    found = await scene.whom.of({"namespace": "shop", **labels}, FREE)
    assert found.target == target
    assert (found.namespace, bool(found.why)) == (("shop", False) if target else ("stopgap-system", True))
    assert all(one in {"/api/v1/namespaces/shop/pods", "/api/v1/namespaces/shop/services"} for one in scene.server.asked)


@pytest.mark.parametrize(
    "namespace", ["bank", "../shop", "shop/../bank", "Shop", "sh\x00op", "a" * 64], ids=["another's", "p", "q", "upper", "null", "long"]
)
async def test_a_namespace_that_the_sender_may_not_name_is_recorded_in_his_own_and_never_asked_about(namespace: str) -> None:
    scene = Scene()
    found = await scene.whom.of({"namespace": namespace, "deployment": "api", "pod": "x"}, BOUND)
    assert (found.namespace, found.target) == ("shop", None)
    assert "which its sender may not" in found.why
    assert scene.server.asked == []
    assert scene.whom.home({"namespace": namespace}, BOUND) == "shop"


async def test_an_alert_without_a_namespace_is_a_record() -> None:
    assert (await Scene().whom.of({"deployment": "api"}, FREE)).why == "it has no label namespace"


async def test_an_installation_for_some_namespaces_takes_nothing_about_others() -> None:
    scene = Scene(namespaces=("desk",))
    found = await scene.whom.of({"namespace": "shop", "deployment": "api"}, FREE)
    assert found.target is None
    assert scene.whom.records(BOUND) == "desk"
    assert scene.whom.records(Credential("bearer", b"x", ("bank",))) == ""


async def test_a_namespace_that_is_gone_is_no_error() -> None:
    assert (await Scene().whom.of({"namespace": "gone", "pod": "api-1"}, FREE)).target is None
