"""What is committed under `crds/`, `manifests/` and `docs/reference/` is what the code says, and an API server would take it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stopgap.api import KINDS
from stopgap.codegen import drift

ROOT = Path(__file__).parents[2]
CRDS = sorted((ROOT / "crds").glob("*.yaml"))
Json = dict[str, Any]

every_crd = pytest.mark.parametrize("file", CRDS, ids=lambda file: file.stem)


def nodes(node: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Yield every value of a schema, below the head of the object."""
    yield path, node
    for name, field in node.get("properties", {}).items():
        if path or name in {"spec", "status"}:
            yield from nodes(field, f"{path}.{name}")
    for inner in (node.get("items"), node.get("additionalProperties")):
        if inner is not None:
            yield from nodes(inner, f"{path}[]")


def values_of(file: Path) -> dict[str, Json]:
    (version,) = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    return dict(nodes(version["schema"]["openAPIV3Schema"], ""))


def unbounded(value: Json) -> bool:
    match value["type"]:
        case "string":
            return not value.keys() & {"maxLength", "enum", "format"}
        case "integer":
            return "enum" not in value and not {"minimum", "maximum"} <= value.keys()
        case "array":
            return "maxItems" not in value
        case "object":
            return "additionalProperties" in value and "maxProperties" not in value
    return False


def test_nothing_differs_from_what_the_code_says() -> None:
    lines = drift(ROOT)
    assert not lines, "run `make generate`:\n" + "\n".join(lines[:60])


def test_there_is_one_file_per_kind() -> None:
    assert {file.name for file in CRDS} == {f"stopgap.dev_{kind.plural}.yaml" for kind in KINDS}


@every_crd
def test_every_value_is_bounded(file: Path) -> None:
    assert [path for path, value in values_of(file).items() if unbounded(value)] == []


@every_crd
def test_every_list_says_how_it_is_merged(file: Path) -> None:
    lists = {path: value for path, value in values_of(file).items() if value["type"] == "array"}
    assert [path for path, value in lists.items() if "x-kubernetes-list-type" not in value] == []
    conditions = [value for path, value in lists.items() if path.endswith(".conditions")]
    assert all(value["x-kubernetes-list-map-keys"] == ["type"] for value in conditions)


@every_crd
def test_every_word_to_choose_from_is_upper_camel_case(file: Path) -> None:
    words = {path: value["enum"] for path, value in values_of(file).items() if "enum" in value and not path.endswith(".apiVersion")}
    assert [(path, word) for path, listed in words.items() for word in listed if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", word)] == []


@every_crd
def test_every_field_that_a_person_may_set_is_explained(file: Path) -> None:
    fields = {path: value for path, value in values_of(file).items() if path.startswith(".spec") and not path.endswith("[]")}
    silent = [path for path, value in fields.items() if not value.get("description")]
    # Nobody writes the spec of these by hand; what they say of themselves is in the docstrings of their classes.
    assert not silent or file.stem.endswith(("_remediations", "_workloadhealths")), silent


@every_crd
def test_the_columns_end_with_the_age(file: Path) -> None:
    (version,) = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["versions"]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert shown[-1] == "AGE"


def test_no_role_has_a_wildcard() -> None:
    assert "*" not in (ROOT / "manifests" / "rbac.yaml").read_text(encoding="utf-8")


def test_the_roles_of_a_namespaced_installation_are_printed_and_nothing_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stopgap", "generate", "--namespace", "shop", "--root", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kinds = [(one["kind"], one["metadata"].get("namespace", "")) for one in yaml.safe_load_all(printed) if one]
    assert ("RoleBinding", "shop") in kinds
    assert "ClusterRoleBinding" not in {kind for kind, _ in kinds}
    assert list(tmp_path.iterdir()) == []
