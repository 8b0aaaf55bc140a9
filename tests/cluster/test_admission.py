"""Admission policies on the real API server: who may do what to Stopgap's kinds, and what Stopgap itself may not."""

import json
import re

import pytest
import yaml
from tests.cluster.cluster import KubectlError
from tests.cluster.gitops import install_tools
from tests.cluster.harness import USER, Shop, policy, wait_for
from tests.cluster.test_bad_input import remediation

pytestmark = pytest.mark.cluster

SCALE = {"name": "more", "when": {}, "scale": {"by": "50%", "max": 5}}
RUN = {"name": "run", "when": {}, "job": {"template": "spec: {containers: [{name: fix, image: shop/fix:1.0}]}"}}
APPROVE = '{"spec":{"approval":{"decision":"Approved"}}}'


def as_user(shop: Shop, user: str, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as somebody; return what was said, refused or not."""
    try:
        return shop.kubectl(*arguments, f"--as={user}", "--as-group=system:authenticated", stdin=stdin)
    except KubectlError as error:
        return str(error)


def grant(shop: Shop, user: str, role: str, *, kind: str = "clusterrole") -> None:
    """Bind a role in the namespace, and wait until the API server knows."""
    shop.kubectl("create", "rolebinding", f"{user}-{role}", f"--{kind}={role}", f"--user={user}")


def may(shop: Shop, user: str, verb: str, resource: str) -> None:
    """Wait until a right that was granted holds."""
    wait_for(f"{user} may {verb} {resource}", lambda: as_user(shop, user, "auth", "can-i", verb, resource).strip() == "yes")


@pytest.fixture
def reporter(shop: Shop) -> str:
    """Somebody who may write Incidents and policies, and no workloads."""
    grant(shop, "rita", "stopgap-viewer")
    grant(shop, "rita", "stopgap-editor")
    may(shop, "rita", "get", "incidents.stopgap.dev")
    may(shop, "rita", "create", "incidents.stopgap.dev")
    return "rita"


@pytest.fixture
def developer(shop: Shop) -> str:
    """Somebody who may also patch Deployments, and no autoscalers."""
    rule = "--resource=deployments.apps"
    shop.kubectl("create", "role", "deployer", "--verb=get,patch", rule)
    grant(shop, "dora", "stopgap-viewer")
    grant(shop, "dora", "stopgap-editor")
    may(shop, "dora", "get", "incidents.stopgap.dev")
    grant(shop, "dora", "deployer", kind="role")
    may(shop, "dora", "patch", "deployments.apps")
    may(shop, "dora", "create", "incidents.stopgap.dev")
    return "dora"


def incident(target: str | None = "api", **spec: object) -> str:
    ref = {"targetRef": {"name": target}} if target else {}
    body = {"apiVersion": "stopgap.dev/v1alpha1", "kind": "Incident", "metadata": {"name": "odd"}, "spec": {"title": "odd", **ref, **spec}}
    return yaml.safe_dump(body)


def test_only_who_may_patch_the_workload_opens_an_incident_on_it(shop: Shop, reporter: str, developer: str) -> None:
    assert "rita may not patch deployment api" in as_user(shop, reporter, "create", "-f", "-", stdin=incident())
    assert "created" in as_user(shop, reporter, "create", "-f", "-", "--dry-run=server", stdin=incident(target=None))
    assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=incident())


TURNS = [
    pytest.param({"severity": "P1"}, id="its severity"),
    pytest.param({"policyRef": {"name": "web"}}, id="its policy"),
    pytest.param({"mitigate": {"step": "undo", "requestID": "1"}}, id="an ordered step"),
]


@pytest.mark.parametrize("turn", TURNS)
def test_what_decides_about_the_action_is_changed_by_who_may_patch_the_workload(
    shop: Shop, reporter: str, developer: str, turn: dict[str, object]
) -> None:
    shop.kubectl("create", "-f", "-", stdin=incident())
    patch = ("patch", "inc", "odd", "--type=merge", "-p", json.dumps({"spec": turn}))
    assert "may not patch deployment api" in as_user(shop, reporter, *patch)
    assert "patched" in as_user(shop, developer, *patch)


def test_everybody_who_may_write_incidents_acknowledges_and_closes_them(shop: Shop, reporter: str) -> None:
    shop.kubectl("create", "-f", "-", stdin=incident())
    for spec in ({"acknowledgedBy": "rita"}, {"impact": "checkout down"}, {"resolution": "Resolved"}):
        assert "patched" in as_user(shop, reporter, "patch", "inc", "odd", "--type=merge", "-p", json.dumps({"spec": spec}))


def test_a_policy_can_do_no_more_than_its_author(shop: Shop, reporter: str, developer: str) -> None:
    undo, watching = yaml.safe_dump(policy()), yaml.safe_dump(policy("eye", steps=[]))
    scaling = yaml.safe_dump(policy("more", steps=[SCALE]))
    assert "rita may not patch deployments" in as_user(shop, reporter, "create", "-f", "-", stdin=undo)
    assert "created" in as_user(shop, reporter, "create", "-f", "-", stdin=watching)
    assert "rita may not patch deployments" in as_user(
        shop, reporter, "patch", "rpol", "eye", "--type=merge", "-p", json.dumps({"spec": {"steps": policy()["spec"]["steps"]}})
    )
    assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=undo)
    assert "annotated" in as_user(shop, reporter, "annotate", "rpol", "web", "stopgap.dev/pause=db upgrade")
    assert "may not patch horizontalpodautoscalers" in as_user(shop, developer, "create", "-f", "-", stdin=scaling)
    shop.kubectl("create", "role", "scaler", "--verb=patch", "--resource=horizontalpodautoscalers.autoscaling")
    grant(shop, developer, "scaler", kind="role")
    may(shop, developer, "patch", "horizontalpodautoscalers.autoscaling")
    assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=scaling)
    running = yaml.safe_dump(policy("run", steps=[RUN]))
    assert "dora may not create jobs" in as_user(shop, developer, "create", "-f", "-", stdin=running)
    shop.kubectl("create", "role", "runner", "--verb=create", "--resource=jobs.batch")
    grant(shop, developer, "runner", kind="role")
    may(shop, developer, "create", "jobs.batch")
    assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=running)


def test_a_policy_sees_no_more_than_its_author(shop: Shop, reporter: str) -> None:
    listening = yaml.safe_dump(policy("ear", steps=[], triggers=[{"name": "logs", "logErrors": {"pattern": "ERROR", "above": 50}}]))
    assert "rita may not get pods/log" in as_user(shop, reporter, "create", "-f", "-", stdin=listening)
    shop.kubectl("create", "role", "reader", "--verb=get", "--resource=pods/log")
    grant(shop, reporter, "reader", kind="role")
    wait_for("rita may now", lambda: "created" in as_user(shop, reporter, "create", "-f", "-", stdin=listening))

    metric = {"url": "https://own.shop.svc", "query": "errors", "above": "1"}
    header = {"name": "Authorization", "secretRef": {"name": "mimir", "key": "token"}}
    for needed in ({"headers": [header]}, {"ca": {"name": "mimir", "key": "ca.crt"}}):
        asking = yaml.safe_dump(policy("eye", steps=[], triggers=[{"name": "errors", "prometheus": {**metric, **needed}}]))
        assert "rita may not get every Secret" in as_user(shop, reporter, "create", "-f", "-", stdin=asking)
    shop.kubectl("create", "role", "mimir", "--verb=get", "--resource=secrets", "--resource-name=mimir")
    grant(shop, reporter, "mimir", kind="role")
    may(shop, reporter, "get", "secrets/mimir")
    assert "created" in as_user(shop, reporter, "create", "-f", "-", stdin=asking)


def test_who_may_not_get_a_dsn_has_no_database_looked_into_nor_queries_ended(shop: Shop, developer: str) -> None:
    ref = {"secretRef": {"name": "db", "key": "dsn"}}
    looking = yaml.safe_dump(policy("eye", steps=[], triggers=[{"name": "slow", "postgres": {**ref, "longestQueryAbove": "5m"}}]))
    ending = yaml.safe_dump(policy("hand", steps=[{"name": "cancel", "when": {}, "postgres": {**ref, "queriesLongerThan": "5m"}}]))
    for body, said in ((looking, "a Secret"), (ending, "every Secret")):
        assert f"dora may not get {said} in {shop.name} that" in as_user(shop, developer, "create", "-f", "-", stdin=body)
    shop.kubectl("create", "role", "dsn", "--verb=get", "--resource=secrets", "--resource-name=db")
    grant(shop, developer, "dsn", kind="role")
    may(shop, developer, "get", "secrets/db")
    for body in (looking, ending):
        assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=body)


TOOLS = {
    "scaledobjects": "keda.sh",
    "applications": "argoproj.io",
    "kustomizations": "kustomize.toolkit.fluxcd.io",
    "helmreleases": "helm.toolkit.fluxcd.io",
}


def test_a_right_to_what_scales_or_deploys_is_asked_for_where_that_is_installed(shop: Shop, developer: str) -> None:
    for plural, group in {**TOOLS, "horizontalpodautoscalers": "autoscaling"}.items():
        rules = [{"apiGroups": [group], "resources": [plural], "verbs": ["patch"]}]
        shop.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": plural}, "rules": rules})
    grant(shop, developer, "horizontalpodautoscalers", kind="role")
    may(shop, developer, "patch", "horizontalpodautoscalers.autoscaling")
    scaling, suspending = policy("more", steps=[SCALE]), policy("pause", gitOps="SuspendOwner")

    def declares(what: dict[str, object], wanted: str = "") -> str:
        """The API server hears of kinds and rights a moment later."""

        def said() -> str:
            answer = as_user(shop, developer, "create", "-f", "-", "--dry-run=server", stdin=yaml.safe_dump(what))
            return answer if wanted in answer else ""

        return wait_for(f"it is said: {wanted}", said, seconds=20)

    shop.plane.kubectl("delete", "crd", "--ignore-not-found", *(f"{plural}.{group}" for plural, group in TOOLS.items()))
    declares(scaling, "created")
    declares(suspending, "created")
    install_tools(shop.plane)
    declares(scaling, "dora may not patch scaledobjects")
    grant(shop, developer, "scaledobjects", kind="role")
    declares(scaling, "created")
    lacking: set[str] = set()

    def granted() -> bool:
        """Grant what is asked for, one after another."""
        for plural in set(re.findall(r"dora may not patch (\w+) in", said := declares(suspending))) - lacking:
            lacking.add(plural)
            grant(shop, developer, plural, kind="role")
        return "created" in said

    wait_for("everything that is asked for is granted", granted, seconds=20)
    assert lacking == {"applications", "helmreleases", "kustomizations"}


def stepped(**step: object) -> str:
    return yaml.safe_dump(policy("one", steps=[{"name": "one", "when": {}, **step}]))


def token(name: str = "unleash") -> dict[str, object]:
    return {"name": "Authorization", "secretRef": {"name": name, "key": "token"}}


def patching(resource: str = "ingresses", *, group: str = "networking.k8s.io/", **how: object) -> dict[str, object]:
    ref = {"apiVersion": f"{group}v1", "kind": "Ingress", "resource": resource, "name": "front"}
    return {"objectRef": ref, **(how or {"merge": '{"spec": {"ingressClassName": "x"}}'})}


def test_a_policy_names_no_secret_and_patches_no_object_that_its_author_may_not(shop: Shop, developer: str) -> None:
    call = {
        "url": "http://admin.shop.svc/",
        "headers": [token()],
        "restore": {"url": "http://admin.shop.svc/", "headers": [token("other")]},
    }
    create = ("create", "--dry-run=server", "-f", "-")
    assert "dora may not get every Secret" in (said := as_user(shop, developer, *create, stdin=stepped(http=call)))
    assert "unleash,other" in said
    shop.kubectl("create", "role", "reader", "--verb=get", "--resource=secrets", "--resource-name=unleash", "--resource-name=other")
    grant(shop, developer, "reader", kind="role")
    may(shop, developer, "get", "secrets/unleash")
    assert "created" in as_user(shop, developer, *create, stdin=stepped(http=call))
    # As many as a policy may name are asked about within the budget of one decision.
    steps = [{"name": f"s{n}", "when": {}, "http": call} for n in range(5)]
    full = [*steps[:4], *({"name": f"p{n}", "when": {}, "patch": patching(apply='{"a": 1}')} for n in range(2))]
    assert "that the steps patch" in as_user(shop, developer, *create, stdin=yaml.safe_dump(policy("full", steps=full)))
    assert "created" in shop.kubectl(*create, stdin=yaml.safe_dump(policy("full", steps=full)))
    assert "at most 8 Secrets" in as_user(shop, developer, *create, stdin=yaml.safe_dump(policy("more", steps=steps)))

    merge, apply, status = patching(), patching(apply='{"spec": {}}'), patching(merge='{"status": {}}', status=True)
    for one in (merge, apply, status):
        assert "dora may not change (or create and delete) every object" in as_user(shop, developer, *create, stdin=stepped(patch=one))
    shop.kubectl("create", "role", "patcher", "--verb=patch", "--resource=ingresses.networking.k8s.io", "--resource-name=front")
    grant(shop, developer, "patcher", kind="role")
    may(shop, developer, "patch", "ingresses.networking.k8s.io/front")
    assert "created" in as_user(shop, developer, *create, stdin=stepped(patch=merge))
    for one in (apply, status):
        assert "dora may not change (or create and delete) every object" in as_user(shop, developer, *create, stdin=stepped(patch=one))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        pytest.param({"patch": patching("deployments", group="apps/")}, "run pods", id="a workload"),
        pytest.param({"patch": patching("roles", group="rbac.authorization.k8s.io/")}, "rights", id="a role"),
        pytest.param({"patch": patching("secrets", group="")}, "only configmaps and services", id="a Secret"),
        pytest.param({"patch": patching(merge='{"a": 1}', apply='{"a": 1}')}, "either what is merged", id="both"),
        pytest.param(
            {"http": {"url": "http://a.svc/", "headers": [{"name": "Authorization", "value": "x"}]}}, "holds a secret", id="a token"
        ),
        pytest.param({"http": {"url": "http://a.svc/", "headers": [{"name": "Host", "value": "x"}]}}, "set by Stopgap", id="a host"),
        pytest.param(
            {"http": {"url": "http://a.svc/"}, "revert": {"upon": "Resolved"}}, "only what is temporary", id="nothing to put back"
        ),
    ],
)
def test_the_api_server_refuses_what_no_policy_does(shop: Shop, step: dict[str, object], says: str) -> None:
    with pytest.raises(KubectlError, match=says):
        shop.kubectl("create", "--dry-run=server", "-f", "-", stdin=stepped(**step))


def test_only_stopgap_writes_its_records(shop: Shop) -> None:
    shop.kubectl("create", "-f", "-", stdin=incident(target=None))
    everything = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "all"}}
    shop.apply({**everything, "rules": [{"apiGroups": ["stopgap.dev"], "resources": ["*"], "verbs": ["*"]}]})
    grant(shop, "otto", "all", kind="role")
    may(shop, "otto", "create", "remediations.stopgap.dev")
    status = ("patch", "inc", "odd", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Resolved"}}')
    intent = yaml.safe_dump(remediation())
    assert "only Stopgap writes incidents/status" in as_user(shop, "otto", *status)
    assert "only Stopgap writes remediations;" in as_user(shop, "otto", "create", "-f", "-", stdin=intent)
    assert "created" in as_user(shop, USER, "create", "-f", "-", stdin=intent)
    assert shop.incident(name="odd", phase="Detected")  # which the operator has written


CHANGES: list[object] = [
    pytest.param({"spec": {"paused": True}}, "but template and replicas", id="pausing it"),
    pytest.param({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, "but template and replicas", id="its strategy"),
    pytest.param({"spec": {"progressDeadlineSeconds": 1}}, "but template and replicas", id="its deadline"),
    pytest.param({"metadata": {"labels": {"tier": "db"}}}, "no labels", id="a label"),
    pytest.param({"metadata": {"finalizers": ["a.b/c"]}}, "no labels, finalizers", id="a finalizer"),
    pytest.param({"metadata": {"annotations": {"team": "x"}}}, "no annotations", id="somebody's annotation"),
    pytest.param({"metadata": {"annotations": {"owner": None}}}, "no annotations", id="removing somebody's annotation"),
    pytest.param({"spec": {"replicas": 2}}, "patched", id="the number of replicas, which it may"),
    pytest.param({"metadata": {"annotations": {"stopgap.dev/last-action": "x"}}}, "patched", id="its own annotation, which it may"),
    pytest.param({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}, "patched", id="the template, which it may"),
    pytest.param({"metadata": {"managedFields": [{}]}}, "patched", id="giving fields back, which it may"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_stopgap_changes_only_template_replicas_and_its_annotations(shop: Shop, change: dict[str, object], said: str) -> None:
    shop.deploy()
    shop.kubectl("annotate", "deployment", "api", "owner=team")
    may(shop, USER, "patch", "deployments.apps")

    def tried() -> str:
        return as_user(shop, USER, "patch", "deployment", "api", "--type=merge", "-p", json.dumps(change), "--dry-run=server")

    assert said in tried()


def test_only_who_may_get_a_secret_has_it_used_to_tell_people(shop: Shop, developer: str) -> None:
    shop.kubectl("create", "role", "reader", "--verb=get", "--resource=secrets", "--resource-name=mine")
    grant(shop, developer, "reader", kind="role")
    may(shop, developer, "get", "secrets/mine")

    def told(secret: str) -> str:
        ref = {"secretRef": {"name": secret, "key": "k"}}
        mine = [{"name": f"s{number}", "slack": {"secretRef": {"name": "mine", "key": "k"}}} for number in range(6)]
        channels = [*mine, {"name": "b", "pagerDuty": ref}, {"name": "c", "webhook": {"url": "http://x", **ref}}]
        return yaml.safe_dump({**policy(notify=channels), "metadata": {"name": "web", "namespace": shop.name}})

    said = as_user(shop, developer, "create", "-f", "-", stdin=told("theirs"))
    assert f"dora may not get Secret theirs in {shop.name}, which a channel of spec.notify names" in said
    assert "created" in as_user(shop, developer, "create", "-f", "-", stdin=told("mine"))
    shop.kubectl("replace", "-f", "-", stdin=told("theirs"))
    turned = as_user(shop, developer, "patch", "rpol", "web", "--type=merge", "-p", '{"spec":{"mode":"Observe"}}')
    assert "patched" in turned, "who turns anything else is not asked about Secrets"
