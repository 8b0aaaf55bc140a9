"""Reasons not to act that depend on live objects: each is named, holds, and gives way when what it rests on is gone."""

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, wait_for
from tests.cluster.reading import condition, refused_only, told, wait_for_reason, wait_for_remediation, wait_for_restarts
from tests.cluster.test_approval import approver, say, waiting

pytestmark = pytest.mark.cluster

GOOD, BAD, BAD2 = "shop/api:1.0", "shop/api:2.0-crash", "shop/api:2.1-crash"
UNTOLD = 90
"""Seconds until a reason is found gone that no watch tells of: what was read live is believed for 30 s, and looked at every 30 s."""


def at_work(shop: Shop, image: str = GOOD, *, guards: dict[str, Any] | None = None, **deployment: Any) -> None:
    """Bring up a release, and wait until it is known to be good."""
    spec: dict[str, Any] = {"guards": guards} if guards else {}
    shop.policy(**spec)
    shop.deploy(image, **deployment)
    shop.settle()


def refused(shop: Shop, reason: str, image: str = BAD) -> str:
    """See that only this reason stands against the action, that nothing was written, and return its message."""
    found = shop.refusals(reason=reason)
    assert list(found) == [reason]
    untouched(shop, image)
    return found[reason]


def untouched(shop: Shop, image: str = BAD) -> None:
    """See that nothing was intended or written."""
    assert shop.image() == image
    assert shop.items("remediations") == []
    assert shop.deployment_writes() == ([], [])


def undone(shop: Shop, *, image: str = GOOD, seconds: float = 60) -> None:
    """See that the bad release is undone, by one write."""
    shop.incident(phase="Mitigated", seconds=seconds)
    assert shop.image() == image
    assert len(shop.deployment_writes()[0]) == 1


def look_again(shop: Shop) -> None:
    """Change the policy a little, so that everything is read afresh at once."""
    shop.policy(guards={"cooldown": "2s"})


def change_template(shop: Shop, *, annotations: dict[str, str] | None = None, **spec: Any) -> None:
    """Release the bad image together with other changes of the pod template."""
    body = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": [{"name": "app", "image": BAD}], **spec}}
    shop.kubectl("patch", "deployment", "api", "-p", json.dumps({"spec": {"template": body}}))


@contextmanager
def config(shop: Shop, **spec: Any) -> Iterator[None]:
    """Put the platform's ceilings in force, for every namespace, and lift them again."""
    body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "RemediationConfig", "metadata": {"name": "stopgap"}, "spec": spec}
    shop.plane.kubectl("-n", OWN_NAMESPACE, "apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(body))
    try:
        yield
    finally:
        shop.plane.kubectl("-n", OWN_NAMESPACE, "delete", "remediationconfig", "stopgap")


@pytest.fixture(scope="module", autouse=True)
def unanswered(control_plane: Cluster, operator: Operator) -> Iterator[Shop]:  # noqa: ARG001 - it has installed the kinds
    """An action that nobody says a word to for a minute, the least that can be asked for: it passes beside the other tests."""
    made = Shop(control_plane, "unanswered").create()
    waiting(made, guards={"approvalTimeout": "1m"})
    yield made
    made.leave()


# ------------------------------------------------------------------------------------------------------------ orders to stop


@contextmanager
def paused(shop: Shop, where: str, why: str) -> Iterator[None]:
    """Set the pause annotation, and remove it again."""
    kubectl = shop.plane.kubectl if where.startswith("namespace") else shop.kubectl
    kubectl("annotate", where, f"stopgap.dev/pause={why}")
    try:
        yield
    finally:
        kubectl("annotate", where, "stopgap.dev/pause-")


@contextmanager
def in_policy(shop: Shop, **spec: Any) -> Iterator[None]:
    """Declare something in the policy, and take it back."""
    shop.policy(**spec)
    try:
        yield
    finally:
        shop.policy()


def orders(shop: Shop) -> list[tuple[AbstractContextManager[None], str, str]]:
    """Return every place where a person stops Stopgap, and what is told then. No two of the same object follow one another."""
    mark, space = "annotation stopgap.dev/pause on", shop.name
    return [
        (paused(shop, "deployment/api", "db upgrade"), "Paused", f"{mark} deployment/api in {space}: db upgrade"),
        (
            config(shop, pauseRequests=[{"name": "platform", "reason": "datacentre move"}]),
            "Paused",
            "platform paused the RemediationConfig: datacentre move",
        ),
        (paused(shop, "remediationpolicy/web", "audit"), "Paused", f"{mark} policy web: audit"),
        (
            config(shop, maxMode="Observe"),
            "ObserveOnly",
            "the RemediationConfig allows no more than mode Observe (spec.maxMode); the platform's owner can raise it",
        ),
        (paused(shop, f"namespace/{space}", "game day"), "Paused", f"{mark} namespace {space}: game day"),
        (in_policy(shop, pauseRequests=[{"name": "ana", "reason": "db move"}]), "Paused", "ana paused policy web: db move"),
        (
            config(shop, excludedNamespaces=["kube-*", "stopgap-system", f"{space[:-2]}*"]),
            "Excluded",
            f"namespace {space} is excluded by the RemediationConfig (spec.excludedNamespaces)",
        ),
    ]


def test_each_order_to_stop_holds_alone_and_a_freeze_window_until_it_closes_but_for_whom_it_lets_through(shop: Shop) -> None:
    at_work(shop)
    held = ExitStack()
    try:
        for order, reason, message in orders(shop):
            # The next one is given before the last one is lifted, so that nothing is done in between.
            following = ExitStack()
            following.enter_context(order)
            held.close()
            held = following
            if shop.image() == GOOD:
                shop.release(BAD)
            refused_only(shop, reason, message)
            untouched(shop)

        opened = datetime.fromtimestamp(time.time() - 60, UTC).replace(second=0, microsecond=0)
        closes = f"{opened + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
        cron = f"{opened.minute} {opened.hour} * * *"
        window = {"cron": cron, "duration": "2h", "reason": "quarter end", "allowSeverities": ["P1"]}
        shop.policy(guards={"cooldown": "1s", "freezeWindows": [window]})
    finally:
        held.close()
    incident = wait_for_reason(shop, "ActionAllowed", "FreezeWindow")
    untouched(shop)
    decision = incident["status"]["decision"]
    assert [one["reason"] for one in decision["refusals"]] == ["FreezeWindow"]
    message = decision["refusals"][0]["message"]
    assert message.startswith(f"freeze window '{cron}' (UTC, 2h) of policy web: quarter end; nothing new is done until ")
    assert message.endswith(f"({closes}). Severity P1 is let through (spec.severity of the Incident)")
    assert decision["nextAllowedTime"] == closes
    shop.kubectl("patch", "incident", "api-1", "--type=merge", "-p", '{"spec":{"severity":"P1"}}')
    undone(shop)


# ------------------------------------------------------------------------------------------------------------------ rights


def test_without_the_owner_s_grant_it_says_how_to_give_it_and_acts_when_it_was_given(shop: Shop) -> None:
    shop.kubectl("delete", "rolebinding", "stopgap-rollback")
    at_work(shop)
    shop.release(BAD)
    message = refused(shop, "NotAuthorized")
    told, command = message.split("; allow it with: kubectl ")
    assert told == f"Stopgap may not patch deployments in {shop.name}"
    shop.plane.kubectl(*shlex.split(command))
    undone(shop, seconds=UNTOLD)


# ----------------------------------------------------------------------------------------------------------- the deployment


def test_a_paused_deployment_is_not_unpaused(shop: Shop) -> None:
    at_work(shop)
    shop.kubectl("annotate", "remediationpolicy", "web", "stopgap.dev/pause=until the deployment is paused")
    shop.release(BAD)
    shop.refusals(reason="Paused")
    shop.kubectl("rollout", "pause", "deployment/api")
    shop.kubectl("annotate", "remediationpolicy", "web", "stopgap.dev/pause-")
    message = refused(shop, "DeploymentPaused")
    assert "is paused (spec.paused); a changed template would not roll out. kubectl rollout resume" in message
    shop.kubectl("rollout", "resume", "deployment/api")
    undone(shop)


def test_a_release_that_forbids_it_is_not_rolled_back_over(shop: Shop) -> None:
    at_work(shop)
    change_template(shop, annotations={"stopgap.dev/rollback": "Forbidden"})
    assert refused(shop, "RollbackForbidden") == (
        "revision 2 is annotated stopgap.dev/rollback: Forbidden, so nothing rolls back over it; fix forward"
    )
    shop.release(BAD2)
    wait_for("the next bad release crashes too", lambda: any(BAD2 in str(one["spec"]) for one in shop.items("pods")))
    wait_for_restarts(shop, 3)
    assert "2 is annotated stopgap.dev/rollback: Forbidden" in refused(shop, "RollbackForbidden", BAD2)


def test_an_image_that_may_be_another_by_now_is_not_gone_back_to(shop: Shop) -> None:
    at_work(shop, "registry:5000/api")
    shop.release(BAD)
    assert refused(shop, "MutableImage") == (
        "registry:5000/api of the older template names no fixed version, so it may pull the bad image; use a version tag or a digest"
    )


def test_while_some_pods_serve_a_strategy_that_takes_all_down_is_not_used(shop: Shop) -> None:
    at_work(shop, strategy={"type": "Recreate"}, replicas=2)
    shop.release("shop/api:2.0")

    def rolled_out() -> list[str]:
        pods = [one for one in shop.items("pods") if "shop/api:2.0" in str(one["spec"]["containers"])]
        ready = shop.get("deployment", "api")["status"].get("availableReplicas", 0)
        return [one["metadata"]["name"] for one in pods] if len(pods) == 2 == ready else []

    pods = wait_for("the new release serves", rolled_out)
    shop.kubectl("annotate", "pod", pods[0], "stopgap.dev/simulate=crash")
    assert refused(shop, "RecreateOutage", "shop/api:2.0") == (
        "1 of 2 pods still serve, and the strategy (Recreate) would take them down first; decide by hand"
    )


def test_where_nothing_serves_any_more_the_strategy_takes_nothing_down(shop: Shop) -> None:
    at_work(shop, strategy={"type": "Recreate"})
    shop.release(BAD)
    undone(shop)


# ---------------------------------------------------------------------------------------------- what the old template needs


def test_an_account_that_the_old_template_needs_must_be_there(shop: Shop) -> None:
    shop.kubectl("create", "serviceaccount", "web")
    at_work(shop, template={"spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": GOOD}]}})
    shop.kubectl("delete", "serviceaccount", "web")
    change_template(shop, serviceAccountName="default")
    assert refused(shop, "ReferenceMissing") == "the older template needs serviceaccount/web, which does not exist; restore it first"
    shop.kubectl("create", "serviceaccount", "web")
    look_again(shop)
    undone(shop)


def test_a_config_map_that_may_not_be_read_is_not_called_missing(shop: Shop) -> None:
    container = {"name": "app", "image": GOOD, "envFrom": [{"configMapRef": {"name": "gone"}}]}
    at_work(shop, template={"spec": {"containers": [container]}})
    change_template(shop, containers=[{"name": "app", "image": BAD, "envFrom": None}])
    undone(shop)


# ----------------------------------------------------------------------------------------------------------------- how much


def after_a_first_incident(shop: Shop, guards: dict[str, Any]) -> None:
    """Let one bad release be undone and its incident end, and release the next one."""
    at_work(shop, guards=guards)
    shop.release(BAD)
    shop.incident(name="api-1", phase="Resolved")
    shop.release(BAD2)
    shop.incident(name="api-2")


def stopped_after_one(shop: Shop, reason: str) -> str:
    """See that the second action is refused for this reason, and return its message."""
    incident = wait_for_reason(shop, "ActionAllowed", reason, name="api-2")
    wait_for_restarts(shop, 5)
    assert shop.image() == BAD2
    assert len(shop.deployment_writes()[0]) == 1
    message: str = condition(incident, "ActionAllowed")["message"]
    return message


def test_the_next_incident_waits_for_the_cooldown_and_a_budget_holds_across_incidents(shop: Shop) -> None:
    once = {"count": 1, "within": "1h"}
    after_a_first_incident(shop, {"cooldown": "10m", "maxActions": once})
    message = stopped_after_one(shop, "CooldownActive")
    assert "the last action on this workload was " in message
    assert "s ago; the policy wants 10m between" in message
    assert list(shop.refusals(reason="CooldownActive")) == ["CooldownActive", "RateLimited"]

    shop.policy(guards={"cooldown": "1s", "maxActions": once})
    message = stopped_after_one(shop, "RateLimited")
    assert "1 actions within 1h on policy web; at most 1 are allowed" in message
    assert list(shop.refusals(reason="RateLimited")) == ["RateLimited"]


def test_an_incident_that_used_up_its_actions_is_handed_to_people(shop: Shop) -> None:
    shop.policy(guards={"cooldown": "1s", "maxActionsPerIncident": 1}, verification={"healthyFor": "30s", "timeout": "60s"})
    shop.deploy(GOOD)
    shop.settle()
    shop.release(BAD)
    wait_for_remediation(shop, "Verifying")
    shop.release(BAD2)
    incident = wait_for_reason(shop, "Escalated", "AttemptsExhausted", name="api-1")
    wait_for_restarts(shop, 5)
    assert "1 actions were taken in this incident; the policy allows 1" in condition(incident, "ActionAllowed")["message"]
    assert incident["status"]["phase"] == "Escalated"
    assert shop.image() == BAD2
    assert len(shop.deployment_writes()[0]) == 1
    assert [one["metadata"]["name"] for one in shop.items("incidents")] == ["api-1"]


# ------------------------------------------------------------------------------------------------------------------- owners


def test_a_workload_that_another_controller_owns_is_left_to_it(shop: Shop) -> None:
    at_work(shop)
    shop.kubectl("create", "configmap", "boss")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "boss", "uid": shop.get("configmap", "boss")["metadata"]["uid"]}
    owned = {"metadata": {"ownerReferences": [{**owner, "controller": True}]}}
    shop.kubectl("patch", "deployment", "api", "--type=merge", "-p", json.dumps(owned))
    shop.release(BAD)
    assert refused(shop, "OwnedByController") == "ConfigMap/boss controls this workload; make the change there"
    shop.kubectl("patch", "deployment", "api", "--type=merge", "-p", json.dumps({"metadata": {"ownerReferences": None}}))
    undone(shop)


def test_an_owner_that_cannot_be_read_is_taken_to_reconcile_until_the_policy_says_act(shop: Shop) -> None:
    at_work(shop)
    marks = ("kustomize.toolkit.fluxcd.io/name=shop", "kustomize.toolkit.fluxcd.io/namespace=flux-system")
    shop.kubectl("label", "deployment", "api", *marks)
    shop.release(BAD)
    assert refused(shop, "GitOpsOwned") == ("FluxKustomization shop is said to deploy this and could not be read; revert the change there")
    shop.policy(gitOps="Act")
    undone(shop)


def test_a_helm_release_is_no_reason_to_wait_but_its_next_upgrade_is_warned_of(shop: Shop) -> None:
    at_work(shop)
    shop.kubectl("annotate", "deployment", "api", "meta.helm.sh/release-name=web", "meta.helm.sh/release-namespace=releases")
    shop.release(BAD)
    undone(shop)
    drift = condition(wait_for_reason(shop, "GitOpsDrift", "GitOpsDrift"), "GitOpsDrift")
    assert drift["status"] == "True"
    assert drift["message"] == (
        "Helm release web in releases still holds the bad version: its next upgrade brings it back. helm rollback, or fix the chart"
    )


# --------------------------------------------------------------------------- what nobody answers, after everything else


def test_what_nobody_approved_in_time_is_never_done_and_can_be_approved_no_more(unanswered: Shop, shop: Shop) -> None:
    incident = wait_for_reason(unanswered, "ActionAllowed", "NoStepApplies", seconds=100)
    assert told(incident).count("ApprovalExpired") == 1
    assert "tried in this incident already: undo (Expired)" in condition(incident, "ActionAllowed")["message"]
    assert condition(incident, "Escalated")["reason"] == "LadderExhausted"
    assert "Expired, nobody approved it in time; decide by hand" in condition(incident, "Escalated")["message"]
    (one,) = unanswered.items("remediations")
    assert one["status"]["state"] == "Expired"
    assert "only what waits can be approved or rejected" in say(unanswered, one["metadata"]["name"], "Approved")
    approver(shop, "ana")
    assert "is forbidden" in say(unanswered, one["metadata"]["name"], "Approved", user="ana"), "she approves next door only"
    assert unanswered.image() == BAD
    assert unanswered.deployment_writes() == ([], [])
