"""What the plugin prints of incidents that really happened (`make docs` records them), as files. `GOLDEN=write` renews those."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Group
from rich.text import Text
from typer.testing import CliRunner

from stopgap.api import Incident, Remediation
from stopgap.cli import tables
from stopgap.cli.main import app
from stopgap.cli.printing import Paper
from stopgap.cli.reading import outcome
from stopgap.cli.recording import Body, newest_time, unpacked
from stopgap.cli.tree import next_steps, tree

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
RECORDED = sorted(GOLDEN.glob("*.json"))
WIDE, NARROW = Paper(), Paper(80)


def objects(file: Path) -> list[Body]:
    return list(unpacked([json.loads(file.read_text(encoding="utf-8"))]))


def read(bodies: list[Body]) -> tuple[Incident, list[Remediation], datetime]:
    (incident,) = (Incident.model_validate(one) for one in bodies if one["kind"] == "Incident")
    now = newest_time(bodies)
    assert now is not None
    return incident, [Remediation.model_validate(one) for one in bodies if one["kind"] == "Remediation"], now


def compare(name: str, text: str) -> None:
    """Hold a text against its file."""
    file = GOLDEN / name
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text


def test_what_happened_is_recorded() -> None:
    assert {one.stem for one in RECORDED} >= {"resolved", "observed", "waiting", "escalated"}


@pytest.mark.parametrize("paper", [pytest.param(WIDE, id="wide"), pytest.param(NARROW, id="80")])
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_an_incident_is_shown_as_it_was(file: Path, paper: Paper) -> None:
    incident, remediations, now = read(objects(file))
    steps = [Text(f"  {one}") for one in next_steps(incident, remediations)]
    shown = Group(tree(incident, remediations, now), Text(), *steps, Text(), tables.timeline(incident, now))
    text = paper.text(shown)
    assert paper is WIDE or all(len(line) <= 80 for line in text.splitlines())
    compare(f"{file.stem}.{'wide' if paper is WIDE else '80'}.txt", text)


@pytest.mark.parametrize(
    ("name", "paper", "wide"),
    [pytest.param("list.txt", WIDE, False), pytest.param("list.wide.txt", WIDE, True), ("list.80.txt", NARROW, False)],
)
def test_incidents_are_listed_the_worst_first(name: str, paper: Paper, wide: bool) -> None:  # noqa: FBT001 - a table's column
    found = [read(objects(file)) for file in RECORDED]
    now = max(one[2] for one in found)
    ordered = tables.by_severity(one[0] for one in found)
    text = paper.text(tables.incidents(ordered, now, namespaces=True, wide=wide, width=paper.width))
    assert paper is WIDE or all(len(line) <= 80 for line in text.splitlines())
    compare(name, text)


def test_a_script_learns_how_each_stands() -> None:
    stands = {file.stem: outcome(read(objects(file))[0])[0].value for file in RECORDED}
    assert stands["resolved"] == 0
    assert stands["observed"] == 3
    assert stands["waiting"] == stands["escalated"] == 4


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_a_simulation_of_what_happened_is_shown(file: Path, tmp_path: Path) -> None:
    bodies = objects(file)
    (tmp_path / "policy.yaml").write_text(json.dumps(next(one for one in bodies if one["kind"] == "RemediationPolicy")))
    ran = CliRunner().invoke(app, ["simulate", "-f", str(tmp_path / "policy.yaml"), "--objects", str(file)])
    assert ran.exit_code in {0, 3}, ran.output
    compare(f"{file.stem}.simulate.txt", ran.output)
    assert "\x1b" not in ran.output
