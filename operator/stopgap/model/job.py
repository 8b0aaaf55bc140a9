"""A Job that is run beside a workload, as policies declare it, and as it is kept in the plan of a Remediation."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import Field, StringConstraints, field_validator

from stopgap.model.deed import Deed
from stopgap.model.duration import Duration, spell

REMEDIATION_LABEL: Final = "stopgap.dev/remediation-uid"
LONGEST: Final = timedelta(hours=6)
KEPT_AT_LEAST: Final = timedelta(minutes=2)
"""An intent is carried out for a minute: for longer, a Job whose creation was not answered must be there to be found."""
_MOST: Final = 16_384
_KEPT: Final = ("spec", "metadata")
_MARKS: Final = {
    "INCIDENT": "STOPGAP_INCIDENT",
    "NAMESPACE": "STOPGAP_NAMESPACE",
    "NAME": "STOPGAP_WORKLOAD",
    "SEVERITY": "STOPGAP_SEVERITY",
}
"""The variables that its containers get, by what they tell."""


class JobRun(Deed):
    """A Job of one pod, in the namespace of the workload."""

    template: Annotated[str, StringConstraints(min_length=1, max_length=_MOST)]
    """The pod, as YAML: what a Job has in spec.template, with a `spec` and perhaps `metadata`.

    It runs under the ServiceAccount that it names (spec.serviceAccountName; else that of the namespace, `default`), with all that this one
    may do. Where the namespace enforces the restricted Pod Security Standard it has to say what that asks for (runAsNonRoot,
    seccompProfile, no privilege escalation, no capabilities), or no pod is made and the Job ends at its deadline. Give it no labels that
    a Service selects. Its containers get STOPGAP_INCIDENT, STOPGAP_NAMESPACE, STOPGAP_WORKLOAD and STOPGAP_SEVERITY.
    The last lines of its log are kept in the Remediation, which many can read: what looks like a secret is left out, but print none.
    """
    deadline: Duration = timedelta(minutes=5)
    """It is ended, and has failed, when it takes longer (activeDeadlineSeconds). verification.timeout must have room for it."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often a pod that failed is tried again (backoffLimit). More than once does more than once what it does."""
    keep_for: Duration = timedelta(hours=1)
    """So long after its end it and its pod are removed (ttlSecondsAfterFinished). At least 2m: while it is there, no second one is made."""

    @field_validator("template")
    @classmethod
    def _is_a_pod(cls, text: str) -> str:
        _read(text)
        return text

    @field_validator("deadline")
    @classmethod
    def _ends(cls, deadline: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= deadline <= LONGEST:
            raise ValueError(f"a deadline is at least 1s and at most {spell(LONGEST)}")
        return deadline

    @field_validator("keep_for")
    @classmethod
    def _stays(cls, keep_for: timedelta) -> timedelta:
        if keep_for < KEPT_AT_LEAST:
            raise ValueError(f"it is kept for at least {spell(KEPT_AT_LEAST)}, so that it is not made twice")
        return keep_for

    def repeatable(self, *, inverse: bool) -> bool:
        """Its name is that of its Remediation, so that a second one cannot be made."""
        return not inverse

    @property
    def returnable(self) -> bool:
        """What a Job has done, nobody knows how to undo."""
        return False

    def filled(self, values: Mapping[str, str]) -> Self:
        """Give its containers the incident's own names."""
        body = _read(self.template)
        told = [{"name": variable, "value": values[name]} for name, variable in _MARKS.items() if name in values]
        for one in _containers(body):
            one["env"] = [*(one.get("env") or ()), *told]
        return self.model_copy(update={"template": json.dumps(body, separators=(",", ":"))})

    @property
    def pod(self) -> dict[str, Any]:
        """The template, ready to be put into a Job."""
        body = _read(self.template)
        body["spec"].setdefault("restartPolicy", "Never")
        return body

    def body(self, name: str, namespace: str, uid: str) -> dict[str, Any]:
        """Return the Job for the Remediation with this UID."""
        labels = {"app.kubernetes.io/managed-by": "stopgap", REMEDIATION_LABEL: uid}
        spec = {
            "backoffLimit": self.retries,
            "activeDeadlineSeconds": round(self.deadline.total_seconds()),
            "ttlSecondsAfterFinished": round(self.keep_for.total_seconds()),
            "template": self.pod,
        }
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": spec,
        }

    def __str__(self) -> str:
        """Read as a person would say it."""
        spec = self.pod["spec"]
        images = ", ".join(str(one["image"]) for one in spec["containers"])
        account = spec.get("serviceAccountName") or "default"
        return f"run a Job of {images} as serviceaccount/{account}, for at most {spell(self.deadline)}"


def job_name(uid: str) -> str:
    """Return the name of the Job of a Remediation: the same whoever makes it, so that it is made once."""
    return f"stopgap-{uid}"


def _read(text: str) -> dict[str, Any]:
    """Parse a pod template. Raises ValueError with what is wrong with it."""
    import yaml  # noqa: PLC0415 - it takes memory, and few policies run Jobs

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases (*x) are not read; write it out")
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(body, dict) or not isinstance(body.get("spec"), dict):
        raise ValueError("it has no spec")  # noqa: TRY004 - what pydantic tells the author is a ValueError
    if unknown := sorted(str(one) for one in body if one not in _KEPT):
        raise ValueError(f"it is a pod template, which has a spec and metadata, and not {', '.join(unknown)}")
    containers = _containers(body)
    if not body["spec"].get("containers") or not all(
        isinstance(one.get("name"), str) and isinstance(one.get("image"), str) for one in containers
    ):
        raise ValueError("each of its containers has a name and an image, and there is at least one")
    if body["spec"].get("restartPolicy", "Never") not in {"Never", "OnFailure"}:
        raise ValueError("the restartPolicy of a Job is Never or OnFailure")
    try:
        json.dumps(body)
    except (TypeError, ValueError) as error:
        raise ValueError("it has values that JSON does not know, such as a date; put them in quotes") from error
    return body


def _containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    listed = [one for part in ("initContainers", "containers") for one in body["spec"].get(part) or ()]
    if not all(isinstance(one, dict) for one in listed):
        raise ValueError("its containers are a list of objects")  # as above
    return listed
