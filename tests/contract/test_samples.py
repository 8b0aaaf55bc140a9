"""The samples are understood, to the last field, and what they declare can work."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stopgap.api import KINDS
from stopgap.api.notify import MOST_CHANNELS
from stopgap.api.policy import RemediationPolicy
from stopgap.core.matching import fault
from stopgap.effects.intake import PATH
from stopgap.effects.tokens import parse

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
MODELS = {kind.__name__: kind for kind in KINDS}


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_is_understood_and_can_work(file: Path) -> None:
    for body in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        one = MODELS[body["kind"]].model_validate({"metadata": body["metadata"], "spec": body["spec"]}, extra="forbid")
        assert not isinstance(one, RemediationPolicy) or fault(one) is None


MANIFESTS = SAMPLES[0].parents[1]


def documents(*path: str) -> list[Any]:
    return [one for one in yaml.safe_load_all(MANIFESTS.joinpath(*path).read_text(encoding="utf-8")) if one]


def test_the_alert_receiver_is_reached_where_the_samples_send_alerts_to() -> None:
    secret, service = documents("alerts", "receiver.yaml")
    (patch,) = documents("alerts", "deployment-patch.yaml")
    (operator, _) = documents("install", "operator.yaml")
    (alertmanager,) = documents("samples", "alertmanager", "alertmanager.yml")
    (config,) = documents("samples", "alertmanager", "alertmanagerconfig.yaml")
    pod, (container,) = patch["spec"]["template"]["spec"], patch["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    (port,), (mount,), (volume,) = container["ports"], container["volumeMounts"], pod["volumes"]

    assert container["name"] == operator["spec"]["template"]["spec"]["containers"][0]["name"]
    assert service["spec"]["selector"].items() <= operator["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert environment["STOPGAP_ALERTS_PORT"] == str(port["containerPort"])
    assert environment["STOPGAP_ALERTS_TOKENS"] == f"{mount['mountPath']}/{next(iter(secret['stringData']))}"
    assert (mount["name"], volume["secret"]["secretName"]) == (volume["name"], secret["metadata"]["name"])
    meta, listens = service["metadata"], service["spec"]["ports"][0]["port"]
    url = f"http://{meta['name']}.{meta['namespace']}.svc:{listens}{PATH}"
    assert alertmanager["receivers"][1]["webhook_configs"][0]["url"] == url
    assert config["spec"]["receivers"][0]["webhookConfigs"][0]["url"] == url


def test_the_token_in_the_sample_lets_nobody_in() -> None:
    (secret, _) = documents("alerts", "receiver.yaml")
    assert parse(secret["stringData"]["tokens"]) == ()


def test_the_secret_of_every_channel_that_there_can_be_is_asked_about() -> None:
    (asks, _) = documents("admission", "notify.yaml")
    assert len(asks["spec"]["validations"]) == MOST_CHANNELS
