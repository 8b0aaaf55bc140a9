"""What is made of a RemediationConfig: understood, or everything is paused and it is said why."""

from typing import Any

import pytest
from tests.conftest import make_case, make_policy

from stopgap.api import RemediationConfig
from stopgap.core import limits
from stopgap.effects.records import Records
from stopgap.model.refs import Target

WINDOW = {"cron": "0 18 * * FRI", "duration": "60h", "reason": "freeze"}


def declared(**spec: Any) -> Records:
    records = Records(_nobody, lambda _namespace: None)
    records.take(RemediationConfig, {"metadata": {"name": "stopgap", "namespace": "stopgap-system", "resourceVersion": "1"}, "spec": spec})
    return records


def _nobody(_target: Target) -> None:
    """Nobody is told."""


def test_a_config_with_a_freeze_window_is_understood() -> None:
    records = declared(freezeWindows=[WINDOW])
    assert records.config is not None
    assert [one.reason for one in records.config.spec.freeze_windows] == ["freeze"]
    assert records.config_trouble == ""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        pytest.param(
            {"freezeWindows": [{**WINDOW, "cron": "0 0 31 2 *"}]}, "spec.freezeWindows[0] (freeze): cron '0 0 31 2 *'", id="a cron"
        ),
        pytest.param(
            {"freezeWindows": [WINDOW, {**WINDOW, "timeZone": "Europe/Atlantis"}]}, "[1] (freeze): time zone 'Europe/A", id="a zone"
        ),
        pytest.param(
            {"freezeWindows": [{**WINDOW, "duration": "0s"}]}, "spec.freezeWindows[0] (freeze): duration 0s is not", id="no length"
        ),
        pytest.param({"maxMode": "Wild"}, "spec.maxMode: this version of Stopgap does not know 'Wild'", id="a word"),
    ],
)
def test_a_config_that_cannot_be_understood_pauses_everything_and_says_why(spec: dict[str, Any], why: str) -> None:
    records = declared(**spec)
    assert records.config is None
    assert why in records.config_trouble
    refusal = limits.stopped(make_case(config=None, config_trouble=records.config_trouble), make_policy())
    assert refusal is not None
    assert refusal.message.startswith("the RemediationConfig cannot be read or understood (")
    assert why in refusal.message
