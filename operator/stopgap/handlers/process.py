"""The process: Kopf's settings, its credentials, and the life of the runtime that does the work beside it."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from random import uniform
from typing import Any, Final

import kopf

from stopgap.api import Incident
from stopgap.api.incident import CLOSED_LABEL, TARGET_UID_LABEL
from stopgap.effects.connection import Connection, connect
from stopgap.effects.servers import CannotListen
from stopgap.model.base import GROUP
from stopgap.runtime import Runtime
from stopgap.settings import Settings

log = logging.getLogger(__name__)
STOP_WITHIN: Final = 20.0
"""Seconds for the work under way to end; what is not done by then is found by the next leader."""


class _Endless:
    """Kopf ends the process when its list of pauses is used up; an API server that is away for longer is no reason to die."""

    def __iter__(self) -> Iterator[float]:
        """Yield pauses in seconds, for ever."""
        pause = 0.1
        while True:
            yield pause + uniform(0, pause)  # noqa: S311 - not a secret
            pause = min(pause * 2, 5.0)


class Retried(logging.Filter):
    """Kopf calls a request an error that it is about to repeat; an API server that is away for a moment is none."""

    LOGGERS: Final = ("kopf._cogs.clients.watching", "kopf._core.reactor.observation")

    def filter(self, record: logging.LogRecord) -> bool:
        """Turn it into a warning."""
        if record.levelno == logging.ERROR and "; will retry: " in record.getMessage():
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def settings_of(memo: kopf.Memo) -> Settings:
    """Return the settings of this process: from the command line, or under `kopf run` from the environment."""
    settings: Settings = memo.get("settings") or Settings()
    return settings


def runtime_of(memo: kopf.Memo) -> Runtime:
    """Return the runtime of this process."""
    runtime: Runtime = memo["runtime"]
    return runtime


@kopf.on.login(id="login")
async def login(memo: kopf.Memo, **_: Any) -> kopf.ConnectionInfo:
    """Let Kopf connect in the same way as we do."""
    connection: Connection = memo.get("connection") or await connect()
    memo["connection"] = connection
    scheme, _space, token = (await connection.authorization() or "").partition(" ")
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca_path,
        certificate_path=connection.certificate_path,
        private_key_path=connection.private_key_path,
        insecure=connection.insecure,
        scheme=scheme or None,
        token=token or None,
    )


@kopf.on.startup(id="startup", errors=kopf.ErrorsMode.PERMANENT)
async def startup(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Configure Kopf and start the runtime."""
    _configure(settings)
    connection = memo["connection"] = memo.get("connection") or await connect()
    runtime = memo["runtime"] = Runtime(connection, settings_of(memo))
    task = memo["task"] = asyncio.create_task(runtime.run(), name="stopgap-runtime")
    task.add_done_callback(_ended)
    # Kopf must not watch our kinds before they exist: it would end the process.
    kinds = asyncio.create_task(runtime.kinds.wait())
    await asyncio.wait({task, kinds}, return_when=asyncio.FIRST_COMPLETED)
    kinds.cancel()


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.networking.error_backoffs = _Endless()
    # Those of people and alerts. What Stopgap opens itself comes through the typed watch: in a storm, by the hundred.
    settings.watching.label_selectors[GROUP, Incident.plural] = f"{CLOSED_LABEL}!=true,!{TARGET_UID_LABEL}"
    settings.peering.standalone = True
    # One line for each event of each object says nothing.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    for name in Retried.LOGGERS:
        logging.getLogger(name).addFilter(Retried())


def _ended(task: asyncio.Task[None]) -> None:
    """A runtime that ended by itself must not leave a process that looks alive."""
    if not task.cancelled() and (error := task.exception()) is not None:
        known = isinstance(error, CannotListen)
        log.critical("the runtime ended; the process ends with it", extra={"error": str(error)}, exc_info=None if known else error)
        os.kill(os.getpid(), signal.SIGTERM)


@kopf.on.cleanup(id="cleanup", errors=kopf.ErrorsMode.PERMANENT)
async def cleanup(memo: kopf.Memo, **_: Any) -> None:
    """Stop the runtime; the Lease is released. What ended the runtime ends the process with an error (`stopgap run` sees to it itself)."""
    task: asyncio.Task[None] | None = memo.get("task")
    if task is None:
        return
    task.cancel()
    await asyncio.wait({task}, timeout=STOP_WITHIN)
    if not memo.get("reports") and (error := ended_by(memo)) is not None:
        raise error


def ended_by(memo: kopf.Memo) -> BaseException | None:
    """Return what ended the runtime, if it ended by itself."""
    task: asyncio.Task[None] | None = memo.get("task")
    return task.exception() if task is not None and task.done() and not task.cancelled() else None
