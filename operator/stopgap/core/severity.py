"""How severe an incident is: a person's word, then the policy's rules, then its default. It rises at once and never falls by itself."""

from stopgap.api.policy import SeverityRule
from stopgap.core.case import Case
from stopgap.core.lifecycle import Story
from stopgap.model.observation import Finding
from stopgap.model.reasons import Reason
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
    """Return the severity that counts now: a person's word, or the worst of what was written and what the rules say while something fires.

    That some pods are back for a moment makes no incident milder; that is for people to say.
    """
    if case.incident and case.incident.spec.severity:
        return case.incident.spec.severity
    known = case.status.severity
    if known is not None and all(one.state is not State.FIRING for one in findings):
        return known
    ruled = severity(case, findings)
    return min(known, ruled) if known else ruled


def graded(case: Case, story: Story, findings: tuple[Finding, ...]) -> Story:
    """Write down the severity that counts, and tell that it has changed, and by whom."""
    before, now = story.status.severity, in_force(case, findings)
    story = story.set(severity=now)
    if before is None or before is now:
        return story
    person = case.incident is not None and case.incident.spec.severity is not None
    by = "a person says so (spec.severity)" if person else "by the rules of the policy"
    return story.announce(
        Reason.SeverityChanged, f"severity {before} → {now}: {by}", warning=now < before, actor="a person" if person else "stopgap"
    )


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
