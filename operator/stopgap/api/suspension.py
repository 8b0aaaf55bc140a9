"""The pause of a GitOps owner around an action: what is planned, and how far it is. Part of a Remediation."""

from enum import StrEnum
from typing import Literal

from stopgap.model.base import ApiModel, Message, Name, Uid, Word
from stopgap.model.time import Time


class PlannedSuspension(ApiModel):
    """The owner that is paused before the action. Stored before anything is sent, with what is put back."""

    api_version: Word
    kind: Literal["Application", "Kustomization", "HelmRelease"]
    namespace: Name
    name: Name
    uid: Uid
    before: Message = ""
    """What the pause replaces, as JSON: `spec.syncPolicy.automated` of an Application, `spec.suspend` of a Flux object; `null`: not set."""
    expires_at: Time
    """When people are called about it. Nothing resumes then: that would deploy the bad release again."""


class SuspensionState(StrEnum):
    """How far the pause of an owner is."""

    SUSPENDED = "Suspended"
    """The owner is paused. It stays so, whatever becomes of the incident, until it no longer wants the bad release or a person says so."""
    HELD = "Held"
    """It was paused for longer than was planned, or its workload is gone, and people were called. It is still paused."""
    RESUMED = "Resumed"
    """The owner's own setting was put back."""
    FAILED = "Failed"
    """It could not be resumed. A person does it by hand and says so: `kubectl annotate rem NAME stopgap.dev/revert=abandon`."""
    NOT_NEEDED = "NotNeeded"
    """It was never paused, somebody changed it since, or it is gone."""

    @property
    def open(self) -> bool:
        """Whether the owner is still to be resumed."""
        return self in {SuspensionState.SUSPENDED, SuspensionState.HELD, SuspensionState.FAILED}


class SuspensionStatus(ApiModel):
    """How far the pause of an owner is, and since when."""

    state: SuspensionState
    at: Time | None = None
    """When it came to this state."""
    expires_at: Time | None = None
    """When people are called about it. Nothing resumes then."""
    message: Message = ""
