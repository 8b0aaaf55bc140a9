"""Where the plugin starts: `kubectl-stopgap`, its completion, and the two offline verbs of `stopgap`."""

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import typer.main

from stopgap.api import Incident
from stopgap.cli import checking, enabling, explaining, offline, pausing, reading, reviewing, saying
from stopgap.cli.refusals import Refused
from stopgap.cli.session import Session
from stopgap.cli.verbs import app
from stopgap.effects.connection import NoConnection
from stopgap.effects.errors import KubeError

__all__ = ["VERBS", "app", "candidates", "complete", "main"]

VERBS: Final = (reading, saying, pausing, explaining, reviewing, offline, enabling, checking)
"""Importing them registers their verbs."""
NO_FILES: Final = ":4"
"""What cobra, by which kubectl asks, calls: nothing else may follow, file names neither."""
FILES: Final = ":0"


def main(arguments: Sequence[str] | None = None, *, program: str = "kubectl stopgap") -> None:
    """Run one verb."""
    app(args=list(arguments) if arguments is not None else None, prog_name=program)


def complete(arguments: Sequence[str] | None = None) -> None:
    """Answer kubectl's question what may follow: one candidate a line, and whether files may follow too."""
    words = list(arguments if arguments is not None else sys.argv[1:]) or [""]
    for one in candidates(words):
        print(one)  # noqa: T201 - this is what is asked for
    print(FILES if len(words) > 1 and words[-2] in {"-f", "--filename", "--objects", "--kubeconfig"} else NO_FILES)  # noqa: T201


def candidates(words: Sequence[str]) -> Iterator[str]:
    """Yield what may stand in the place of the last word, each with what it means behind a tab."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # an app of several verbs is a group
    *before, begun = words
    verb = next((commands[word] for word in before if word in commands), None)
    if verb is None:
        found = [(name, one.get_short_help_str(80)) for name, one in commands.items()]
    elif begun.startswith("-"):
        found = [(option, parameter.help or "") for parameter in verb.params for option in parameter.opts if option.startswith("--")]
    else:
        found = _incidents(before) if any(one.name == "name" and one.param_type_name == "argument" for one in verb.params) else []
    yield from (f"{name}\t{words}".rstrip() for name, words in found if name.startswith(begun))


def _incidents(before: Sequence[str]) -> list[tuple[str, str]]:
    """Return the open incidents; none where the cluster does not answer, for a shell that completes has no use for a reason."""
    given = {flag: value for flag, value in pairwise(before) if flag.startswith("-")}
    namespace = given.get("-n") or given.get("--namespace")
    session = Session(given.get("--kubeconfig"), given.get("--context"), namespace)
    try:
        bodies = session.run(lambda desk: desk.owns(Incident, session.scope, reading.OPEN_ONLY))
    except (KubeError, NoConnection, Refused, ValueError):
        return []
    return [(one["metadata"]["name"], one["spec"]["title"]) for one in bodies]
