"""What a person says of an incident is honoured, and for how long."""

from datetime import timedelta

from tests.conftest import BAD, GOOD, make_policy
from tests.scenarios.driver import BAD2, Operator, of, start

from stopgap.api.incident import Closing

HALF, LONG = timedelta(seconds=30), timedelta(minutes=20)


def called_a_false_alarm(operator: Operator) -> Operator:
    """A release that crashes, under a policy that only observes; ana says that this is as it should be."""
    operator.policy = make_policy(mode="Observe")
    operator.cluster.apply(BAD)
    operator.live_through(HALF)
    assert operator.incident is not None
    spec = operator.incident.spec.model_copy(update={"resolution": Closing.FALSE_ALARM, "acknowledged_by": "ana"})
    operator.incident = operator.incident.model_copy(update={"spec": spec})
    operator.live_through(HALF)
    return operator


def test_a_false_alarm_stays_quiet_for_as_long_as_it_goes_on() -> None:
    operator = called_a_false_alarm(start(GOOD))
    assert of(operator.closed[0])[-1] == "FalseAlarm"
    operator.live_through(LONG)
    assert (operator.incident, len(operator.closed)) == (None, 1)


def test_after_a_false_alarm_another_template_that_fails_is_an_incident() -> None:
    operator = called_a_false_alarm(start(GOOD))
    operator.cluster.apply(BAD2)
    operator.live_through(HALF)
    assert operator.incident is not None


def test_after_a_false_alarm_that_went_quiet_the_same_signal_is_an_incident_again() -> None:
    operator = called_a_false_alarm(start(GOOD))
    operator.cluster.ill, operator.cluster.exits = frozenset(), ()
    operator.live_through(LONG)
    operator.cluster.ill = frozenset({BAD.digest})
    operator.live_through(HALF)
    assert operator.incident is not None
