"""`rollback`: put the template of the last healthy revision back."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from stopgap.model.base import ApiModel, Permission
from stopgap.model.change import Plan
from stopgap.model.duration import Duration
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.workload import Revision


@dataclass(frozen=True, slots=True)
class Good:
    """A revision that was known to be healthy, as WorkloadHealth remembers it."""

    replica_set: str
    digest: str
    healthy_for: timedelta


class Rollback(ApiModel):
    """Put the pod template of the last healthy revision back, in one guarded write.

    Only the template: replicas, ConfigMaps, Secrets, databases and traffic are not rolled back with it.
    """

    name: ClassVar[str] = "rollback"
    rules: ClassVar[tuple[Permission, ...]] = (
        Permission("apps", ("deployments",), ("patch",), "write the older template, and give the written fields back"),
    )

    min_healthy_for: Duration = timedelta(minutes=5)
    """How long a revision must have been healthy to be worth going back to."""
    max_revisions_back: Annotated[int, Field(ge=1, le=100)] = 5
    """How far back to look. Older revisions are further from the data and the neighbours that they once fitted."""

    def wants(self, seen: Observation, good: tuple[Good, ...], denied: frozenset[str]) -> Revision | Refusal:
        """Name the ReplicaSet to go back to, from what the index and the record know."""
        newest = seen.newest
        if newest is None:
            return Refusal(
                Reason.RolloutInProgress,
                "the Deployment controller has not made a ReplicaSet for the present template yet",
            )
        known = {one.replica_set: one for one in good if one.digest not in denied and one.healthy_for >= self.min_healthy_for}
        older = [one for one in seen.revisions if one.uid != newest.uid and one.number < newest.number][: self.max_revisions_back]
        found = next((one for one in older if one.uid in known), None)
        return found or Refusal(Reason.NoHealthyRevision, self._why_none(older, good, denied))

    def _why_none(self, older: list[Revision], good: tuple[Good, ...], denied: frozenset[str]) -> str:
        if not older:
            return "there is no older revision (first release, or revisionHistoryLimit removed it); fix forward"
        remembered = {one.replica_set: one for one in good}
        listed = ", ".join(f"{one.number} {_standing(remembered.get(one.uid), denied, self.min_healthy_for)}" for one in older[:5])
        return f"none of the last {len(older)} older revisions is known to have been healthy: {listed}"

    def plan(self, seen: Observation, back_to: Revision, digest: str) -> Plan:
        """Describe the end state: the template with this digest, of this ReplicaSet."""
        newest, work = seen.newest, seen.workload
        if newest is None or work is None or seen.live is None:
            raise ValueError(f"a rollback of {seen.target} is planned without its newest revision or the live reads")
        return Plan(
            action="Rollback",
            summary=f"roll back {newest.number} → {back_to.number}",
            from_revision=newest.number,
            to_revision=back_to.number,
            from_digest=digest,
            to_digest=seen.live.templates[back_to.uid].digest,
            replica_set=back_to.uid,
            replica_set_name=back_to.name,
        )


def _standing(good: Good | None, denied: frozenset[str], least: timedelta) -> str:
    if good is None:
        return "(never seen healthy)"
    if good.digest in denied:
        return "(denied)"
    return "(not healthy for long enough)" if good.healthy_for < least else "(healthy once)"
