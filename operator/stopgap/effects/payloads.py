"""What Alertmanager (webhook version 4) and Grafana post, read into alerts. Everything in it is hostile text until it was read here."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct, field

from stopgap.model.alert import Alert, AlertState
from stopgap.model.text import plain
from stopgap.model.time import exact

MOST_LABELS: Final = 32
LONGEST_LABEL: Final = 128
LONGEST_SUMMARY: Final = 256
LONGEST_DESCRIPTION: Final = 2048
VERSIONS: Final = {"4": "Alertmanager", "1": "Grafana"}
_FINGERPRINT: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_FIRST: Final = ("alertname", "namespace", "severity")
"""Labels that are kept before others where there are too many."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Go writes a time that is not set as one of the year 1."""
_SHAPE: Final = "Alertmanager's webhook of version 4 or Grafana's is expected, without a payload of its own"


class Misfit(ValueError):  # noqa: N818 - read as what it says
    """A body that cannot be meant: says why."""


class _Alert(Struct, rename="camel"):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    fingerprint: str = ""


class _Group(Struct, rename="camel"):
    version: str
    alerts: list[_Alert]
    truncated_alerts: int = field(default=0)


@dataclass(frozen=True, slots=True)
class Report:
    """One alert with what is not kept of it: the labels as they came, to find the workload by."""

    alert: Alert
    addressed: dict[str, str]
    """Every label, uncut."""
    began: str
    """When it began to fire, in the sender's own words: with the fingerprint, what makes it the same firing."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """One message."""

    reports: tuple[Report, ...]
    left_out: int
    """How many alerts the sender left out."""


def read(body: bytes, now: datetime) -> Post:
    """Read a message. Raises Misfit with what is wrong with it."""
    try:
        group = msgspec.json.decode(body, type=_Group)
    except msgspec.ValidationError as error:
        raise Misfit(f"{plain(str(error), 200)}; {_SHAPE}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Misfit(f"the body is not JSON ({plain(str(error), 120)}); {_SHAPE}") from error
    if group.version not in VERSIONS:
        raise Misfit(f"version {plain(group.version, 20)!r} is not known; {_SHAPE}")
    return Post(tuple(_report(one, now) for one in group.alerts), min(max(group.truncated_alerts, 0), 2**31))


def _report(one: _Alert, now: datetime) -> Report:
    state = {"firing": AlertState.FIRING, "resolved": AlertState.RESOLVED}.get(one.status)
    if state is None:
        raise Misfit(f"an alert is {plain(one.status, 20)!r}; it is firing or resolved")
    began = _time(one.starts_at)
    summary = one.annotations.get("summary") or one.annotations.get("description") or one.annotations.get("message") or ""
    alert = Alert(
        fingerprint=one.fingerprint if _FINGERPRINT.fullmatch(one.fingerprint) else _fingerprint(one.labels),
        name=plain(one.labels.get("alertname", ""), LONGEST_LABEL) or "(unnamed)",
        state=state,
        since=min(began or now, now),
        heard_at=now,
        labels=_labels(one.labels),
        summary=plain(summary, LONGEST_SUMMARY),
        ended=min(_time(one.ends_at) or now, now) if state is AlertState.RESOLVED else None,
    )
    return Report(alert, one.labels, exact(began) if began else "", plain(one.annotations.get("description", ""), LONGEST_DESCRIPTION))


def _fingerprint(labels: dict[str, str]) -> str:
    return blake2b(msgspec.json.encode(labels, order="sorted"), digest_size=8).hexdigest()


def _time(given: datetime | None) -> datetime | None:
    if given is None:
        return None
    aware = given if given.tzinfo else given.replace(tzinfo=UTC)
    return aware if aware >= _EARLIEST else None


def _labels(labels: dict[str, str]) -> dict[str, str]:
    kept = sorted(labels, key=lambda name: (name not in _FIRST, name))[:MOST_LABELS]
    return {plain(name, LONGEST_LABEL): plain(labels[name], LONGEST_LABEL) for name in kept if plain(name, 1)}
