"""The part of a Remediation's status about pods that were deleted, so that they are made anew from the template that was put back."""

from typing import Annotated, Final

from pydantic import StringConstraints

from stopgap.model.base import ApiModel, Message, Uid
from stopgap.model.time import MicroTime

MOST_REPLACED: Final = 100
"""Pods that are deleted under one Remediation."""


class ReplacedPod(ApiModel):
    """A pod of the bad revision that was not ready and that all others waited for (podManagementPolicy OrderedReady)."""

    pod: Annotated[str, StringConstraints(max_length=253)]
    uid: Uid
    """The incarnation that is meant: the one that is made in its place is never deleted under the same Remediation."""
    revision: Uid
    """Its revision: the UID of the StatefulSet, and the hash of the ControllerRevision."""
    decided_at: MicroTime
    """When it was decided. It is written down before the pod is deleted."""
    refused: Message = ""
    """Why the API server would not delete it; then people have to."""
