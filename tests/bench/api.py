"""A bare client of the API server, for the bench and its floor: one warm session, plain JSON, no retries, no Stopgap code.

An unexpected answer raises, because a measurement that was disturbed is worth nothing.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec
import yaml

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
OWN = "/apis/stopgap.dev/v1alpha1"
WARM_EVERY = 10.0
"""Seconds between two requests that keep a connection open for the next write, as Stopgap's Lease does for Stopgap."""


class ApiError(RuntimeError):
    """The API server refused."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


class Api:
    """The API server of a kubeconfig: `async with Api(path) as api:`."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._server = cluster["server"].rstrip("/")
        authority = cluster.get("certificate-authority")
        self._tls = ssl.create_default_context(cafile=str(kubeconfig.parent / authority) if authority else None)
        if "client-certificate" in user:
            self._tls.load_cert_chain(kubeconfig.parent / user["client-certificate"], kubeconfig.parent / user["client-key"])
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, keepalive_timeout=75)
        self._session = aiohttp.ClientSession(self._server, connector=connector, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("this Api is not open")
        return self._session

    async def ask(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """One request; the parsed answer. Raises ApiError."""
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, path, data=data, headers={"Content-Type": content_type}) as answer:
            raw = await answer.read()
            if answer.status >= 300:
                raise ApiError(answer.status, raw.decode(errors="replace"))
            return msgspec.json.decode(raw)

    async def there(self, path: str, body: object) -> None:
        """Create an object where it is not there yet."""
        with suppress(ApiError):
            await self.ask("POST", path, body)

    async def watch(self, path: str, ready: asyncio.Event | None = None) -> AsyncIterator[tuple[str, Any]]:
        """List, then follow: yields the type of each event and its object, for ever."""
        listed = await self.ask("GET", path)
        for one in listed["items"]:
            yield "ADDED", one
        parameters = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "86400"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(path, params=parameters, timeout=timeout) as answer:
            if ready is not None:
                ready.set()
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = msgspec.json.decode(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 0), str(event["object"]))
                    yield event["type"], event["object"]
        raise ApiError(0, f"the watch of {path} ended")

    async def keep_warm(self) -> None:
        """Keep a few connections open, so that the next write pays for no handshake."""
        while True:
            await asyncio.gather(*(self.ask("GET", "/version") for _ in range(2)))
            await asyncio.sleep(WARM_EVERY)


def exits(pod: Any) -> int:
    """How many exits of its worst container a pod's status shows; the same count as Stopgap's ledger keeps."""
    statuses = pod["status"].get("containerStatuses", ())
    return max((one["restartCount"] + ("terminated" in one.get("state", {})) for one in statuses), default=0)


def owner(obj: Any) -> Any:
    """The controlling owner's reference, or an empty one."""
    return next((one for one in obj["metadata"].get("ownerReferences", ()) if one.get("controller")), {"kind": "", "uid": "", "name": ""})
