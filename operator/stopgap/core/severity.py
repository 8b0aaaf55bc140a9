"""How severe an incident is: a person's word, then the policy's rules, then its default."""

from stopgap.api.policy import SeverityRule
from stopgap.core.case import Case
from stopgap.model.observation import Finding
from stopgap.model.severity import Severity
from stopgap.model.workload import State


def severity(case: Case, findings: tuple[Finding, ...]) -> Severity:
    """Return the severity by what fires now."""
    if case.incident and case.incident.spec.severity:
        return case.incident.spec.severity
    if case.policy is None:
        return Severity.P3
    rules = case.policy.spec.severity
    return next((rule.set for rule in rules.rules if _holds(rule, case, findings)), rules.default)


def in_force(case: Case, findings: tuple[Finding, ...]) -> Severity:
    """Return the severity that counts now: once nothing fires, the one that was written while something did stays."""
    if case.incident and case.incident.spec.severity:
        return case.incident.spec.severity
    if any(one.state is State.FIRING for one in findings) or case.status.severity is None:
        return severity(case, findings)
    return case.status.severity


def _holds(rule: SeverityRule, case: Case, findings: tuple[Finding, ...]) -> bool:
    firing = {one.trigger for one in findings if one.state is State.FIRING}
    if rule.triggers and not firing & set(rule.triggers):
        return False
    work = case.seen.workload
    if rule.available_below is None:
        return True
    if work is None or work.replicas == 0:
        return False
    return work.available_replicas * 100 < int(rule.available_below.rstrip("%")) * work.replicas
