"""The reference pages."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from stopgap.codegen.kinds import render_kinds
from stopgap.codegen.reasons import render_reasons
from stopgap.model.base import ApiModel, Kind, Rule, Word
from stopgap.model.conditions import Conditions
from stopgap.model.duration import Duration
from stopgap.model.reasons import Reason
from stopgap.model.time import Time


class Window(ApiModel):
    """A while."""

    within: Duration = timedelta(hours=1)
    """How long."""


class ThingSpec(ApiModel):
    """What is wanted."""

    cel: ClassVar = (Rule("self.words.size() > 0", "say something"),)
    mood: Literal["Calm", "Wild"] = "Calm"
    """Calm | wild."""
    words: Annotated[tuple[Word, ...], Field(max_length=3)] = ()
    """The words."""
    windows: Annotated[tuple[Window, ...], Field(max_length=2)]
    """When."""
    usual: Window = Window()
    """The usual one."""
    special: Window = Window(within=timedelta(minutes=1))
    """The special one."""
    labels: Annotated[dict[str, Word], Field(max_length=3)] = Field(default_factory=dict)
    """Its labels."""
    count: Annotated[int, Field(ge=1, le=9)]
    total: Annotated[int, Field(ge=0, le=2**53)]
    at: Time
    sure: bool = False
    conditions: Annotated[Conditions, Field(max_length=4)] = ()


class Thing(Kind):
    """A thing."""

    plural: ClassVar = "things"
    short: ClassVar = "th"
    kind: Literal["Thing"] = "Thing"
    spec: ThingSpec


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("| `spec` | object | required | What is wanted. |", id="an object"),
        pytest.param('| `spec.mood` | `Calm` or `Wild` | `"Calm"` | Calm \\| wild. |', id="a choice, and a bar that does not end the cell"),
        pytest.param("| `spec.words` | list of string, at most 63 characters, at most 3 |  | The words. |", id="a list"),
        pytest.param("| `spec.windows` | list of object, at most 2 | required | When. |", id="a list of objects"),
        pytest.param('| `spec.windows[].within` | duration | `"1h"` | How long. |', id="a field of a list's element"),
        pytest.param("| `spec.usual` | object | as below | The usual one. |", id="a default that its fields give"),
        pytest.param('| `spec.special` | object | `{"within": "1m"}` | The special one. |', id="a default of its own"),
        pytest.param("| `spec.labels` | map to string, at most 63 characters, at most 3 |  | Its labels. |", id="a map"),
        pytest.param("| `spec.count` | integer, 1 to 9 | required |  |", id="a number"),
        pytest.param("| `spec.total` | integer from 0 | required |  |", id="a number that just counts"),
        pytest.param("| `spec.at` | time | required |  |", id="a time"),
        pytest.param("| `spec.sure` | boolean | `false` |  |", id="a yes or no"),
        pytest.param("- `spec`: say something", id="a rule"),
    ],
)
def test_a_field_is_one_row_that_says_what_may_stand_there(row: str) -> None:
    assert row in render_kinds([Thing]).splitlines()


def test_conditions_are_not_taken_apart() -> None:
    page = render_kinds([Thing])
    assert "`spec.conditions`" in page
    assert "`spec.conditions[]" not in page


def test_every_reason_is_on_the_page_with_its_meaning() -> None:
    lines = render_reasons().splitlines()
    for reason in Reason:
        assert f"| `{reason.value}` | {reason.meaning} |" in lines
