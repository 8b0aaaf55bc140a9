"""Manifests as they are written, with the line of every field. Called by `lint` and `simulate`."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from stopgap.cli.refusals import Refused

Path_ = tuple[str | int, ...]
STDIN: Final = "-"
_BOOL: Final = "tag:yaml.org,2002:bool"
_TIME: Final = "tag:yaml.org,2002:timestamp"
_ENDINGS: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What keeps a file from being read, where."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file."""

    file: str
    body: Any
    lines: dict[Path_, int] = field(repr=False)
    twice: tuple[Path_, ...] = ()
    """Keys that a mapping has more than once."""

    def line(self, path: Path_) -> int:
        """Return the line of a field, or of the nearest one around it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def spelled(path: Path_) -> str:
    """Write a path as people do: `spec.triggers[0].crashLoop`."""
    text = ""
    for one in path:
        text += f"[{one}]" if isinstance(one, int) else f".{one}" if text else one
    return text


def files(given: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of files, of those in folders, and of standard input (`-`). Raises Refused."""
    for name in given:
        if name == STDIN:
            yield "stdin", sys.stdin.read()
            continue
        path = Path(name)
        inside = sorted(one for one in path.rglob("*") if one.suffix in _ENDINGS) if path.is_dir() else [path]
        for one in inside:
            try:
                yield str(one), one.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise Refused(f"{one} cannot be read: {error}", 2) from error


def documents(file: str, text: str) -> Iterator[Document | Mistake]:
    """Yield the documents of a text; what cannot be read ends them with a Mistake."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            if node is None:
                continue
            lines: dict[Path_, int] = {(): node.start_mark.line + 1}
            twice: list[Path_] = []
            _walk(node, (), lines, twice)
            yield Document(file, _value(node), lines, tuple(twice))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        yield Mistake(mark.line + 1 if mark else 1, f"this is no YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        yield Mistake(1, f"this is no YAML: {error}")


class _Loader(yaml.SafeLoader):
    """Reads as kubectl does: `on`, `off`, `yes` and `no` are words, and so is a time."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in each if tag not in {_BOOL, _TIME}]
    for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def _value(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: Path_, lines: dict[Path_, int], twice: list[Path_]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            if below in lines:
                twice.append(below)
            lines[below] = key.start_mark.line + 1
            _walk(value, below, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[*path, number] = value.start_mark.line + 1
            _walk(value, (*path, number), lines, twice)
