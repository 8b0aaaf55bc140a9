"""The one place that reads a Secret: by name, one value, when it is used. Nothing is kept, and nothing of it is ever shown."""

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from stopgap.effects.errors import Forbidden, KubeError, NotFound
from stopgap.effects.kube import Kube, item
from stopgap.model.http import Header
from stopgap.model.observation import Refusal
from stopgap.model.query import PLATFORM, Request
from stopgap.model.reasons import Reason
from stopgap.model.refs import SecretKeyRef

_LONGEST_TOKEN: Final = 64 * 1024


class Secrets:
    """Reads the values that policies name. `own_namespace` is where those of the platform's policies are."""

    def __init__(self, kube: Kube, own_namespace: str) -> None:
        self._kube = kube
        self._own_namespace = own_namespace

    def where(self, namespace: str, *, platform: bool) -> str:
        """Say where the Secrets of a policy are: of the platform's, in our own namespace; of others, in theirs."""
        return self._own_namespace if platform else namespace

    async def read(self, namespace: str, ref: SecretKeyRef) -> SecretStr | Refusal:
        """Read one value, without the line end that an editor leaves behind; or say why there is none, in words that tell nothing of it."""
        try:
            body = msgspec.json.decode(await self._kube.get(item("v1", "secrets", ref.name, namespace=namespace)))
        except NotFound:
            return Refusal(Reason.ReferenceMissing, f"Secret {ref.name} in {namespace} does not exist")
        except Forbidden:
            return Refusal(Reason.NotAuthorized, f"Stopgap may not read Secret {ref.name} in {namespace}; {grant(ref.name, namespace)}")
        except KubeError as error:
            return Refusal(Reason.ReferenceMissing, f"Secret {ref.name} in {namespace} could not be read ({error.status or 'no answer'})")
        return _value(body, ref, namespace)

    async def headers(self, namespace: str, declared: Iterable[Header]) -> tuple[tuple[str, str], ...] | Refusal:
        """Return headers as they are sent, or say why one of them cannot be."""
        found: list[tuple[str, str]] = []
        for one in declared:
            value: SecretStr | Refusal = SecretStr(one.value or "")
            if one.secret_ref is not None:
                value = await self.read(namespace, one.secret_ref)
            if isinstance(value, Refusal):
                return value
            found.append((one.name, f"{one.prefix}{value.get_secret_value()}"))
        return tuple(found)

    async def complete(self, request: Request) -> Request | Refusal:
        """Put into a request what it needs beyond what everybody may see, or say why that cannot be read."""
        needed = request.credentials
        if needed is None:
            return request
        namespace = self.where(needed.scope, platform=needed.scope == PLATFORM)
        headers = await self.headers(namespace, needed.headers)
        if isinstance(headers, Refusal):
            return headers
        token = await asyncio.to_thread(_content, needed.bearer_file) if needed.bearer_file else ""
        if isinstance(token, Refusal):
            return token
        ca = await self.read(namespace, needed.ca) if needed.ca else SecretStr("")
        if isinstance(ca, Refusal):
            return ca
        bearer = (("Authorization", f"Bearer {token}"),) if token else ()
        return replace(request, headers=(*request.headers, *headers, *bearer), ca=ca.get_secret_value(), credentials=None)


def _content(file: str) -> str | Refusal:
    """Return what a file holds, which may change while we run: tokens are rotated."""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_LONGEST_TOKEN).decode().strip()
    except (OSError, UnicodeDecodeError):
        return Refusal(Reason.ReferenceMissing, f"the file {file} cannot be read, or is no text")


def grant(name: str, namespace: str) -> str:
    """Say how to let Stopgap read one Secret."""
    return (
        f"allow it with: kubectl create role stopgap-secret-{name} -n {namespace} --verb=get --resource=secrets --resource-name={name} && "
        f"kubectl create rolebinding stopgap-secret-{name} -n {namespace} --role=stopgap-secret-{name} "
        "--serviceaccount=stopgap-system:stopgap"
    )


def _value(body: dict[str, Any], ref: SecretKeyRef, namespace: str) -> SecretStr | Refusal:
    try:
        return SecretStr(base64.b64decode((body.get("data") or {})[ref.key]).decode().rstrip("\r\n"))
    except KeyError:
        return Refusal(Reason.ReferenceMissing, f"Secret {ref.name} in {namespace} has no key {ref.key}")
    except (binascii.Error, UnicodeDecodeError):
        return Refusal(Reason.ReferenceMissing, f"key {ref.key} of Secret {ref.name} in {namespace} is no text")
