"""Detectors: each says, from facts alone, whether one kind of trouble is there. Siblings that do not know each other."""

from datetime import datetime, timedelta
from typing import Protocol

from stopgap.detectors.alert import AlertTrigger
from stopgap.detectors.crash_loop import CrashLoop
from stopgap.detectors.http_probe import HttpProbe
from stopgap.detectors.image_pull import ImagePull
from stopgap.detectors.log_errors import LogErrors
from stopgap.detectors.polled import Polled
from stopgap.detectors.postgres import PostgresTrigger
from stopgap.detectors.prometheus import Prometheus
from stopgap.detectors.resource_usage import ResourceUsage
from stopgap.detectors.rollout_stuck import RolloutStuck
from stopgap.detectors.unavailable import Unavailable
from stopgap.model.observation import Finding, Observation

__all__ = [
    "AlertTrigger",
    "CrashLoop",
    "Detector",
    "HttpProbe",
    "ImagePull",
    "LogErrors",
    "Polled",
    "PostgresTrigger",
    "Prometheus",
    "ResourceUsage",
    "RolloutStuck",
    "Unavailable",
]


class Detector(Protocol):
    """What every detector can do."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:
        """Return the finding for a trigger of this name, ignoring what happened up to `after`; quiet means quiet for `quiet_for`."""
