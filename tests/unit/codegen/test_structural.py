"""Which fields become a schema, which schema they become, and which are refused."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, StringConstraints, create_model

from stopgap.codegen.crds import schema_of
from stopgap.codegen.source import GenerationError
from stopgap.model.base import ApiModel, Kind, Name, Rule, Word
from stopgap.model.conditions import Conditions
from stopgap.model.duration import PATTERN, Duration
from stopgap.model.time import Time

Json = dict[str, Any]
IMMUTABLE: Any = {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "it does not change"}]}
BY_NAME: Any = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class _Thing(Kind):
    """A thing."""

    plural: ClassVar = "things"
    short: ClassVar = "th"
    kind: Literal["Thing"] = "Thing"


class Colour(StrEnum):
    """Which colour it has."""

    RED = "Red"
    """Stop."""
    GREEN = "Green"
    BLUE = "Blue"
    """Unused, and written
    on two lines."""


class Part(ApiModel):
    """One part."""

    name: Name
    size: Annotated[int, Field(ge=0, le=9)] = 0


class Guarded(ApiModel):
    """Something with a rule."""

    cel: ClassVar = (Rule("has(self.word)", "say a word"),)
    word: Word | None = None


class Fickle(ApiModel):
    """Something that looks at what it was."""

    cel: ClassVar = (Rule("self.name == oldSelf.name", "the name stays"),)
    name: Name


class Chain(ApiModel):
    """Something that holds itself."""

    next: "Chain | None" = None


class Unkeyed(ApiModel):
    """Elements whose key may be left out."""

    name: Name | None = None


class Loose(ApiModel):
    """Elements with a rule against change on an optional field."""

    word: Annotated[Word | None, Field(json_schema_extra=IMMUTABLE)] = None


def schema_with(annotation: Any, default: Any = ..., name: str = "field") -> Json:
    fields: dict[str, Any] = {name: (annotation, default)}
    spec: type[ApiModel] = create_model("Spec", __base__=ApiModel, __doc__="What is wanted.", **fields)
    kind: type[Kind] = create_model("Thing", __base__=_Thing, __doc__="A thing.", spec=(spec, ...))
    found: Json = schema_of(kind)["properties"]["spec"]
    return found


def field(annotation: Any, default: Any = ..., name: str = "field") -> Json:
    found: Json = schema_with(annotation, default, name)["properties"][name]
    return found


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        pytest.param(Word, ..., {"type": "string", "maxLength": 63}, id="a bounded string"),
        pytest.param(Word | None, None, {"type": "string", "maxLength": 63}, id="an option loses null and its null default"),
        pytest.param(Word, "", {"type": "string", "maxLength": 63}, id="an empty default says nothing"),
        pytest.param(bool, False, {"type": "boolean", "default": False}, id="false says something"),
        pytest.param(
            Annotated[int, Field(ge=0, le=9)], 0, {"type": "integer", "minimum": 0, "maximum": 9, "default": 0}, id="so does zero"
        ),
        pytest.param(Literal["a"], "a", {"type": "string", "enum": ["a"], "default": "a"}, id="a constant is an enum of one"),
        pytest.param(Literal["a", "b"], ..., {"type": "string", "enum": ["a", "b"]}, id="a literal is an enum"),
        pytest.param(Time, ..., {"type": "string", "format": "date-time"}, id="a time is bounded by its format"),
        pytest.param(
            Duration,
            timedelta(seconds=90),
            {"type": "string", "pattern": PATTERN, "maxLength": 32, "default": "1m30s"},
            id="a duration has a pattern",
        ),
        pytest.param(
            Annotated[dict[str, Word], Field(max_length=3)],
            {},
            {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 63}},
            id="a dictionary is a map",
        ),
        pytest.param(
            Annotated[tuple[Word, ...], Field(max_length=3)],
            (),
            {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "atomic", "items": {"type": "string", "maxLength": 63}},
            id="a list is atomic unless it says otherwise",
        ),
        pytest.param(
            Annotated[tuple[Word, ...] | None, Field(max_length=3)],
            None,
            {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "atomic", "items": {"type": "string", "maxLength": 63}},
            id="an optional list keeps its bound",
        ),
    ],
)
def test_a_field_becomes_what_an_api_server_takes(annotation: Any, default: Any, expected: Json) -> None:
    assert field(annotation, default) == expected


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        pytest.param(str, "an unbounded string", id="a string without a length"),
        pytest.param(Annotated[str, StringConstraints(pattern="^a+$")], "an unbounded string", id="a pattern is no bound"),
        pytest.param(Annotated[Word, Field(json_schema_extra={"pattern": "^(?=a)b$"})], "RE2", id="a pattern that looks ahead"),
        pytest.param(int, "an unbounded number", id="a number without bounds"),
        pytest.param(Annotated[int, Field(ge=1)], "an unbounded number", id="a number without an end"),
        pytest.param(Annotated[int, Field(gt=1, le=3)], "use ge", id="an exclusive bound"),
        pytest.param(float, "the type number", id="a float"),
        pytest.param(tuple[Word, ...], "an unbounded list", id="a list without an end"),
        pytest.param(
            Annotated[tuple[str, ...], Field(max_length=3)], "field[]: an unbounded string", id="a bounded list of unbounded strings"
        ),
        pytest.param(dict[str, Word], "an unbounded map", id="a map without an end"),
        pytest.param(Annotated[dict[str, str], Field(max_length=3)], "field[]: an unbounded string", id="a map of unbounded strings"),
        pytest.param(Annotated[dict[Word, Word], Field(max_length=3)], "bounded keys", id="a map with bounded keys"),
        pytest.param(Annotated[dict[str, Any], Field(max_length=3)], "an object of anything", id="a map of anything"),
        pytest.param(Any, "the type anything", id="anything"),
        pytest.param(Word | Annotated[int, Field(ge=0, le=9)], "a union", id="a union"),
        pytest.param(Annotated[set[Word], Field(max_length=3)], "uniqueItems", id="a Python set"),
        pytest.param(tuple[Word, Word], "fixed positions", id="a tuple of fixed positions"),
        pytest.param(Chain, "Chain contains itself", id="a recursion"),
        pytest.param(Annotated[str, Field(json_schema_extra={"format": "duration"})], "format: duration", id="the server's own durations"),
        pytest.param(Annotated[Word, Field(examples=["a"])], "the schema keyword examples", id="a keyword that no structural schema has"),
        pytest.param(
            Annotated[tuple[Part, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})],
            "a set of objects",
            id="a set of objects",
        ),
        pytest.param(
            Annotated[tuple[Part, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "map"})],
            "one without the other",
            id="a keyed list without a key",
        ),
        pytest.param(
            Annotated[tuple[Word, ...], Field(max_length=3, json_schema_extra=BY_NAME)], "no plain field", id="a key of plain words"
        ),
        pytest.param(
            Annotated[tuple[Unkeyed, ...], Field(max_length=3, json_schema_extra=BY_NAME)], "may leave out", id="a key that may be missing"
        ),
        pytest.param(Annotated[tuple[Fickle, ...], Field(max_length=3)], "atomic list", id="a look at the old value in an atomic list"),
        pytest.param(Loose, "word: self == oldSelf on an optional field", id="immutability that a removal evades"),
    ],
)
def test_what_a_server_or_the_house_refuses_is_refused_with_its_path(annotation: Any, why: str) -> None:
    with pytest.raises(GenerationError) as refusal:
        field(annotation)
    assert str(refusal.value).startswith("Thing.spec.field")
    assert why in str(refusal.value)


def test_a_rule_without_a_message_of_one_line_is_refused() -> None:
    silent: Any = {"x-kubernetes-validations": [{"rule": "self != 'a'"}]}
    with pytest.raises(GenerationError, match="without a message"):
        field(Annotated[Word, Field(json_schema_extra=silent)])


def test_a_default_that_cannot_be_written_is_refused_and_not_left_out() -> None:
    with pytest.raises(GenerationError, match="not JSON serializable"):
        field(Word, object())


def test_a_field_with_a_default_is_not_required() -> None:
    assert schema_with(Word)["required"] == ["field"]
    assert "required" not in schema_with(Word, "a")


def test_an_object_default_is_written_without_what_it_does_not_say() -> None:
    class Source(ApiModel):
        """Where it came from."""

        type: Word = "Manual"
        name: Word = ""
        by: Word | None = None

    assert field(Source, Source())["default"] == {"type": "Manual"}
    assert field(Guarded, Guarded())["default"] == {}


def test_an_immutable_required_field_is_taken() -> None:
    assert field(Annotated[Word, Field(json_schema_extra=IMMUTABLE)])["x-kubernetes-validations"] == IMMUTABLE["x-kubernetes-validations"]


def test_the_rules_of_a_nested_object_stand_on_it_wherever_it_is() -> None:
    rule = {"rule": "has(self.word)", "message": "say a word"}
    assert field(Guarded)["x-kubernetes-validations"] == [rule]
    assert field(Annotated[tuple[Guarded, ...], Field(max_length=3)])["items"]["x-kubernetes-validations"] == [rule]


def test_a_field_adds_its_rules_to_those_of_its_object() -> None:
    extra: Any = {"rule": "self.word != 'a'", "message": "another word"}
    found = field(Annotated[Guarded, Field(json_schema_extra={"x-kubernetes-validations": [extra]})])
    assert [rule["message"] for rule in found["x-kubernetes-validations"]] == ["say a word", "another word"]


def test_a_list_with_a_key_may_look_at_old_elements() -> None:
    found = field(Annotated[tuple[Fickle, ...], Field(max_length=3, json_schema_extra=BY_NAME)])
    assert found["x-kubernetes-list-type"] == "map"
    assert found["x-kubernetes-list-map-keys"] == ["name"]


def test_conditions_are_keyed_by_type_without_being_told() -> None:
    found = field(Annotated[Conditions, Field(max_length=8)], (), name="conditions")
    assert (found["x-kubernetes-list-type"], found["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_an_enum_says_what_its_members_mean_in_its_own_order() -> None:
    found = field(Colour)
    assert found["enum"] == ["Red", "Green", "Blue"]
    assert found["description"] == "Which colour it has.\n\nRed: Stop.\nBlue: Unused, and written on two lines."


def test_the_text_of_a_field_wins_over_the_text_of_its_class() -> None:
    assert field(Part)["description"] == "One part."
    assert field(Annotated[Part, Field(description="The part that broke.")])["description"] == "The part that broke."


def test_no_title_and_no_null_is_left_anywhere() -> None:
    text = str(schema_with(Annotated[tuple[Part, ...], Field(max_length=3)]))
    assert "title" not in text
    assert "None" not in text
    assert "$ref" not in text


class Level(ApiModel):
    """Has a member that need not be there."""

    name: Word
    every: Word | None = None


def test_a_default_says_no_nulls_also_inside_a_list() -> None:
    levels = field(Annotated[tuple[Level, ...], Field(max_length=2)], (Level(name="P4"),))
    assert levels["default"] == [{"name": "P4"}]
