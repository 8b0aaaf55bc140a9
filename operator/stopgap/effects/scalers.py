"""What scales a workload in place of its own `replicas`, and what limits taking pods away: read live when a step wants to scale."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import Kube, collection
from stopgap.effects.written import SCALERS
from stopgap.model.base import Permission
from stopgap.model.observation import Scaler
from stopgap.model.template import Template
from stopgap.model.workload import Workload

PERMISSIONS: Final = (
    Permission("autoscaling", ("horizontalpodautoscalers",), ("get", "list"), "see which autoscaler owns the number of replicas"),
    Permission("keda.sh", ("scaledobjects",), ("get", "list"), "see which autoscaler owns the number of replicas"),
    Permission("policy", ("poddisruptionbudgets",), ("list",), "see how many pods a budget needs before any is taken away"),
)
RESOURCES: Final = {kind: (version.partition("/")[0], plural) for kind, (version, plural) in SCALERS.items()}
"""Group and resource of each kind of autoscaler."""
_KEDA_MAXIMUM: Final = 100
"""What KEDA takes where a ScaledObject does not say (its documentation of spec.maxReplicaCount)."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """What scales a workload, and what it must keep."""

    scaler: Scaler | None
    disruption_floor: int


class Scalers:
    """Reads what scales workloads."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def read(self, work: Workload) -> Scaling:
        """Read everything at once. KEDA's own autoscaler is not touched: the ScaledObject that made it is."""
        keda, autoscalers, budgets = await asyncio.gather(
            self._list(*SCALERS["ScaledObject"], work),
            self._list(*SCALERS["HorizontalPodAutoscaler"], work),
            self._list("policy/v1", "poddisruptionbudgets", work),
        )
        scaler = next((_scaled_object(one) for one in keda if is_about(one, work)), None)
        scaler = scaler or next((_autoscaler(one) for one in autoscalers if is_about(one, work)), None)
        return Scaling(scaler, max((_needed(one, work) for one in budgets), default=0))

    async def _list(self, version: str, plural: str, work: Workload) -> list[dict[str, Any]]:
        try:
            listed: list[dict[str, Any]] = msgspec.json.decode(await self._kube.get(collection(version, plural, work.namespace)))["items"]
        except NotFound:
            return []  # that kind is not installed
        except Forbidden as error:
            raise KubeError("list", error.path, status=error.status, message=f"{plural} cannot be read, so nothing is scaled") from error
        return listed


def is_about(body: dict[str, Any], work: Workload) -> bool:
    """Whether an autoscaler scales a workload."""
    ref = body.get("spec", {}).get("scaleTargetRef") or {}
    return ref.get("name") == work.name and ref.get("kind", "Deployment") == work.kind


def _autoscaler(body: dict[str, Any]) -> Scaler:
    meta, spec = body["metadata"], body["spec"]
    return Scaler("HorizontalPodAutoscaler", meta["name"], meta["uid"], spec.get("minReplicas"), int(spec["maxReplicas"]))


def _scaled_object(body: dict[str, Any]) -> Scaler:
    meta, spec = body["metadata"], body["spec"]
    maximum = int(spec.get("maxReplicaCount") or _KEDA_MAXIMUM)
    return Scaler("ScaledObject", meta["name"], meta["uid"], spec.get("minReplicaCount"), maximum)


def _needed(budget: dict[str, Any], work: Workload) -> int:
    """How many pods a PodDisruptionBudget of this workload's pods needs. A share of them follows the number, and sets no floor."""
    wanted = budget.get("spec", {}).get("minAvailable")
    labels = Template.unpacked(work.template).labels
    return wanted if isinstance(wanted, int) and _selects(budget["spec"].get("selector"), labels) else 0


def _selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector means these labels: none means nothing, an empty one everything."""
    if selector is None:
        return False
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(_meets(one, labels) for one in selector.get("matchExpressions") or ())


def _meets(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    there, values = expression["key"] in labels, expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(expression["key"]) in values
        case "NotIn":
            return labels.get(expression["key"]) not in values
        case "DoesNotExist":
            return not there
        case _:
            return there
