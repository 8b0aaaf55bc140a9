"""What Stopgap may do, collected from beside the code that does it, and refused where it is more than was promised."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from types import ModuleType
from typing import Final

from stopgap.codegen.source import GenerationError
from stopgap.model.base import Permission

# Imported by name when asked for: the generator stands beside the handlers and does not lean on them.
ROOMS: Final = ("stopgap.effects", "stopgap.handlers", "stopgap.runtime")

_NEVER: Final = frozenset({"*", "escalate", "bind", "impersonate"})
_IN_BULK: Final = frozenset({"list", "watch", "deletecollection"})
_ORDER: Final = ("get", "list", "watch", "create", "update", "patch", "delete")


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """One rule of a role, and every reason why the code needs it."""

    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]
    verbs: tuple[str, ...]
    whys: tuple[str, ...]


def declared(attribute: str, rooms: Iterable[str] = ROOMS) -> tuple[Permission, ...]:
    """Return what the modules of these rooms declare under a name such as `PERMISSIONS`."""
    return tuple(permission for module in _modules(rooms) for permission in getattr(module, attribute, ()))


def _modules(rooms: Iterable[str]) -> Iterator[ModuleType]:
    for room in rooms:
        top = importlib.import_module(room)
        yield top
        for found in pkgutil.walk_packages(getattr(top, "__path__", ()), f"{room}."):
            yield importlib.import_module(found.name)


def merged(permissions: Iterable[Permission]) -> tuple[Rule, ...]:
    """Return the fewest rules that say the same, sorted. Raises GenerationError for a permission that is never asked for."""
    asked: dict[tuple[str, str, tuple[str, ...]], list[Permission]] = {}
    for permission in permissions:
        _check(permission)
        for resource in permission.resources:
            asked.setdefault((permission.group, resource, tuple(sorted(permission.names))), []).append(permission)
    return tuple(sorted(_joined(_rule(group, resource, names, who) for (group, resource, names), who in asked.items())))


def _rule(group: str, resource: str, names: tuple[str, ...], asked: list[Permission]) -> Rule:
    verbs = {verb for permission in asked for verb in permission.verbs}
    return Rule(group, (resource,), names, _sorted(verbs), tuple(dict.fromkeys(permission.why for permission in asked)))


def _joined(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Put resources of one group together where everything else about them is the same."""

    def same(rule: Rule) -> tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        return rule.group, rule.names, rule.verbs, rule.whys

    for (group, names, verbs, whys), alike in groupby(sorted(rules, key=same), key=same):
        yield Rule(group, tuple(sorted(rule.resources[0] for rule in alike)), names, verbs, whys)


def _sorted(verbs: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(verbs, key=lambda verb: (_ORDER.index(verb) if verb in _ORDER else len(_ORDER), verb)))


def _check(permission: Permission) -> None:
    said = f"{permission.group or 'core'} {', '.join(permission.resources)}"
    if not permission.why:
        raise GenerationError(f"{said}: a permission without a reason")
    if not (permission.resources and permission.verbs):
        raise GenerationError(f"{said}: a permission for nothing")
    for word in (permission.group, *permission.resources, *permission.verbs, *permission.names):
        if word in _NEVER or "*" in word:
            raise GenerationError(f"{said}: {word} is never asked for")
    if permission.group == "" and "secrets" in permission.resources and _IN_BULK & set(permission.verbs):
        raise GenerationError(f"{said}: Secrets are read one by one and by name, never listed or watched")
    if permission.names and "create" in permission.verbs:
        raise GenerationError(f"{said}: a create cannot be limited to names, so this rule would allow nothing")
