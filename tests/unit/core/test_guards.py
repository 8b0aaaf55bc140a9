"""Every reason not to act: one case in which it holds, and its twin in which nothing holds and the action is intended."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.conftest import (
    BAD,
    BAD_IMAGE,
    GOOD,
    NEW,
    NOW,
    OLD,
    TARGET,
    ago,
    executed,
    make_case,
    make_container,
    make_exits,
    make_good,
    make_health,
    make_incident,
    make_live,
    make_pod,
    make_policy,
    make_remediation,
    make_revision,
    make_seen,
    make_spent,
    make_template,
    make_waiting,
    make_workload,
)
from tests.stateful import make_stateful

from stopgap.api import Remediation
from stopgap.api.config import ConfigSpec
from stopgap.core import authority, choosing, freeze, guards, knowngood, limits, stateful, suspending
from stopgap.core.case import Case
from stopgap.core.decide import decide, judge
from stopgap.core.guards import Guard
from stopgap.core.situation import Situation
from stopgap.core.storm import CLUSTER, Breaker, Count, Stage
from stopgap.model.change import Known
from stopgap.model.observation import Pausable, Refusal, Right
from stopgap.model.reasons import Reason
from stopgap.model.refs import Target
from stopgap.model.template import Template
from stopgap.model.workload import Flag, Level, Neighbour

PAUSABLE = Pausable("argoproj.io/v1alpha1", "Application", "argocd", "web", "app-uid", "{}", "", may_patch=True)
OWNER = "Argo CD application shop/api syncs this by itself; revert the change in apps/api of git.example"
PAUSE = "stopgap.dev/pause"
SETTINGS = Template.read(make_template("shop/api:1.9", volumes=[{"name": "settings", "configMap": {"name": "settings"}}]))
SERVING_NONE = replace(make_seen(), revisions=(NEW, msgspec.structs.replace(OLD, wanted=0, replicas=0, ready=0, available=0)))


@dataclass(frozen=True)
class Row:
    """A guard, a case in which it refuses, what it says there, and a twin in which nothing stands against the action."""

    says: str
    guard: Guard
    reason: Reason
    facts: tuple[str, ...]
    refuses: Case
    twin: Case
    until: timedelta | None = None


def seen_case(*, live: dict[str, Any] | None = None, policy: dict[str, Any] | None = None, **seen: Any) -> Case:
    return make_case(seen=make_seen(live=make_live(**(live or {})), **seen), policy=make_policy(**(policy or {})))


FLAG_OFF: dict[str, Any] = {
    "name": "flag-off",
    "when": {"triggers": ["crash"]},
    "http": {
        "url": "http://admin.shop.svc/flag",
        "headers": [{"name": "Authorization", "secretRef": {"name": "unleash", "key": "token"}}],
        "body": '{"feature": false}',
        "restore": {"url": "http://admin.shop.svc/flag", "body": '{"feature": true}'},
    },
}
TOKEN = Right("get", "", "secrets", "unleash")


def calling_case(*, may: bool, **changes: Any) -> Case:
    """The bad release under a policy whose only step is an HTTP call."""
    seen = make_seen(live=make_live(rights={TOKEN: may}))
    return make_case(seen=seen, policy=make_policy(steps=[FLAG_OFF]), **changes)


def called(step: str) -> Remediation:
    """A call of an earlier incident that is to be put back by a person."""
    plan = {"summary": "flag was turned off", "field": "Elsewhere", "outside": {"http": FLAG_OFF["http"]}, "revert": {"upon": "Manual"}}
    status = {
        **executed(ago(hours=9)),
        "state": "Succeeded",
        "endedAt": ago(hours=8),
        "fieldsReturned": True,
        "revert": {"state": "Pending"},
    }
    return make_remediation(incident="api-0", name=f"r-{step}", step=step, action="Http", plan=plan, status=status)


def config_case(**config: Any) -> Case:
    return make_case(config=ConfigSpec.model_validate(config))


def frozen(cron: str = "0 18 * * FRI", length: str = "65h", **window: Any) -> list[dict[str, Any]]:
    """By default from Friday evening to an hour after now, which is a Monday morning."""
    return [{"cron": cron, "duration": length, "reason": "no changes at weekends", **window}]


def spent_case(*spent: Any, config: dict[str, Any] | None = None, **policy: Any) -> Case:
    return make_case(spent=spent, policy=make_policy(**policy), config=ConfigSpec.model_validate(config or {}))


def in_vain(count: int, *, state: str = "Superseded", **spec: Any) -> Case:
    status = {"state": state, "message": "it was not written in time (5 tries); it is decided afresh"}
    return make_case(remediations=tuple(make_remediation(name=f"r-{number}", status=status, **spec) for number in range(count)))


def work_case(**work: Any) -> Case:
    return seen_case(workload=make_workload(**work))


def older_template(template: Template, **live: Any) -> Case:
    """The revision to go back to has this template, and is recorded with it."""
    return replace(
        seen_case(live={"templates": {"rs-1": template, "rs-2": BAD}, **live}),
        health=make_health(known_good=(make_good(template=template),)),
    )


def recorded(*goods: Any, **changes: Any) -> Case:
    return make_case(health=make_health(known_good=goods, **changes))


def conditioned(kind: str, status: str) -> Case:
    one = {"type": kind, "status": status, "reason": kind, "message": "", "lastTransitionTime": ago(minutes=1)}
    return make_case(incident=make_incident(status={"detectedAt": ago(minutes=1), "conditions": [one]}))


def paused_by(until: timedelta | None = None) -> list[dict[str, Any]]:
    return [{"name": "ana", "reason": "db upgrade", **({"until": NOW + until} if until is not None else {})}]


def earlier(incident: str, state: str = "Succeeded", *, left: str = BAD.digest, put_back: str = GOOD.digest, why: str = "Succeeded") -> Any:
    """A remediation that was executed five minutes ago and has ended."""
    settled = {"type": "Succeeded", "status": "False", "reason": why, "message": "", "lastTransitionTime": ago(minutes=4)}
    plan = make_remediation().spec.plan.model_copy(update={"from_digest": left, "to_digest": put_back})
    made = make_remediation(incident=incident, name="earlier", status=executed(ago(minutes=5), state=state, conditions=[settled]))
    return made.model_copy(update={"spec": made.spec.model_copy(update={"plan": plan})})


def attempted(most: int) -> Case:
    """This incident has acted once on another template, which somebody replaced since."""
    one = earlier("api-1", "Inconclusive", left="an-older-bad-one", why="SupersededByRevision")
    policy = make_policy(guards={"maxActionsPerIncident": most})
    return make_case(remediations=(one,), spent=(make_spent(ago(minutes=5), remediation="earlier-uid"),), policy=policy)


def cooling(scope: str, *, minutes: int) -> Breaker:
    """A storm that ended so many minutes ago, of the usual ten."""
    return Breaker(scope, Stage.COOLING_DOWN, ago(minutes=minutes), until=ago(minutes=minutes - 10))


def short_of_replicas(**work: Any) -> Case:
    """Two of three replicas have been missing for five minutes, and that alone is the signal."""
    policy = {"triggers": [{"name": "down", "unavailable": {}}], "steps": [{"name": "undo", "when": {}, "rollback": {}}]}
    workload = make_workload(available_replicas=1, **work)
    return seen_case(workload=workload, levels=(Level(ago(minutes=2), 1, 3),), exits=(), policy=policy)


def stuck(*, unschedulable: str, **changes: Any) -> Case:
    policy = {
        "triggers": [{"name": "stuck", "rolloutStuck": {"after": "1m"}}, {"name": "crash", "crashLoop": {}}],
        "steps": [{"name": "undo", "when": {}, "rollback": {}}],
    }
    waiting = make_pod(node="", phase="Pending", started=None, unschedulable=unschedulable, containers=(make_container(),))
    return seen_case(**{"policy": policy, "pods": (waiting,), "exits": (), **changes})


def pulling(message: str) -> Case:
    policy = {
        "triggers": [{"name": "pull", "imagePull": {}}],
        "steps": [{"name": "undo", "when": {"triggers": ["pull"]}, "rollback": {}}],
    }
    waits = make_container(waiting="ErrImagePull", waiting_message=message, waiting_since=ago(seconds=30))
    return seen_case(policy=policy, pods=(make_pod(containers=(waits,)),), exits=())


def alone(**changes: Any) -> Case:
    """The rollout is complete: no older pods are left to compare with."""
    return seen_case(**{"revisions": SERVING_NONE.revisions, **changes})


def four_pods_two_crash(*nodes: str, replicas: int = 4) -> Case:
    pods = tuple(make_pod(f"p{number}", node=node) for number, node in enumerate(nodes))
    exits = tuple(one for pod in pods for one in make_exits(pod=pod.name, node=pod.node))
    newest = msgspec.structs.replace(NEW, wanted=replicas, replicas=replicas, ready=replicas - len(pods))
    return alone(revisions=(newest, SERVING_NONE.revisions[1]), pods=pods, exits=exits)


def neighbours(*since: Any) -> tuple[Neighbour, ...]:
    return tuple(Neighbour(Target("shop", "Deployment", f"other-{number}"), one) for number, one in enumerate(since))


def failing(message: str, *, holds: bool = True) -> Flag:
    return Flag(holds, "FailedCreate", message, ago(minutes=1), None)


HARMLESS = make_case()
RESTARTING = {"steps": [{"name": "kick", "when": {"triggers": ["crash"]}, "restart": {}}]}
QUOTA = 'pods "api-2-x" is forbidden: exceeded quota: compute'
ANNOTATED = Template.read(make_template(BAD_IMAGE, annotations={"kubectl.kubernetes.io/restartedAt": "2026-11-01"}))

ROWS = (
    Row(
        "the standby does not act",
        guards.not_leader,
        Reason.NotLeader,
        ("standby", "Lease"),
        make_case(leading=False),
        make_case(leading=True),
    ),
    # ------------------------------------------------------------------------------------------------- pauses
    Row(
        "a config that cannot be understood pauses everything",
        guards.paused,
        Reason.Paused,
        ("RemediationConfig cannot be read or understood (spec.maxMode: ", "repair or delete it"),
        make_case(config=None, config_trouble="spec.maxMode: this version of Stopgap does not know 'Approve'"),
        HARMLESS,
    ),
    Row(
        "a config that cannot be read at the last moment pauses everything",
        guards.paused,
        Reason.Paused,
        ("RemediationConfig cannot be read",),
        seen_case(live={"config_readable": False}),
        HARMLESS,
    ),
    Row(
        "the kill switch in the config holds until it is removed",
        guards.paused,
        Reason.Paused,
        ("ana paused the RemediationConfig: db upgrade",),
        config_case(pauseRequests=paused_by()),
        config_case(pauseRequests=[]),
    ),
    Row(
        "a pause request of the policy holds until its time",
        guards.paused,
        Reason.Paused,
        ("ana paused policy web: db upgrade",),
        make_case(policy=make_policy(pauseRequests=paused_by(timedelta(minutes=1)))),
        make_case(policy=make_policy(pauseRequests=paused_by(timedelta(0)))),
        timedelta(minutes=1),
    ),
    Row(
        "an annotation on the config is a pause",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on the RemediationConfig: audit",),
        make_case(config_paused="audit"),
        make_case(config_paused=""),
    ),
    Row(
        "an annotation on the policy is a pause",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on policy web: audit",),
        make_case(policy=make_policy(annotations={PAUSE: "audit"})),
        make_case(policy=make_policy(annotations={"other": "audit"})),
    ),
    Row(
        "an annotation on the namespace is a pause",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on namespace shop: audit",),
        seen_case(live={"namespace_annotations": {PAUSE: "audit"}}),
        seen_case(live={"namespace_annotations": {"other": "audit"}}),
    ),
    Row(
        "an annotation on the workload is a pause",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on deployment/api in shop: audit",),
        work_case(annotations={"deployment.kubernetes.io/revision": "2", PAUSE: "audit"}),
        work_case(annotations={"deployment.kubernetes.io/revision": "2"}),
    ),
    Row(
        "an annotation without a reason on the workload is a pause too",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on deployment/api in shop: (no reason was given)",),
        work_case(annotations={"deployment.kubernetes.io/revision": "2", PAUSE: ""}),
        work_case(annotations={"deployment.kubernetes.io/revision": "2"}),
    ),
    Row(
        "an annotation without a reason on the namespace is a pause too",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on namespace shop: (no reason was given)",),
        seen_case(live={"namespace_annotations": {PAUSE: ""}}),
        seen_case(live={"namespace_annotations": {}}),
    ),
    Row(
        "an annotation without a reason on the policy is a pause too",
        guards.paused,
        Reason.Paused,
        (f"annotation {PAUSE} on policy web: (no reason was given)",),
        make_case(policy=make_policy(annotations={PAUSE: ""})),
        make_case(policy=make_policy()),
    ),
    # ------------------------------------------------------------------------------------------------- limits
    Row(
        "the platform excludes namespaces by pattern",
        guards.excluded,
        Reason.Excluded,
        ("namespace shop", "excludedNamespaces"),
        config_case(excludedNamespaces=["sh*"]),
        config_case(excludedNamespaces=["shopping", "kube-*"]),
    ),
    Row(
        "a freeze window of the policy is open",
        freeze.freeze_window,
        Reason.FreezeWindow,
        ("'0 18 * * FRI' (UTC, 65h) of policy web: no changes at weekends", "until Mon 2026-11-23 11:00 UTC (2026-11-23T11:00:00Z)"),
        make_case(policy=make_policy(guards={"freezeWindows": frozen()})),
        make_case(policy=make_policy(guards={"freezeWindows": frozen(length="64h")})),
        timedelta(hours=1),
    ),
    Row(
        "a freeze window is read by the clock of its zone",
        freeze.freeze_window,
        Reason.FreezeWindow,
        ("(America/New_York, 65h)", "until Mon 2026-11-23 11:00 EST (2026-11-23T16:00:00Z)"),
        make_case(policy=make_policy(guards={"freezeWindows": frozen(length="65h", timeZone="America/New_York")})),
        make_case(policy=make_policy(guards={"freezeWindows": frozen(length="65h", timeZone="Europe/Berlin")})),
        timedelta(hours=6),
    ),
    Row(
        "a freeze window of the platform is open, whatever the policy lets through",
        freeze.freeze_window,
        Reason.FreezeWindow,
        ("of the RemediationConfig: no changes at weekends",),
        make_case(
            policy=make_policy(guards={"freezeWindows": frozen(allowSeverities=["P1", "P2", "P3", "P4"])}),
            config=ConfigSpec.model_validate({"freezeWindows": frozen()}),
        ),
        config_case(freezeWindows=frozen("0 18 * * SAT", "30m")),
        timedelta(hours=1),
    ),
    Row(
        "a freeze window lets only the severities through that it names",
        freeze.freeze_window,
        Reason.FreezeWindow,
        ("Severity P1 or P2 is let through (spec.severity of the Incident)",),
        make_case(
            incident=make_incident(severity="P3"), config=ConfigSpec.model_validate({"freezeWindows": frozen(allowSeverities=["P1", "P2"])})
        ),
        make_case(
            incident=make_incident(severity="P2"), config=ConfigSpec.model_validate({"freezeWindows": frozen(allowSeverities=["P1", "P2"])})
        ),
        timedelta(hours=1),
    ),
    Row(
        "one freeze window that lets the severity through does not open another that does not",
        freeze.freeze_window,
        Reason.FreezeWindow,
        ("'0 9 * * MON' (UTC, 2h) of policy web",),
        make_case(
            incident=make_incident(severity="P1"),
            policy=make_policy(guards={"freezeWindows": [*frozen(allowSeverities=["P1"]), *frozen("0 9 * * MON", "2h")]}),
        ),
        make_case(
            incident=make_incident(severity="P1"),
            policy=make_policy(
                guards={"freezeWindows": [*frozen(allowSeverities=["P1"]), *frozen("0 9 * * MON", "2h", allowSeverities=["P1"])]}
            ),
        ),
        timedelta(hours=1),
    ),
    Row(
        "many workloads of the namespace are ill at once",
        limits.storm_active,
        Reason.StormActive,
        ("23 of 50 workloads are ill in namespace shop", "look for what they share"),
        make_case(storm=(Breaker("shop", Stage.OPEN, ago(minutes=1), count=Count(50, 23)),)),
        make_case(storm=()),
    ),
    Row(
        "a moment ago many workloads everywhere were ill",
        limits.storm_active,
        Reason.StormActive,
        (
            "in the whole cluster",
            "fewer since 09:59:00",
            "before 10:09:00",
            "kubectl -n stopgap-system annotate lease stopgap stopgap.dev/storm-",
        ),
        make_case(storm=(cooling(CLUSTER, minutes=1), cooling("shop", minutes=5))),
        make_case(storm=()),
        timedelta(minutes=9),
    ),
    Row(
        "a storm that lasts counts more than one that ends",
        limits.storm_active,
        Reason.StormActive,
        ("45 of 100 workloads are ill in the whole cluster",),
        make_case(storm=(cooling("shop", minutes=1), Breaker(CLUSTER, Stage.OPEN, ago(hours=1), count=Count(100, 45)))),
        make_case(storm=()),
    ),
    Row(
        "as many actions as allowed are not proved yet",
        limits.unverified_actions,
        Reason.UnverifiedActions,
        ("3 actions on other workloads", "at most 3"),
        make_case(unverified=3),
        make_case(unverified=2),
    ),
    Row(
        "the platform says how many may be unproved",
        limits.unverified_actions,
        Reason.UnverifiedActions,
        ("1 actions on other workloads", "at most 1"),
        make_case(unverified=1, config=ConfigSpec.model_validate({"stormBreaker": {"maxUnverifiedActions": 1}})),
        make_case(unverified=1),
    ),
    Row(
        "an action that has not ended keeps the workload busy",
        guards.target_busy,
        Reason.TargetBusy,
        ("api-d-uid-g4-1 has not ended",),
        make_case(remediations=(make_remediation(incident="api-0"),)),
        make_case(remediations=(earlier("api-0"),)),
        timedelta(minutes=10),
    ),
    Row(
        "the bad template came back after our action",
        guards.contested,
        Reason.Contested,
        ("kubectl-set put the bad template back", "does not fight"),
        make_case(remediations=(earlier("api-1"),)),
        make_case(remediations=(earlier("api-0"),)),
    ),
    Row(
        "people were called",
        guards.handed_over,
        Reason.Escalated,
        ("people were called", "ended for this incident"),
        conditioned("Escalated", "True"),
        conditioned("Escalated", "False"),
    ),
    Row(
        "another incident acted on this workload a moment ago",
        limits.cooldown_active,
        Reason.CooldownActive,
        ("was 4m ago", "wants 10m between"),
        spent_case(make_spent(ago(minutes=4))),
        spent_case(make_spent(ago(minutes=10))),
        timedelta(minutes=6),
    ),
    Row(
        "the cooldown is for this workload and not for its neighbours",
        limits.cooldown_active,
        Reason.CooldownActive,
        ("wants 20m between",),
        spent_case(make_spent(ago(minutes=15)), guards={"cooldown": "20m"}),
        spent_case(make_spent(ago(minutes=15), target_uid="another"), guards={"cooldown": "20m"}),
        timedelta(minutes=5),
    ),
    Row(
        "the cooldown is between incidents and not within one",
        limits.cooldown_active,
        Reason.CooldownActive,
        ("was 5m ago",),
        replace(attempted(2), spent=(make_spent(ago(minutes=5), remediation="of-another-incident"),)),
        attempted(2),
        timedelta(minutes=5),
    ),
    Row(
        "what could not be written three times, though nobody changed the workload, is not intended again",
        limits.attempts_exhausted,
        Reason.AttemptsExhausted,
        ("intended 3 times", "it was not written in time (5 tries)"),
        in_vain(3),
        in_vain(2),
    ),
    Row(
        "what was refused three times at the last moment, such as by an owner that cannot be suspended, is not intended again",
        limits.attempts_exhausted,
        Reason.AttemptsExhausted,
        ("intended 3 times",),
        in_vain(3, state="Refused"),
        in_vain(2, state="Refused"),
    ),
    Row(
        "what somebody else's changes made void does not count as tried in vain",
        limits.attempts_exhausted,
        Reason.AttemptsExhausted,
        ("intended 3 times",),
        in_vain(3),
        in_vain(3, generation=3),
    ),
    Row(
        "an incident has used up its actions",
        limits.attempts_exhausted,
        Reason.AttemptsExhausted,
        ("1 actions were taken in this incident", "allows 1"),
        attempted(1),
        attempted(2),
    ),
    Row(
        "the budget of the policy is used up",
        limits.rate_limited,
        Reason.RateLimited,
        ("1 actions within 1h on policy web", "at most 1"),
        spent_case(make_spent(ago(minutes=50), target_uid="x", namespace="y"), guards={"maxActions": {"count": 1, "within": "1h"}}),
        spent_case(make_spent(ago(minutes=60), target_uid="x", namespace="y"), guards={"maxActions": {"count": 1, "within": "1h"}}),
        timedelta(minutes=10),
    ),
    Row(
        "the budget of the policy is charged by its own actions only",
        limits.rate_limited,
        Reason.RateLimited,
        ("2 actions within 1h on policy web", "at most 2"),
        spent_case(make_spent(ago(minutes=40)), make_spent(ago(minutes=30)), guards={"maxActions": {"count": 2, "within": "1h"}}),
        spent_case(
            make_spent(ago(minutes=40)), make_spent(ago(minutes=30), policy_uid="x"), guards={"maxActions": {"count": 2, "within": "1h"}}
        ),
        timedelta(minutes=20),
    ),
    Row(
        "the budget of the workload is used up",
        limits.rate_limited,
        Reason.RateLimited,
        ("on deployment/api in shop", "at most 1"),
        spent_case(make_spent(ago(minutes=30), policy_uid="x"), config={"budgets": {"perTarget": {"count": 1, "within": "1h"}}}),
        spent_case(
            make_spent(ago(minutes=30), policy_uid="x", target_uid="y"), config={"budgets": {"perTarget": {"count": 1, "within": "1h"}}}
        ),
        timedelta(minutes=30),
    ),
    Row(
        "the budget of the namespace is used up",
        limits.rate_limited,
        Reason.RateLimited,
        ("on namespace shop", "at most 1"),
        spent_case(
            make_spent(ago(minutes=30), policy_uid="x", target_uid="y"), config={"budgets": {"perNamespace": {"count": 1, "within": "1h"}}}
        ),
        spent_case(
            make_spent(ago(minutes=30), policy_uid="x", target_uid="y", namespace="z"),
            config={"budgets": {"perNamespace": {"count": 1, "within": "1h"}}},
        ),
        timedelta(minutes=30),
    ),
    Row(
        "the budget of the cluster is used up",
        limits.rate_limited,
        Reason.RateLimited,
        ("on the cluster", "at most 1"),
        spent_case(
            make_spent(ago(minutes=30), policy_uid="x", target_uid="y", namespace="z"),
            config={"budgets": {"cluster": {"count": 1, "within": "1h"}}},
        ),
        spent_case(
            make_spent(ago(minutes=60), policy_uid="x", target_uid="y", namespace="z"),
            config={"budgets": {"cluster": {"count": 1, "within": "1h"}}},
        ),
        timedelta(minutes=30),
    ),
    # ------------------------------------------------------------------------------------------------- owners and the workload
    Row(
        "another controller owns the workload",
        guards.owned_by_controller,
        Reason.OwnedByController,
        ("Rollout/api controls this workload",),
        work_case(controller="Rollout/api"),
        work_case(controller=""),
    ),
    Row(
        "a reconciling owner would undo it",
        guards.gitops_owned,
        Reason.GitOpsOwned,
        (OWNER,),
        seen_case(live={"owner": OWNER}),
        seen_case(live={"drifting_owner": OWNER}),
    ),
    Row(
        "a reconciling owner is overridden only by the policy's own word",
        guards.gitops_owned,
        Reason.GitOpsOwned,
        (OWNER,),
        seen_case(live={"owner": OWNER}, policy={"gitOps": "Block"}),
        seen_case(live={"owner": OWNER}, policy={"gitOps": "Act"}),
    ),
    Row(
        "a reconciling owner whose pause would be undone is not paused",
        guards.gitops_owned,
        Reason.GitOpsOwned,
        (OWNER,),
        seen_case(live={"owner": OWNER, "pausable": replace(PAUSABLE, parent="ApplicationSet fleet")}, policy={"gitOps": "SuspendOwner"}),
        seen_case(live={"owner": OWNER, "pausable": PAUSABLE}, policy={"gitOps": "SuspendOwner"}),
    ),
    Row(
        "whoever owns the namespace of the GitOps object has not granted the pause",
        suspending.may_not_pause,
        Reason.NotAuthorized,
        ("may not suspend Argo CD Application web", "-n argocd --clusterrole=stopgap-action-suspend-owner"),
        seen_case(live={"owner": OWNER, "pausable": replace(PAUSABLE, may_patch=False)}, policy={"gitOps": "SuspendOwner"}),
        seen_case(live={"owner": OWNER, "pausable": PAUSABLE}, policy={"gitOps": "SuspendOwner"}),
    ),
    Row(
        "a paused deployment would not roll out",
        guards.deployment_paused,
        Reason.DeploymentPaused,
        ("deployment/api in shop is paused", "kubectl rollout resume"),
        work_case(paused=True),
        work_case(paused=False),
    ),
    Row(
        "pods that are replaced by hand only do not follow a changed template",
        stateful.no_rolling_update,
        Reason.NoRollingUpdate,
        ("statefulset/api in shop replaces a pod only when somebody deletes it", "OnDelete"),
        seen_case(workload=make_stateful(strategy="OnDelete")),
        seen_case(workload=make_stateful()),
    ),
    Row(
        "a partition above every pod keeps all of them",
        stateful.no_rolling_update,
        Reason.NoRollingUpdate,
        ("keeps all of its pods as they are", "partition is 3"),
        seen_case(workload=make_stateful(partition=3)),
        seen_case(workload=make_stateful(partition=2)),
    ),
    Row(
        "pods that wait for each other wait for the broken one too",
        stateful.ordered_ready,
        Reason.OrderedReady,
        ("p1 is not ready", "OrderedReady", "kubectl delete pod p1 -n shop"),
        seen_case(workload=make_stateful(), policy=RESTARTING),
        seen_case(workload=make_stateful(ordered=False), policy=RESTARTING),
    ),
    Row(
        "a newer template than the judged one was written",
        guards.rollout_in_progress,
        Reason.RolloutInProgress,
        ("has not taken it up yet",),
        short_of_replicas(generation=5),
        short_of_replicas(),
    ),
    # ------------------------------------------------------------------------------------------------- the way back
    Row(
        "no revision was ever seen healthy",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("none of the last 1 older revisions", "1 (never seen healthy)"),
        recorded(),
        recorded(make_good()),
    ),
    Row(
        "the only healthy revision is denied",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("1 (denied)",),
        recorded(make_good(), denied=[{"digest": GOOD.digest, "time": ago(days=1)}]),
        recorded(make_good(), denied=[{"digest": "another", "time": ago(days=1)}]),
    ),
    Row(
        "the older revision was not healthy for long enough",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("1 (not healthy for long enough)",),
        recorded(make_good(healthy_for=timedelta(minutes=4))),
        recorded(make_good(healthy_for=timedelta(minutes=5))),
    ),
    Row(
        "there is no older revision at all",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("no older revision", "fix forward"),
        seen_case(revisions=(NEW,)),
        HARMLESS,
    ),
    Row(
        "the healthy revision is further back than the policy goes",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("none of the last 1 older revisions", "2 (never seen healthy)"),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-5"), OLD),
            policy={"steps": [{"name": "undo", "when": {}, "rollback": {"maxRevisionsBack": 1}}]},
        ),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-5"), OLD),
            policy={"steps": [{"name": "undo", "when": {}, "rollback": {"maxRevisionsBack": 2}}]},
        ),
    ),
    Row(
        "the healthy revision was deleted a moment ago",
        guards.impossible,
        Reason.NoHealthyRevision,
        ("api-1 (revision 1) is gone", "fix forward"),
        seen_case(live={"templates": {"rs-2": BAD}}),
        HARMLESS,
    ),
    Row(
        "the older template is not the one that was recorded",
        guards.no_healthy_revision,
        Reason.NoHealthyRevision,
        ("template of api-1", "not the one that was recorded as healthy"),
        seen_case(live={"templates": {"rs-1": Template.read(make_template("shop/api:1.8")), "rs-2": BAD}}),
        HARMLESS,
    ),
    Row(
        "the older template needs something that is gone",
        guards.reference_missing,
        Reason.ReferenceMissing,
        ("needs configmap/settings", "does not exist", "restore it first"),
        older_template(SETTINGS, missing=("configmap/settings",)),
        older_template(SETTINGS),
    ),
    Row(
        "what only the template of another revision needs is not asked for",
        guards.reference_missing,
        Reason.ReferenceMissing,
        ("configmap/settings",),
        older_template(SETTINGS, missing=("configmap/settings", "configmap/of-the-one-before")),
        older_template(SETTINGS, missing=("configmap/of-the-one-before",)),
    ),
    Row(
        "the newest revision is a one-way door",
        guards.rollback_forbidden,
        Reason.RollbackForbidden,
        ("revision 2 is annotated stopgap.dev/rollback: Forbidden", "fix forward"),
        seen_case(revisions=(msgspec.structs.replace(NEW, forbids_rollback=True), OLD)),
        seen_case(revisions=(NEW, msgspec.structs.replace(OLD, forbids_rollback=True))),
    ),
    Row(
        "a revision on the way back is a one-way door",
        guards.rollback_forbidden,
        Reason.RollbackForbidden,
        ("revision 2 is annotated",),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-between", forbids_rollback=True), OLD),
        ),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-5"), OLD),
        ),
    ),
    Row(
        "the tag latest may mean the bad image by now",
        guards.mutable_image,
        Reason.MutableImage,
        ("shop/api:latest of the older template", "version tag or a digest"),
        older_template(Template.read(make_template("shop/api:latest"))),
        older_template(Template.read(make_template("shop/api:1.8"))),
    ),
    Row(
        "an image without a tag means latest",
        guards.mutable_image,
        Reason.MutableImage,
        ("registry:5000/api of the older template",),
        older_template(Template.read(make_template("registry:5000/api"))),
        older_template(Template.read(make_template("registry:5000/api:1.8"))),
    ),
    Row(
        "latest with a digest is fixed",
        guards.mutable_image,
        Reason.MutableImage,
        ("shop/api:latest",),
        older_template(Template.read(make_template("shop/api:latest"))),
        older_template(Template.read(make_template(f"shop/api:latest@sha256:{'a' * 64}"))),
    ),
    Row(
        "Recreate would take down the pods that still serve",
        guards.recreate_outage,
        Reason.RecreateOutage,
        ("3 of 3 pods still serve", "(Recreate)", "decide by hand"),
        work_case(strategy="Recreate"),
        work_case(strategy="Recreate", available_replicas=0),
    ),
    Row(
        "maxUnavailable 100% would take down the pods that still serve",
        guards.recreate_outage,
        Reason.RecreateOutage,
        ("3 of 3 pods still serve", "(RollingUpdate)"),
        work_case(max_unavailable="100%"),
        work_case(max_unavailable="99%"),
    ),
    Row(
        "maxUnavailable as a number that covers all replicas is as bad",
        guards.recreate_outage,
        Reason.RecreateOutage,
        ("1 of 3 pods still serve",),
        work_case(max_unavailable=3, available_replicas=1),
        work_case(max_unavailable=2, available_replicas=1),
    ),
    Row(
        "the namespace's owner has not granted it",
        authority.not_authorized,
        Reason.NotAuthorized,
        ("may not patch deployments in shop", "kubectl create rolebinding", "-n shop"),
        seen_case(live={"may_patch": False}),
        seen_case(live={"may_patch": True}),
    ),
    Row(
        "a Secret that a call takes may not be read",
        authority.not_authorized,
        Reason.NotAuthorized,
        ("may not get secrets/unleash in shop", "resourceNames"),
        calling_case(may=False),
        calling_case(may=True),
    ),
    Row(
        "what a call changed was not put back yet",
        guards.target_busy,
        Reason.TargetBusy,
        ("flag was turned off", "has not been put back yet"),
        replace(calling_case(may=True), remediations=(called("flag-off"),)),
        replace(calling_case(may=True), remediations=(called("another-flag-off"),)),
    ),
    Row(
        "the policy changed a moment ago",
        guards.policy_changed,
        Reason.Superseded,
        ("policy web was changed or deleted", "decided afresh"),
        seen_case(live={"policy_current": False}),
        seen_case(live={"policy_current": True}),
    ),
    Row(
        "the policy only observes",
        guards.observe_only,
        Reason.ObserveOnly,
        ("policy web is in mode Observe", "Automatic"),
        make_case(policy=make_policy(mode="Observe")),
        make_case(policy=make_policy(mode="Automatic")),
    ),
    Row(
        "the platform's ceiling is Observe",
        guards.observe_only,
        Reason.ObserveOnly,
        ("the RemediationConfig allows no more than mode Observe", "spec.maxMode"),
        config_case(maxMode="Observe"),
        config_case(maxMode="Automatic"),
    ),
    Row(
        "a step may tighten the mode of its policy",
        guards.observe_only,
        Reason.ObserveOnly,
        ("step undo of policy web is in mode Observe", "remove its mode"),
        make_case(policy=make_policy(steps=[{"name": "undo", "mode": "Observe", "when": {}, "rollback": {}}])),
        make_case(policy=make_policy(steps=[{"name": "undo", "mode": "Automatic", "when": {}, "rollback": {}}])),
    ),
    Row(
        "a person was asked and has not answered",
        guards.approval_pending,
        Reason.ApprovalPending,
        (
            "until 2026-11-23 10:15:00 UTC",
            "kubectl -n shop patch rem api-d-uid-g4-1 --type=merge",
            '{"decision":"Approved"}',
            "or Rejected",
        ),
        make_case(policy=make_policy(mode="Approve"), remediations=(make_waiting(),)),
        make_case(policy=make_policy(mode="Approve")),
        until=timedelta(minutes=15),
    ),
    # ------------------------------------------------------------------------------------------------- not the release
    Row(
        "the release is too old to be the suspect",
        guards.attributable,
        Reason.NoRecentChange,
        ("current for 30m1s when the trouble began", "last 30m"),
        seen_case(current_since=ago(minutes=30, seconds=31)),
        seen_case(current_since=ago(minutes=30, seconds=30)),
    ),
    Row(
        "it is not known when the release became current",
        guards.attributable,
        Reason.NoRecentChange,
        ("not known since when",),
        seen_case(current_since=None),
        HARMLESS,
    ),
    Row(
        "older pods are ill too",
        guards.attributable,
        Reason.NotAttributable,
        ("2 of 3 pods of older revisions are ill too", "look at what they share"),
        seen_case(revisions=(NEW, msgspec.structs.replace(OLD, ready=1))),
        HARMLESS,
    ),
    Row(
        "one older pod of four is no pattern",
        guards.attributable,
        Reason.NotAttributable,
        ("2 of 4 pods",),
        seen_case(revisions=(NEW, msgspec.structs.replace(OLD, replicas=4, ready=2))),
        seen_case(revisions=(NEW, msgspec.structs.replace(OLD, replicas=4, ready=3))),
    ),
    Row(
        "a bad older revision proves nothing where a good one still runs well",
        guards.attributable,
        Reason.NotAttributable,
        ("1 of 1 pods of older revisions",),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(
                msgspec.structs.replace(NEW, number=3),
                make_revision(2, uid="rs-5", wanted=1, replicas=1),
                SERVING_NONE.revisions[1],
            ),
        ),
        seen_case(
            workload=make_workload(annotations={"deployment.kubernetes.io/revision": "3"}),
            revisions=(msgspec.structs.replace(NEW, number=3), make_revision(2, uid="rs-5", wanted=1, replicas=1), OLD),
        ),
    ),
    Row(
        "two neighbours fell ill at the same time",
        guards.attributable,
        Reason.NotAttributable,
        ("2 other workloads fell ill at the same time", "deployment/other-0 in shop", "deployment/other-1 in shop"),
        alone(neighbours=neighbours(ago(seconds=10), ago(seconds=80))),
        alone(neighbours=neighbours(ago(seconds=10), ago(seconds=120))),
    ),
    Row(
        "ill neighbours prove nothing while older pods are well",
        guards.attributable,
        Reason.NotAttributable,
        ("2 other workloads",),
        alone(neighbours=neighbours(ago(seconds=10), ago(seconds=20))),
        seen_case(neighbours=neighbours(ago(seconds=10), ago(seconds=20))),
    ),
    Row(
        "all failing pods are on one node and others are well",
        guards.attributable,
        Reason.NotAttributable,
        ("all failing pods are on node node-7", "look at that node"),
        four_pods_two_crash("node-7", "node-7"),
        four_pods_two_crash("node-7", "node-8"),
    ),
    Row(
        "a node on which all pods run is not to blame for that",
        guards.attributable,
        Reason.NotAttributable,
        ("node-7",),
        four_pods_two_crash("node-7", "node-7", replicas=3),
        four_pods_two_crash("node-7", "node-7", replicas=2),
    ),
    Row(
        "Stopgap itself made this revision current",
        guards.attributable,
        Reason.NotAttributable,
        ("revision 2 was put back by Stopgap",),
        make_case(remediations=(earlier("api-0", left="another", put_back=BAD.digest),)),
        make_case(remediations=(earlier("api-0", left="another", put_back=GOOD.digest),)),
    ),
    Row(
        "the template was healthy in an earlier stint",
        guards.attributable,
        Reason.NotAttributable,
        ("revision 2 runs a template that was healthy before",),
        recorded(make_good(), make_good(2, template=BAD, recorded_at=ago(days=1))),
        recorded(make_good(), make_good(2, template=BAD, recorded_at=ago(minutes=1))),
    ),
    Row(
        "only annotations changed",
        guards.attributable,
        Reason.ConfigOnlyChange,
        ("annotations only", "ConfigMaps and Secrets"),
        older_template(ANNOTATED),
        older_template(Template.read(make_template("shop/api:1.8", annotations={"kubectl.kubernetes.io/restartedAt": "2026-11-01"}))),
    ),
    Row(
        "a quota is used up, says the deployment",
        guards.attributable,
        Reason.QuotaExceeded,
        (QUOTA, "raise the quota"),
        work_case(replica_failure=failing(QUOTA)),
        work_case(replica_failure=failing(QUOTA, holds=False)),
    ),
    Row(
        "a quota is used up, says the replica set",
        guards.attributable,
        Reason.QuotaExceeded,
        (QUOTA,),
        seen_case(revisions=(msgspec.structs.replace(NEW, replica_failure=failing(QUOTA)), OLD)),
        seen_case(revisions=(msgspec.structs.replace(NEW, replica_failure=failing("denied by an admission webhook")), OLD)),
    ),
    Row(
        "pods find no node",
        guards.attributable,
        Reason.Unschedulable,
        ("1 pods find no node, such as p1", "0/3 nodes are available: insufficient cpu"),
        stuck(unschedulable="0/3 nodes are available: insufficient cpu"),
        stuck(unschedulable=""),
    ),
    Row(
        "pods without a node do not excuse those that crash",
        guards.attributable,
        Reason.Unschedulable,
        ("1 pods find no node",),
        stuck(unschedulable="0/3 nodes are available"),
        stuck(
            unschedulable="",
            pods=(
                make_pod(),
                make_pod("p2", node="", started=None, unschedulable="0/3 nodes are available", containers=(make_container(),)),
            ),
            exits=make_exits(),
        ),
    ),
    Row(
        "the registry does not answer",
        guards.attributable,
        Reason.RegistryUnavailable,
        ("p1 waits: ErrImagePull", "429 Too Many Requests"),
        pulling("pulling from host registry failed: 429 Too Many Requests"),
        pulling("manifest for shop/api:2.0-crash not found: manifest unknown"),
    ),
    Row(
        "the failing container was injected",
        guards.attributable,
        Reason.InjectedContainer,
        ("injected container mesh",),
        seen_case(exits=make_exits(container="mesh")),
        seen_case(exits=make_exits(container="app")),
    ),
)
CAUSES = {
    Reason.NoRecentChange,
    Reason.NotAttributable,
    Reason.ConfigOnlyChange,
    Reason.QuotaExceeded,
    Reason.Unschedulable,
    Reason.RegistryUnavailable,
    Reason.InjectedContainer,
}


def situation(case: Case) -> Situation:
    assert case.policy is not None
    step, found = case.policy.spec.steps[0], judge(case)
    assert step.action is not None
    aim = step.action.wants(case.seen, Known(knowngood.goods(case.health), knowngood.denied(case)))
    return Situation(case, case.policy, step, found, aim)


def test_the_case_that_the_rows_vary_is_one_in_which_the_action_is_intended() -> None:
    assert decide(HARMLESS).intent is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_a_guard_refuses_with_its_reason_and_the_facts(row: Row) -> None:
    refusal = row.guard(situation(row.refuses))
    assert refusal is not None
    assert refusal.reason is row.reason
    assert [fact for fact in row.facts if fact not in refusal.message] == []
    assert refusal.until == (None if row.until is None else NOW + row.until)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_a_refused_guard_leaves_the_workload_alone(row: Row) -> None:
    refused = choosing.choose(row.refuses, judge(row.refuses)).refused
    assert row.reason in {one.reason for one in refused}
    assert decide(row.refuses).intent is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_in_the_twin_of_a_refused_case_nothing_stands_against_the_action(row: Row) -> None:
    assert row.guard(situation(row.twin)) is None
    decision = decide(row.twin)
    assert decision.refusals == ()
    assert decision.intent is not None


def test_every_guard_has_a_row_in_the_table() -> None:
    assert {one.__name__ for one in guards.GUARDS} == {row.guard.__name__ for row in ROWS}


def test_every_cause_class_has_a_row_in_the_table() -> None:
    assert {row.reason for row in ROWS if row.guard is guards.attributable} == CAUSES


def test_all_reasons_that_hold_are_told_in_the_order_of_the_guards() -> None:
    case = make_case(
        leading=False,
        config=ConfigSpec.model_validate({"excludedNamespaces": [TARGET.namespace]}),
        policy=make_policy(mode="Observe", pauseRequests=paused_by()),
    )
    refused = guards.refusals(situation(case))
    assert [one.reason for one in refused] == [Reason.NotLeader, Reason.Paused, Reason.Excluded, Reason.ObserveOnly]
    status = decide(case).status
    assert status is not None
    assert status.decision is not None
    assert [one.reason for one in status.decision.refusals] == [one.reason for one in refused]
    assert not status.decision.allowed


def test_without_live_reads_no_guard_that_needs_them_refuses() -> None:
    assert guards.refusals(situation(make_case(live=False))) == ()


def test_an_action_past_its_deadline_keeps_the_workload_busy_no_longer() -> None:
    late = make_remediation(incident="api-0", verifyUntil=NOW - timedelta(seconds=1))
    assert guards.target_busy(situation(make_case(remediations=(late,)))) is None


def test_a_single_replica_is_rolled_back_even_where_all_replicas_may_be_unavailable() -> None:
    assert guards.recreate_outage(situation(work_case(replicas=1, available_replicas=1, max_unavailable="100%"))) is None


def test_an_unlabelled_refusal_is_never_given() -> None:
    assert all(isinstance(one, Refusal) and one.message for row in ROWS for one in guards.refusals(situation(row.refuses)))
