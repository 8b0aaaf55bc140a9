"""Policies that work and hardly do what their author wants: combinations that an on-call engineer would ask about. Pure."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from stopgap.api.clusterpolicy import Policy
from stopgap.api.ladder import Mode, RevertOn, Source, Step
from stopgap.api.policy import GitOps
from stopgap.detectors.alert import AlertTrigger
from stopgap.model.duration import spell

Advice = tuple[tuple[str | int, ...], str]
SHORTLY_HEALTHY: Final = timedelta(seconds=30)
LONG_AGO: Final = timedelta(hours=24)
SHORT_PAUSE: Final = timedelta(minutes=1)


def advice(policy: Policy) -> Iterator[Advice]:
    """Yield what deserves a second look, and where."""
    for ask in _OF_POLICIES:
        yield from ask(policy)
    for number, step in enumerate(policy.spec.steps):
        for ask_step in _OF_STEPS:
            for path, message in ask_step(policy, step):
                yield ("spec", "steps", number, *path), message


def _git_ops(policy: Policy) -> Iterator[Advice]:
    if policy.spec.git_ops is GitOps.ACT and policy.spec.mode is not Mode.OBSERVE:
        yield (
            ("spec", "gitOps"),
            "with Act, a GitOps tool that reconciles puts the bad version back within seconds; Block says what to revert",
        )


def _cooldown(policy: Policy) -> Iterator[Advice]:
    if policy.spec.guards.cooldown < SHORT_PAUSE and policy.spec.mode is Mode.AUTOMATIC:
        length = spell(policy.spec.guards.cooldown)
        yield ("spec", "guards", "cooldown"), f"with a cooldown of {length}, incidents that follow each other are acted on without a pause"


def _no_steps(policy: Policy) -> Iterator[Advice]:
    if not policy.spec.steps and policy.spec.mode is not Mode.OBSERVE:
        yield ("spec", "mode"), f"mode {policy.spec.mode} without steps does nothing: incidents are opened and told"


def _without_end(policy: Policy) -> Iterator[Advice]:
    for number, one in enumerate(policy.spec.pause_requests):
        if one.until is None:
            yield (
                ("spec", "pauseRequests", number),
                f"{one.name} pauses this policy without an end (until); nothing acts until it is removed",
            )


def _wider_than_the_policy(policy: Policy, step: Step) -> Iterator[Advice]:
    # In mode Observe it may say what holds later, when the policy does more.
    if step.mode is Mode.AUTOMATIC and policy.spec.mode is Mode.APPROVE:
        yield ("mode",), f"a step can only tighten the mode: the policy is in mode {policy.spec.mode}, so this one is too"


def _alert_without_source(policy: Policy, step: Step) -> Iterator[Advice]:
    alerts = {one.name for one in policy.spec.triggers if isinstance(one.detector, AlertTrigger)}
    meant = set(step.when.triggers) or {one.name for one in policy.spec.triggers}
    if meant and meant <= alerts and Source.ALERT not in step.when.sources:
        yield ("when",), "its triggers are alerts, and when.sources does not have Alert: this step is never taken"


def _old_change(_policy: Policy, step: Step) -> Iterator[Advice]:
    if step.rollback is not None and step.changed_within and step.changed_within > LONG_AGO:
        yield ("when", "changedWithin"), f"a release of up to {spell(step.changed_within)} ago is hardly what ails it now"


def _hardly_healthy(_policy: Policy, step: Step) -> Iterator[Advice]:
    if step.rollback is not None and step.rollback.min_healthy_for < SHORTLY_HEALTHY:
        length = spell(step.rollback.min_healthy_for)
        yield ("rollback", "minHealthyFor"), f"what was healthy for {length} is hardly proved; many faults show later"


def _left_behind(policy: Policy, step: Step) -> Iterator[Advice]:
    if step.revert and step.revert.upon is RevertOn.MANUAL and policy.spec.mode is Mode.AUTOMATIC:
        yield ("revert", "upon"), "done without a person, and put back only by one: somebody has to remember (kubectl stopgap undo)"


def _anything_goes(policy: Policy, step: Step) -> Iterator[Advice]:
    when = step.when
    if not when.triggers and not when.severities and not step.changed_within and policy.spec.mode is Mode.AUTOMATIC:
        yield ("when",), "this step is meant for every trigger, severity and time; say for which (when.triggers)"


_OF_POLICIES: Final[tuple[Callable[[Policy], Iterator[Advice]], ...]] = (_git_ops, _cooldown, _no_steps, _without_end)
_OF_STEPS: Final[tuple[Callable[[Policy, Step], Iterator[Advice]], ...]] = (
    _wider_than_the_policy,
    _alert_without_source,
    _old_change,
    _hardly_healthy,
    _left_behind,
    _anything_goes,
)
