"""`rollback`: put the template of the last healthy revision back."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field

from stopgap.model.base import ApiModel, Permission
from stopgap.model.change import Aim, Good, Known, Plan
from stopgap.model.change import Field as Written
from stopgap.model.duration import Duration
from stopgap.model.observation import Observation, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.workload import Revision


class Rollback(ApiModel):
    """Put the pod template of the last healthy revision back, in one guarded write.

    Only the template: replicas, ConfigMaps, Secrets, databases and traffic are not rolled back with it. In a StatefulSet whose pods wait
    for each other (OrderedReady) that alone replaces no pod that is not ready, so that those of the bad revision are then deleted, one at a
    time: what such a pod keeps outside of its volumes is lost.
    """

    name: ClassVar[str] = "rollback"
    rolls_pods: ClassVar[bool] = True
    outside: ClassVar[bool] = False
    undoes: ClassVar[bool] = True
    rules: ClassVar[tuple[Permission, ...]] = (
        Permission(
            "apps", ("deployments", "statefulsets", "daemonsets"), ("patch",), "write the older template, and give the written fields back"
        ),
        Permission("", ("pods",), ("get", "delete"), "delete a pod of the bad revision that the others of its StatefulSet wait for"),
    )

    min_healthy_for: Duration = timedelta(minutes=5)
    """How long a revision must have been healthy to be worth going back to."""
    max_revisions_back: Annotated[int, Field(ge=1, le=100)] = 5
    """How far back to look. Older revisions are further from the data and the neighbours that they once fitted."""

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:
        """Name the ReplicaSet to go back to, from what the index and the record know."""
        newest = seen.newest
        if newest is None:
            return Refusal(
                Reason.RolloutInProgress,
                "its controller has not made a revision of the present template yet",
            )
        healthy = {one.replica_set for one in known.good if one.digest not in known.denied and one.healthy_for >= self.min_healthy_for}
        older = [one for one in seen.revisions if one.uid != newest.uid and one.number < newest.number][: self.max_revisions_back]
        found = next((one for one in older if one.uid in healthy), None)
        if found is None:
            return Refusal(Reason.NoHealthyRevision, self._why_none(older, known))
        return Aim(f"roll back {newest.number} → {found.number}", back_to=found)

    def _why_none(self, older: list[Revision], known: Known) -> str:
        if not older:
            return "there is no older revision (first release, or revisionHistoryLimit removed it); fix forward"
        remembered = {one.replica_set: one for one in known.good}
        listed = ", ".join(f"{one.number} {_standing(remembered.get(one.uid), known.denied, self.min_healthy_for)}" for one in older[:5])
        return f"none of the last {len(older)} older revisions is known to have been healthy: {listed}"

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:
        """Describe the end state: the template with this digest, of this ReplicaSet."""
        newest, back_to, template = seen.newest, aim.back_to, seen.template
        if newest is None or back_to is None or template is None or seen.live is None:
            raise ValueError(f"a rollback of {seen.target} is planned without its newest revision or the live reads")
        older = seen.live.templates.get(back_to.uid)
        if older is None:
            return Refusal(Reason.NoHealthyRevision, f"{back_to.name} (revision {back_to.number}) is gone; fix forward")
        return Plan(
            action="Rollback",
            summary=aim.summary,
            field=Written.TEMPLATE,
            from_revision=newest.number,
            to_revision=back_to.number,
            from_digest=template.digest,
            to_digest=older.digest,
            replica_set=back_to.uid,
            replica_set_name=back_to.name,
        )


def _standing(good: Good | None, denied: frozenset[str], least: timedelta) -> str:
    if good is None:
        return "(never seen healthy)"
    if good.digest in denied:
        return "(denied)"
    return "(not healthy for long enough)" if good.healthy_for < least else "(healthy once)"
