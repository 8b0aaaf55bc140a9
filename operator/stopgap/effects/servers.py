"""The small HTTP servers beside the operator: health for the kubelet, metrics for Prometheus, and the receiver of alerts."""

from collections.abc import Callable
from typing import Protocol, Self

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest


class CannotListen(Exception):  # noqa: N818 - read as what it says
    """A port cannot be had: says which, why, and what to do about it."""

    def __init__(self, host: str, port: int, what: str, error: OSError) -> None:
        why = error.strerror or str(error)
        to_do = f"Choose another with --{what}-port or STOPGAP_{what.upper()}_PORT; 0 is none."
        super().__init__(f"cannot listen on {host}:{port} for {what}: {why}. {to_do}")


class Ports(Protocol):
    """Where to listen."""

    @property
    def host(self) -> str:
        """Address to bind to."""

    @property
    def health_port(self) -> int:
        """Port of /healthz and /readyz; 0: none."""

    @property
    def metrics_port(self) -> int:
        """Port of /metrics; 0: none."""

    @property
    def alerts_port(self) -> int:
        """Port of the alert receiver; 0: none."""


class Receiver(Protocol):
    """What listens for alerts."""

    def app(self) -> web.Application:
        """Return the application."""


class Servers:
    """`async with Servers(...)`: they listen for as long."""

    def __init__(self, ports: Ports, registry: CollectorRegistry, *, ready: Callable[[], str], alerts: Receiver | None = None) -> None:
        self._ports = ports
        self._registry = registry
        self._not_ready_because = ready
        self._alerts = alerts
        self._runners: list[web.AppRunner] = []

    async def __aenter__(self) -> Self:
        """Start to listen."""
        health, metrics = web.Application(), web.Application()
        # Alive means that the event loop turns; everything else is a matter of readiness, which no restart would mend.
        health.router.add_get("/healthz", self._healthz)
        health.router.add_get("/readyz", self._readyz)
        metrics.router.add_get("/metrics", self._metrics)
        try:
            await self._listen(health, self._ports.health_port, "health")
            await self._listen(metrics, self._ports.metrics_port, "metrics")
            if self._alerts is not None:
                await self._listen(self._alerts.app(), self._ports.alerts_port, "alerts")
        except CannotListen:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, app: web.Application, port: int, what: str) -> None:
        if not port:
            return
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, self._ports.host, port).start()
        except OSError as error:
            raise CannotListen(self._ports.host, port, what, error) from error

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self._not_ready_because()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
