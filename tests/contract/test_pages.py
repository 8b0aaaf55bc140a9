"""What the pages in docs/ say can be done: their policies are right, and their commands exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from stopgap.cli.linting import lint
from stopgap.cli.main import app
from stopgap.cli.manifests import Document, documents

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLUGIN = re.compile(r"kubectl stopgap ([a-z]+)((?: +(?!kubectl\b)(?:\"[^\"]*\"|[^\s`|#·;&\"]+))*)")

BLOCKS = [
    pytest.param(documented, id=f"{page.name}, line {page.read_text()[: found.start()].count(chr(10)) + 1}")
    for page in PAGES
    for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    for documented in documents(page.name, found[1])
]


def test_the_library_has_what_the_page_promises() -> None:
    assert len([one for one in BLOCKS if str(one.id).startswith("policies.md")]) >= 4


@pytest.mark.parametrize("documented", BLOCKS)
def test_a_manifest_on_a_page_is_right_without_a_warning(documented: Document) -> None:
    assert isinstance(documented, Document)
    assert [f"{one.grade}: {one.message}" for one in lint(documented)] == []


def verbs() -> dict[str, Any]:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # an app of several verbs is a group
    return commands


COMMANDS = sorted({found[0] for page in PAGES for found in PLUGIN.finditer(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_page_is_one_that_the_plugin_has(command: str) -> None:
    _, _, name, *words = shlex.split(command)
    verb = verbs().get(name)
    assert verb is not None
    options = {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options | {"-h"}


def test_every_verb_is_named_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in verbs() if not re.search(rf"[` ]{name}\b", text)] == []


def test_the_samples_pass_the_linter_that_users_have() -> None:
    command = [sys.executable, "-m", "stopgap", "lint", "--strict", "-f", str(ROOT / "manifests" / "samples")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "nothing is wrong\n"), ran.stdout + ran.stderr
