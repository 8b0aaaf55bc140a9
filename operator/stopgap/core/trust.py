"""The trust record of a policy, from its incidents that are over: so that it can be shown, and never be counted twice."""

from collections.abc import Iterable

from stopgap.api.incident import IncidentStatus
from stopgap.api.policy import TrustRecord
from stopgap.api.remediation import RemediationState
from stopgap.api.revert import RevertState

_SENT = frozenset({RemediationState.SUCCEEDED, RemediationState.FAILED, RemediationState.INCONCLUSIVE, RemediationState.OUTCOME_UNKNOWN})


def of_incident(status: IncidentStatus) -> TrustRecord:
    """Return what one incident that is over adds."""
    states = [one.state for one in status.remediations if one.state in _SENT]
    meant = status.would_have is not None
    return TrustRecord(
        would_have_acted=int(meant),
        recovered_alone=int(meant and not states),
        acted=len(states),
        succeeded=states.count(RemediationState.SUCCEEDED),
        failed=len(states) - states.count(RemediationState.SUCCEEDED),
        reverted=sum(1 for one in status.remediations if one.revert == RevertState.DONE),
    )


def total(records: Iterable[TrustRecord]) -> TrustRecord:
    """Add them up."""
    sums = dict.fromkeys(TrustRecord.model_fields, 0)
    for one in records:
        for name in sums:
            sums[name] += getattr(one, name)
    return TrustRecord(**sums)
