"""The servers beside the operator."""

import asyncio
import re
import socket
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from tests.cluster.harness import free_port

from stopgap.effects.servers import CannotListen, Servers

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Where:
    health_port: int = 0
    metrics_port: int = 0
    alerts_port: int = 0
    host: str = LOOPBACK


async def test_ready_or_why_not_and_alive_all_the_same() -> None:
    port = free_port()
    why = ["the lists have not been read yet"]
    async with (
        Servers(Where(port), CollectorRegistry(), ready=lambda: why[0]),
        aiohttp.ClientSession(f"http://{LOOPBACK}:{port}") as client,
    ):
        for expected in ((503, "the lists have not been read yet\n"), (200, "ok\n")):
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.text()) == expected
            async with client.get("/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            why[0] = ""


@pytest.mark.parametrize("what", ["health", "metrics"])
async def test_a_port_that_is_taken_is_named_with_what_to_do_and_nothing_keeps_listening(what: str) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port, other = taken.getsockname()[1], free_port()
        where = Where(port, 0) if what == "health" else Where(other, port)
        said = f"cannot listen on {LOOPBACK}:{port} for {what}: .*in use.* Choose another with --{what}-port or STOPGAP_{what.upper()}_PORT"
        with pytest.raises(CannotListen, match=said):
            await Servers(where, CollectorRegistry(), ready=str).__aenter__()
    with pytest.raises(OSError, match=re.escape("Connect call failed")):
        await asyncio.open_connection(LOOPBACK, other)
