"""What always holds of the storm breaker, whatever falls ill, recovers and flaps."""

from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW, ago, make_case

from stopgap.api.config import StormBreaker
from stopgap.core import storm
from stopgap.core.decide import decide
from stopgap.core.storm import CLUSTER, Breaker, Census, Count, Stage, advance
from stopgap.model.reasons import Reason

steady = settings(derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

counts = st.integers(0, 40).flatmap(lambda managed: st.builds(Count, st.just(managed), st.integers(0, managed)))
censuses = st.lists(counts, min_size=1, max_size=6).map(
    lambda each: Census({f"n{number}": one for number, one in enumerate(each) if one.ill}, sum(one.managed for one in each))
)
configs = st.builds(StormBreaker, min_unhealthy=st.integers(1, 10), percent=st.integers(1, 100), cooldown=st.just(timedelta(minutes=10)))
breakers = st.builds(
    Breaker,
    scope=st.sampled_from([CLUSTER, "shop"]),
    stage=st.sampled_from([Stage.OPEN, Stage.COOLING_DOWN]),
    since=st.integers(1, 500).map(lambda seconds: ago(seconds=seconds)),
    until=st.just(NOW + timedelta(seconds=1)),
)


@steady
@given(steps=st.lists(st.tuples(censuses, st.integers(1, 400)), max_size=30), config=configs)
def test_a_breaker_never_closes_before_it_was_calm_for_the_whole_window(steps: list[tuple[Census, int]], config: StormBreaker) -> None:
    now = NOW
    state: dict[str, Breaker] = {}
    last_over: dict[str, datetime] = {}
    for census, seconds in steps:
        now += timedelta(seconds=seconds)
        # A restart between any two steps changes nothing.
        before, _ = storm.read(storm.written(state), now)
        over = {scope for scope, one in advance({}, census, config, now).items() if one.stage is Stage.OPEN}
        last_over |= dict.fromkeys(over, now)
        state = advance(before, census, config, now)
        assert {scope for scope, one in state.items() if one.stage is Stage.OPEN} == over
        assert all(now - when >= config.cooldown for scope, when in last_over.items() if scope not in state)
        assert set(state) <= set(last_over)


@steady
@given(alone=counts, others=st.integers(0, 1000), config=configs)
def test_one_namespace_alone_never_opens_the_cluster(alone: Count, others: int, config: StormBreaker) -> None:
    census = Census({"shop": alone} if alone.ill else {}, alone.managed + others)
    assert CLUSTER not in advance({}, census, config, NOW)


@steady
@given(census=censuses, config=configs, extra=st.integers(0, 1000))
def test_no_namespace_is_more_than_half_of_what_opens_the_cluster(census: Census, config: StormBreaker, extra: int) -> None:
    """However much more of one namespace is ill, the others have to be the other half."""
    if CLUSTER not in advance({}, census, config, NOW):
        return
    needed = max(config.min_unhealthy, -(-census.managed * config.percent // 100))
    loudest = max(census.namespaces, key=lambda name: census.namespaces[name].ill)
    rest = sum(one.ill for name, one in census.namespaces.items() if name != loudest)
    assert rest >= needed // 2
    assert rest >= 1
    quiet_elsewhere = Census({loudest: Count(40 + extra, 40 + extra)}, census.managed + extra)
    assert CLUSTER not in advance({}, quiet_elsewhere, config, NOW)


@steady
@given(state=st.lists(breakers, max_size=2, unique_by=lambda one: one.scope))
def test_an_action_is_refused_for_the_storm_exactly_while_a_breaker_is_not_closed(state: list[Breaker]) -> None:
    decision = decide(make_case(storm=tuple(state)))
    refused = [one for one in decision.refusals if one.reason is Reason.StormActive]
    assert bool(refused) == bool(state) == (decision.intent is None)
    assert all((one.until is None) == any(each.stage is Stage.OPEN for each in state) for one in refused)
    assert decision.status is not None
    assert decision.status.findings, "it is observed and told all the same"
