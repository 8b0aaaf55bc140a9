"""What docs/adding-an-action.md says is true: one file and one line, and CRD, role, reference and decision come out."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-an-action.md").read_text(encoding="utf-8")
FILE, IMPORT, FIELD, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def python(tree: Path, *arguments: str) -> str:
    """Run Python with the tree's own package; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'operator'}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Follow the page in a copy of the code."""
    made = tmp_path_factory.mktemp("checkout")
    actions = made / "operator" / "stopgap" / "actions"
    shutil.copytree(ROOT / "operator", made / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    (actions / "park.py").write_text(FILE, encoding="utf-8")
    union = actions / "__init__.py"
    text = union.read_text(encoding="utf-8")
    fields = re.findall(r"^    \w+: \w+ \| None = None\n", text, re.MULTILINE)
    assert fields, "the actions are the fields of OneAction"
    union.write_text(
        text.replace("from stopgap.actions.http", f"{IMPORT}from stopgap.actions.http", 1).replace(fields[-1], fields[-1] + FIELD)
    )
    return made


def test_its_crd_its_role_and_its_reference_come_out(tree: Path) -> None:
    python(tree, "-m", "stopgap", "generate", "--root", str(tree))
    (version,) = yaml.safe_load((tree / "crds" / "stopgap.dev_remediationpolicies.yaml").read_text())["spec"]["versions"]
    steps = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["steps"]["items"]
    assert steps["properties"]["park"]["description"].startswith("Take every pod away")
    assert any("has(self.park)" in rule["rule"] and "exists_one" in rule["rule"] for rule in steps["x-kubernetes-validations"])
    roles = {one["metadata"]["name"]: one for one in yaml.safe_load_all((tree / "manifests" / "rbac.yaml").read_text()) if one}
    (rule,) = roles["stopgap-action-park"]["rules"]
    assert (rule["resources"], rule["verbs"]) == (["deployments", "statefulsets"], ["patch"])
    assert "`spec.steps[].park`" in (tree / "docs" / "reference" / "kinds.md").read_text()


def test_the_test_on_the_page_is_green(tree: Path) -> None:
    python(tree, "-c", TEST)


def test_the_policy_on_the_page_is_understood(tree: Path) -> None:
    (step,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    told = f"import yaml; from stopgap.api.ladder import Step; (one,) = yaml.safe_load({step!r})['steps']"
    assert python(tree, "-c", f"{told}; print(Step.model_validate(one, extra='forbid').action.name)") == "park\n"
