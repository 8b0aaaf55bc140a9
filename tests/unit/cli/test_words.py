"""How the plugin understands what people and files say, and that it names what there is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import make_cluster_policy, make_policy

from stopgap.api import KINDS
from stopgap.cli.checking import ADMISSION
from stopgap.cli.enabling import binding, grants, roles
from stopgap.cli.main import FILES, NO_FILES, candidates, complete
from stopgap.cli.pausing import place
from stopgap.cli.recording import Recording, newest_time, plural, unpacked
from stopgap.cli.refusals import Refused
from stopgap.cli.reviewing import item_of
from stopgap.cli.session import target_of
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import collection, item

MANIFESTS = Path(__file__).parents[3] / "manifests"


def manifests(*path: str) -> list[dict[str, Any]]:
    files = sorted(MANIFESTS.joinpath(*path).glob("*.yaml")) if not path[-1].endswith(".yaml") else [MANIFESTS.joinpath(*path)]
    return [one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]


def test_every_role_that_is_bound_exists() -> None:
    installed = {one["metadata"]["name"] for one in manifests("rbac.yaml") if one["kind"] == "ClusterRole"}
    steps = [
        {"name": "undo", "when": {}, "rollback": {}},
        {"name": "kick", "when": {}, "restart": {}},
        {"name": "more", "when": {}, "scale": {"by": "1", "max": 3}},
    ]
    used = roles([make_policy(steps=steps, gitOps="SuspendOwner"), make_cluster_policy()])
    assert used == ["stopgap-action-rollback", "stopgap-action-restart", "stopgap-action-scale", "stopgap-action-suspend-owner"]
    assert set(used) <= installed
    assert binding(used[0], "shop", "stopgap-system")["subjects"] == [
        {"kind": "ServiceAccount", "name": "stopgap", "namespace": "stopgap-system"}
    ]


def test_a_policy_without_steps_needs_no_role() -> None:
    assert roles([make_policy(steps=[], gitOps="SuspendOwner")]) == []


def test_the_secrets_that_a_policy_names_are_allowed_by_name_and_no_others() -> None:
    header = {"name": "Authorization", "secretRef": {"name": "flags", "key": "token"}}
    call = {"url": "http://flags.shop.svc/off", "method": "POST", "headers": [header]}
    used = make_policy(steps=[{"name": "off", "when": {}, "http": call}])
    (role, bound) = grants([used], "shop", "stopgap-system")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["flags"], "verbs": ["get"]}]
    assert bound["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}


def test_every_admission_policy_is_looked_for() -> None:
    names = {one["metadata"]["name"] for one in manifests("admission") if one["kind"] == "ValidatingAdmissionPolicy"}
    assert set(ADMISSION) == names


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("deploy/api", "/apis/apps/v1/namespaces/shop/deployments/api"),
        ("sts/db", "/apis/apps/v1/namespaces/shop/statefulsets/db"),
        ("ns/bank", "/api/v1/namespaces/bank"),
        ("", "/api/v1/namespaces/shop"),
        ("rpol/web", "/apis/stopgap.dev/v1alpha1/namespaces/shop/remediationpolicies/web"),
        ("crpol/base", "/apis/stopgap.dev/v1alpha1/clusterremediationpolicies/base"),
        ("everything", "/apis/stopgap.dev/v1alpha1/namespaces/ops/remediationconfigs/stopgap"),
    ],
)
def test_a_pause_goes_where_it_is_meant(text: str, path: str) -> None:
    assert place(text, "shop", "ops").path == path


@pytest.mark.parametrize(
    ("text", "found"), [("deploy/api", ("Deployment", "api")), ("sts/db", ("StatefulSet", "db")), ("api", ("Deployment", "api"))]
)
def test_a_workload_is_named_as_for_kubectl(text: str, found: tuple[str, str]) -> None:
    assert target_of(text) == found


def test_an_action_item_has_a_title_an_owner_and_a_day() -> None:
    assert item_of("add a probe; and test it;ana;2026-12-01") == {"title": "add a probe; and test it", "owner": "ana", "due": "2026-12-01"}
    with pytest.raises(Refused, match="TITLE;OWNER;DUE"):
        item_of("add a probe;ana;soon")


# --------------------------------------------------------------------------------------------------------------- recordings


def test_lists_are_unpacked_whoever_wrote_them() -> None:
    pod = {"metadata": {"name": "p"}}
    typed = {"apiVersion": "v1", "kind": "PodList", "items": [pod]}
    mixed = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod", "apiVersion": "v1", **pod}]}
    wanted = [{"apiVersion": "v1", "kind": "Pod", **pod}] * 2
    assert list(unpacked([typed, mixed, None, "x"])) == wanted


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_our_own_kinds_have_their_own_plurals(kind: Any) -> None:
    assert plural(kind.__name__) == kind.plural


def test_other_kinds_follow_the_rule() -> None:
    assert [plural(one) for one in ("Pod", "NetworkPolicy", "Ingress", "ReplicaSet")] == [
        "pods",
        "networkpolicies",
        "ingresses",
        "replicasets",
    ]


def test_the_moment_is_the_latest_that_has_passed() -> None:
    body = {
        "metadata": {"creationTimestamp": "2026-11-23T10:00:00Z", "name": "2026-11-29T10:00:00Z-ish"},
        "spec": {"notAfter": "2026-11-30T10:00:00Z"},
        "status": {"conditions": [{"lastTransitionTime": "2026-11-23T10:02:00.5Z"}]},
    }
    assert newest_time([body]) == datetime(2026, 11, 23, 10, 2, 0, 500_000, tzinfo=UTC)
    assert newest_time([{}]) is None


async def test_what_was_not_recorded_is_not_called_missing() -> None:
    recording = Recording([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop"}}])
    with pytest.raises(NotFound):
        await recording.get(item("v1", "configmaps", "b", namespace="shop"))
    with pytest.raises(Forbidden):
        await recording.get(item("v1", "secrets", "b", namespace="shop"))
    assert b'"a"' in await recording.get(collection("v1", "configmaps", "shop"))
    assert b'"a"' not in await recording.get(collection("v1", "configmaps", "bank"))


async def test_a_recording_is_never_changed() -> None:
    with pytest.raises(KubeError, match="not changed"):
        await Recording([]).delete(item("v1", "configmaps", "a", namespace="shop"))


# --------------------------------------------------------------------------------------------------------------- completion


def words(*typed: str) -> list[str]:
    return [one.partition("\t")[0] for one in candidates(typed)]


def test_kubectl_completes_verbs_and_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert words("ti") == ["timeline"]
    assert words("get", "--w") == ["--watch"]
    complete(["lint", "-f", ""])
    complete(["get", "--na"])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(":")] == [FILES, NO_FILES]


def test_without_a_cluster_no_names_are_offered(tmp_path: Path) -> None:
    assert words("get", "--kubeconfig", str(tmp_path / "none"), "") == []
