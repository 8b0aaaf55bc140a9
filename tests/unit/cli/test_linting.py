"""What lint finds, and on which line."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import make_cluster_policy, make_policy

from stopgap.cli.advice import advice
from stopgap.cli.linting import Grade, lint
from stopgap.cli.manifests import Document, Mistake, documents, spelled

POLICY = """\
apiVersion: stopgap.dev/v1alpha1
kind: RemediationPolicy
metadata: {name: web, namespace: shop, finalizers: [example.com/x]}
spec:
  targets:
    selector:
      matchLabels: {tier: web}
  mode: Approve
  triggers:
    - name: crash
      crashLoop: {exits: 3}
    - name: down
      unavailable: {below: "80%"}
  steps:
    - name: undo
      when:
        triggers: [crash]
      rollback:
        minHealthyFor: 10m
    - name: more
      when:
        triggers: [down]
      scale: {by: "1", max: 9}
      revert: {upon: Resolved}
"""


def found(text: str) -> list[tuple[int, str, str, str]]:
    """Lint every document of a text: line, grade, path, message."""
    read = [one for one in documents("x.yaml", text) if isinstance(one, Document)]
    return [(one.line(each.path), str(each.grade), spelled(each.path), each.message) for one in read for each in lint(one)]


def test_a_good_policy_has_nothing_wrong() -> None:
    assert found(POLICY) == []


@pytest.mark.parametrize(
    ("before", "after", "line", "path", "words"),
    [
        pytest.param("crashLoop:", "crashloop:", 11, "spec.triggers[0].crashloop", "did you mean crashLoop?", id="a field is misspelled"),
        pytest.param("minHealthyFor: 10m", "minHealthyFor: 10min", 19, "minHealthyFor", "write it like 90s", id="a duration is none"),
        pytest.param("[crash]", "[crash, stuk]", 15, "spec.steps[0]", "triggers that do not exist: stuk", id="a step names no trigger"),
        pytest.param("name: down", "name: crash", 12, "spec.triggers[1]", "two called crash", id="a name is there twice"),
        pytest.param("mode: Approve", "mode: Aprove", 8, "spec.mode", "'Automatic'", id="a word is not known"),
        pytest.param("mode: Approve", "mode: Approve\n  mode: Observe", 9, "spec.mode", "written twice", id="a field is there twice"),
        pytest.param(
            'unavailable: {below: "80%"}',
            'unavailable: {below: "80%"}\n      crashLoop: {}',
            12,
            "spec.triggers[1]",
            "exactly one detector",
            id="a trigger has two detectors",
        ),
        pytest.param("matchLabels: {tier: web}", "matchLabels: {}", 7, "matchLabels", "at least 1", id="a selector means everything"),
        pytest.param("kind: RemediationPolicy", "kind: RemediationPolice", 2, "kind", "mean RemediationPolicy?", id="a kind is misspelled"),
        pytest.param("max: 9", "max: 9, to: 3", 23, "spec.steps[1].scale", "exactly one of the two", id="a rule of the schema is broken"),
        pytest.param(
            "  mode: Approve", "  guards: {cooldown: 200h}", 8, "spec.guards.cooldown", "longer than 7 days", id="a time is too long"
        ),
        pytest.param(
            "  mode: Approve",
            "  guards:\n    freezeWindows:\n      - {cron: 0 25 * * FRI, duration: 2h, reason: x}",
            9,
            "spec.guards.freezeWindows",
            "Ready=False, InvalidPolicy",
            id="a cron expression has an hour 25",
        ),
        pytest.param("\nspec:", "\nstatuss: {}\nspec:", 4, "statuss", "unknown field", id="there is a field beside the spec"),
    ],
)
def test_lint_finds_it_where_it_is(before: str, after: str, line: int, path: str, words: str) -> None:
    listed = [one for one in found(POLICY.replace(before, after, 1)) if one[1] == "error"]
    assert listed, "nothing was found"
    hit = next((one for one in listed if words in one[3]), None)
    assert hit is not None, listed
    assert (hit[0], hit[2].endswith(path)) == (line, True)


def test_what_is_of_another_api_is_left_to_others() -> None:
    assert found("apiVersion: apps/v1\nkind: Deployment\nspecc: {}\n") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("a: 1\nb: [\n", 3, id="it ends in the middle"),
        pytest.param("a: 1\n b: 2\n", 2, id="it is indented wrongly"),
        pytest.param("a: !!python/object:os.system x\n", 1, id="it wants to be code"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_line(text: str, line: int) -> None:
    (mistake,) = documents("x.yaml", text)
    assert isinstance(mistake, Mistake)
    assert mistake.line == line


def test_words_and_times_are_read_as_kubectl_reads_them() -> None:
    (one,) = documents("x.yaml", "on: yes\nat: 2026-11-23T10:02:00Z\ntrue: false\n")
    assert isinstance(one, Document)
    assert one.body == {"on": "yes", "at": "2026-11-23T10:02:00Z", True: False}


def test_a_config_that_nobody_reads_is_told() -> None:
    body = "apiVersion: stopgap.dev/v1alpha1\nkind: RemediationConfig\nmetadata:\n  name: web\nspec: {}\n"
    assert found(body) == [(4, "error", "metadata.name", "the only RemediationConfig that is read is called stopgap")]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({"gitOps": "Act"}, "puts the bad version back", id="a GitOps tool would undo it"),
        pytest.param({"guards": {"cooldown": "1s"}}, "without a pause", id="there is hardly a cooldown"),
        pytest.param({"steps": []}, "does nothing", id="there is nothing to do"),
        pytest.param({"pauseRequests": [{"name": "ana", "reason": "x"}]}, "without an end", id="a pause has no end"),
        pytest.param(
            {"mode": "Approve", "steps": [{"name": "undo", "when": {}, "rollback": {}, "mode": "Automatic"}]},
            "only tighten",
            id="a step is bolder than its policy",
        ),
        pytest.param(
            {
                "triggers": [{"name": "paged", "alert": {"matchLabels": {"alertname": "x"}}}],
                "steps": [{"name": "undo", "when": {"triggers": ["paged"]}, "rollback": {}}],
            },
            "never taken",
            id="an alert that no step takes",
        ),
        pytest.param(
            {"steps": [{"name": "undo", "when": {"changedWithin": "48h"}, "rollback": {}}]}, "hardly what ails", id="an old release"
        ),
        pytest.param({"steps": [{"name": "undo", "when": {}, "rollback": {"minHealthyFor": "1s"}}]}, "hardly proved", id="no proof"),
        pytest.param(
            {"steps": [{"name": "more", "when": {"triggers": ["crash"]}, "scale": {"by": "1", "max": 3}, "revert": {"upon": "Manual"}}]},
            "somebody has to remember",
            id="what stays",
        ),
        pytest.param({"steps": [{"name": "kick", "when": {}, "restart": {}}]}, "every trigger", id="anything goes"),
    ],
)
def test_a_dangerous_combination_is_warned_of(spec: dict[str, Any], words: str) -> None:
    assert [message for _, message in advice(make_policy()) if words in message] == []
    assert [message for _, message in advice(make_policy(**spec)) if words in message]


def test_the_platforms_policies_are_advised_on_too() -> None:
    assert list(advice(make_cluster_policy(gitOps="Act")))


def test_every_rule_of_the_schemas_is_checked_here() -> None:
    root = Path(__file__).parents[3]
    texts = [file.read_text(encoding="utf-8") for file in sorted((root / "manifests" / "samples").glob("*.yaml"))]
    read = [one for text in texts for one in documents("x", text) if isinstance(one, Document)]
    notes = [each.message for one in read for each in lint(one) if each.grade is Grade.NOTE]
    assert len(read) >= len(texts)
    assert notes == []
    assert yaml.safe_load(texts[0])
