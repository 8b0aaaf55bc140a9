"""Writing the files, and finding out that somebody else did."""

from pathlib import Path

from stopgap.codegen import drift, generate


def test_a_second_run_touches_nothing(tmp_path: Path) -> None:
    first = generate(tmp_path)
    assert tmp_path / "crds" / "stopgap.dev_incidents.yaml" in first
    assert tmp_path / "manifests" / "rbac.yaml" in first
    assert generate(tmp_path) == []
    assert drift(tmp_path) == []


def test_an_edited_file_is_drift_and_is_put_right(tmp_path: Path) -> None:
    generate(tmp_path)
    file = tmp_path / "manifests" / "rbac.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("verbs: [get]", "verbs: [get, delete]", 1), encoding="utf-8")
    lines = drift(tmp_path)
    assert lines[0] == "--- manifests/rbac.yaml (as it is)"
    assert "-    verbs: [get, delete]" in lines
    assert generate(tmp_path) == [file]
    assert file.read_text(encoding="utf-8") == text


def test_the_crd_of_a_kind_that_is_gone_is_drift_and_is_removed(tmp_path: Path) -> None:
    generate(tmp_path)
    left_over = tmp_path / "crds" / "stopgap.dev_relics.yaml"
    left_over.write_text("kind: CustomResourceDefinition\n", encoding="utf-8")
    assert "-kind: CustomResourceDefinition" in drift(tmp_path)
    assert generate(tmp_path) == [left_over]
    assert not left_over.exists()


def test_a_missing_file_is_drift(tmp_path: Path) -> None:
    generate(tmp_path)
    (tmp_path / "docs" / "reference" / "reasons.md").unlink()
    assert drift(tmp_path)[0] == "--- docs/reference/reasons.md (as it is)"


def test_what_people_keep_beside_the_generated_files_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "crds" / "README.md"
    notes.parent.mkdir()
    notes.write_text("ours\n", encoding="utf-8")
    generate(tmp_path)
    assert notes.read_text(encoding="utf-8") == "ours\n"
    assert drift(tmp_path) == []
