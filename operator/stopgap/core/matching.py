"""Which policy decides about a workload, and whether a policy can work at all."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from stopgap.api.policy import RemediationPolicy
from stopgap.core import freeze
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import PolicyRef, Target

LONGEST_WINDOW = timedelta(days=7)
"""Actions are counted for so long; a longer window of a budget could not be kept."""
_UNKNOWN_WORD: Final = frozenset({"enum", "literal_error"})


def matches(policy: RemediationPolicy, target: Target, labels: dict[str, str]) -> bool:
    """Say whether a workload is one of the policy's targets."""
    targets = policy.spec.targets
    if policy.metadata.namespace != target.namespace or target.kind not in targets.kinds:
        return False
    if targets.names is not None:
        return target.name in targets.names
    return targets.selector is not None and all(labels.get(key) == value for key, value in targets.selector.match_labels.items())


def deciding(
    policies: Iterable[RemediationPolicy], target: Target, labels: dict[str, str], *, named: PolicyRef | None = None
) -> RemediationPolicy | None:
    """Pick the one that acts: the more specific first (names before a selector), then by name. A policy that cannot work is passed over.

    Where an incident names its policy, that one decides or none does: never another that nobody asked for.
    """
    fitting = [one for one in policies if matches(one, target, labels) and fault(one) is None]
    fitting = [one for one in fitting if named is None or one.metadata.name == named.name]
    return min(fitting, key=lambda one: (one.spec.targets.names is None, one.metadata.name), default=None)


def fault(policy: RemediationPolicy) -> Refusal | None:
    """Say why a policy cannot work, where the schema could not: None when it can."""
    triggers = {one.name for one in policy.spec.triggers}
    for trigger in policy.spec.triggers:
        if trigger.detector is None:
            return Refusal(
                Reason.NewerThanOperator,
                f"trigger {trigger.name} uses a detector that this version of Stopgap does not know",
            )
    for step in policy.spec.steps:
        if step.action is None:
            return Refusal(Reason.NewerThanOperator, f"step {step.name} uses an action that this version of Stopgap does not know")
        if unknown := set(step.when.triggers) - triggers:
            return Refusal(Reason.InvalidPolicy, f"step {step.name} names triggers that do not exist: {', '.join(sorted(unknown))}")
    for rule in policy.spec.severity.rules:
        if unknown := set(rule.triggers) - triggers:
            return Refusal(Reason.InvalidPolicy, f"a severity rule names triggers that do not exist: {', '.join(sorted(unknown))}")
    return _times(policy) or _window(policy) or _frozen(policy)


def misfit(error: ValidationError) -> Refusal:
    """Say why an object that the API server took does not fit the model: a word of a newer version, or what no schema can check."""
    found = error.errors(include_url=False)
    newer = next((one for one in found if one["type"] in _UNKNOWN_WORD), None)
    one = newer or found[0]
    where = ".".join(map(str, one["loc"]))
    if newer:
        return Refusal(Reason.NewerThanOperator, f"{where}: this version of Stopgap does not know {str(one['input'])[:63]!r}")
    return Refusal(Reason.InvalidPolicy, f"{where}: {one['msg'].removeprefix('Value error, ')}")


def _window(policy: RemediationPolicy) -> Refusal | None:
    given = policy.spec.guards
    for name, length in (("maxActions.within", given.max_actions.within), ("cooldown", given.cooldown)):
        if length > LONGEST_WINDOW:
            return Refusal(Reason.InvalidPolicy, f"guards.{name} is longer than {LONGEST_WINDOW.days} days, for which actions are counted")
    return None


def _frozen(policy: RemediationPolicy) -> Refusal | None:
    trouble = freeze.fault(policy.spec.guards.freeze_windows, "guards.freezeWindows")
    return Refusal(Reason.InvalidPolicy, trouble) if trouble else None


def _times(policy: RemediationPolicy) -> Refusal | None:
    verification = policy.spec.verification
    if verification.healthy_for > verification.timeout:
        return Refusal(
            Reason.InvalidPolicy,
            "verification.healthyFor is longer than verification.timeout, so no action could ever succeed; make the timeout longer",
        )
    return None
