"""`docs/reference/kinds.md`: every field of every kind, as the schema has it."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from stopgap.codegen.crds import schema_of
from stopgap.codegen.markdown import cell, page
from stopgap.codegen.source import RULES, Schema
from stopgap.model.base import API_VERSION, Kind
from stopgap.model.duration import PATTERN

_INTRODUCTION = f"""\
Everything is `{API_VERSION}`, and namespaced where nothing else is said. The same texts are in the cluster:
`kubectl explain incident.spec`. A duration is written like `90s`, `15m` or `1h30m`; a time like `2026-11-23T10:02:00Z`.
"""
_COUNTLESS: Final = 2**53
"""A bound that is there only because every number has one."""


def render_kinds(kinds: Iterable[type[Kind]]) -> str:
    """Return the page."""
    return page("Kinds", "operator/stopgap/api", "\n".join([_INTRODUCTION, *(_section(kind) for kind in kinds)]))


def _section(kind: type[Kind]) -> str:
    schema = schema_of(kind)
    lines = [f"## {kind.__name__}", "", schema["description"], "", _names(kind), ""]
    lines += ["| Field | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    lines += [row for name in ("spec", "status") if name in schema["properties"] for row in _rows(schema, name, "")]
    if refusals := list(_refusals(schema, "")):
        lines += ["", "The API server refuses an object where one of these does not hold:", "", *refusals]
    return "\n".join([*lines, ""])


def _names(kind: type[Kind]) -> str:
    return f"Short name: `{kind.short}`." + (" Of the whole cluster, not of a namespace." if kind.scope == "Cluster" else "")


def _rows(parent: Schema, name: str, above: str) -> Iterator[str]:
    field = parent["properties"][name]
    path = f"{above}.{name}".strip(".")
    default = "required" if name in parent.get("required", ()) else _default(field)
    yield f"| `{path}` | {cell(_type(field))} | {cell(default)} | {cell(_meaning(field))} |"
    if name == "conditions":
        return
    inner, mark = (field["items"], "[]") if "items" in field else (field, "")
    for below in inner.get("properties", {}):
        yield from _rows(inner, below, f"{path}{mark}")


def _meaning(field: Schema) -> str:
    text: str = field.get("description") or field.get("items", {}).get("description", "")
    return text


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    below = {name: inner["default"] for name, inner in field.get("properties", {}).items() if "default" in inner}
    if field["default"] == below:
        return "as below"
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def _type(field: Schema) -> str:
    match field:
        case {"enum": [*words]}:
            return " or ".join(f"`{word}`" for word in words)
        case {"items": items, "maxItems": most}:
            return f"list of {_type(items)}, at most {most}"
        case {"additionalProperties": values, "maxProperties": most}:
            return f"map to {_type(values)}, at most {most}"
        case {"minimum": least, "maximum": most}:
            return f"integer, {least} to {most}" if most < _COUNTLESS else f"integer from {least}"
    return _text(field)


def _text(field: Schema) -> str:
    match field:
        case {"pattern": pattern} if pattern == PATTERN:
            return "duration"
        case {"format": "date-time"}:
            return "time"
        case {"maxLength": most}:
            return f"string, at most {most} characters"
    return str(field["type"])


def _refusals(node: Schema, path: str) -> Iterator[str]:
    for rule in node.get(RULES, ()):
        yield f"- {f'`{path}`: ' if path else ''}{rule['message']}"
    for name, field in node.get("properties", {}).items():
        yield from _refusals(field, f"{path}.{name}".strip("."))
    if "items" in node:
        yield from _refusals(node["items"], f"{path}[]")
