"""A Job as a policy declares it: what is no pod is refused in words, and what is made of it is the same whoever makes it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from stopgap.api.remediation import ACT_WITHIN
from stopgap.model.job import JobRun, job_name

POD = "spec:\n  serviceAccountName: fixer\n  containers:\n    - {name: fix, image: 'shop/fix:1.0', command: [fix, --all]}\n"


def run(template: str = POD, **fields: Any) -> JobRun:
    return JobRun.model_validate({"template": template, **fields})


def test_the_job_ends_by_itself_is_not_tried_again_and_is_cleaned_up() -> None:
    body = run(deadline="90s", keepFor="10m").body(job_name("r-uid"), "shop", "r-uid")
    spec = body["spec"]
    assert body["metadata"]["name"] == "stopgap-r-uid"
    assert body["metadata"]["labels"]["stopgap.dev/remediation-uid"] == "r-uid"
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 90, 600)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["template"]["spec"]["serviceAccountName"] == "fixer"


def test_the_name_of_a_job_fits() -> None:
    assert len(job_name("0fd3a1b2-5f5e-4a57-a896-42353c26ca85")) <= 52, "the names of its pods are longer by eleven characters at most"


def test_it_says_what_runs_and_as_whom() -> None:
    assert str(run(deadline="90s")) == "run a Job of shop/fix:1.0 as serviceaccount/fixer, for at most 1m30s"
    assert "as serviceaccount/default" in str(run("spec: {containers: [{name: a, image: b}]}"))


def test_its_containers_are_told_what_it_is_about() -> None:
    kept = run(POD.replace("command", "env: [{name: A, value: b}], command")).filled({"INCIDENT": "api-1", "NAME": "api", "OTHER": "x"})
    (container,) = json.loads(kept.template)["spec"]["containers"]
    assert {one["name"]: one["value"] for one in container["env"]} == {"A": "b", "STOPGAP_INCIDENT": "api-1", "STOPGAP_WORKLOAD": "api"}
    assert JobRun.model_validate(kept.model_dump(by_alias=True)) == kept


def test_it_may_be_made_twice_as_the_second_meets_the_first_and_is_never_put_back() -> None:
    assert run().repeatable(inverse=False)
    assert not run().repeatable(inverse=True)
    assert not run().returnable


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("spec: {containers: [{name: a", "it is no YAML"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("metadata: {labels: {a: b}}", "it has no spec"),
        ("- a", "it has no spec"),
        ("kind: Job\nspec: {containers: [{name: a, image: b}]}", "and not kind"),
        ("spec: {containers: []}", "at least one"),
        ("spec: {containers: [{name: a}]}", "a name and an image"),
        ("spec: {containers: [a]}", "a list of objects"),
        ("spec: {containers: a}", "a list of objects"),
        ("spec: {restartPolicy: Always, containers: [{name: a, image: b}]}", "Never or OnFailure"),
        ("metadata: {labels: {at: 2026-11-23}}\nspec: {containers: [{name: a, image: b}]}", "put them in quotes"),
    ],
)
def test_what_is_no_pod_of_a_job_is_refused_in_words(template: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        run(template)


@pytest.mark.parametrize("deadline", ["0s", "7h"])
def test_a_deadline_is_neither_nothing_nor_a_day(deadline: str) -> None:
    with pytest.raises(ValidationError, match="at least 1s and at most 6h"):
        run(deadline=deadline)


def test_it_stays_until_nobody_can_make_it_a_second_time() -> None:
    with pytest.raises(ValidationError, match="kept for at least 2m"):
        run(keepFor="1s")
    assert run(keepFor="2m").keep_for > ACT_WITHIN
