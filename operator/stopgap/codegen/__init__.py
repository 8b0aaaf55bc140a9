"""Writes `crds/`, `manifests/rbac.yaml` and `docs/reference/` from the code. Called by `stopgap generate` and the contract tests."""

from collections.abc import Mapping
from difflib import unified_diff
from functools import cache
from pathlib import Path
from typing import Final

from stopgap.api import KINDS
from stopgap.codegen.crds import render
from stopgap.codegen.kinds import render_kinds
from stopgap.codegen.rbac import render_rbac
from stopgap.codegen.reasons import render_reasons
from stopgap.codegen.source import GenerationError

__all__ = ["GenerationError", "drift", "generate", "render_rbac"]

_CRDS: Final = "crds"


def generate(root: Path) -> list[Path]:
    """Write what differs below the root of a checkout, remove CRDs of kinds that are gone, and return what was touched."""
    fresh, touched = _fresh(root), []
    for path, text in fresh.items():
        if _read(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            touched.append(path)
    for path in _stale(root, fresh):
        path.unlink()
        touched.append(path)
    return touched


def drift(root: Path) -> list[str]:
    """Return how the files below the root differ from what would be written, as a unified diff; empty when they are fresh."""
    fresh = _fresh(root)
    wanted: dict[Path, str | None] = {**fresh, **dict.fromkeys(_stale(root, fresh))}
    lines: list[str] = []
    for path, text in wanted.items():
        name, found = path.relative_to(root).as_posix(), _read(path)
        if found != text:
            before, after = (found or "").splitlines(), (text or "").splitlines()
            lines += unified_diff(before, after, f"{name} (as it is)", f"{name} (as generated)", lineterm="")
    return lines


def _fresh(root: Path) -> dict[Path, str]:
    return {root / name: text for name, text in _rendered().items()}


@cache
def _rendered() -> Mapping[str, str]:
    # The code does not change while it runs, and writing YAML takes a second.
    return {
        **{f"{_CRDS}/{name}": text for name, text in render(KINDS).items()},
        "manifests/rbac.yaml": render_rbac(),
        "docs/reference/kinds.md": render_kinds(KINDS),
        "docs/reference/reasons.md": render_reasons(),
    }


def _stale(root: Path, fresh: dict[Path, str]) -> list[Path]:
    return sorted(path for path in (root / _CRDS).glob("*.yaml") if path not in fresh)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
