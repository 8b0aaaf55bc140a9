"""Which policy decides about a workload, and whether a policy can work at all."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from pydantic import ValidationError

from stopgap.api import ClusterRemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.core import freeze
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.refs import PolicyRef, PolicyUidRef, Target

LONGEST_WINDOW = timedelta(days=7)
"""Actions are counted for so long; a longer window of a budget could not be kept."""
_UNKNOWN_WORD: Final = frozenset({"enum", "literal_error"})

Labels = Mapping[str, str]


def matches(policy: Policy, target: Target, labels: Labels, *, space: Labels | None = None) -> bool:
    """Say whether a workload is one of the policy's targets. Without `space`, the labels of its namespace, no cluster policy is meant."""
    targets = policy.spec.targets
    if target.kind not in targets.kinds or not selects(policy, target.namespace, space):
        return False
    if targets.names is not None:
        return target.name in targets.names
    return targets.selector is not None and _all_of(targets.selector.match_labels, labels)


def selects(policy: Policy, namespace: str, space: Labels | None) -> bool:
    """Say whether a policy is about a namespace: its own, or for a cluster policy one with all of the labels."""
    if isinstance(policy, ClusterRemediationPolicy):
        # The schema asks for a label. Should one come without any, then "all of none" must not mean every namespace.
        wanted = policy.spec.namespace_selector.match_labels
        return space is not None and bool(wanted) and _all_of(wanted, space)
    return policy.metadata.namespace == namespace


def _all_of(wanted: Labels, found: Labels) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())


def fitting(policies: Iterable[Policy], target: Target, labels: Labels, *, space: Labels | None = None) -> list[Policy]:
    """Return every policy that is about a workload, the one with the first say first."""
    return sorted((one for one in policies if matches(one, target, labels, space=space)), key=precedence)


def precedence(policy: Policy) -> tuple[bool, bool, str]:
    """Order policies: a namespace's own before the platform's, then the more specific (names before a selector), then by name."""
    return isinstance(policy, ClusterRemediationPolicy), policy.spec.targets.names is None, policy.metadata.name


def deciding(
    policies: Iterable[Policy], target: Target, labels: Labels, *, space: Labels | None = None, named: PolicyRef | None = None
) -> Policy | None:
    """Pick the one that acts: the first by precedence. A policy that cannot work is passed over.

    Where an incident names its policy, that one decides or none does: never another that nobody asked for.
    """
    asked = [one for one in policies if named is None or (one.kind, one.metadata.name) == (named.kind, named.name)]
    return next((one for one in fitting(asked, target, labels, space=space) if fault(one) is None), None)


def reference(policy: Policy) -> PolicyUidRef:
    """Return what the records keep of the policy that decided."""
    meta = policy.metadata
    return PolicyUidRef(kind=policy.kind, name=meta.name, uid=meta.uid or "", generation=meta.generation or 0)


def fault(policy: Policy) -> Refusal | None:
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
    if newer := next((one.name for one in policy.spec.notify if one.notifier is None), ""):
        return Refusal(Reason.NewerThanOperator, f"channel {newer} is of a kind that this version of Stopgap does not know")
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


def _window(policy: Policy) -> Refusal | None:
    given = policy.spec.guards
    for name, length in (("maxActions.within", given.max_actions.within), ("cooldown", given.cooldown)):
        if length > LONGEST_WINDOW:
            return Refusal(Reason.InvalidPolicy, f"guards.{name} is longer than {LONGEST_WINDOW.days} days, for which actions are counted")
    return None


def _frozen(policy: Policy) -> Refusal | None:
    trouble = freeze.fault(policy.spec.guards.freeze_windows, "guards.freezeWindows")
    return Refusal(Reason.InvalidPolicy, trouble) if trouble else None


def _times(policy: Policy) -> Refusal | None:
    verification = policy.spec.verification
    for step in policy.spec.steps:
        if step.job is not None and step.job.deadline + verification.healthy_for > verification.timeout:
            return Refusal(
                Reason.InvalidPolicy,
                f"step {step.name}: verification.timeout must have room for job.deadline and then verification.healthyFor",
            )
    if verification.healthy_for > verification.timeout:
        return Refusal(
            Reason.InvalidPolicy,
            "verification.healthyFor is longer than verification.timeout, so no action could ever succeed; make the timeout longer",
        )
    return None
