"""The samples are understood, to the last field, and what they declare can work."""

from pathlib import Path

import pytest
import yaml

from stopgap.api import KINDS
from stopgap.api.policy import RemediationPolicy
from stopgap.core.matching import fault

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
MODELS = {kind.__name__: kind for kind in KINDS}


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_a_sample_is_understood_and_can_work(file: Path) -> None:
    for body in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        one = MODELS[body["kind"]].model_validate({"metadata": body["metadata"], "spec": body["spec"]}, extra="forbid")
        assert not isinstance(one, RemediationPolicy) or fault(one) is None
