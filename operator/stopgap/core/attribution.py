"""Is the newest revision to blame? Only then is undoing it a remedy; everything else is a cause class that stops every step."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from stopgap.api.evidence import SuspectedChange
from stopgap.api.ladder import Source
from stopgap.core import knowngood
from stopgap.core.case import Case
from stopgap.model.duration import spell
from stopgap.model.observation import Finding, Refusal
from stopgap.model.reasons import Reason
from stopgap.model.template import Template
from stopgap.model.workload import Revision, State

SAME_ONSET = timedelta(minutes=1)
NEIGHBOURS_THAT_SHARE = 2
CLOCK_GRAIN = timedelta(seconds=5)
"""Times in container statuses are whole seconds of a node's clock; a difference below this says nothing about what came first."""


def onset(findings: tuple[Finding, ...]) -> datetime | None:
    """Return when the trouble began: the earliest of the firing findings."""
    return min((one.since for one in findings if one.state is State.FIRING and one.since), default=None)


def ill_since(case: Case, findings: tuple[Finding, ...]) -> datetime | None:
    """Return since when the workload is ill, as far as that is known: for those who look at many. None: it is not."""
    if all(one.state is not State.FIRING for one in findings):
        return None
    return onset(findings) or case.status.detected_at or case.now


def _blind(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return what fires, if none of it says in which revision's pods the trouble is: metrics and probes see the workload as a whole."""
    fired = tuple(one for one in findings if one.state is State.FIRING)
    return fired if all(not one.revision for one in fired) else ()


def _began(case: Case, findings: tuple[Finding, ...]) -> datetime | None:
    """Return the onset; of what nobody can date again, such as a metric after a restart, the one that was written down."""
    stored = {one.trigger: one.since for one in case.status.findings if one.fired and one.state is not State.QUIET and one.since}
    known = [stored[one.trigger] for one in _blind(findings) if one.trigger in stored]
    return min([*known, *([began] if (began := onset(findings)) else [])], default=None)


def suspected_change(case: Case) -> SuspectedChange | None:
    """Describe what changed with the newest revision, as far as index and live reads tell."""
    seen, newest, work = case.seen, case.seen.newest, case.seen.workload
    if newest is None or work is None or len(seen.revisions) < 2:  # noqa: PLR2004 - the first release is no change
        return None
    previous = next((one for one in seen.revisions if one.uid != newest.uid), None)
    before = seen.live.templates.get(previous.uid) if seen.live and previous else None
    return SuspectedChange(
        revision=newest.number,
        previous_revision=previous.number if previous else 0,
        changed_at=seen.current_since,
        images=tuple(image_changes(before, seen.template))[:20],
        by=work.changed_by[:128],
        cause=work.annotations.get("kubernetes.io/change-cause", "")[:256],
    )


def image_changes(before: Template | None, after: Template | None) -> Iterator[str]:
    """Yield the old and the new image of each container that changed."""
    if before is None or after is None:
        return
    for name, image in after.containers.items():
        old = before.containers.get(name)
        if old != image:
            yield f"{name}: {old or '(new container)'} → {image}"[:600]


def cause(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None, *, undoes: bool) -> Refusal | None:
    """Return the cause that the action cannot cure. For one that undoes a release: why the newest revision is not to blame, too.

    What everything on a node, in a quota or behind a registry shares is cured by no step; who is to blame matters only for going back.
    """
    return next((refusal for judge in (_CAUSES if undoes else _SHARED) if (refusal := judge(case, findings, changed_within))), None)


def _from_the_finding(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    blamed = next((one for one in findings if one.state is State.FIRING and one.cause), None)
    return Refusal(blamed.cause, blamed.message) if blamed and blamed.cause else None


def _quota(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    work, newest = case.seen.workload, case.seen.newest
    flags = (work.replica_failure if work else None, newest.replica_failure if newest else None)
    failure = next((flag for flag in flags if flag and flag.holds and "quota" in flag.message.lower()), None)
    if failure is None:
        return None
    return Refusal(Reason.QuotaExceeded, f"pods cannot be created: {failure.message[:400]}; raise the quota or free some of it")


def _unschedulable(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    newest = case.seen.newest
    if newest is None or any(one.state is State.FIRING and one.type not in {Reason.RolloutStuck, Reason.Unavailable} for one in findings):
        return None
    waiting = [pod for pod in case.seen.pods_of(newest) if pod.unschedulable and not pod.leaving]
    if not waiting:
        return None
    return Refusal(
        Reason.Unschedulable,
        f"{len(waiting)} pods find no node, such as {waiting[0].name}: {waiting[0].unschedulable[:400]}",
    )


def _rolling(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    """Every rolling update takes away what its strategy allows: fewer replicas alone are then no proof against the release."""
    work = case.seen.workload
    fired = {one.type for one in findings if one.state is State.FIRING}
    if work is None or work.rolled_out or fired != {Reason.Unavailable}:
        return None
    progress = work.progressing
    if work.available_replicas < max(work.least_available, 1) or progress is None or progress.holds is not True:
        return None
    return Refusal(
        Reason.NotAttributable,
        f"a rollout is under way and {work.available_replicas} of {work.replicas} replicas are available, as its strategy allows; "
        "nothing else speaks against the release so far",
    )


def _not_serving(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    """Before its first pod is ready, nothing that answers is of the newest revision. If none ever is, other signals say so."""
    newest = case.seen.newest
    if newest is None or newest.ready > 0 or not _blind(findings):
        return None
    return Refusal(
        Reason.RolloutInProgress,
        f"no pod of revision {newest.number} is ready yet, so it is not what answers (or fails to); it is judged when one is",
    )


def _only_annotations(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    seen = case.seen
    previous = next((one for one in seen.revisions if seen.newest and one.uid != seen.newest.uid), None)
    before = seen.live.templates.get(previous.uid) if seen.live and previous else None
    if before is None or seen.template is None or not seen.template.differs_only_in_annotations(before):
        return None
    return Refusal(
        Reason.ConfigOnlyChange,
        "the newest revision differs from the one before in annotations only (a restart, or changed configuration); "
        "look at the ConfigMaps and Secrets it reads",
    )


def _returned(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    template, newest = case.seen.template, case.seen.newest
    if template is None or newest is None:
        return None
    if any(template.digest in one.put_there for one in case.remediations):
        return Refusal(Reason.NotAttributable, f"revision {newest.number} was put back by Stopgap; the release is not the suspect")
    began = case.seen.current_since
    # A ReplicaSet older than another one was current before, though its record may already be of this time.
    reused = any(one.created > newest.created for one in case.seen.revisions)
    good = [one for one in case.health.known_good if one.digest == template.digest]
    if any(reused or (began and one.recorded_at < began) for one in good):
        return Refusal(
            Reason.NotAttributable,
            f"revision {newest.number} runs a template that was healthy before; look for what else changed",
        )
    return None


def _age(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:
    began, since = _began(case, findings), case.seen.current_since
    if began is None and (undated := _blind(findings)):
        return Refusal(
            Reason.NotAttributable,
            f"trigger {undated[0].trigger} was not seen quiet right before it fired, so whether that began with the release is not known",
        )
    if began is None:
        began = (case.incident.spec.started_at if case.incident else None) or case.now
    if since is None:
        return Refusal(Reason.NoRecentChange, "it is not known since when the newest revision is current, so it is not the suspect")
    if since - began > CLOCK_GRAIN:
        before = timedelta(seconds=round((since - began).total_seconds()))
        return Refusal(
            Reason.NotAttributable,
            f"the trouble began {spell(before)} before the newest revision became current, which may be the cure",
        )
    began = min(began, _opened_for(case, since) or began)
    if changed_within is not None and began - since > changed_within:
        lasted = timedelta(seconds=round((began - since).total_seconds()))
        return Refusal(
            Reason.NoRecentChange,
            f"the newest revision had been current for {spell(lasted)} when the trouble began; "
            f"only changes of the last {spell(changed_within)} are suspects",
        )
    return None


def _opened_for(case: Case, since: datetime) -> datetime | None:
    """When the trouble with this very template began by the open incident: what is counted in a window seems to begin ever later."""
    incident, template = case.incident, case.seen.template
    if incident is None or template is None or incident.spec.source.type is not Source.WORKLOAD or case.status.digest != template.digest:
        return None
    began = incident.spec.started_at
    return began if began is not None and since - began <= CLOCK_GRAIN else None


def _older_pods(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    older = _comparable(case)
    total = sum(one.replicas for one in older)
    ill = sum(_ill(case, one) for one in older)
    if ill * 4 <= total:
        # Older pods that are well prove that the trouble is in the newer ones', where it is known to be in pods at all.
        return None if older and not _blind(findings) else _predecessor(case) or _shared(case, findings)
    return Refusal(
        Reason.NotAttributable,
        f"{ill} of {total} pods of older revisions are ill too, so something other than the release is wrong; look at what they share",
    )


def _predecessor(case: Case) -> Refusal | None:
    """No older pods to compare with: then the revision before must have been healthy, or the trouble may be older than the release."""
    newest = case.seen.newest
    before = next((one for one in case.seen.revisions if newest and one.number < newest.number), None)
    known = {one.replica_set_uid for one in knowngood.with_stints(case).known_good}
    # Where no revision was ever healthy, there is nothing to go back to, and that is what is told.
    if newest is None or before is None or not known or before.uid in known:
        return None
    return Refusal(
        Reason.NotAttributable,
        f"no pods of older revisions tell more, and revision {before.number} before was never seen healthy, "
        f"so the trouble may be older than revision {newest.number}; look at what both need",
    )


def _comparable(case: Case) -> list[Revision]:
    """Older revisions that still run pods; where any of them was known good, only those: a bad one before proves nothing."""
    newest = case.seen.newest
    older = [one for one in case.seen.revisions if newest and one.uid != newest.uid and one.replicas > 0]
    known = {one.replica_set_uid for one in case.health.known_good}
    return [one for one in older if one.uid in known] or older


def _ill(case: Case, revision: Revision) -> int:
    troubled = sum(1 for pod in case.seen.pods_of(revision) if not pod.leaving and not pod.ready)
    return min(max(revision.replicas - revision.ready, troubled), revision.replicas)


def _shared(case: Case, findings: tuple[Finding, ...]) -> Refusal | None:
    """No older pods to compare with: then a cause that others share must be ruled out."""
    began = _began(case, findings)
    if began is None:
        return None
    others = [one for one in case.seen.neighbours if abs(one.since - began) <= SAME_ONSET]
    if len(others) >= NEIGHBOURS_THAT_SHARE:
        names = ", ".join(str(one.target) for one in others[:5])
        return Refusal(
            Reason.NotAttributable,
            f"{len(others)} other workloads fell ill at the same time ({names}); look for what they share",
        )
    return _one_node(case, findings)


def _one_node(case: Case, findings: tuple[Finding, ...]) -> Refusal | None:
    newest = case.seen.newest
    nodes = frozenset().union(*(one.nodes for one in findings if one.state is State.FIRING))
    if newest is None or len(nodes) != 1:
        return None
    troubled = sum(1 for pod in case.seen.pods_of(newest) if pod.node in nodes)
    if troubled < 2 or newest.replicas <= troubled:  # noqa: PLR2004 - one pod is always on one node
        return None
    return Refusal(
        Reason.NotAttributable,
        f"all failing pods are on node {next(iter(nodes))} and others are well; look at that node",
    )


def _no_recent_change(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:
    """A step that is meant for recent changes only."""
    return _age(case, findings, changed_within) if changed_within is not None else None


def _together(case: Case, findings: tuple[Finding, ...], changed_within: timedelta | None) -> Refusal | None:  # noqa: ARG001 - one shape for all causes
    return _shared(case, findings)


_Judge = Callable[[Case, tuple[Finding, ...], timedelta | None], Refusal | None]
_CAUSES: tuple[_Judge, ...] = (
    _from_the_finding,
    _quota,
    _unschedulable,
    _rolling,
    _not_serving,
    _only_annotations,
    _returned,
    _age,
    _older_pods,
)
_SHARED: tuple[_Judge, ...] = (_from_the_finding, _quota, _unschedulable, _no_recent_change, _together)
