"""What pydantic knows about a model, plus what only the classes know: their CEL rules and what each member of an enum means.

`structural` turns the result into what an API server takes.
"""

import ast
import inspect
import textwrap
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from stopgap.model.base import ApiModel, Kind

Schema = dict[str, Any]
RULES: Final = "x-kubernetes-validations"
MEMBERS: Final = "x-stopgap-members"
"""Where the meanings of an enum's members wait until they become part of the description."""


class GenerationError(Exception):
    """A model says something that an API server would refuse, or that the house rules forbid."""


def source_of(kind: type[Kind]) -> Schema:
    """Return the JSON schema of a kind, with its `$defs`, as pydantic writes it for what is stored."""
    # Validation mode would write durations as ISO 8601, in their defaults too, which the API server refuses.
    return kind.model_json_schema(by_alias=True, mode="serialization", schema_generator=_Source)


class _Source(GenerateJsonSchema):
    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model = schema["cls"]
        if issubclass(model, ApiModel) and model.cel:
            found[RULES] = [{"rule": rule.expression, "message": rule.message} for rule in model.cel]
        return found

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return {**super().enum_schema(schema), MEMBERS: meanings(schema["cls"])}

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        # pydantic would leave the default out and go on; the CRD would then say less than the model does.
        raise GenerationError(f"{kind}: {detail}")


def meanings(words: type[Enum]) -> dict[str, str]:
    """Return the docstring under each member of an enum, by the member's value. Python itself forgets them, so the source is read."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(words)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for member, text in pairwise(body):
        match member, text:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(meaning))):
                found[str(words[name].value)] = inspect.cleandoc(meaning)
    return found
