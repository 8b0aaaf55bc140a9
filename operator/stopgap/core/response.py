"""How fast people have to answer: until when an incident is to be acknowledged, and that they are called again if it was not."""

from stopgap.api.config import ConfigSpec, SeverityLevel
from stopgap.core import lifecycle
from stopgap.core.case import Case
from stopgap.core.lifecycle import Story
from stopgap.model import duration
from stopgap.model.reasons import Reason
from stopgap.model.severity import Severity


def level(config: ConfigSpec | None, severity: Severity) -> SeverityLevel:
    """Return what the platform asks for at this severity; what it does not name, or cannot be read, is as in the defaults."""
    levels = (*(config.severity_levels if config else ()), *ConfigSpec().severity_levels)
    return next(one for one in levels if one.name is severity)


def overdue(case: Case, story: Story) -> Story:
    """Keep the time by which somebody is to take the incident; once it has passed, call people again. It stops no automation."""
    status = story.status
    if status.severity is None or status.detected_at is None or story.says(lifecycle.ACKNOWLEDGED):
        return story
    wanted = level(case.config, status.severity).acknowledge_within
    by = status.detected_at + wanted
    story = story.set(acknowledge_by=by)
    if case.now < by or story.says(lifecycle.MITIGATED) or story.reason(lifecycle.ACKNOWLEDGED) == Reason.AcknowledgementOverdue:
        return story
    message = (
        f"nobody has taken this {status.severity} incident within {duration.spell(wanted)}; "
        "take it with spec.acknowledgedBy, and automation goes on meanwhile"
    )
    story = story.observe(lifecycle.ACKNOWLEDGED, False, Reason.AcknowledgementOverdue, message)
    return story.announce(Reason.AcknowledgementOverdue, message, warning=True)
