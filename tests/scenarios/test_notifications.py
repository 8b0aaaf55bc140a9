"""What each service is sent about whole incidents, as files: hostile text, five days, every end. `GOLDEN=write` renews them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import NOW
from tests.scenarios.test_reports import escalated, five_days, hostile, mitigated, no_target, refused_throughout, resolved

from stopgap.api import Incident
from stopgap.api.notify import Channel
from stopgap.core import notifying
from stopgap.model.news import Telling

GOLDEN = Path(__file__).parents[1] / "golden"
CHANNELS = (
    Channel.model_validate({"name": "pager", "pagerDuty": {"secretRef": {"name": "s", "key": "k"}}}),
    Channel.model_validate({"name": "team", "slack": {"secretRef": {"name": "s", "key": "k"}, "channel": "C1"}}),
    Channel.model_validate({"name": "tools", "webhook": {"url": "https://tools.example/hook"}}),
)
INCIDENTS = (mitigated, resolved, no_target, refused_throughout, escalated, five_days, hostile)


def sent(incident: Incident) -> list[dict[str, Any]]:
    """Every request that tells the whole of an incident, as it is at its last look."""
    status = incident.status
    assert status is not None
    now, found = status.updated_at or NOW, []
    for channel in CHANNELS:
        notifier = channel.notifier
        assert notifier is not None
        listener = notifying.Listener(channel.name, "shop", channel)
        reference = ""
        for news in notifying.due(listener, incident, status, now):
            telling = Telling("S", reference, channel.hears, now)
            requests = notifier.requests(notifying.shown(news), notifying.facts(incident, status, now), telling)
            found += [{"url": one.url, "body": json.loads(one.content or b"")} for one in requests]
            reference = "C1/17.1"
    return found


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda one: one.__name__.replace("_", " "))
def test_what_services_are_sent_is_what_the_golden_file_says(incident: Callable[[], Incident]) -> None:
    text = json.dumps(sent(incident()), indent=1, ensure_ascii=False) + "\n"
    file = GOLDEN / f"{incident.__name__}.notifications.json"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
