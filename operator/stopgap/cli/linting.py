"""What is wrong with a manifest: by the models that the CRDs are made of, their rules, and the operator's own word on a policy. Pure."""

import difflib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from stopgap.api import KINDS, ClusterRemediationPolicy, RemediationConfig, RemediationPolicy
from stopgap.api.clusterpolicy import Policy
from stopgap.cli.advice import advice
from stopgap.cli.manifests import Document, Path_
from stopgap.core import freeze, matching
from stopgap.model.base import GROUP, ApiModel, Kind, ObjectMeta

_MODELS: Final[dict[str, type[Kind]]] = {kind.__name__: kind for kind in KINDS}
_META: Final = frozenset(field.alias or name for name, field in ObjectMeta.model_fields.items())
_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_MAP_KEYS: Final = "x-kubernetes-list-map-keys"


class Grade(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The API server refuses it, or the operator makes it Ready=False."""
    WARNING = "warning"
    """It works, and hardly does what its author wants."""
    NOTE = "note"
    """It could not be checked here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    grade: Grade
    path: Path_
    message: str


def lint(document: Document) -> list[Finding]:
    """Return what is wrong with one document; what is of another API group is somebody else's."""
    body = document.body
    if not isinstance(body, dict) or not str(body.get("apiVersion", "")).startswith(f"{GROUP}/"):
        return []
    found = [Finding(Grade.ERROR, path, "this field is written twice; the last one would win") for path in document.twice]
    return found + list(_of_ours(body))


def _of_ours(body: dict[str, Any]) -> Iterator[Finding]:
    kind = _MODELS.get(str(body.get("kind", "")))
    if kind is None:
        near = difflib.get_close_matches(str(body.get("kind", "")), _MODELS, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(_MODELS))}"
        yield Finding(Grade.ERROR, ("kind",), f"there is no kind {body.get('kind')!r} in {GROUP}{hint}")
        return
    for name in body.keys() - set(_TOP):
        yield Finding(Grade.ERROR, (str(name),), "unknown field")
    meta = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
    read = {"apiVersion": body["apiVersion"], "metadata": {key: value for key, value in (meta or {}).items() if key in _META}}
    if "spec" in body:
        read["spec"] = body["spec"]
    try:
        model = kind.model_validate(read, extra="forbid")
    except ValidationError as error:
        yield from _misfits(error, kind)
        return
    yield from _together(model)


def _together(model: Kind) -> Iterator[Finding]:
    """Say what is wrong with a manifest in which each field for itself is right."""
    yield from _named_twice(model, ())
    yield from _rules(model, ())
    if model.singleton and model.metadata.name != model.singleton:
        yield Finding(Grade.ERROR, ("metadata", "name"), f"the only {type(model).__name__} that is read is called {model.singleton}")
    if isinstance(model, RemediationConfig) and (trouble := freeze.fault(model.spec.freeze_windows, "spec.freezeWindows")):
        yield Finding(Grade.ERROR, ("spec", "freezeWindows"), f"{trouble}; such a config pauses everything")
    if isinstance(model, RemediationPolicy | ClusterRemediationPolicy):
        yield from _of_policy(model)


def _of_policy(policy: Policy) -> Iterator[Finding]:
    if (fault := matching.fault(policy)) is not None:
        yield Finding(Grade.ERROR, _about(policy, fault.message), f"{fault.message} (Ready=False, {fault.reason})")
        return
    for path, message in advice(policy):
        yield Finding(Grade.WARNING, path, message)


def _about(policy: Policy, message: str) -> Path_:
    """Return the part of a policy that a message is about, by the name that it begins with."""
    if named := re.match(r"(trigger|step) ([-a-z0-9]+) ", message):
        listed = f"{named[1]}s"
        names = [one.name for one in getattr(policy.spec, listed)]
        if named[2] in names:
            return ("spec", listed, names.index(named[2]))
    if dotted := re.match(r"([a-z]\w*(?:\.\w+)+)", message):
        return ("spec", *dotted[1].removeprefix("spec.").split("."))
    return ("spec",)


def _misfits(error: ValidationError, kind: type[Kind]) -> Iterator[Finding]:
    listed = error.errors(include_url=False)
    for one in listed:
        path: Path_ = tuple(one["loc"])
        if one["type"] == "too_short" and any(other["loc"][: len(path)] == path and other is not one for other in listed):
            continue  # it is too short without the entries that are wrong
        message = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            message = "unknown field"
            known = _fields(kind, path[:-1])
            if near := difflib.get_close_matches(str(path[-1]), known, 1):
                message += f"; did you mean {near[0]}?"
        yield Finding(Grade.ERROR, path, message)


def _fields(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the names of the fields that there are at a path."""
    at: Any = model.model_json_schema(by_alias=True)
    definitions = at.get("$defs", {})
    for one in (*path, None):
        choices = [at, *at.get("anyOf", ())]
        resolved = [definitions[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in choices]
        if one is None:
            return [name for each in resolved for name in each.get("properties", {})]
        below = "items" if isinstance(one, int) else "properties"
        at = next((each[below] if isinstance(one, int) else each[below].get(one, {}) for each in resolved if below in each), {})
    return []


def _parts(model: BaseModel) -> Iterator[tuple[Path_, BaseModel]]:
    for name, info in type(model).model_fields.items():
        value, path = getattr(model, name), info.alias or name
        if isinstance(value, BaseModel):
            yield (path,), value
        elif isinstance(value, tuple):
            yield from (((path, number), one) for number, one in enumerate(value) if isinstance(one, BaseModel))


def _named_twice(model: BaseModel, path: Path_) -> Iterator[Finding]:
    """Find list entries of the same name where the schema says that the name is their key."""
    for name, info in type(model).model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        seen: set[Any] = set()
        for number, one in enumerate(getattr(model, name) if _MAP_KEYS in extra else ()):
            if one.name in seen:
                yield Finding(Grade.ERROR, (*path, info.alias or name, number), f"there are two called {one.name}")
            seen.add(one.name)
    for below, part in _parts(model):
        yield from _named_twice(part, (*path, *below))


def _rules(model: BaseModel, path: Path_) -> Iterator[Finding]:
    """Ask every rule of the schemas that is about one state of an object; those about a change of it need the cluster."""
    for rule in model.cel if isinstance(model, ApiModel) else ():
        if "oldSelf" in rule.expression:
            continue
        answer = _holds(rule.expression, model)
        if answer is None:
            yield Finding(Grade.NOTE, path, f"only the API server can check this rule: {rule.message}")
        elif not answer:
            yield Finding(Grade.ERROR, path, rule.message)
    for below, part in _parts(model):
        yield from _rules(part, (*path, *below))


def _holds(expression: str, model: BaseModel) -> bool | None:
    """Evaluate a rule; None where it says something that is not understood here."""
    from celpy.adapter import json_to_cel  # noqa: PLC0415 - 100 ms that only lint pays
    from celpy.celparser import CELParseError  # noqa: PLC0415 - as above
    from celpy.evaluation import CELEvalError  # noqa: PLC0415 - as above

    try:
        given = {"self": json_to_cel(stored(model))}
        return bool(_program(expression).evaluate(given))
    except (CELEvalError, CELParseError):
        return None


def stored(model: BaseModel) -> dict[str, Any]:
    """Return an object as the API server holds it when it asks the rules: with the defaults that say something, and without the others."""
    body = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, info in type(model).model_fields.items():
        value, alias = getattr(model, name), info.alias or name
        if name not in model.model_fields_set and value in ((), "", {}):
            body.pop(alias, None)
        elif isinstance(value, BaseModel):
            body[alias] = stored(value)
        elif isinstance(value, tuple):
            body[alias] = [stored(one) if isinstance(one, BaseModel) else plain for one, plain in zip(value, body[alias], strict=True)]
    return body


@cache
def _program(expression: str) -> Any:
    import celpy  # noqa: PLC0415 - as above

    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions={"isCIDR": _is_cidr, "lowerAscii": _lower, "split": _split})


def _lower(text: Any) -> Any:
    from celpy import celtypes  # noqa: PLC0415 - as above

    return celtypes.StringType(str(text).lower())


def _split(text: Any, separator: Any) -> Any:
    from celpy import celtypes  # noqa: PLC0415 - as above

    return celtypes.ListType(celtypes.StringType(part) for part in str(text).split(str(separator)))


def _is_cidr(text: Any) -> Any:
    from celpy import celtypes  # noqa: PLC0415 - as above

    try:
        ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return celtypes.BoolType(False)
    return celtypes.BoolType(True)
