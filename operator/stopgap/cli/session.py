"""One call of the plugin: which cluster, which namespace, how it is printed; and the few requests that all verbs are made of."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from stopgap.api import Incident, Remediation
from stopgap.cli.printing import Paper, dumped, listing, paper_of
from stopgap.cli.refusals import Refused, sentence
from stopgap.effects.clock import ServerTimeUnknown
from stopgap.effects.connection import connect
from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import Kube, Params, PatchKind, collection, item
from stopgap.model.base import API_VERSION, Kind
from stopgap.model.refs import WorkloadKind

T = TypeVar("T")
KindT = TypeVar("KindT", bound=Kind)

PARTING_SECONDS: Final = 0.02
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WORKLOADS: Final[dict[str, WorkloadKind]] = {
    "deploy": "Deployment",
    "deployment": "Deployment",
    "deployments": "Deployment",
    "deployment.apps": "Deployment",
    "sts": "StatefulSet",
    "statefulset": "StatefulSet",
    "statefulsets": "StatefulSet",
    "statefulset.apps": "StatefulSet",
}
"""How people write the kinds of workloads."""


@dataclass
class Session:
    """What was asked for on the command line, beside the verb."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace_given: str | None = None
    all_namespaces: bool = False
    output: str = ""
    paper: Paper = field(default_factory=paper_of)

    @property
    def namespace(self) -> str:
        """The namespace that is meant: as given, or that of the kubeconfig's context, or of the pod, or `default`."""
        return self.namespace_given or _configured(self.kubeconfig, self.context) or "default"

    @property
    def scope(self) -> str | None:
        """The namespace to list; None: all of them."""
        return None if self.all_namespaces else self.namespace

    @property
    def wide(self) -> bool:
        """Whether every column is asked for."""
        return self.output == "wide"

    def asks_for_data(self) -> bool:
        """Whether the answer is for a program."""
        return self.output in {"json", "yaml"}

    def say(self, text: str) -> None:
        """Print what was rendered already."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def show(self, shown: Any) -> None:
        """Print something for people."""
        self.say(self.paper.text(shown))

    def data(self, bodies: Any) -> None:
        """Print objects for a program."""
        self.say(dumped(listing(bodies) if isinstance(bodies, list) else bodies, self.output))

    def run(self, ask: Callable[["Desk"], Awaitable[T]]) -> T:
        """Connect, and do it."""

        async def asked() -> T:
            async with self.desk() as desk:
                return await ask(desk)

        return asyncio.run(asked())

    @asynccontextmanager
    async def desk(self) -> AsyncIterator["Desk"]:
        """Open the connection."""
        async with Kube(await connect(self.kubeconfig, self.context)) as kube:
            yield Desk(self, kube)
        # A watch that was left in the middle is let go of a few turns of the loop later; without them, its end is one long warning.
        await asyncio.sleep(PARTING_SECONDS)


def _configured(kubeconfig: str | None, context: str | None) -> str:
    from kubernetes.aio import config  # noqa: PLC0415 - 120 ms that `lint` and `--help` need not pay

    with suppress(config.ConfigException, OSError):
        contexts, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]  # not annotated
        chosen = next((one for one in contexts if one["name"] == context), None) if context else active
        return str(((chosen or {}).get("context") or {}).get("namespace") or "")
    with suppress(OSError):
        return _POD_NAMESPACE.read_text().strip()
    return ""


@dataclass(frozen=True)
class Desk:
    """The requests, in the words of the verbs. Objects come raw, and as models where a verb reads them."""

    session: Session
    kube: Kube
    denied: list[str] = field(default_factory=list)
    """What you may not see, of what was asked for and can be done without."""

    @property
    def now(self) -> datetime:
        """The API server's time."""
        try:
            return self.kube.clock.now()
        except ServerTimeUnknown:
            return datetime.now(UTC)  # noqa: TID251 - nothing was asked yet, so that nothing is compared with it

    async def raw(self, version: str, plural: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        """Read one object."""
        body: dict[str, Any] = msgspec.json.decode(await self.kube.get(item(version, plural, name, namespace=namespace)))
        return body

    async def listed(self, version: str, plural: str, namespace: str | None, params: Params | None = None) -> list[dict[str, Any]]:
        """List objects, in a namespace or (None) everywhere."""
        return [msgspec.json.decode(one) async for one in self.kube.items(collection(version, plural, namespace), params)]

    async def own(self, kind: type[Kind], name: str, namespace: str | None = None) -> dict[str, Any]:
        """Read one object of ours, in the namespace that is meant. Raises Refused where there is none."""
        where = (namespace or self.session.namespace) if kind.scope == "Namespaced" else None
        try:
            return await self.raw(API_VERSION, kind.plural, name, namespace=where)
        except NotFound as error:
            if "not found" not in error.message:
                raise
            raise Refused(f"there is no {kind.__name__} {name}{f' in {where}' if where else ''}") from error

    async def owns(self, kind: type[Kind], namespace: str | None, params: Params | None = None) -> list[dict[str, Any]]:
        """List objects of ours. In a list an object does not say what it is; these do."""
        bodies = await self.listed(API_VERSION, kind.plural, namespace, params)
        return [{"apiVersion": API_VERSION, "kind": kind.__name__, **one} for one in bodies]

    async def allowed(self, asked: Awaitable[T], otherwise: T) -> T:
        """Return what is asked for, or something else where we may not have it or there is no such kind."""
        try:
            return await asked
        except Forbidden as error:
            self.denied.append(sentence(error))
        except NotFound:
            pass
        return otherwise

    async def incident(self, name: str) -> Incident:
        """Read an incident."""
        return read(Incident, await self.own(Incident, name))

    async def remediations_of(self, incident: Incident) -> list[Remediation]:
        """List the remediations of an incident, oldest first."""
        labels = {"labelSelector": f"stopgap.dev/incident={incident.metadata.uid}"}
        bodies = await self.owns(Remediation, incident.metadata.namespace, labels)
        found = [read(Remediation, one) for one in bodies]
        return sorted(found, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))

    async def change(self, kind: type[Kind], name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of an object of ours (a merge patch), and return it as stored."""
        where = self.session.namespace if kind.scope == "Namespaced" else None
        return await self.merge(item(API_VERSION, kind.plural, name, namespace=where), changes)

    async def merge(self, path: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of any object, and return it as stored. Written under the plugin's own name: it was not the operator."""
        params = {"fieldManager": "kubectl-stopgap"}
        body: dict[str, Any] = msgspec.json.decode(await self.kube.patch(path, dict(changes), how=PatchKind.MERGE, params=params))
        return body

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, and return it as stored."""
        made: dict[str, Any] = msgspec.json.decode(await self.kube.create(path, dict(body), {"fieldManager": "kubectl-stopgap"}))
        return made

    async def whoami(self) -> str:
        """Return your name as the API server knows it, or nothing where it does not tell."""
        path = collection("authentication.k8s.io/v1", "selfsubjectreviews")
        try:
            made = await self.create(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        except KubeError:
            return ""
        return str(made.get("status", {}).get("userInfo", {}).get("username", ""))


def read(kind: type[KindT], body: Mapping[str, Any]) -> KindT:
    """Understand an object as the operator does."""
    return kind.model_validate(body)


def target_of(text: str) -> tuple[WorkloadKind, str]:
    """Understand `deploy/api`; returns kind and name. Without a kind, a Deployment is meant. Raises Refused."""
    kind, slash, name = text.rpartition("/")
    if not slash:
        return "Deployment", text
    found = WORKLOADS.get(kind.lower())
    if found is None or not name:
        raise Refused(f"{text!r} is no workload; write deploy/NAME or sts/NAME", 2)
    return found, name
