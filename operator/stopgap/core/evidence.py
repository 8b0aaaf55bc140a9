"""What is found when an incident is looked into, in words: from the facts of its beginning and what was read. Asked by effects/inquiry.py.

Nothing here waits for anything and nothing is decided from it: an action is long on its way, or refused, when this is told.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from stopgap.api.evidence import Evidence
from stopgap.api.incident import IncidentStatus
from stopgap.core import attribution
from stopgap.core.failing import Scene, quoted, why
from stopgap.model.duration import spell
from stopgap.model.logs import LogDigest
from stopgap.model.template import Template
from stopgap.model.text import abridged
from stopgap.model.usage import Measured
from stopgap.model.workload import Revision

BEFORE: Final = timedelta(minutes=30)
"""What changed within this time before the onset is named."""
_MOST_EVENTS, _MOST_CHANGES, _MOST_NODES = 5, 8, 5
NOTHING_FAILS: Final = "no container fails by what the kubelets say: look at what the logs and the signals say"
_LOOKED_AT: Final = ("ConfigMaps", "HorizontalPodAutoscalers", "Nodes")
"""What is looked at for changes, beside the other workloads of the namespace."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A Warning event about a pod, a revision or the workload itself."""

    reason: str
    message: str
    about: str
    """As `pod/api-1`."""
    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class NodeTrouble:
    """What is wrong with a node by its own conditions."""

    node: str
    what: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Touched:
    """Something beside the workload that changed."""

    what: str
    """As `configmap/settings`."""
    how: str
    at: datetime
    by: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What containers wrote."""

    digest: LogDigest
    asked: int
    """How many containers were to be read."""
    previous: bool = False
    """Whether the processes before the present ones wrote it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read. What could not be is absent here, and `unread` says so in words."""

    at: datetime
    templates: Mapping[str, Template] = field(default_factory=dict)
    """By UID of the revision."""
    warnings: tuple[Warned, ...] = ()
    nodes: tuple[NodeTrouble, ...] = ()
    touched: tuple[Touched, ...] = ()
    logs: Written | None = None
    usage: tuple[Measured, ...] = ()
    source_revision: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Why something (`ConfigMaps`) was not read."""

    def not_read(self, what: str) -> str:
        """Say why something was not read, or nothing."""
        why_not = self.unread.get(what)
        return f"not read: {why_not}" if why_not else ""


@dataclass(frozen=True, slots=True)
class Found:
    """What is taken into the record."""

    evidence: tuple[Evidence, ...]
    images: tuple[str, ...] = ()
    source_revision: str = ""


def taken_in(status: IncidentStatus, found: Found) -> IncidentStatus:
    """Return the status with what was found, and the suspected change with what could not be told of it at first."""
    change = status.suspected_change
    if change is not None:
        more = {"images": change.images or found.images, "source_revision": found.source_revision[:256] or change.source_revision}
        change = change.model_copy(update=more)
    return status.model_copy(update={"evidence": status.evidence or found.evidence, "suspected_change": change})


def told(scene: Scene, answers: Answers) -> Found:
    """Put what was found into words, the nearest to the trouble first."""
    parts = (
        ("Container", _container(scene, answers)),
        ("Pods", "" if scene.pods else NOTHING_FAILS),
        ("Logs", _logs(answers.logs) if answers.logs else answers.not_read("Logs")),
        ("Events", _events(answers.warnings) or answers.not_read("Events")),
        ("Nodes", _nodes(scene, answers)),
        ("Rollout", _rollout(scene, answers)),
        ("Changes", _changes(scene, answers)),
        ("Usage", "; ".join(_used(answers.usage, what) for what in ("memory", "cpu")) if answers.usage else ""),
    )
    # Names and field managers are words of others too.
    evidence = tuple(Evidence(source=source, observed_at=answers.at, message=quoted(message, 1024)) for source, message in parts if message)
    return Found(evidence, _images(scene, answers), answers.source_revision)


def _images(scene: Scene, answers: Answers) -> tuple[str, ...]:
    revision = scene.revision
    before = next((one for one in scene.revisions if revision and one.number < revision.number), None)
    if revision is None or before is None:
        return ()
    return tuple(attribution.image_changes(answers.templates.get(before.uid), answers.templates.get(revision.uid)))[:20]


def _container(scene: Scene, answers: Answers) -> str:
    if not scene.pods:
        return ""
    template = answers.templates.get(scene.pods[0].owner)
    foreign = template is not None and scene.container not in template.containers
    pods, first = scene.pods, scene.pods[0]
    of = next((one for one in scene.revisions if one.uid == first.owner), None)
    there = max(of.replicas, len(pods)) if of else len(pods)
    where = f" of revision {of.number}" if of else ""
    ill = next(one for one in first.containers if one.name == scene.container)
    kind = "init container" if ill.init else ("injected container" if foreign else "container")
    probes = [one.message for one in answers.warnings if one.reason == "Unhealthy" and one.about == f"pod/{first.name}"]
    probe = f"; {quoted(probes[-1], 200)}" if probes else ""
    return f"{kind} {scene.container}{where} fails in {len(pods)} of {there} pods, such as {first.name}: {why(ill)}{probe}"


def _events(warnings: Iterable[Warned]) -> str:
    by_reason: dict[str, list[Warned]] = {}
    for one in warnings:
        by_reason.setdefault(one.reason, []).append(one)
    folded = sorted(by_reason.values(), key=lambda group: -sum(one.count for one in group))
    return "; ".join(_folded(group) for group in folded[:_MOST_EVENTS])


def _folded(group: list[Warned]) -> str:
    last = max(group, key=lambda one: one.last)
    times = sum(one.count for one in group)
    return f"{last.reason} {times} times (last {last.last:%H:%M:%S}, {last.about}): '{quoted(last.message, 160)}'"


def _nodes(scene: Scene, answers: Answers) -> str:
    spread = Counter(pod.node for pod in scene.pods if pod.node)
    if not spread:
        return ""
    named = ", ".join(f"{node} ({count})" for node, count in spread.most_common(_MOST_NODES))
    pods = sum(spread.values())
    if pods == 1:
        text = f"the failing pod is on node {next(iter(spread))}"
    elif len(spread) == 1:
        text = f"all {pods} failing pods are on node {next(iter(spread))}"
    else:
        text = f"{pods} failing pods on {len(spread)} nodes: {named}"
    wrong = [f"{one.node}: {one.what}{f' since {one.since:%H:%M:%S}' if one.since else ''}" for one in answers.nodes]
    return f"{text}; {'; '.join(wrong)}" if wrong else text


def _rollout(scene: Scene, answers: Answers) -> str:
    return " | ".join(_revision(scene, answers, one) for one in scene.revisions if one.uid in answers.templates or one is scene.revision)


def _revision(scene: Scene, answers: Answers, one: Revision) -> str:
    template = answers.templates.get(one.uid)
    images = ", ".join(f"{name}={image}" for name, image in template.containers.items()) if template else "images not read"
    return f"{one.number}: {abridged(images, 100)}; {', '.join(_marks(scene, one, template))}"


def _marks(scene: Scene, one: Revision, template: Template | None) -> Iterator[str]:
    since = scene.status.suspected_change.changed_at if scene.status.suspected_change else None
    if one is scene.revision:
        yield f"current at onset{f' since {since:%Y-%m-%d %H:%M:%S}' if since else ''}"
    else:
        yield f"made {one.created:%Y-%m-%d %H:%M:%S}"
    health = scene.case.health
    good = next((known for known in health.known_good if known.replica_set_uid == one.uid), None)
    if good:
        yield f"healthy for {spell(timedelta(seconds=round(good.healthy_for.total_seconds())))} by {good.recorded_at:%Y-%m-%d %H:%M:%S}"
    elif any(stint.replica_set == one.uid for stint in scene.case.seen.stints):
        yield "was healthy"
    denied = next((known for known in health.denied if template and known.digest == template.digest), None)
    if denied:
        yield f"denied ({denied.incident or 'by a person'})"


def _changes(scene: Scene, answers: Answers) -> str:
    """Name what else changed shortly before the onset, the latest first; that nothing did is worth as much."""
    near = [one for one in answers.touched if scene.onset - BEFORE <= one.at <= scene.onset + attribution.CLOCK_GRAIN]
    near.sort(key=lambda one: one.at, reverse=True)
    missing = [f"{what}, {answers.unread[what]}" for what in _LOOKED_AT if what in answers.unread]
    unread = f" (not looked at: {'; '.join(missing)})" if missing else ""
    when = f"in the {spell(BEFORE)} before it began at {scene.onset:%H:%M:%S}"
    if not near:
        return f"nothing else that is looked at changed {when}{unread}"
    more = f"; and {len(near) - _MOST_CHANGES} more" if len(near) > _MOST_CHANGES else ""
    named = "; ".join(_touched(scene, one) for one in near[:_MOST_CHANGES])
    return f"shortly before it began at {scene.onset:%H:%M:%S}: {named}{more}{unread}"


def _touched(scene: Scene, one: Touched) -> str:
    ahead = timedelta(seconds=max(round((scene.onset - one.at).total_seconds()), 0))
    return f"{one.what} {one.how} {spell(ahead)} before{f', by {one.by}' if one.by else ''}"


def _logs(written: Written) -> str:
    digest = written.digest
    if not digest.containers:
        why_not = digest.missed or "their pods are gone, or wrote none"
        return f"no log of {_containers(written.asked)} could be read: {why_not}"
    run = "the run before of " if written.previous else ""
    shapes = "; ".join(f"({count}) '{shape}'" for shape, count in digest.shapes[1:3])
    rest = f"; then {shapes}" if shapes else ""
    missed = f"; {digest.missed}" if digest.missed else ""
    return f"{digest.matching} of {digest.lines} lines of {run}{_containers(digest.containers)}; {digest.most_frequent()}{rest}{missed}"


def _containers(number: int) -> str:
    return "1 container" if number == 1 else f"{number} containers"


def _used(measured: tuple[Measured, ...], what: str) -> str:
    """Say how near the container that is nearest to its limit is to it, or how much the largest uses."""
    limited = [one for one in measured if one.limits.get(what) and what in one.used]
    if limited:
        worst = max(limited, key=lambda one: one.used[what] / one.limits[what])
        share = worst.used[what] / worst.limits[what]
        of = f" of its limit of {_amount(what, worst.limits[what])} ({share:.0%})"
    else:
        worst, of = max(measured, key=lambda one: one.used.get(what, 0)), ", without a limit"
    return f"{what} at most {_amount(what, worst.used.get(what, 0))}{of}, in {worst.pod}/{worst.container}"


def _amount(what: str, figure: float) -> str:
    return f"{figure / 2**20:.0f} MiB" if what == "memory" else f"{figure:.2f} cores"
