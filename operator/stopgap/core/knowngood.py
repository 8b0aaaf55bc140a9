"""Which revisions were healthy: judged from what the Deployment controller and the pods say, recorded once for each rollout."""

from datetime import datetime, timedelta

from stopgap.api.clusterpolicy import Policy
from stopgap.api.health import Denied, KnownGood, WorkloadHealthStatus
from stopgap.core.case import Case
from stopgap.model import duration
from stopgap.model.change import Good
from stopgap.model.observation import Finding, Observation
from stopgap.model.workload import Revision, State, Stint

MOST_KEPT = 10
MOST_DENIED = 20


def goods(health: WorkloadHealthStatus) -> tuple[Good, ...]:
    """Return the record in the words of the actions."""
    return tuple(Good(one.replica_set_uid, one.digest, one.healthy_for) for one in health.known_good)


def denied(case: Case) -> frozenset[str]:
    """Return the digests that are not gone back to."""
    return frozenset(one.digest for one in case.health.denied)


def needed_for(policy: Policy) -> timedelta:
    """How long a revision must be healthy to be recorded: the shortest that any step asks for."""
    wanted = [step.rollback.min_healthy_for for step in policy.spec.steps if step.rollback]
    return min(wanted, default=timedelta(minutes=5))


def healthy_since(seen: Observation) -> datetime | None:
    """Since when the newest revision is rolled out and available, as the Deployment's own conditions prove; None while it is not.

    A restart of a pod also ends the health: readiness alone would call a flapping release healthy. As many pods as the strategy lets be
    missing may be in trouble, or a workload of hundreds of pods would never be healthy.
    """
    work, newest = seen.workload, seen.newest
    if work is None or newest is None or not work.rolled_out or work.held_back or work.replicas == 0:
        return None
    if work.available_replicas < max(work.least_available, 1) or work.available is None or not work.available.holds:
        return None
    proofs = [work.available.since, work.progressing.updated if work.progressing else None, seen.current_since]
    proofs += _last_troubles(seen, newest)[work.replicas - max(work.least_available, 1) :][:1]
    known = [one for one in proofs if one is not None]
    return max(known) if known else None


def _last_troubles(seen: Observation, newest: Revision) -> list[datetime]:
    """When each pod of the newest revision was last in trouble, the latest first."""
    last: dict[str, datetime] = {}
    ends = [(one.pod_uid, one.at) for owner, one in seen.exits if owner == newest.uid]
    unready = [(pod.uid, pod.ready_since or seen.now) for pod in seen.pods_of(newest) if not pod.leaving]
    for uid, at in (*ends, *unready):
        last[uid] = max(at, last.get(uid, at))
    return sorted(last.values(), reverse=True)


def with_stints(case: Case) -> WorkloadHealthStatus:
    """Return the record with what was seen healthy before the newest revision, where that is not in it yet."""
    health = case.health
    if case.policy is None:
        return health
    for stint in case.seen.stints:
        lasted = stint.until - stint.since
        if lasted >= needed_for(case.policy) and not _recorded(health, stint.replica_set, stint.digest, stint.since):
            health = remember(health, _entry(stint, case.now))
    return health


def _entry(stint: Stint, now: datetime) -> KnownGood:
    return KnownGood(
        replica_set_uid=stint.replica_set,
        digest=stint.digest,
        revision=stint.revision,
        healthy_since=stint.since,
        recorded_at=now,
        healthy_for=min(stint.until - stint.since, duration.LONGEST),
        images=_listed(stint.images),
        image_ids=_listed(stint.image_ids),
    )


def _listed(images: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={image}"[:300] for name, image in sorted(images.items()))[:20]


def with_newest(case: Case, health: WorkloadHealthStatus, findings: tuple[Finding, ...]) -> WorkloadHealthStatus:
    """Return the record with the newest revision in it, once it has been healthy for long enough."""
    seen, newest, template = case.seen, case.seen.newest, case.seen.template
    since = healthy_since(seen)
    if newest is None or template is None or since is None or case.policy is None or not seen.changed_under_watch:
        return health
    if any(one.state is State.FIRING for one in findings) or seen.now - since < needed_for(case.policy):
        return health
    if _recorded(health, newest.uid, template.digest, since):
        return health
    stint = Stint(newest.uid, template.digest, newest.number, since, seen.now, template.containers, {})
    entry = _entry(stint, seen.now).model_copy(update={"unknown": tuple(one.trigger for one in findings if one.state is State.UNKNOWN)})
    return remember(health, entry)


def remember(health: WorkloadHealthStatus, entry: KnownGood) -> WorkloadHealthStatus:
    """Add one revision, newest last; being good again clears its denial."""
    others = tuple(one for one in health.known_good if one.replica_set_uid != entry.replica_set_uid)
    still = tuple(one for one in health.denied if one.digest != entry.digest)
    return health.model_copy(update={"known_good": (*others, entry)[-MOST_KEPT:], "denied": still})


def deny(health: WorkloadHealthStatus, digest: str, incident: str, reason: str, now: datetime) -> WorkloadHealthStatus:
    """Add a digest that is not gone back to. It also loses its place among the good ones only by its denial, never silently."""
    if any(one.digest == digest for one in health.denied):
        return health
    entry = Denied(digest=digest, incident=incident, reason=reason[:256], time=now)
    return health.model_copy(update={"denied": (*health.denied, entry)[-MOST_DENIED:]})


def forgive(health: WorkloadHealthStatus, digest: str) -> WorkloadHealthStatus:
    """Remove a denial: the release turned out not to be to blame."""
    return health.model_copy(update={"denied": tuple(one for one in health.denied if one.digest != digest)})


def _recorded(health: WorkloadHealthStatus, uid: str, digest: str, since: datetime) -> bool:
    # Once for each rollout: a stint that is recorded already is not written again as it grows longer.
    return any(one.replica_set_uid == uid and one.digest == digest and one.recorded_at >= since for one in health.known_good)
