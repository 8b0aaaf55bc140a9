"""What is remembered about a workload from now on: healthy and denied revisions, charged actions, its last incident."""

from stopgap.api import Incident, Remediation
from stopgap.api.health import LastAction, Silence, WorkloadHealthStatus
from stopgap.api.incident import Closing
from stopgap.api.ladder import Source
from stopgap.core import knowngood
from stopgap.core.case import Case
from stopgap.model.observation import Finding
from stopgap.model.refs import ObjectRef
from stopgap.model.workload import State

MOST_DIGITS = 9


def remembered(case: Case, found: tuple[Finding, ...]) -> WorkloadHealthStatus | None:
    """Return what is remembered from now on, or None where nothing new is."""
    health = knowngood.with_newest(case, knowngood.with_stints(case), found)
    for one in case.acts():
        health = _charged(case, health, one)
    template = case.seen.template
    if health.silence and (all_quiet(found) or template is None or health.silence.digest != template.digest):
        health = health.model_copy(update={"silence": None})
    if case.incident is not None:
        ref = ObjectRef(name=case.incident.metadata.name, uid=case.incident.metadata.uid or "")
        number = max(health.incidents, _number(case.incident))
        health = health.model_copy(update={"open_incident_ref": ref, "incidents": number})
    return health if health != case.health else None


def all_quiet(found: tuple[Finding, ...]) -> bool:
    """Whether every signal is known to be quiet."""
    return bool(found) and all(one.state is State.QUIET for one in found)


def _number(incident: Incident) -> int:
    """The number in the name that Stopgap gave, 0 for an incident of a person."""
    number = incident.metadata.name.rpartition("-")[2]
    # A person may have written such an incident, with any number: one of more digits is none of ours.
    ours = incident.spec.source.type is Source.WORKLOAD and number.isdigit() and len(number) <= MOST_DIGITS
    return int(number) if ours else 0


def _charged(case: Case, health: WorkloadHealthStatus, one: Remediation) -> WorkloadHealthStatus:
    if one.status is None or one.status.executed_at is None:
        return health
    if all(known.remediation != one.metadata.uid for known in health.last_actions):
        charge = LastAction(remediation=one.metadata.uid or "", policy_uid=one.spec.policy_ref.uid, at=one.status.executed_at)
        health = health.model_copy(update={"last_actions": (*health.last_actions, charge)[-50:]})
        if one.spec.action != "Rollback":
            return health
        # Denied from the moment it was left; only here, so that a later pardon is not taken back.
        health = knowngood.deny(health, one.spec.plan.from_digest, one.spec.incident_ref.name, one.spec.plan.summary, case.now)
    return health


def silenced(case: Case, found: tuple[Finding, ...]) -> WorkloadHealthStatus:
    """Return the memory after a person closed the incident: what still fires on the same template does not open another."""
    health = remembered(case, found) or case.health
    if case.incident and case.incident.spec.resolution is Closing.FALSE_ALARM:
        for one in case.of_incident():
            health = knowngood.forgive(health, one.spec.plan.from_digest)
    if all_quiet(found):
        # There is nothing to silence, and nobody would look again to lift it before the next trouble.
        return health
    digest = case.seen.template.digest if case.seen.template else ""
    name = case.incident.metadata.name if case.incident else ""
    return health.model_copy(update={"silence": Silence(digest=digest, incident=name)})
