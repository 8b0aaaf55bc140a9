"""What is written: news, and nothing that the record already says."""

from dataclasses import replace
from datetime import timedelta

import msgspec
from tests.conftest import NOW, ago, make_case, make_incident, make_live, make_policy, make_seen

from stopgap.api.incident import IncidentStatus
from stopgap.core.case import Case
from stopgap.core.decide import decide
from stopgap.effects.record import dumped
from stopgap.effects.writing import _is_news

FRACTION = timedelta(microseconds=123_456)


def held_back() -> Case:
    """A bad release that changed at a fraction of a second, under a policy that only observes."""
    seen = make_seen(now=NOW + FRACTION, current_since=ago(minutes=2) + FRACTION, live=make_live())
    return make_case(seen=seen, policy=make_policy(mode="Observe"))


def test_a_second_look_at_what_has_not_changed_is_no_news() -> None:
    case = held_back()
    first = decide(case).status
    assert first is not None
    assert first.suspected_change is not None
    stored = IncidentStatus.model_validate(msgspec.json.decode(msgspec.json.encode(dumped(first))))
    later = replace(case, incident=make_incident(status=dumped(first)), seen=replace(case.seen, now=case.now + timedelta(seconds=30)))
    second = decide(later).status
    assert second is not None
    assert second != stored, "the fraction is known again, and is what must not be taken for news"
    assert not _is_news(second, stored)


def test_what_differs_as_it_is_stored_is_news() -> None:
    status = decide(held_back()).status
    assert status is not None
    assert _is_news(status, None)
    assert _is_news(status.model_copy(update={"resolved_at": NOW}), status)
