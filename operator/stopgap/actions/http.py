"""`http`: one HTTP call, such as switching a feature off at the place that knows how."""

from typing import ClassVar

from stopgap.model.base import Permission
from stopgap.model.change import Aim, Field, Known, Outside, Plan
from stopgap.model.http import HttpChange
from stopgap.model.observation import Observation, Refusal, Right


class Http(HttpChange):
    """Send one HTTP request, and later the one that puts it back.

    Nothing can tell afterwards whether a request without an answer was carried out: unless the call says `idempotent: true`, it is sent
    once, and where that remains open people are called. What comes back is judged by its status alone, and shown nowhere.
    """

    name: ClassVar[str] = "http"
    rolls_pods: ClassVar[bool] = False
    outside: ClassVar[bool] = True
    undoes: ClassVar[bool] = False
    rules: ClassVar[tuple[Permission, ...]] = ()

    def wants(self, seen: Observation, known: Known) -> Aim | Refusal:  # noqa: ARG002 - the actions' common shape
        """Say what would be sent, and which Secrets it takes."""
        refs = {header.secret_ref for call in self.calls for header in call.headers if header.secret_ref}
        return Aim(str(self), needs=frozenset(Right("get", "", "secrets", ref.name, platform=known.platform) for ref in refs))

    def plan(self, seen: Observation, aim: Aim) -> Plan | Refusal:  # noqa: ARG002 - the actions' common shape
        """Keep both calls whole."""
        kept = HttpChange.model_validate(self.model_dump())
        return Plan(action="Http", summary=aim.summary, field=Field.ELSEWHERE, outside=Outside(http=kept))
