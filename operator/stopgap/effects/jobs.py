"""Runs the Jobs of `job` steps, each once under the name of its Remediation, and says how they ended."""

from typing import Any, Final

import msgspec

from stopgap.api import Remediation
from stopgap.api.jobstatus import LONGEST_LINE, MOST_LINES, JobState, JobStatus
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Rejected
from stopgap.effects.kube import Kube, collection, item
from stopgap.effects.outside import Fate, Order, Receipt, Send
from stopgap.model.job import REMEDIATION_LABEL, job_name
from stopgap.model.logs import redacted
from stopgap.model.observation import Refusal
from stopgap.model.reasons import Reason
from stopgap.model.text import plain

_VERSION: Final = "batch/v1"
_BYTES: Final = 16_384
_NAME_OF_JOB: Final = "batch.kubernetes.io/job-name"


class Jobs:
    """Does what `job` steps declare."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def ready(self, order: Order) -> Send | Receipt | Refusal:
        """Make the Job ready to be created; after a crash, look whether it is there already."""
        run, uid = order.outside.job, order.remediation.metadata.uid or ""
        if run is None:
            return Refusal(Reason.Refused, "there is no Job for this")
        name = job_name(uid)
        body = run.body(name, order.namespace, uid)
        if order.again and (found := await self._there_already(order.namespace, name, uid)).fate is not Fate.UNKNOWN:
            return found

        async def send() -> Receipt:
            try:
                await self._kube.create(collection(_VERSION, "jobs", order.namespace), body)
            except Conflict:
                return await self._there_already(order.namespace, name, uid)
            except (Forbidden, Invalid, Rejected) as error:
                return Receipt(Fate.NOT_DONE, f"the API server refused: {error}", Reason.Refused)
            except KubeError as error:
                return Receipt(Fate.UNKNOWN, type(error).__name__)
            return Receipt(Fate.DONE, f"job/{name} was created")

        return send

    async def _there_already(self, namespace: str, name: str, uid: str) -> Receipt:
        """Say whose the Job of this name is: ours, where an answer was lost or a crash kept it from being written down."""
        try:
            body = msgspec.json.decode(await self._kube.get(item(_VERSION, "jobs", name, namespace=namespace)))
        except KubeError as error:
            return Receipt(Fate.UNKNOWN, type(error).__name__)
        if (body["metadata"].get("labels") or {}).get(REMEDIATION_LABEL) == uid:
            return Receipt(Fate.DONE, f"job/{name} was created")
        return Receipt(Fate.NOT_DONE, f"somebody else has made a job/{name}", Reason.Refused)

    async def ended(self, one: Remediation) -> JobStatus | None:
        """Say how the Job of a Remediation ended; None: it has not, or that cannot be seen now."""
        namespace, name = one.metadata.namespace or "", job_name(one.metadata.uid or "")
        try:
            body = msgspec.json.decode(await self._kube.get(item(_VERSION, "jobs", name, namespace=namespace)))
        except NotFound:
            return JobStatus(name=name, state=JobState.GONE, message="it was removed before its end was seen")
        except KubeError:
            return None
        conditions = (body.get("status") or {}).get("conditions") or ()
        over = next((each for each in conditions if each["status"] == "True" and each["type"] in {"Complete", "Failed"}), None)
        if over is None:
            return None
        why = ": ".join(part for part in (over.get("reason", ""), plain(over.get("message", ""), 512)) if part)
        return JobStatus(name=name, state=JobState(over["type"]), message=why, log=await self._tail(namespace, name))

    async def _tail(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return the last lines that its newest pod wrote; nothing, where there are none to be had."""
        try:
            listed = await self._kube.get(collection("v1", "pods", namespace), {"labelSelector": f"{_NAME_OF_JOB}={name}", "limit": 50})
            pods: list[dict[str, Any]] = msgspec.json.decode(listed)["items"]
            newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), default=None)
            if newest is None:
                return ()
            path = item("v1", "pods", newest["metadata"]["name"], namespace=namespace, subresource="log")
            asked: dict[str, str | int] = {
                "container": newest["spec"]["containers"][0]["name"],
                "tailLines": MOST_LINES,
                "limitBytes": _BYTES,
            }
            raw = await self._kube.get(path, asked)
        except KubeError:
            return ()
        lines = (plain(redacted(line), LONGEST_LINE) for line in raw.decode(errors="replace").splitlines()[-MOST_LINES:])
        return tuple(line for line in lines if line)
