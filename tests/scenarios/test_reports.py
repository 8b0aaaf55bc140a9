"""What people read of whole incidents, as files: the update of those who wait, and the draft of the review. `GOLDEN=write` renews them."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import BAD, GOOD, NOW, ago, make_case, make_incident, make_policy, make_seen
from tests.scenarios.driver import Operator, start

from stopgap.api import Incident, PostMortem
from stopgap.api.health import Denied
from stopgap.core import evidence, reviewing
from stopgap.core.decide import RECORD_ONLY, decide
from stopgap.core.evidence import Answers, Touched, Written, taken_in
from stopgap.core.failing import scene
from stopgap.model.logs import LogDigest
from stopgap.model.refs import Target

GOLDEN = Path(__file__).parents[1] / "golden"
HOSTILE = (
    "![x](http://evil.example/x.png) <script>alert(1)</script>\n## Root Cause\n**fine** @here `rm -rf /` \x1b[31m\u202e www.evil.example"
)
HALF, LONG = timedelta(seconds=30), timedelta(minutes=20)


def released(**policy: object) -> Operator:
    """A bad release, until it has crashed three times."""
    operator = start(GOOD)
    operator.policy = make_policy(**policy)
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    return operator


def told(operator: Operator) -> Incident:
    """The incident as it is, or as it ended."""
    found = operator.incident or operator.closed[-1]
    assert found.status is not None
    return found


def identified() -> Incident:
    return told(released())


def mitigated() -> Incident:
    operator = released()
    operator.live_through(timedelta(minutes=2))
    return told(operator)


def resolved() -> Incident:
    operator = released(severity={"default": "P1"})
    operator.live_through(LONG)
    return told(operator)


def no_target() -> Incident:
    incident = Incident.model_validate(
        {
            "metadata": {"name": "mails", "namespace": "shop", "uid": "mails-uid"},
            "spec": {
                "title": "Mails are late",
                "description": "since the provider's maintenance",
                "severity": "P2",
                "impact": "order confirmations arrive after an hour",
                "acknowledgedBy": "ana",
            },
        }
    )
    case = make_case(seen=make_seen(target=Target("shop", RECORD_ONLY, "mails"), workload=None), policy=None, incident=incident)
    return incident.model_copy(update={"status": decide(case).status})


def no_action_taken() -> Incident:
    operator = released(mode="Observe")
    operator.cluster.ill = frozenset()
    operator.cluster.exits = ()
    operator.live_through(LONG)
    return told(operator)


def refused_throughout() -> Incident:
    operator = released(pauseRequests=[{"name": "ana", "reason": "db upgrade"}], severity={"default": "P1"})
    operator.live_through(timedelta(minutes=20), every=timedelta(minutes=1))
    return told(operator)


def escalated() -> Incident:
    operator = released()
    operator.cluster.ill = frozenset({BAD.digest, GOOD.digest})
    operator.live_through(timedelta(minutes=2))
    return told(operator)


def recurring() -> Incident:
    operator = start(GOOD)
    denied = Denied(digest=BAD.digest, incident="api-6", reason="roll back 2 → 1", time=ago(days=1))
    operator.health = operator.health.model_copy(update={"denied": (denied,), "incidents": 6})
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    return told(operator)


def five_hours() -> Incident:
    operator = released(severity={"default": "P1"}, resolution={"after": "6h"})
    operator.live_through(timedelta(hours=5), every=timedelta(minutes=10))
    return told(operator)


def five_days() -> Incident:
    operator = released(severity={"default": "P2"}, resolution={"after": "120h"})
    operator.live_through(timedelta(days=5, hours=1), every=timedelta(hours=1))
    return told(operator)


def hostile() -> Incident:
    incident = make_incident(title=HOSTILE[:200], impact=HOSTILE, severity="P1", acknowledgedBy="<!channel>", source={"type": "Manual"})
    finding = {"trigger": "crash", "type": "CrashLoop", "state": "Firing", "message": f"container app: {HOSTILE * 3}"}
    case = make_case(incident=incident, policy=make_policy(mode="Observe"))
    status = decide(case).status
    assert status is not None
    more = incident.model_copy(update={"status": status.model_validate({**status.model_dump(), "findings": [finding]})})
    return more.model_copy(update={"status": decide(replace(case, incident=more)).status})


def looked_into() -> Incident:
    """A person's incident of a workload that was not changed lately: the evidence is all there is."""
    logs = LogDigest(2, 912, 214, (("db: connection refused", 180), ("giving up after # tries", 34)))
    incident = make_incident(title="API is returning 500s", severity="P1", source={"type": "Manual"})
    seen = make_seen(current_since=ago(hours=5), live=None)
    case = make_case(seen=seen, incident=incident, policy=make_policy(triggers=[{"name": "down", "unavailable": {}}], steps=[]))
    before = decide(case).status
    assert before is not None
    touched = (Touched("configmap/settings", "was changed", ago(minutes=4), "kubectl-edit"),)
    answers = Answers(NOW, templates={"rs-1": GOOD, "rs-2": BAD}, touched=touched, logs=Written(logs, 2, previous=True))
    status = taken_in(before, evidence.told(scene(case, before), answers))
    more = incident.model_copy(update={"status": status})
    return more.model_copy(update={"status": decide(replace(case, incident=more)).status})


INCIDENTS = (
    *(identified, mitigated, resolved, no_target, no_action_taken, refused_throughout),
    *(escalated, recurring, five_hours, five_days, hostile, looked_into),
)


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda one: one.__name__.replace("_", " "))
def test_what_people_read_is_what_the_golden_file_says(incident: Callable[[], Incident]) -> None:
    found = incident()
    assert found.status is not None
    pm = PostMortem.model_validate({"metadata": {"name": "api-1"}, "spec": {"incidentRef": {"name": found.metadata.name}}})
    draft = reviewing.status(pm, reviewing.facts_of(found), NOW).document
    text = f"{found.status.update}\n\n<!-- the draft of its review -->\n\n{draft}\n"
    file = GOLDEN / f"{incident.__name__}.md"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_readme_shows_an_update_that_was_really_written() -> None:
    status = mitigated().status
    assert status is not None
    assert status.update in (GOLDEN.parents[1] / "README.md").read_text(encoding="utf-8")
