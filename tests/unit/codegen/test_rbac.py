"""Who may do what, as the manifest says it."""

from typing import Any

import yaml

from stopgap.actions import ACTIONS
from stopgap.codegen.rbac import render_rbac
from stopgap.effects.lookups import CONFIGMAP_ROLE

Manifest = dict[str, Any]


def manifests(text: str) -> dict[tuple[str, str, str], Manifest]:
    found = yaml.safe_load_all(text)
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in found}


def verbs(role: Manifest) -> set[str]:
    return {verb for rule in role["rules"] for verb in rule["verbs"]}


def test_the_cluster_wide_role_changes_nothing_but_our_own_kinds_and_events() -> None:
    role = manifests(render_rbac())["ClusterRole", "", "stopgap"]
    foreign = [rule for rule in role["rules"] if rule["apiGroups"] not in (["stopgap.dev"], ["events.k8s.io"])]
    assert foreign
    assert verbs({"rules": foreign}) <= {"get", "list", "watch"}


def test_each_action_has_a_role_that_nobody_is_bound_to() -> None:
    found = manifests(render_rbac())
    bound = {one["roleRef"]["name"] for key, one in found.items() if key[0].endswith("Binding")}
    for action in (one for one in ACTIONS if one.rules):
        role = found["ClusterRole", "", f"stopgap-action-{action.name}"]
        assert sorted(rule["verbs"] for rule in role["rules"]) == sorted(list(rule.verbs) for rule in action.rules)
        assert role["metadata"]["name"] not in bound


def test_reading_configmaps_is_granted_by_a_role_of_its_own_that_the_incident_names() -> None:
    found = manifests(render_rbac())
    (rule,) = found["ClusterRole", "", CONFIGMAP_ROLE]["rules"]
    assert rule == {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    assert CONFIGMAP_ROLE not in {one["roleRef"]["name"] for key, one in found.items() if key[0].endswith("Binding")}
    assert "configmaps" not in str(found["ClusterRole", "", "stopgap"])


def test_an_owner_finds_the_binding_to_make_in_the_header() -> None:
    lines = [line[2:] for line in render_rbac().splitlines() if line.startswith("#   ")]
    example = yaml.safe_load("\n".join(line.removeprefix("  ") for line in lines))
    assert example["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stopgap-action-rollback"}
    assert example["subjects"] == [{"kind": "ServiceAccount", "name": "stopgap", "namespace": "stopgap-system"}]


def test_the_lease_stays_in_our_own_namespace() -> None:
    found = manifests(render_rbac())
    own, everywhere = found["Role", "stopgap-system", "stopgap"], found["ClusterRole", "", "stopgap"]
    assert "coordination.k8s.io" in {rule["apiGroups"][0] for rule in own["rules"]}
    assert "coordination.k8s.io" not in {rule["apiGroups"][0] for rule in everywhere["rules"]}


def test_every_binding_is_to_our_account_and_to_a_role_that_is_there() -> None:
    found = manifests(render_rbac(["shop"]))
    for (kind, namespace, _), one in found.items():
        if kind.endswith("Binding"):
            ref = one["roleRef"]
            assert (ref["kind"], namespace if ref["kind"] == "Role" else "", ref["name"]) in found
            assert one["subjects"] == [{"kind": "ServiceAccount", "name": "stopgap", "namespace": "stopgap-system"}]


def test_a_namespaced_install_reads_nothing_elsewhere() -> None:
    found = manifests(render_rbac(["shop", "desk", "shop"]))
    assert not [key for key in found if key[0] == "ClusterRoleBinding"]
    assert [key[1] for key in found if key[0] == "RoleBinding"] == ["desk", "shop", "stopgap-system"]


def test_only_an_install_for_the_whole_cluster_lists_namespaces_and_reads_cluster_policies() -> None:
    everywhere, inside = (manifests(render_rbac(spaces))["ClusterRole", "", "stopgap"]["rules"] for spaces in ([], ["shop"]))

    def may(rules: list[Manifest], resource: str) -> list[str]:
        return next((rule["verbs"] for rule in rules if resource in rule["resources"]), [])

    assert (may(everywhere, "namespaces"), may(inside, "namespaces")) == (["get", "list", "watch"], ["get"])
    assert may(everywhere, "clusterremediationpolicies") == ["get", "list", "watch"]
    assert may(everywhere, "clusterremediationpolicies/status") == ["patch"]
    assert not [rule for rule in inside if "clusterremediationpolicies" in str(rule["resources"])]


def test_people_see_with_view_and_write_with_edit() -> None:
    found = manifests(render_rbac())
    viewer, editor = found["ClusterRole", "", "stopgap-viewer"], found["ClusterRole", "", "stopgap-editor"]
    assert viewer["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert verbs(viewer) == {"get", "list", "watch"}
    assert editor["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert [rule["resources"] for rule in editor["rules"]] == [["incidents", "postmortems", "remediationpolicies"]]


def test_every_rule_says_why() -> None:
    lines = render_rbac().splitlines()
    rules = [index for index, line in enumerate(lines) if line.startswith("  - apiGroups:")]
    assert rules
    assert all(lines[index - 1].startswith("  # To ") for index in rules)


def test_approving_is_a_role_of_its_own_that_no_other_takes_in() -> None:
    found = manifests(render_rbac())
    approver = found["ClusterRole", "", "stopgap-approver"]
    assert verbs(approver) == {"approve", "get", "patch"}
    assert not [label for label in approver["metadata"]["labels"] if "aggregate" in label]
    assert not [key for key, body in found.items() if body is not approver and "rules" in body and "approve" in verbs(body)]
