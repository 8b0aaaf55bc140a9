"""Our human-written kinds, watched by Kopf. Every handler only hands the object on: nothing is decided or awaited here.

They return nothing: Kopf would write a returned value into the object's status.
"""

from typing import Any

import kopf

from stopgap.api import Incident, RemediationPolicy
from stopgap.handlers.process import runtime_of
from stopgap.model.base import API_VERSION, Kind


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
