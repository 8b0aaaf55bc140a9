"""CustomResourceDefinitions from the kinds: `crds/` is written from here, and nowhere else."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from stopgap.codegen.emit import HEADER, yaml_of
from stopgap.codegen.source import RULES, GenerationError, Schema, source_of
from stopgap.codegen.structural import Place, structural
from stopgap.model.base import GROUP, VERSION, Column, Kind

CATEGORY: Final = "stopgap"
_STANDARD: Final = {
    "apiVersion": {
        "description": "APIVersion defines the versioned schema of this representation of an object.",
        "type": "string",
    },
    "kind": {"description": "Kind is the REST resource this object represents.", "type": "string"},
    "metadata": {"type": "object"},
}


def render(kinds: Iterable[type[Kind]]) -> dict[str, str]:
    """Return the manifest of every kind by its file name."""
    return {f"{GROUP}_{kind.plural}.yaml": HEADER + yaml_of(crd(kind)) for kind in kinds}


def crd(kind: type[Kind]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind. Raises GenerationError for a model that has no structural schema."""
    schema = schema_of(kind)
    version: dict[str, Any] = {"name": VERSION, "served": True, "storage": True}
    if "status" in schema["properties"]:
        version["subresources"] = {"status": {}}
    if kind.columns:
        version["additionalPrinterColumns"] = [_column(kind, column, schema) for column in kind.columns]
    version["schema"] = {"openAPIV3Schema": _explained(schema)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": _names(kind), "scope": kind.scope, "versions": [version]},
    }


def schema_of(kind: type[Kind]) -> Schema:
    """Return the structural schema of a kind, with the standard `apiVersion`, `kind` and `metadata`."""
    source = source_of(kind)
    own = {name: field for name, field in source["properties"].items() if name not in _STANDARD}
    required = [name for name in source.get("required", ()) if name not in _STANDARD]
    root = {**source, "properties": own}
    defs = root.pop("$defs", {})
    found = structural(root, defs, Place(kind.__name__))
    found["properties"] = {**_STANDARD, **found["properties"]}
    found["required"] = required
    if not required:
        del found["required"]
    rules = [*found.get(RULES, ()), *_only(kind)]
    return {**found, RULES: [_placed(rule) for rule in rules]} if rules else found


def _only(kind: type[Kind]) -> list[dict[str, str]]:
    if not kind.singleton:
        return []
    message = f"there is one {kind.__name__}, and its name is {kind.singleton}"
    return [{"rule": f"self.metadata.name == '{kind.singleton}'", "message": message}]


def _placed(rule: dict[str, str]) -> dict[str, str]:
    """Say where a rule of the whole object looks: without it, kubectl prints `<nil>: Invalid value`."""
    parts = set(re.findall(r"\b(?:self|oldSelf)\.(\w+)", rule["rule"]))
    return {**rule, "fieldPath": f".{parts.pop()}"} if len(parts) == 1 else rule


def _explained(node: Schema) -> Schema:
    """Add the default to each description: `kubectl explain` shows no other."""
    found = dict(node)
    if "default" in node and node["type"] not in {"object", "array"}:
        default = json.dumps(node["default"]).strip('"')
        found["description"] = "\n".join([*filter(None, [node.get("description")]), f"Default: {default}"])
    if "properties" in node:
        found["properties"] = {name: _explained(field) for name, field in node["properties"].items()}
    if "items" in node:
        found["items"] = _explained(node["items"])
    return found


def _names(kind: type[Kind]) -> dict[str, Any]:
    name = kind.__name__
    names = {"kind": name, "listKind": f"{name}List", "plural": kind.plural, "singular": name.lower()}
    return {**names, "shortNames": [kind.short], "categories": [CATEGORY]}


def _column(kind: type[Kind], column: Column, schema: Schema) -> dict[str, Any]:
    # The API server takes any path and shows an empty column for one that leads nowhere.
    node: Schema | None = schema
    for step in re.sub(r"\[[^]]*\]", "", column.json_path).strip(".").split("."):
        if step == "metadata":
            break
        node = _into(node, step)
        if node is None:
            raise GenerationError(f"{kind.__name__}: the column {column.name} shows {column.json_path}, which has no field {step}")
    found = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    extra = {"description": column.description, "priority": column.priority}
    return {**found, **{key: value for key, value in extra.items() if value}}


def _into(node: Schema | None, step: str) -> Schema | None:
    node = (node or {}).get("items", node) or {}
    found: Schema | None = node.get("properties", {}).get(step)
    return found
