"""How answers are printed: tables, trees and sentences, as wide as the terminal is, without colour where none is wanted.

What is shown was written by many: titles, log lines and labels are shown as they are, never obeyed.
"""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import yaml
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from stopgap.model.text import plain
from stopgap.model.time import in_utc

_GAP: Final = "   "
ENDLESS: Final = 10_000
"""Columns where no terminal limits them: what is piped on is never cut."""
LONGEST: Final = 4096
"""Characters shown of one text."""
COLOURS: Final = {
    "P1": "bold red",
    "P2": "red",
    "P3": "yellow",
    "Escalated": "bold red",
    "Triaged": "yellow",
    "Mitigating": "yellow",
    "Mitigated": "green",
    "Resolved": "green",
    "Reviewed": "green",
    "Firing": "red",
    "Quiet": "green",
    "Unknown": "yellow",
    "Succeeded": "green",
    "Failed": "red",
}
"""Words that are worth a colour, whatever they are about."""


@dataclass(frozen=True, slots=True)
class Paper:
    """What is printed on."""

    width: int = ENDLESS
    colour: bool = False

    def text(self, shown: RenderableType) -> str:
        """Write something as text; lines end with a newline and nothing else."""
        console = Console(
            file=io.StringIO(),
            width=self.width,
            force_terminal=self.colour,
            color_system="standard" if self.colour else None,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        with console.capture() as caught:
            console.print(shown, soft_wrap=self.width == ENDLESS and isinstance(shown, Text))
        lines = (line.rstrip() for line in caught.get().splitlines())
        return "".join(f"{line}\n" for line in lines)


def paper_of(stream: Any = None) -> Paper:
    """Return what standard output is: a terminal with its width and colours (not with NO_COLOR), or something endless and plain."""
    console = Console(file=stream or sys.stdout)
    if not console.is_terminal:
        return Paper()
    return Paper(console.width, colour=not console.no_color and console.color_system is not None)


def word(text: object) -> Text:
    """Return foreign text as one line, coloured where it is a word that deserves it."""
    shown = plain(str(text), LONGEST)
    return Text(shown, style=COLOURS.get(shown, ""))


def lines(text: str) -> str:
    """Return foreign text with its lines, and without anything that a terminal would obey."""
    return "\n".join(plain(line, LONGEST) if line.strip() else "" for line in text.splitlines())


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, width: int = ENDLESS, spare: Sequence[str] = ()) -> Table:
    """Lay out rows as kubectl does. Where they are too wide, `spare` columns are left out in this order; then the last one wraps."""
    cells = [[word(cell) for cell in row] for row in rows]
    widths = {name: max(len(name), *(row[number].cell_len for row in cells), 0) for number, name in enumerate(columns)}
    for name in spare:
        if sum(widths.values()) + len(_GAP) * (len(widths) - 1) <= width:
            break
        widths.pop(name, None)
    *_, last = widths
    made = Table(box=None, padding=(0, len(_GAP), 0, 0), show_edge=False, pad_edge=False, header_style="")
    for name, wanted in widths.items():
        made.add_column(
            name, no_wrap=name != last, overflow="fold" if name == last else "ellipsis", min_width=0 if name == last else wanted
        )
    for row in cells:
        made.add_row(*(cell for name, cell in zip(columns, row, strict=True) if name in widths))
    return made


def dumped(body: Any, form: str) -> str:
    """Write objects as JSON or YAML."""
    if form == "json":
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)
    return text


def listing(bodies: Sequence[Any]) -> dict[str, Any]:
    """Wrap objects as kubectl does where there may be several."""
    return {"apiVersion": "v1", "kind": "List", "items": list(bodies)}


_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def length(between: timedelta) -> str:
    """Write a length of time as kubectl writes an age: two units at most, and one where that is exact enough."""
    seconds = max(int(between.total_seconds()), 0)
    for (big, name), (small, below) in pairwise(_UNITS):
        if seconds >= 2 * big:
            return (
                f"{seconds // big}{name}"
                if seconds >= 10 * big or seconds % big < small
                else f"{seconds // big}{name}{seconds % big // small}{below}"
            )
    return f"{seconds}s"


def age(since: str | datetime | None, now: datetime) -> str:
    """Say how long ago something was."""
    if not since:
        return ""
    moment = datetime.fromisoformat(since) if isinstance(since, str) else since
    return length(now - moment)


def clock(moment: datetime | None, now: datetime) -> str:
    """Write a moment for people: the time of day, with the date where it is not of today. In UTC, as the records are."""
    if moment is None:
        return ""
    moment = in_utc(moment)
    return f"{moment:%H:%M:%S}" if moment.date() == in_utc(now).date() else f"{moment:%Y-%m-%d %H:%M}"
