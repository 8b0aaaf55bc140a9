"""The rules of the house that no linter knows."""

import ast
import inspect
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from stopgap.actions import ACTIONS, Action
from stopgap.api import KINDS
from stopgap.model.reasons import Reason

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "operator"
PRODUCT = sorted((SOURCE / "stopgap").rglob("*.py"))
EVERYTHING = [*PRODUCT, *sorted((ROOT / "tests").rglob("*.py"))]
PURE_FLOORS = {"model", "detectors", "actions", "notifiers", "api", "core"}
MANIFEST_FLOORS = ("stopgap.model.", "stopgap.detectors.", "stopgap.actions.", "stopgap.notifiers.", "stopgap.api.")
DRAWERS = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"}
UPPER_CAMEL = re.compile(r"[A-Z][A-Za-z0-9]*")


def floor_of(file: Path) -> str:
    return file.relative_to(SOURCE / "stopgap").parts[0]


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_operator_is_a_source_root_and_no_package() -> None:
    # A package of this name would shadow the standard library's `operator` in every process that starts at the root.
    assert not (SOURCE / "__init__.py").exists()
    assert not [path for path in (ROOT / "tests").rglob("operator") if path.is_dir()]


def test_no_module_is_a_drawer() -> None:
    assert [name_of(file) for file in EVERYTHING if DRAWERS & {file.stem, file.parent.name}] == []


def test_no_file_of_the_product_is_longer_than_300_lines() -> None:
    long = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in PRODUCT}
    assert {name: lines for name, lines in long.items() if lines > 300} == {}


def test_no_function_of_the_product_is_longer_than_50_lines() -> None:
    lengths = {
        f"{name_of(file)}:{function.lineno} {function.name}": (function.end_lineno or function.lineno) - function.lineno + 1
        for file in PRODUCT
        for function in functions(file)
    }
    assert {name: lines for name, lines in lengths.items() if lines > 50} == {}


def test_the_pure_floors_have_no_async() -> None:
    asynchronous = [
        f"{name_of(file)}:{function.lineno}"
        for file in PRODUCT
        if floor_of(file) in PURE_FLOORS
        for function in functions(file)
        if isinstance(function, ast.AsyncFunctionDef)
    ]
    assert asynchronous == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        pytest.param(r"#\s*(?:TODO|FIXME|XXX)\b", r"#\s*TODO\(#\d+\)", id="work left over names its issue"),
        pytest.param(r"#\s*type:\s*ignore", r"#\s*type:\s*ignore\[[a-z-, ]+\]  # \S", id="an ignored type error says which and why"),
    ],
)
def test_a_loose_end_is_tied_to_something(wrong: str, right: str) -> None:
    loose = [
        f"{name_of(file)}:{number}"
        for file in EVERYTHING
        if file != Path(__file__)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(wrong, line) and not re.search(right, line)
    ]
    assert loose == []


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_is_one_word_with_one_sentence(reason: Reason) -> None:
    assert reason.value == reason.name
    assert UPPER_CAMEL.fullmatch(reason.value)
    assert reason.meaning.endswith(".")
    assert "\n" not in reason.meaning


def test_every_word_that_appears_in_a_manifest_is_upper_camel_case() -> None:
    assert KINDS  # they bring in the modules of all such words
    enums = [enum for enum in StrEnum.__subclasses__() if enum.__module__.startswith(MANIFEST_FLOORS)]
    assert enums
    assert [f"{enum.__name__}.{word.name}" for enum in enums for word in enum if not UPPER_CAMEL.fullmatch(word.value)] == []


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: str(action.name))
def test_every_action_has_the_shape_of_one(action: type) -> None:
    assert [name for name in Action.__annotations__ if not hasattr(action, name)] == []
    for asked in ("wants", "plan"):
        assert list(inspect.signature(getattr(action, asked)).parameters) == list(inspect.signature(getattr(Action, asked)).parameters)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: str(action.name))
def test_every_action_says_what_it_needs_to_be_allowed(action: type) -> None:
    # What is done outside the cluster is allowed Secret by Secret, so that no role could be made for all.
    assert getattr(action, "rules", ()) or getattr(action, "outside", False)
