"""What is said about an action that waits for a person: how to answer, and who answered what."""

from stopgap.api.remediation import Remediation
from stopgap.core.lifecycle import Story
from stopgap.model.reasons import Reason


def how(waiting: Remediation) -> str:
    """Say how to approve it, and until when."""
    until = f"{waiting.spec.expires_at:%Y-%m-%d %H:%M:%S} UTC" if waiting.spec.expires_at else "it is over"
    patch = '{"spec":{"approval":{"decision":"Approved"}}}'
    return (
        f"it waits for approval until {until}: kubectl -n {waiting.metadata.namespace} patch rem {waiting.metadata.name} --type=merge "
        f"-p '{patch}' (or Rejected); needs ClusterRole stopgap-approver"
    )


def who(one: Remediation) -> str:
    """Return who answered."""
    return one.spec.approval.by if one.spec.approval else "a person"


def why(one: Remediation) -> str:
    """Return what was said with the answer, to be put behind it."""
    return f": {one.spec.approval.message}" if one.spec.approval and one.spec.approval.message else ""


def credited(story: Story, one: Remediation) -> Story:
    """Tell who approved an action, once."""
    message = f"{who(one)} approved {one.spec.plan.summary} ({one.metadata.name}){why(one)}"[:512]
    if not one.approved or any(entry.message == message for entry in story.status.timeline):
        return story
    return story.tell(Reason.Approved, message, actor=who(one))
