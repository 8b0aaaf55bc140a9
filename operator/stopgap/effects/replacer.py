"""Deletes a pod of a bad revision that all others wait for (core/unblocking.py), so that its StatefulSet makes it anew."""

from collections.abc import Callable

import msgspec

from stopgap.api import Remediation
from stopgap.api.replacing import ReplacedPod
from stopgap.effects import revised
from stopgap.effects.errors import Forbidden, Invalid, KubeError, NotFound, Rejected
from stopgap.effects.kube import Kube, item
from stopgap.effects.revised import RevisedPod
from stopgap.model.observation import Refusal
from stopgap.model.revised import ordinal


class Replacer:
    """Deletes one pod at a time, each only as it was just read."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def replace(self, remediation: Remediation, one: ReplacedPod, objection: Callable[[], Refusal | None]) -> str:
        """Delete a pod, if it is still the one that is meant, not ready, and the one before it is well again.

        Returns why the API server will not have it; otherwise nothing, also where there was nothing to delete, or no answer: whoever looks
        again finds the pod as it is, and one that is being deleted is not deleted twice.
        """
        try:
            read = await self._read(remediation, one.pod)
            pod = revised.pod(read, "StatefulSet") if read else None
            if read is None or pod is None or (pod.uid, pod.owner) != (one.uid, one.revision) or pod.ready or pod.leaving:
                return ""
            if not await self._is_next(remediation, one) or objection():
                return ""
            # The version too: a pod that became ready a moment ago is another version of it.
            only_if = {"uid": one.uid, "resourceVersion": read.metadata.resource_version}
            await self._kube.delete(_path(remediation, one.pod), {"preconditions": only_if})
        except (Forbidden, Rejected, Invalid) as error:
            return str(error)
        except KubeError:
            return ""
        return ""

    async def _is_next(self, remediation: Remediation, one: ReplacedPod) -> bool:
        """Whether the pod that was deleted before this one is there again and ready, or waits for this one itself."""
        done = remediation.status.replaced if remediation.status else ()
        before = next((each for each in reversed(done) if each.uid != one.uid), None)
        if before is None or ordinal(before.pod) > ordinal(one.pod):
            return True
        read = await self._read(remediation, before.pod)
        return read is not None and read.metadata.uid != before.uid and _is_ready(read)

    async def _read(self, remediation: Remediation, name: str) -> RevisedPod | None:
        try:
            return msgspec.json.decode(await self._kube.get(_path(remediation, name)), type=RevisedPod)
        except NotFound:
            return None


def _path(remediation: Remediation, name: str) -> str:
    return item("v1", "pods", name, namespace=remediation.metadata.namespace)


def _is_ready(read: RevisedPod) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in read.status.conditions)
