"""The records of the second floor: the same two objects as Stopgap writes before it acts, field by field, and its guarded patch."""

import datetime as dt
import time
from typing import Any

VERSION = "stopgap.dev/v1alpha1"
DIGESTS = ("a3e19b6928f77a7f", "5b1f0c77d2e94a60")
"""Of the right length; computing them is not part of this floor."""


def _time(ahead: float = 0.0) -> str:
    return dt.datetime.fromtimestamp(time.time() + ahead, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _target(meta: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"]}


def incident(meta: Any, pod: str) -> dict[str, Any]:
    """An Incident about a Deployment."""
    return {
        "apiVersion": VERSION,
        "kind": "Incident",
        "metadata": {"name": f"{meta['name']}-1", "namespace": meta["namespace"], "labels": {"stopgap.dev/target-uid": meta["uid"]}},
        "spec": {
            "title": f"CrashLoop in deployment {meta['name']}",
            "targetRef": _target(meta),
            "startedAt": _time(),
            "source": {
                "type": "Workload",
                "name": "crash",
                "fingerprint": f"{meta['uid']}.crash.{DIGESTS[0]}.{meta['generation']}.{pod}"[:75],
            },
        },
    }


def remediation(meta: Any, opened: Any, bad: int, good: int) -> dict[str, Any]:
    """The intent to go back from one revision to another."""
    labels = {"stopgap.dev/incident": opened["metadata"]["uid"], "stopgap.dev/target-uid": meta["uid"]}
    name = f"{meta['name']}-{meta['uid'][:8]}-g{meta['generation']}-1"
    return {
        "apiVersion": VERSION,
        "kind": "Remediation",
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels},
        "spec": {
            "incidentRef": {"name": opened["metadata"]["name"], "uid": opened["metadata"]["uid"]},
            "targetRef": {**_target(meta), "uid": meta["uid"]},
            "policyRef": {"kind": "RemediationPolicy", "name": "bench", "uid": meta["uid"], "generation": 1},
            "step": "undo",
            "attempt": 1,
            "action": "Rollback",
            "plan": {
                "summary": f"roll back from revision {bad} to revision {good}",
                "fromRevision": bad,
                "toRevision": good,
                "fromDigest": DIGESTS[0],
                "toDigest": DIGESTS[1],
                "replicaSetUid": meta["uid"],
                "replicaSet": f"{meta['name']}-f5d667b68",
            },
            "generation": meta["generation"],
            "notAfter": _time(60),
            "healthyFor": "1s",
            "verifyUntil": _time(60),
            "requestedBy": "stopgap",
        },
    }


def guarded(meta: Any, mark: str, patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patch with the tests and the mark that make it happen at most once."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
        {"op": "test", "path": "/metadata/generation", "value": meta["generation"]},
        {"op": "add", "path": "/metadata/annotations/stopgap.dev~1last-action", "value": mark},
        *patch,
    ]
