"""A trigger: the piece of a policy that names a signal, with one detector."""

from typing import ClassVar

from stopgap.detectors import (
    AlertTrigger,
    CrashLoop,
    Detector,
    HttpProbe,
    ImagePull,
    LogErrors,
    PostgresTrigger,
    Prometheus,
    ResourceUsage,
    RolloutStuck,
    Unavailable,
)
from stopgap.model.base import ApiModel, Rule, StepName


class Trigger(ApiModel):
    """A named signal: exactly one detector."""

    cel: ClassVar = (
        Rule(
            "[has(self.crashLoop), has(self.rolloutStuck), has(self.imagePull), has(self.unavailable), has(self.httpProbe), "
            "has(self.prometheus), has(self.logErrors), has(self.resourceUsage), has(self.postgres), has(self.alert)].exists_one(x, x)",
            "a trigger has exactly one detector; make a second trigger for a second detector",
        ),
    )
    name: StepName
    """How steps and findings refer to it."""
    crash_loop: CrashLoop | None = None
    rollout_stuck: RolloutStuck | None = None
    image_pull: ImagePull | None = None
    unavailable: Unavailable | None = None
    http_probe: HttpProbe | None = None
    prometheus: Prometheus | None = None
    log_errors: LogErrors | None = None
    resource_usage: ResourceUsage | None = None
    postgres: PostgresTrigger | None = None
    alert: AlertTrigger | None = None

    @property
    def detector(self) -> Detector | None:
        """The one detector that is set; None if it is one that this version does not know."""
        polled = self.http_probe or self.prometheus or self.log_errors or self.resource_usage or self.postgres
        return self.crash_loop or self.rollout_stuck or self.image_pull or self.unavailable or polled or self.alert
