"""Every reason Stopgap gives, with one sentence of meaning: conditions, refusals, Events and timeline entries all use these."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A CamelCase word that machines match on; `meaning` is the sentence for people. `docs/reference/reasons.md` lists them all."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """Attach the sentence to the word."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # What was found.
    CrashLoop = "CrashLoop", "A container of the newest revision exits again and again."
    OOMKilled = (
        "OOMKilled",
        "A container of the newest revision is killed again and again for using more memory than its limit.",
    )
    InitCrashLoop = (
        "InitCrashLoop",
        "An init container of the newest revision exits again and again, so the pod never starts.",
    )
    RolloutStuck = "RolloutStuck", "A rollout makes no progress."
    ErrImagePull = "ErrImagePull", "The image of a container cannot be pulled."
    ImagePullBackOff = (
        "ImagePullBackOff",
        "The image of a container could not be pulled; the kubelet waits before it tries again.",
    )
    InvalidImageName = "InvalidImageName", "The image name of a container is not valid."
    CreateContainerConfigError = (
        "CreateContainerConfigError",
        "A container cannot be created because something that its configuration names is missing or wrong.",
    )
    Unavailable = "Unavailable", "Fewer replicas are available than the policy wants."
    HttpProbeFailed = "HttpProbeFailed", "An address that the policy probes does not answer as it should."
    MetricThreshold = "MetricThreshold", "A metric is beyond the threshold of the policy."
    LogErrors = "LogErrors", "The pods write more lines of a kind than the policy allows."
    ResourceUsage = "ResourceUsage", "The pods use a larger share of CPU or memory than the policy allows."
    DatabaseOverloaded = "DatabaseOverloaded", "A database has more to do than the policy allows, or no connection left."
    AlertFiring = "AlertFiring", "An alerting system says that something is wrong."
    AlertResolved = "AlertResolved", "An alerting system says that its alert is over."
    AlertsLeftOut = "AlertsLeftOut", "There are more alerts than the sender tells or than an Incident lists."

    # Why the newest revision is not the one to blame: these stop every step, not only a rollback.
    NoRecentChange = "NoRecentChange", "Nothing about the workload changed shortly before the trouble began."
    NotAttributable = (
        "NotAttributable",
        "The failure is not explained by the newest revision: older pods fail too, or something shared does.",
    )
    ConfigOnlyChange = (
        "ConfigOnlyChange",
        "No image or command changed; only annotations did, so an older revision would fail the same way.",
    )
    QuotaExceeded = "QuotaExceeded", "Pods cannot be created because a quota is used up."
    Unschedulable = "Unschedulable", "Pods cannot be placed on any node."
    RegistryUnavailable = (
        "RegistryUnavailable",
        "The registry refuses or does not answer; the image itself may be fine.",
    )
    InjectedContainer = (
        "InjectedContainer",
        "The failing container is not in the workload's template; something injected it.",
    )
    SignalUnknown = "SignalUnknown", "The signal cannot be read, so nothing is concluded from it."

    # Why an action is not taken.
    NotLeader = "NotLeader", "This copy of Stopgap is the standby; the leader acts."
    Paused = "Paused", "A pause request or a pause annotation stops every action here."
    Excluded = "Excluded", "The namespace is excluded by the RemediationConfig."
    StormActive = (
        "StormActive",
        "Many workloads are ill at once, or were a moment ago, so that a release is hardly what ails each of them.",
    )
    UnverifiedActions = (
        "UnverifiedActions",
        "As many actions as the platform allows are out on other workloads, and not yet proved to help.",
    )
    FreezeWindow = "FreezeWindow", "A freeze window is open: nothing new is done before it closes."
    TargetBusy = "TargetBusy", "Another remediation of this workload has not ended."
    CooldownActive = "CooldownActive", "The last action on this workload was too short a time ago."
    AttemptsExhausted = "AttemptsExhausted", "This incident has used up the actions that its policy allows."
    RateLimited = "RateLimited", "A budget for actions (policy, target, namespace or cluster) is used up for now."
    OwnedByController = "OwnedByController", "Another controller owns this workload and would undo a change."
    GitOpsOwned = (
        "GitOpsOwned",
        "A GitOps tool reconciles this workload and would undo a change; the change has to be made in Git.",
    )
    DeploymentPaused = "DeploymentPaused", "The Deployment is paused, so a changed template would not roll out."
    NoRollingUpdate = (
        "NoRollingUpdate",
        "The workload leaves its pods as they are (OnDelete, or a partition above them all), so a changed template does nothing.",
    )
    OrderedReady = (
        "OrderedReady",
        "A pod of the StatefulSet is not ready, and with podManagementPolicy OrderedReady no other is added or replaced until it is.",
    )
    RolloutInProgress = "RolloutInProgress", "A newer revision than the judged one is being rolled out, or no pod of it is ready yet."
    NoHealthyRevision = (
        "NoHealthyRevision",
        "No older revision is known to have been healthy, or none that was still exists.",
    )
    ReferenceMissing = (
        "ReferenceMissing",
        "What is needed for the action is not there: an object of the older template, a Secret, or what is to be patched.",
    )
    RollbackForbidden = (
        "RollbackForbidden",
        "A revision on the way back is marked as one that must not be rolled back over.",
    )
    MutableImage = "MutableImage", "An image tag of the older template may mean another image by now."
    RecreateOutage = "RecreateOutage", "The strategy would take down the pods that still serve."
    NoCapacity = (
        "NoCapacity",
        "There is no room for the replicas that the action wants: an autoscaler, a budget, a quota or the nodes end it.",
    )
    NothingToDo = "NothingToDo", "The workload is already in the state that the action would bring it to."
    NotScalable = "NotScalable", "The workload has no number of replicas: a DaemonSet runs one pod on each node that fits."
    AutoscalerDecides = "AutoscalerDecides", "An autoscaler decides about the number of replicas, and would undo this change."
    NotAuthorized = "NotAuthorized", "Stopgap's ServiceAccount may not make this change here."
    DatabaseUnknown = "DatabaseUnknown", "The database that a step is about cannot be looked into, so nothing is ended there."
    ObserveOnly = "ObserveOnly", "The mode is Observe: the action is described and not taken."
    ApprovalPending = "ApprovalPending", "The action waits for a person to approve it."
    NoStepApplies = "NoStepApplies", "No step of the policy is meant for this finding."

    # How an action ended.
    Executed = "Executed", "The change was written and is being verified."
    Succeeded = "Succeeded", "The change was written and helped."
    Failed = "Failed", "The change was written and did not help."
    Inconclusive = "Inconclusive", "The change was written; whether it helped cannot be told."
    Superseded = "Superseded", "The workload was changed by somebody else before the action; nothing was written."
    Refused = "Refused", "A reason against the action appeared after it was recorded; nothing was written."
    ApprovalRejected = "ApprovalRejected", "A person rejected the action; nothing was written."
    ApprovalExpired = "ApprovalExpired", "Nobody approved the action in time; nothing was written."
    OutcomeUnknown = "OutcomeUnknown", "Whether the change was written cannot be told; it is not repeated."
    NotTheRelease = "NotTheRelease", "The older revision fails in the same way, so the release was not to blame."
    JobEnded = "JobEnded", "The Job that a step ran has ended; whether that helped, the signals say."
    PodDeleted = (
        "PodDeleted",
        "A pod of the bad revision that was not ready, and that the others wait for, is deleted; one of the restored revision follows it.",
    )
    MutatedByAdmission = "MutatedByAdmission", "Admission changed the template that was written."

    # What a person orders.
    Ordered = "Ordered", "A person ordered a step, and it is being carried out."
    OrderRefused = "OrderRefused", "A person ordered a step, and something stands against it."

    Approved = "Approved", "A person approved an action that was waiting."

    # What is temporary.
    Restored = "Restored", "What an action had changed for a while was put back."
    RestoreHeld = "RestoreHeld", "A signal fires again, so what is temporary stays until it is quiet."
    RestoreFailed = "RestoreFailed", "What is temporary could not be put back; a person has to."
    NotOurs = "NotOurs", "Somebody changed the value since, so it is left as it is."

    OwnerResumed = "OwnerResumed", "The GitOps tool that was suspended for an action deploys again."
    SuspensionExpired = (
        "SuspensionExpired",
        "A GitOps tool has been suspended for longer than was planned. It stays so: resuming would deploy the bad release again.",
    )
    RecordLost = (
        "RecordLost",
        "The record of a suspended GitOps tool was deleted. Nothing else says which version is bad, so a person has to resume it.",
    )

    # The way of an incident.
    Detected = "Detected", "An incident began."
    Triaged = "Triaged", "The signals, the severity and the suspected change are known."
    Mitigating = "Mitigating", "An action was taken and is being verified."
    Mitigated = "Mitigated", "The bleeding has stopped: the workload is available and its signals are quiet."
    Recovered = "Recovered", "The signals went quiet without an action."
    Resolved = "Resolved", "The incident is over."
    FalseAlarm = "FalseAlarm", "A person says that there was no incident."
    SignalLost = "SignalLost", "Every signal has been unknown for too long; people decide."
    LadderExhausted = "LadderExhausted", "Every step that is meant for this was tried or passed over, and it still bleeds."
    Escalated = "Escalated", "Automation has ended here; people take over."
    Contested = "Contested", "Somebody put the bad revision back after the action. Stopgap does not fight."
    SupersededByRevision = "SupersededByRevision", "Somebody rolled out another revision; it is judged afresh."
    TargetGone = "TargetGone", "The workload no longer exists."
    AcknowledgementOverdue = (
        "AcknowledgementOverdue",
        "Nobody has taken the incident within the time that its severity asks for.",
    )
    Acknowledged = "Acknowledged", "A person has taken the incident."
    SeverityChanged = "SeverityChanged", "The incident is more severe than it was, or a person says that it is less."
    UpdateDue = "UpdateDue", "Those who wait were to hear again by now, and nothing has changed; status.update says how it stands."
    Notified = "Notified", "No channel by which people outside the cluster are told of the incident is failing."
    NotificationFailed = "NotificationFailed", "Somebody outside the cluster could not be told of the incident."
    ReviewOwed = "ReviewOwed", "The incident is to be reviewed, and people have not written down everything yet."
    Drafted = "Drafted", "A PostMortem was drafted from the record; people complete it."
    Reviewed = "Reviewed", "People have written down why it happened, what it did to others, and what they do about it."
    Allowed = "Allowed", "Nothing stands against the action."
    Duplicate = "Duplicate", "Another incident of the same workload is open and is the one that is handled."
    GitOpsDrift = (
        "GitOpsDrift",
        "The cluster differs from what the workload's owner would deploy; its next upgrade brings the old state back.",
    )
    NoGitOpsDrift = "NoGitOpsDrift", "No deploying tool is known to hold another state than the cluster."
    Open = "Open", "The incident is not over yet."

    # Policies.
    Ready = "Ready", "The policy is understood and in force."
    InvalidPolicy = "InvalidPolicy", "The policy cannot work as it is written; it never acts."
    NewerThanOperator = (
        "NewerThanOperator",
        "The object uses something that this version of Stopgap does not know; it never acts.",
    )
    SignalsKnown = "SignalsKnown", "Every signal that has to be asked for is answered."
    NotPaused = "NotPaused", "Nothing pauses this."
    StormOver = "StormOver", "The quiet window after a storm has ended; actions are allowed again."
    Overlapping = "Overlapping", "Another policy decides about some of the workloads that this policy is about too."
    NotOverlapping = "NotOverlapping", "This policy decides about every workload that it is about."
