"""Pod templates: our digest, what they need, and what differs."""

import copy
from typing import Any

import msgspec
import pytest
from tests.conftest import GOOD, make_template

from stopgap.model.template import Template, digest, packed


def of_spec(**spec: Any) -> Template:
    return Template.read(make_template(**spec))


def of_container(**container: Any) -> Template:
    return Template.read({"metadata": {"labels": {}}, "spec": {"containers": [{"name": "app", "image": "a:1", **container}]}})


def test_the_hash_label_of_the_deployment_controller_does_not_change_the_digest() -> None:
    body = make_template("shop/api:1.9")
    body["metadata"]["labels"]["pod-template-hash"] = "5d8f"
    body["metadata"]["creationTimestamp"] = None
    assert Template.read(body).digest == GOOD.digest


def test_the_hash_label_is_not_written_back() -> None:
    body = make_template("shop/api:1.9")
    body["metadata"]["labels"]["pod-template-hash"] = "5d8f"
    assert Template.read(body).body["metadata"] == {"labels": {"app": "api"}}


def test_what_was_read_is_not_changed() -> None:
    body = make_template()
    body["metadata"]["labels"]["pod-template-hash"] = "5d8f"
    before = copy.deepcopy(body)
    assert digest(body) == Template.read(body).digest
    assert body == before


def test_the_order_of_fields_does_not_change_the_digest() -> None:
    body = make_template("shop/api:1.9")
    assert Template.read(dict(reversed(body.items()))).digest == GOOD.digest


def test_bytes_and_objects_read_the_same() -> None:
    assert Template.read(msgspec.json.encode(make_template("shop/api:1.9"))) == GOOD


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        Template.read(b"{")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image": "shop/api:2.0"}, id="an image"),
        pytest.param({"image": "shop/api:1.9", "annotations": {"restartedAt": "now"}}, id="an annotation"),
        pytest.param({"image": "shop/api:1.9", "unknownFieldOfTheFuture": 1}, id="a field that nobody knows yet"),
    ],
)
def test_any_other_change_changes_the_digest(change: dict[str, Any]) -> None:
    assert Template.read(make_template(**change)).digest != GOOD.digest


def test_a_digest_is_sixteen_hex_characters() -> None:
    assert len(GOOD.digest) == 16
    assert int(GOOD.digest, 16)


def test_a_restart_differs_only_in_annotations() -> None:
    restarted = Template.read(make_template("shop/api:1.9", annotations={"kubectl.kubernetes.io/restartedAt": "now"}))
    assert restarted.differs_only_in_annotations(GOOD)
    assert GOOD.differs_only_in_annotations(restarted)


def test_the_same_template_does_not_differ_at_all() -> None:
    assert not GOOD.differs_only_in_annotations(GOOD)


def test_an_annotation_beside_a_new_image_is_more_than_annotations() -> None:
    both = Template.read(make_template("shop/api:2.0", annotations={"kubectl.kubernetes.io/restartedAt": "now"}))
    assert not both.differs_only_in_annotations(GOOD)


def test_a_new_label_is_more_than_annotations() -> None:
    body = make_template("shop/api:1.9")
    body["metadata"]["labels"]["version"] = "2"
    assert not Template.read(body).differs_only_in_annotations(GOOD)


def test_the_images_of_init_containers_are_known_too() -> None:
    template = of_spec(initContainers=[{"name": "migrate", "image": "shop/migrate:1"}])
    assert template.containers == {"migrate": "shop/migrate:1", "app": "shop/api:2.0-crash"}


@pytest.mark.parametrize(
    ("template", "needed"),
    [
        pytest.param(of_spec(), set(), id="nothing"),
        pytest.param(of_spec(serviceAccountName="runner"), {"serviceaccount/runner"}, id="a service account"),
        pytest.param(of_spec(serviceAccountName="default"), set(), id="not the default account, which is always made"),
        pytest.param(
            of_spec(volumes=[{"name": "v", "configMap": {"name": "settings"}}]), {"configmap/settings"}, id="a mounted config map"
        ),
        pytest.param(of_spec(volumes=[{"name": "v", "secret": {"secretName": "tls"}}]), {"secret/tls"}, id="a mounted secret"),
        pytest.param(
            of_spec(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]), {"persistentvolumeclaim/data"}, id="a claim"
        ),
        pytest.param(
            of_spec(volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "a"}}, {"secret": {"name": "b"}}]}}]),
            {"configmap/a", "secret/b"},
            id="projected sources",
        ),
        pytest.param(
            of_spec(
                volumes=[
                    {"name": "v", "configMap": {"name": "a", "optional": True}},
                    {"name": "w", "secret": {"secretName": "b", "optional": True}},
                ]
            ),
            set(),
            id="nothing that is optional",
        ),
        pytest.param(of_spec(volumes=[{"name": "v", "emptyDir": {}}]), set(), id="no scratch volume"),
        pytest.param(
            of_container(envFrom=[{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}]), {"configmap/a", "secret/b"}, id="envFrom"
        ),
        pytest.param(
            of_container(
                env=[
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "k"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
                    {"name": "C", "value": "plain"},
                    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ]
            ),
            {"configmap/a", "secret/b"},
            id="variables",
        ),
        pytest.param(
            of_container(env=[{"name": "B", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k", "optional": True}}}]),
            set(),
            id="no optional variable",
        ),
        pytest.param(
            of_spec(initContainers=[{"name": "i", "image": "i", "envFrom": [{"configMapRef": {"name": "a"}}]}]),
            {"configmap/a"},
            id="what an init container needs",
        ),
    ],
)
def test_what_its_pods_cannot_start_without(template: Template, needed: set[str]) -> None:
    assert template.references == needed


def test_a_template_is_the_same_after_it_was_kept() -> None:
    kept = packed(msgspec.json.encode(make_template("shop/api:1.9")))

    assert Template.unpacked(kept) == GOOD
    assert kept == packed(msgspec.json.encode(make_template("shop/api:1.9")))
