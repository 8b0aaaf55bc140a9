"""What is asked for is merged, sorted, and refused where it is more than was promised."""

import sys
from types import ModuleType

import pytest

from stopgap.codegen.permissions import Rule, declared, merged
from stopgap.codegen.source import GenerationError
from stopgap.model.base import Permission


def test_the_same_resource_is_one_rule_with_every_verb_and_every_reason() -> None:
    asked = [
        Permission("apps", ("deployments",), ("watch", "get"), "see rollouts"),
        Permission("apps", ("deployments",), ("list", "get"), "count them"),
    ]
    assert merged(asked) == (Rule("apps", ("deployments",), (), ("get", "list", "watch"), ("see rollouts", "count them")),)


def test_resources_that_are_alike_share_a_rule_and_others_do_not() -> None:
    asked = [
        Permission("apps", ("replicasets", "deployments"), ("get",), "see rollouts"),
        Permission("apps", ("daemonsets",), ("get",), "something else"),
    ]
    assert [rule.resources for rule in merged(asked)] == [("daemonsets",), ("deployments", "replicasets")]


def test_the_order_of_declaration_does_not_matter() -> None:
    asked = [
        Permission("apps", ("deployments",), ("get",), "a"),
        Permission("", ("pods",), ("list", "watch"), "b"),
        Permission("apps", ("deployments",), ("patch",), "c", ("one",)),
    ]
    assert merged(asked) == merged(reversed(asked))


@pytest.mark.parametrize(
    ("permission", "why"),
    [
        pytest.param(Permission("*", ("pods",), ("get",), "a"), r"\* is never", id="any group"),
        pytest.param(Permission("", ("*",), ("get",), "a"), r"\* is never", id="any resource"),
        pytest.param(Permission("", ("pods/*",), ("get",), "a"), r"pods/\* is never", id="any subresource"),
        pytest.param(Permission("", ("pods",), ("*",), "a"), r"\* is never", id="any verb"),
        pytest.param(Permission("rbac", ("roles",), ("escalate",), "a"), "escalate is never", id="escalate"),
        pytest.param(Permission("rbac", ("roles",), ("bind",), "a"), "bind is never", id="bind"),
        pytest.param(Permission("", ("users",), ("impersonate",), "a"), "impersonate is never", id="impersonate"),
        pytest.param(Permission("", ("secrets",), ("list",), "a"), "never listed", id="list Secrets"),
        pytest.param(Permission("", ("pods", "secrets"), ("watch",), "a"), "never listed", id="watch Secrets among others"),
        pytest.param(Permission("", ("pods",), ("create",), "a", ("x",)), "cannot be limited", id="create by name"),
        pytest.param(Permission("", ("pods",), ("get",), ""), "without a reason", id="no reason"),
        pytest.param(Permission("", ("pods",), (), "a"), "for nothing", id="no verb"),
    ],
)
def test_what_was_promised_never_to_be_asked_for_is_refused(permission: Permission, why: str) -> None:
    with pytest.raises(GenerationError, match=why):
        merged([permission])


def test_a_secret_may_be_read_by_name() -> None:
    (rule,) = merged([Permission("", ("secrets",), ("get",), "send a notice", ("hook",))])
    assert (rule.names, rule.verbs) == (("hook",), ("get",))


def test_permissions_are_collected_from_modules_that_have_any(monkeypatch: pytest.MonkeyPatch) -> None:
    speaking, silent = ModuleType("speaking"), ModuleType("silent")
    wanted = (Permission("", ("pods",), ("list",), "see them"),)
    speaking.PERMISSIONS = wanted  # type: ignore[attr-defined]  # a module made for this test
    monkeypatch.setitem(sys.modules, "speaking", speaking)
    monkeypatch.setitem(sys.modules, "silent", silent)
    assert declared("PERMISSIONS", ["speaking", "silent"]) == wanted
    assert declared("OWN_NAMESPACE_PERMISSIONS", ["speaking", "silent"]) == ()
