"""Whether our ServiceAccount may act in a namespace, asked of the API server and remembered for a while."""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Final

import msgspec

from stopgap.effects.errors import KubeError
from stopgap.effects.kube import Kube, collection
from stopgap.model.observation import Right

GRANTED_FOR: Final = 300.0
"""Seconds for which a yes is believed. A right that was taken away meanwhile shows as a refused write, which is one clear refusal."""
REFUSED_FOR: Final = 20.0
"""Seconds for which a no is believed: somebody is likely to be mending it."""


class Rights:
    """Asks with a SelfSubjectAccessReview, which every ServiceAccount may create and which stores nothing."""

    def __init__(self, kube: Kube, own_namespace: str) -> None:
        self._kube = kube
        self.own_namespace = own_namespace
        self._known: dict[tuple[str, str, str], tuple[bool, float]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[bool]] = {}

    async def may_patch(self, namespace: str, group: str = "apps", resource: str = "deployments") -> bool:
        """Say whether we may patch objects of this kind there. When the question fails, the write itself will tell."""
        key = (namespace, group, resource)
        answer, until = self._known.get(key, (False, 0.0))
        if time.monotonic() < until:
            return answer
        try:
            answer = await self._ask(namespace, Right("patch", group, resource))
        except KubeError:
            return True
        self._known[key] = (answer, time.monotonic() + (GRANTED_FOR if answer else REFUSED_FOR))
        return answer

    async def of(self, namespace: str, needs: Collection[Right]) -> dict[Right, bool]:
        """Say of each right whether we have it. When the question fails, the act itself will tell."""

        async def one(right: Right) -> bool:
            try:
                return await self._ask(self.own_namespace if right.platform else namespace, right)
            except KubeError:
                return True

        return dict(zip(needs, await asyncio.gather(*(one(right) for right in needs)), strict=True))

    def known(self, namespace: str, resource: str = "deployments") -> bool:
        """Whether a yes for these workloads there is still believed, so that nobody has to be asked."""
        answer, until = self._known.get((namespace, "apps", resource), (False, 0.0))
        return answer and time.monotonic() < until

    def ask_ahead(self, namespace: str, resource: str = "deployments") -> None:
        """Ask beside everything else, so that an action that may follow need not wait for the answer."""
        key = (namespace, resource)
        if key in self._asking or self.known(namespace, resource):
            return
        self._asking[key] = task = asyncio.create_task(self.may_patch(namespace, resource=resource))
        task.add_done_callback(lambda _: self._asking.pop(key, None))

    def forget(self, namespace: str) -> None:
        """Believe nothing about a namespace any more."""
        self._known = {key: known for key, known in self._known.items() if key[0] != namespace}

    async def _ask(self, namespace: str, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"namespace": namespace, "verb": right.verb, "group": right.group, "resource": resource, "name": right.name}
        attributes |= {"subresource": subresource} if subresource else {}
        body: dict[str, Any] = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = msgspec.json.decode(await self._kube.create(collection("authorization.k8s.io/v1", "selfsubjectaccessreviews"), body))
        return bool(answer["status"]["allowed"])
