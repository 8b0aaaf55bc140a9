"""Our human-written kinds, watched by Kopf. Every handler only hands the object on: nothing is decided or awaited here.

They return nothing: Kopf would write a returned value into the object's status.
"""

import logging
from typing import Any

import kopf

from stopgap.api import ClusterRemediationPolicy, Incident, PostMortem, RemediationPolicy
from stopgap.handlers.process import runtime_of, settings_of
from stopgap.model.base import API_VERSION, Kind

log = logging.getLogger(__name__)


def _hand_on(kind: type[Kind], event: kopf.RawEvent, memo: kopf.Memo) -> None:
    records = runtime_of(memo).records
    body: dict[str, Any] = dict(event["object"])
    meta = body["metadata"]
    if event["type"] == "DELETED":
        records.drop(kind, meta.get("namespace", ""), meta["name"])
    else:
        records.take(kind, body)


@kopf.on.event(API_VERSION, Incident.plural, id="incident")
async def incident(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take in an incident."""
    _hand_on(Incident, event, memo)


@kopf.on.event(API_VERSION, RemediationPolicy.plural, id="policy")
async def policy(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take in a policy."""
    _hand_on(RemediationPolicy, event, memo)


@kopf.on.event(API_VERSION, PostMortem.plural, id="postmortem")
async def postmortem(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take in a review."""
    reviews = runtime_of(memo).reviews
    body: dict[str, Any] = dict(event["object"])
    if event["type"] == "DELETED":
        reviews.drop(body["metadata"].get("namespace", ""), body["metadata"]["name"])
    else:
        reviews.take(body)


async def cluster_policy(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    """Take in a cluster policy."""
    _hand_on(ClusterRemediationPolicy, event, memo)


@kopf.on.startup(id="cluster-kinds", errors=kopf.ErrorsMode.PERMANENT)
async def watch_cluster_kinds(memo: kopf.Memo, **_: Any) -> None:
    """Let Kopf watch what is of the whole cluster, unless this copy is for some namespaces only."""
    namespaces = settings_of(memo).namespaces
    if namespaces:
        # Under the roles of a namespaced installation Kopf would ask in vain for ever.
        log.info("ClusterRemediationPolicies are ignored: this copy is for some namespaces only", extra={"namespaces": list(namespaces)})
        return
    kopf.on.event(API_VERSION, ClusterRemediationPolicy.plural, id="cluster-policy")(cluster_policy)
