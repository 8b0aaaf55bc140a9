"""Where the API server is and who we are there: one value for our own client and for Kopf.

The `kubernetes` package reads kubeconfig, certificates and exec plugins; what it swallows or gets wrong is refused
here by name.
"""

import asyncio
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

DEFAULT_KUBECONFIG = "~/.kube/config"
EXEC_PLUGIN_TIMEOUT = 60.0
"""Seconds an exec plugin may take; it may have to ask a cloud."""
REREAD_AFTER = 60.0
"""Seconds after which a token that may have been rotated is looked at again."""

Credentials = Callable[[], Awaitable[str | None]]


class NoConnection(Exception):  # noqa: N818 - read as what it says: there is no connection.
    """The API server cannot be addressed: says what is wrong, where, and what to do about it."""

    def __init__(self, what: str, where: str, what_to_do: str) -> None:
        super().__init__(f"{what} ({where}). {what_to_do}")
        self.what = what
        self.where = where
        self.what_to_do = what_to_do


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything needed to speak to one API server. Paths are those of PEM files."""

    server: str
    """URL without a trailing slash; it may have a path (Rancher)."""
    credentials: Credentials = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """None for plain http, as behind `kubectl proxy`."""
    ca_path: str | None = None
    certificate_path: str | None = None
    private_key_path: str | None = None
    insecure: bool = False
    """The server's certificate is not verified, because the kubeconfig says so."""
    server_hostname: str | None = None
    """The name to expect in the server's certificate, if it is not the URL's."""

    async def authorization(self) -> str | None:
        """Return the present value of the Authorization header, or None. Raises NoConnection if it cannot be had."""
        try:
            return await self.credentials()
        except (OSError, ValueError, TimeoutError) as error:
            raise NoConnection(f"the credentials cannot be renewed: {error}", self.server, "Look at the token file or plugin.") from error


def without_clients() -> None:
    """Let `kubernetes.aio.config` be imported without everything else that its package imports at once. Call it before Kopf is imported.

    The clients, their streams and models are never used here, and cost half a second of every start and 15 MiB for good.
    """
    for name in ("kubernetes", "kubernetes.aio"):
        if name not in sys.modules and (spec := find_spec(name)) is not None:
            sys.modules[name] = module_from_spec(spec)  # found, so that its parts can be imported, and not run
    # Kopf asks for two of its classes, to recognise their objects, and does without where there are none.
    sys.modules.setdefault("kubernetes.client", None)  # type: ignore[arg-type]  # what import takes for absent


async def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Find the API server: in a pod its own, else by kubeconfig (argument, $KUBECONFIG, ~/.kube/config).

    Raises NoConnection.
    """
    chosen = kubeconfig or os.environ.get("KUBECONFIG", "")
    if not chosen and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return _in_cluster()
    where = chosen or DEFAULT_KUBECONFIG
    if not _is_there(where):
        raise NoConnection("there is no such kubeconfig", where, "Set KUBECONFIG to a file, or run Stopgap in a pod.")
    return await _by_kubeconfig(where, context)


def _is_there(paths: str) -> bool:
    # The loader merges those that exist, and only logs it when none does.
    return any(Path(one).expanduser().is_file() for one in paths.split(os.pathsep) if one)


def _in_cluster() -> Connection:
    from kubernetes.aio import config  # noqa: PLC0415 - 120 ms and 5 MiB that a unit test or a linter need not pay.
    from kubernetes.aio.client import Configuration  # noqa: PLC0415 - see above.

    found = Configuration()
    try:
        config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]  # not annotated
    except (config.ConfigException, OSError) as error:
        raise NoConnection(
            str(error), "in this pod", "Give the pod a ServiceAccount and set automountServiceAccountToken: true."
        ) from error

    async def token() -> str | None:
        # The loader reads the rotated token again after a minute.
        try:
            return _header(await found.get_api_key_with_prefix("BearerToken"))
        except config.ConfigException as error:
            raise ValueError(str(error)) from error

    return _connection(found, token, "in this pod")


async def _by_kubeconfig(where: str, context: str | None) -> Connection:
    from kubernetes.aio import config  # noqa: PLC0415 - as above.
    from kubernetes.aio.client import Configuration  # noqa: PLC0415 - as above.

    found = Configuration()
    try:
        async with asyncio.timeout(EXEC_PLUGIN_TIMEOUT):
            loader = await config.load_kube_config(  # type: ignore[no-untyped-call]  # not annotated
                config_file=where, context=context, client_configuration=found, persist_config=False
            )
    except TimeoutError as error:
        raise NoConnection("its credentials plugin did not end", where, "Run the plugin by hand.") from error
    except Exception as error:
        # It raises whatever a malformed file makes it trip over: TypeError for a context without a user, KeyError, …
        nothing = "it is no kubeconfig, or its context names no user that exists"
        # The words about malformed YAML run over several lines, and it is one sentence that is logged and printed.
        why = nothing if isinstance(error, TypeError) else " ".join((str(error) or repr(error)).split())
        raise NoConnection(f"the kubeconfig cannot be used: {why}", where, "Try `kubectl config view`.") from error
    user: dict[str, Any] = loader._user.value if loader._user else {}  # noqa: SLF001 - nothing public says which user was chosen.
    _refuse_what_fails_silently(found, user, where)
    return _connection(found, _credentials(loader, user, found), where)


def _refuse_what_fails_silently(found: Any, user: dict[str, Any], where: str) -> None:
    has_token, has_certificate = bool(found.api_key.get("BearerToken")), bool(found.cert_file)
    if "exec" in user and not has_token and not has_certificate:
        # The loader only logs this, and every request would then be anonymous.
        command = user["exec"].get("command", "?")
        raise NoConnection(f"its credentials plugin `{command}` gave no credentials", where, "Run the plugin by hand.")
    if found.host.startswith("https") and not has_token and not has_certificate:
        raise NoConnection("its user has no credentials", where, "Try `kubectl config view`.")
    if found.proxy:
        raise NoConnection("it asks for a proxy (proxy-url)", where, "Stopgap connects directly; use a kubeconfig without.")


def _credentials(loader: Any, user: dict[str, Any], found: Any) -> Credentials:
    fixed = _header(found.api_key.get("BearerToken"))
    if "exec" in user and fixed:
        return _FromPlugin(loader)
    if user.get("tokenFile") and not user.get("token"):
        base = loader._get_base_path(loader._user.path)  # noqa: SLF001 - a relative tokenFile is relative to its kubeconfig.
        return _FromFile(Path(base, user["tokenFile"]))

    async def unchanging() -> str | None:
        return fixed

    return unchanging


class _FromFile:
    """A token file: read again every minute, as it may be rotated. The loader reads it once and keeps its newline."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._value = ""
        self._due = 0.0

    async def __call__(self) -> str:
        if time.monotonic() >= self._due:
            self._value = f"Bearer {self._path.read_text().strip()}"
            self._due = time.monotonic() + REREAD_AFTER
        return self._value


class _FromPlugin:
    """An exec plugin: one run at a time, at most one a minute; the loader runs it only when its token is about to expire."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._lock = asyncio.Lock()
        self._due = time.monotonic() + REREAD_AFTER

    async def __call__(self) -> str | None:
        async with self._lock:
            if time.monotonic() >= self._due:
                async with asyncio.timeout(EXEC_PLUGIN_TIMEOUT):
                    await self._loader.load_from_exec_plugin()
                self._due = time.monotonic() + REREAD_AFTER
        return _header(self._loader.token)


def _header(value: str | None) -> str | None:
    return value.strip() if value else None


def _connection(found: Any, credentials: Credentials, where: str) -> Connection:
    try:
        tls = _tls(found) if found.host.startswith("https") else None
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise NoConnection(f"its certificates cannot be used: {error}", where, "Check the CA and the client key.") from error
    return Connection(
        server=found.host.rstrip("/"),
        credentials=credentials,
        tls=tls,
        ca_path=found.ssl_ca_cert,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        insecure=not found.verify_ssl,
        server_hostname=found.tls_server_name,
    )


def _tls(found: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.ssl_ca_cert, cadata=found.ca_cert_data)
    if found.cert_file:
        context.load_cert_chain(found.cert_file, found.key_file)
    if not found.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
