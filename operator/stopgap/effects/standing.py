"""What an act stands on beside its target: its namespace, its policy and the config, as the API server has them now."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec

from stopgap.api import RemediationConfig
from stopgap.api.clusterpolicy import Policy
from stopgap.api.config import NAME as CONFIG_NAME
from stopgap.core import matching
from stopgap.core.case import Case
from stopgap.core.limits import pause_mark
from stopgap.effects.ahead import ReadAhead
from stopgap.effects.errors import KubeError, NotFound
from stopgap.effects.kube import Kube, item
from stopgap.effects.records import Records
from stopgap.model.base import API_VERSION

_ABOUT_CONFIG: Final = ("config",)

T = TypeVar("T")


class _Meta(msgspec.Struct):
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    generation: int = 0
    uid: str = ""


class _Object(msgspec.Struct):
    metadata: _Meta


class _Read(Protocol):
    async def __call__(self, key: tuple[str, ...], read: Callable[[], Awaitable[T]], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What was read, held against what was decided on."""

    annotations: dict[str, str]
    """Of the namespace."""
    policy_current: bool
    config_readable: bool

    @property
    def clear(self) -> bool:
        """Whether nothing of it speaks against an act."""
        return self.policy_current and self.config_readable and not pause_mark(self.annotations)


class Standings:
    """Reads them, and asks beforehand where they may be needed in a moment."""

    def __init__(self, kube: Kube, records: Records, ahead: ReadAhead, *, own_namespace: str) -> None:
        self._kube = kube
        self._records = records
        self._ahead = ahead
        self._own_namespace = own_namespace

    def expect(self, namespace: str, policy: Policy) -> None:
        """Ask beforehand."""
        self._ahead.expect(("namespace", namespace), partial(self._namespace, namespace))
        self._ahead.expect(_about(policy), partial(self._policy, policy))
        self._ahead.expect(_ABOUT_CONFIG, self._config_is_readable)

    async def of(self, case: Case) -> Standing:
        """Return what stands now. What was asked beforehand is good enough for a yes: a no is read again, for it may have ended since."""
        standing = await self._read(case, self._ahead.take)
        return standing if standing.clear else await self._read(case, _now)

    async def _read(self, case: Case, read: _Read) -> Standing:
        policy, name = case.policy, case.seen.target.namespace
        namespace, config_readable, live = await asyncio.gather(
            read(("namespace", name), partial(self._namespace, name)),
            read(_ABOUT_CONFIG, self._config_is_readable),
            read(_about(policy), partial(self._policy, policy)) if policy else _nothing(),
        )
        # A namespace that lost its labels is not the cluster policy's business any more.
        meant = policy is not None and matching.selects(policy, name, namespace.labels)
        return Standing(namespace.annotations, meant and _is_as_decided(policy, live), config_readable)

    async def _namespace(self, name: str) -> _Meta:
        raw = await self._kube.get(item("v1", "namespaces", name))
        return msgspec.json.decode(raw, type=_Object).metadata

    async def _policy(self, policy: Policy) -> _Meta | None:
        try:
            raw = await self._kube.get(item(API_VERSION, policy.plural, policy.metadata.name, namespace=policy.metadata.namespace))
        except NotFound:
            return None
        return msgspec.json.decode(raw, type=_Object).metadata

    async def _config_is_readable(self) -> bool:
        """An absent config means the defaults; one that cannot be read means that we are paused."""
        path = item(API_VERSION, RemediationConfig.plural, CONFIG_NAME, namespace=self._own_namespace)
        known = self._records.config, self._records.config_trouble
        try:
            self._records.take(RemediationConfig, msgspec.json.decode(await self._kube.get(path)))
        except NotFound:
            # One that was heard of since the question is newer than the answer.
            if known == (self._records.config, self._records.config_trouble):
                self._records.drop(RemediationConfig, self._own_namespace, CONFIG_NAME)
        except KubeError:
            return False
        return not self._records.config_trouble


async def _now(_key: tuple[str, ...], read: Callable[[], Awaitable[T]]) -> T:
    return await read()


async def _nothing() -> Any:
    return None


def _about(policy: Policy) -> tuple[str, ...]:
    return (policy.plural, policy.metadata.namespace or "", policy.metadata.name)


def _is_as_decided(policy: Policy | None, live: _Meta | None) -> bool:
    """Whether the policy still exists as it was decided by."""
    if live is None or policy is None or (live.uid, live.generation) != (policy.metadata.uid, policy.metadata.generation):
        return False
    return pause_mark(live.annotations) == pause_mark(policy.metadata.annotations)
