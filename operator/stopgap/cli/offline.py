"""The verbs that need no cluster: lint and simulate. Also reached as `stopgap lint` and `stopgap simulate`."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from stopgap.api import ClusterRemediationPolicy, Incident, RemediationPolicy
from stopgap.cli.linting import Finding, Grade, lint
from stopgap.cli.manifests import Document, Mistake, documents, files, spelled
from stopgap.cli.recording import Body, Recording, newest_time, unpacked
from stopgap.cli.refusals import Refused
from stopgap.cli.replay import Replay, Verdict
from stopgap.cli.session import Session
from stopgap.cli.verbs import verb
from stopgap.cli.verdicts import as_data, shown
from stopgap.model import duration
from stopgap.model.time import in_utc

POLICIES: Final = (RemediationPolicy.__name__, ClusterRemediationPolicy.__name__)
File = Annotated[list[str], typer.Option("-f", "--filename", help="a file, a folder, or - for standard input; repeatable")]


@verb
def lint_(
    session: Session,
    *,
    filename: File,
    strict: Annotated[bool, typer.Option("--strict", help="fail for warnings too")] = False,
) -> int:
    """Check manifests without a cluster: fields, rules, references, cron, and dangerous combinations. Exit status 1: something is wrong."""
    found = sorted(_linted(filename), key=lambda one: one[:2])
    if session.asks_for_data():
        session.data([_data(*one) for one in found])
    else:
        for file, line, one in found:
            where = f"{spelled(one.path)}: " if one.path else ""
            session.say(f"{file}:{line}: {one.grade}: {where}{one.message}\n")
        grades = [one.grade for _, _, one in found]
        errors, warnings = grades.count(Grade.ERROR), grades.count(Grade.WARNING)
        session.say(f"{errors} errors, {warnings} warnings\n" if found else "nothing is wrong\n")
    bad = {Grade.ERROR, Grade.WARNING} if strict else {Grade.ERROR}
    return int(any(one.grade in bad for _, _, one in found))


def _data(file: str, line: int, one: Finding) -> dict[str, Any]:
    return {"file": file, "line": line, "grade": str(one.grade), "path": spelled(one.path), "message": one.message}


def _linted(given: list[str]) -> Iterator[tuple[str, int, Finding]]:
    read: list[Document] = []
    for file, text in files(given):
        for document in documents(file, text):
            if isinstance(document, Mistake):
                yield file, document.line, Finding(Grade.ERROR, (), document.message)
                continue
            read.append(document)
            for one in lint(document):
                yield file, document.line(one.path), one
    yield from _loose_references(read)


def _loose_references(read: list[Document]) -> Iterator[tuple[str, int, Finding]]:
    """Find Incidents that name a policy which is not among the files, where policies are."""
    bodies = [one.body for one in read if isinstance(one.body, dict)]
    names = {(one.get("kind"), (one.get("metadata") or {}).get("name")) for one in bodies if one.get("kind") in POLICIES}
    for one in read:
        if not names or not isinstance(one.body, dict) or one.body.get("kind") != Incident.__name__:
            continue
        ref = (one.body.get("spec") or {}).get("policyRef")
        if isinstance(ref, dict) and (ref.get("kind", POLICIES[0]), ref.get("name")) not in names:
            path = ("spec", "policyRef")
            yield one.file, one.line(path), Finding(Grade.WARNING, path, f"there is no policy {ref.get('name')} among these files")


@verb
def simulate(
    session: Session,
    *,
    filename: File,
    objects: Annotated[list[str], typer.Option("--objects", help="recorded objects: kubectl get … -o json or yaml; repeatable")],
    at: Annotated[str, typer.Option(help="the moment that is meant, as 2026-11-23T10:02:00Z (default: the latest in the objects)")] = "",
    held_for: Annotated[str, typer.Option("--for", help="everything has been so for this long, such as 2m")] = "0s",
) -> int:
    """Say what policies would do about recorded objects: the operator's own decision, offline. Exit status 3: nothing would be done."""
    policies = [_placed(session, one) for one in _read(filename) if one.get("kind") in POLICIES]
    if not policies:
        raise Refused("there is no policy in these files", 2)
    if wrong := [one for one in _linted(filename) if one[2].grade is Grade.ERROR]:
        file, line, found = wrong[0]
        raise Refused(f"{file}:{line}: {spelled(found.path)}: {found.message} (kubectl stopgap lint tells all)", 2)
    recorded = [one for one in _read(objects) if one.get("kind") not in POLICIES]
    now = in_utc(datetime.fromisoformat(at)) if at else newest_time(recorded)
    if now is None:
        raise Refused("the objects hold no time; say which moment is meant with --at", 2)
    verdicts = asyncio.run(simulated([*recorded, *policies], now, duration.parse(held_for)))
    if session.asks_for_data():
        session.data([as_data(one) for one in verdicts])
    else:
        session.say(f"As of {now:%Y-%m-%d %H:%M:%S} UTC, seen for the first time:\n\n")
        for one in verdicts:
            session.show(shown(one))
        if not verdicts:
            session.say("No recorded workload is a target of these policies.\n")
    return 0 if any(one.decision.intent for one in verdicts) else 3


async def simulated(bodies: list[Body], now: datetime, held_for: timedelta = timedelta(0)) -> list[Verdict]:
    """Decide about every recorded workload that a policy is about."""
    replay = Replay(Recording(bodies), now, held_for)
    return await replay.verdicts(replay.targets())


def _read(given: list[str]) -> list[Body]:
    found: list[Any] = []
    for file, text in files(given):
        for one in documents(file, text):
            if isinstance(one, Mistake):
                raise Refused(f"{file}:{one.line}: {one.message}", 2)
            found.append(one.body)
    return list(unpacked(found))


def _placed(session: Session, policy: Body) -> Body:
    """Give a policy of a file what the API server would: a namespace, a UID and a generation."""
    meta = {"uid": f"simulated-{policy['metadata']['name']}", "generation": 1, "resourceVersion": "1", **policy["metadata"]}
    if policy["kind"] == RemediationPolicy.__name__:
        meta["namespace"] = meta.get("namespace") or session.namespace
    return {**policy, "metadata": meta}
