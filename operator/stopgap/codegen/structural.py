"""A structural schema from pydantic's: references inlined, null options flattened, everything bounded, and the rest refused.

The refusals are what an API server would say on apply, or worse, what it would accept: an unbounded string lets a single object fill etcd
and every watcher's memory, and makes a CEL rule over it too expensive.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from stopgap.codegen.source import MEMBERS, RULES, GenerationError, Schema

LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
IMMUTABLE: Final = "self == oldSelf"

# The keywords that a structural schema may have, in the order in which they are written.
_KEYWORDS: Final = (
    *("description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "default", LIST_TYPE, LIST_KEYS, "x-kubernetes-map-type"),
    *(RULES, "properties", "additionalProperties", "items", "required"),
)
_FORBIDDEN: Final = {
    "oneOf": "a union; make an object with one optional member each, and a CEL rule",
    "allOf": "a combination of schemas; write one class",
    "prefixItems": "a tuple of fixed positions; name the positions in a class",
    "uniqueItems": "uniqueItems, which the API server refuses; use a tuple, with x-kubernetes-list-type: set",
    "exclusiveMinimum": "an exclusive bound; use ge",
    "exclusiveMaximum": "an exclusive bound; use le",
    "propertyNames": "bounded keys of a map, which a structural schema cannot say; use a list with a key, or a CEL rule",
    "patternProperties": "a map with patterns for keys, which a structural schema cannot say",
}
_NOT_RE2: Final = ("(?=", "(?!", "(?<=", "(?<!")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a kind the generator is."""

    kind: str
    path: str = ""
    within: tuple[str, ...] = ()
    """The definitions that are being inlined: one that comes again is a recursion."""
    correlated: bool = True
    """Whether the API server can tell which old value belongs to this one. In an atomic list it cannot."""

    def at(self, step: str) -> "Place":
        """Go one step further in: `.name`, or `[]` into a list or map."""
        return replace(self, path=self.path + step)

    def refuse(self, why: str) -> GenerationError:
        """Build the error that names this place."""
        return GenerationError(f"{self.kind}{self.path}: {why}")


def structural(node: Schema, defs: dict[str, Schema], place: Place) -> Schema:
    """Return the structural schema for one value, and for all within it. Raises GenerationError for what may not be."""
    node, place = _resolve(node, defs, place)
    found = {key: value for key, value in node.items() if key not in {"title", MEMBERS}}
    _normalise(found, node.get(MEMBERS, {}))
    for key in found:
        if key not in _KEYWORDS:
            raise place.refuse(_FORBIDDEN.get(key, f"the schema keyword {key}, which a structural schema cannot have"))
    _check_rules(found, place)
    shape = _SHAPES.get(found.get("type", ""))
    if shape is None:
        raise place.refuse(f"the type {found.get('type', 'anything')}; say which one it is (a number is an integer or a string)")
    shape(found, defs, place)
    return {key: found[key] for key in _KEYWORDS if key in found}


def _resolve(node: Schema, defs: dict[str, Schema], place: Place) -> tuple[Schema, Place]:
    """Follow references and drop the null option until a plain schema is left. What stands beside the reference wins."""
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            if name in place.within:
                raise place.refuse(f"a recursion: {name} contains itself")
            inner, place = defs[name], replace(place, within=(*place.within, name))
        else:
            options = [option for option in node["anyOf"] if option != {"type": "null"}]
            if len(options) != 1:
                raise place.refuse(_FORBIDDEN["oneOf"])
            inner = options[0]
        outer = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
        rules = [*inner.get(RULES, ()), *outer.get(RULES, ())]
        node = {**inner, **outer, **({RULES: rules} if rules else {})}
    return node, place


def _normalise(found: Schema, members: dict[str, str]) -> None:
    if "const" in found:
        found["enum"] = [found.pop("const")]
    # pydantic sorts the keys of what it does not know; the order of the enum is the one that was meant.
    listed = [f"{value}: {_paragraphs(members[value])}" for value in found.get("enum", ()) if value in members]
    if text := "\n\n".join(filter(None, [_paragraphs(found.get("description", "")), "\n".join(listed)])):
        found["description"] = text
    if RULES in found:
        found[RULES] = [{"rule": rule["rule"], **rule} for rule in found[RULES]]
    if "default" in found:
        default = _stated(found.pop("default"))
        # An empty default says nothing that absence does not say, and would be written into every stored object.
        if default not in (None, "", [], {}) or (default == {} and "properties" in found):
            found["default"] = default


def _paragraphs(text: str) -> str:
    """Join the lines of each paragraph: how the source is wrapped is no business of the reader's terminal."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _stated(value: Any) -> Any:
    """Leave out of a default what it does not say: nulls and empty members."""
    if isinstance(value, dict):
        return {key: _stated(inner) for key, inner in value.items() if inner not in (None, "", [])}
    return [_stated(one) for one in value] if isinstance(value, list) else value


def _check_rules(found: Schema, place: Place) -> None:
    for rule in found.get(RULES, ()):
        if not rule.get("message") or "\n" in rule["message"]:
            raise place.refuse(f"the rule {rule['rule']!r} without a message of one line")
        if "oldSelf" in rule["rule"] and not place.correlated:
            raise place.refuse(f"the rule {rule['rule']!r} within an atomic list, whose old elements are not known; give the list a key")


def _string(found: Schema, _defs: dict[str, Schema], place: Place) -> None:
    if found.get("format", "date-time") != "date-time":
        raise place.refuse(f"format: {found['format']}, which the API server reads in its own way; use a pattern")
    if not found.keys() & {"maxLength", "enum", "format"}:
        raise place.refuse("an unbounded string; give it a max_length")
    if any(part in found.get("pattern", "") for part in _NOT_RE2):
        raise place.refuse("a pattern that looks around, which RE2 cannot")


def _integer(found: Schema, _defs: dict[str, Schema], place: Place) -> None:
    if "enum" not in found and not {"minimum", "maximum"} <= found.keys():
        raise place.refuse("an unbounded number; give it ge and le")


def _boolean(_found: Schema, _defs: dict[str, Schema], _place: Place) -> None:
    """Two values are bound enough."""


def _array(found: Schema, defs: dict[str, Schema], place: Place) -> None:
    if "maxItems" not in found:
        raise place.refuse("an unbounded list; give it a max_length")
    if place.path.endswith(".conditions"):
        found |= {LIST_TYPE: "map", LIST_KEYS: ["type"]}
    found.setdefault(LIST_TYPE, "atomic")
    correlated = place.correlated and found[LIST_TYPE] == "map"
    found["items"] = structural(found.get("items", {}), defs, replace(place.at("[]"), correlated=correlated))
    _check_list(found, place)


def _check_list(found: Schema, place: Place) -> None:
    items = found["items"]
    if found[LIST_TYPE] == "set" and items["type"] in {"object", "array"}:
        raise place.refuse("a set of objects; give the list a key instead")
    for key in found.get(LIST_KEYS, ()):
        field = items.get("properties", {}).get(key, {})
        if field.get("type") not in {"string", "integer", "boolean"}:
            raise place.refuse(f"the list key {key}, which is no plain field of the elements")
        if key not in items.get("required", ()) and "default" not in field:
            raise place.refuse(f"the list key {key}, which the elements may leave out")
    if (found[LIST_TYPE] == "map") != (LIST_KEYS in found):
        raise place.refuse(f"{LIST_TYPE}: map and {LIST_KEYS} one without the other")


def _object(found: Schema, defs: dict[str, Schema], place: Place) -> None:
    if "properties" not in found:
        _map(found, defs, place)
        return
    if "additionalProperties" in found:
        raise place.refuse("fields and a map in one object; unknown fields are the API server's business")
    found["properties"] = {name: structural(field, defs, place.at(f".{name}")) for name, field in found["properties"].items()}
    for name, field in found["properties"].items():
        optional = name not in found.get("required", ()) and "default" not in field
        if optional and any(rule["rule"] == IMMUTABLE for rule in field.get(RULES, ())):
            raise place.at(f".{name}").refuse(
                f"{IMMUTABLE} on an optional field, which does not stop its removal; put the rule on the parent, with has(self.{name})"
            )


def _map(found: Schema, defs: dict[str, Schema], place: Place) -> None:
    values = found.get("additionalProperties")
    if not isinstance(values, dict):
        raise place.refuse("an object of anything; say what is in it")
    if "maxProperties" not in found:
        raise place.refuse("an unbounded map; give it a max_length")
    found["additionalProperties"] = structural(values, defs, place.at("[]"))


_SHAPES: Final[dict[str, Callable[[Schema, dict[str, Schema], Place], None]]] = {
    "string": _string,
    "integer": _integer,
    "boolean": _boolean,
    "array": _array,
    "object": _object,
}
