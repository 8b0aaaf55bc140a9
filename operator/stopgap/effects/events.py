"""What an Event of ours looks like: about which object, and how long its texts may be. Posted by the recorder."""

import hashlib
from datetime import datetime
from typing import Any, Final

from stopgap.core.case import Notice
from stopgap.model.base import API_VERSION, Kind, Permission
from stopgap.model.time import exact
from stopgap.model.workload import Workload

PERMISSIONS: Final = (Permission("events.k8s.io", ("events",), ("create",), "tell people in kubectl describe what was done"),)
LONGEST_NOTE: Final = 1024
"""Bytes, not characters, that the API server takes as the note of an Event."""


def written(about: dict[str, str], notice: Notice, now: datetime, *, by: str) -> dict[str, Any]:
    """Return an Event. Its name is made of what it says."""
    said = f"{about['uid']}.{notice.reason}.{notice.message}"
    name = f"{beginning(about['name'], 200)}.{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about["namespace"]},
        "eventTime": exact(now),
        "reportingController": "stopgap.dev/operator",
        "reportingInstance": by,
        "action": str(notice.reason),
        "reason": str(notice.reason),
        "regarding": about,
        "note": within(notice.message, LONGEST_NOTE),
        "type": "Warning" if notice.warning else "Normal",
    }


def reference(regarding: Kind | Workload | dict[str, Any]) -> dict[str, str]:
    """Say which object an Event is about: one of ours, a workload, or one as the API server sent it."""
    if isinstance(regarding, Workload):
        return _to("apps/v1", regarding.kind, regarding.namespace, regarding.name, regarding.uid)
    if isinstance(regarding, dict):
        meta = regarding["metadata"]
        return _to(regarding["apiVersion"], regarding["kind"], meta.get("namespace", ""), meta["name"], meta["uid"])
    kept = regarding.metadata
    return _to(API_VERSION, type(regarding).__name__, kept.namespace or "", kept.name, kept.uid or "")


def _to(*parts: str) -> dict[str, str]:
    return dict(zip(("apiVersion", "kind", "namespace", "name", "uid"), parts, strict=True))


def beginning(name: str, longest: int) -> str:
    """Return as much of a name as fits, so that what is added to it still makes a name: `a.-1` is none."""
    return name[:longest].rstrip("-.")


def within(text: str, most: int) -> str:
    """Cut a text to so many bytes of UTF-8, between two characters."""
    return text.encode()[:most].decode(errors="ignore")
