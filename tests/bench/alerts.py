"""From the POST of an alert to the rolled-back template: Stopgap beside a webhook that patches at once, in turn under the same load."""

import asyncio
import datetime as dt
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from tests.bench import world
from tests.bench.api import Api
from tests.bench.children import Child, bench_module, deciding, operator
from tests.bench.world import GOOD, NAMESPACES, STOPGAP, WEBHOOK, Workloads, account
from tests.cluster.cluster import Cluster
from tests.cluster.harness import free_port

CONTENDERS = (STOPGAP, WEBHOOK)
RATES = ((1, 10), (10, 30))
"""Alerts a second, and how many of them one contender is told in a round."""
GENTLY = 0.15
"""Seconds between two changes that prepare: an API server ends the watches of those who cannot follow."""
NEXT = "bench/app:2.0"
NAME = "BenchHigh5xx"
TOKEN = "0123456789abcdef-bench"  # noqa: S105 - of this bench alone
LIMITS = {"stormBreaker": {"minUnhealthy": 100_000, "maxUnverifiedActions": 100}}


@dataclass
class Samples:
    """Milliseconds by rate, contender and round."""

    rates: dict[int, dict[str, list[list[float]]]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def policy() -> dict[str, Any]:
    """The policy of the other measurements, for an alert in place of a crash loop."""
    found = world.policy(NAMESPACES[STOPGAP])
    when = {"triggers": ["paged"], "sources": ["Alert"], "changedWithin": "30m"}
    found["spec"]["triggers"] = [{"name": "paged", "alert": {"matchLabels": {"alertname": NAME}}}]
    found["spec"]["steps"] = [{"name": "undo", "when": when, "rollback": {"minHealthyFor": "1s"}}]
    return found


async def measure(cluster: Cluster, rounds: int) -> Samples:
    """Furnish a cluster, start both receivers, and load them in turn."""
    world.install(cluster, **LIMITS)
    world.furnish(cluster, policy())
    async with Api(cluster.kubeconfig) as api, aiohttp.ClientSession() as session:
        board = Switchboard(cluster, api, session)
        try:
            await board.open()
            for number in range(rounds):
                for rate, count in RATES:
                    await board.round(number, rate, count)
        finally:
            await board.close()
    return board.samples


class Switchboard:
    """Both receivers, alive and warm, each for a namespace of its own, and an observer of both."""

    def __init__(self, cluster: Cluster, api: Api, session: aiohttp.ClientSession) -> None:
        self.samples = Samples()
        self._cluster, self._api, self._session = cluster, api, session
        self._workloads = Workloads(api)
        self._ports = {name: free_port() for name in CONTENDERS}
        self._children: dict[str, Child] = {}

    async def open(self) -> None:
        """Start them, and wait until all are ready."""
        spaces = [part for name in CONTENDERS for part in ("--namespace", NAMESPACES[name])]
        observer = await bench_module("observer", "--kubeconfig", str(self._cluster.kubeconfig), "--no-pods", *spaces)
        self._children["observer"] = observer
        await observer.hear(lambda said: said.get("what") == "ready")
        where = ("--kubeconfig", str(account(self._cluster, WEBHOOK)), "--namespace", NAMESPACES[WEBHOOK])
        webhook = await bench_module("webhook", *where, "--port", str(self._ports[WEBHOOK]))
        self._children[WEBHOOK] = webhook
        await webhook.hear(lambda said: said.get("message") == "ready")
        tokens = self._cluster.directory / "tokens"
        tokens.write_text(f"bearer {TOKEN}\n")
        more = ("--alerts-port", str(self._ports[STOPGAP]), "--alerts-tokens", str(tokens))
        self._children[STOPGAP] = await operator(
            account(self._cluster, STOPGAP), self._cluster.directory, namespace=NAMESPACES[STOPGAP], more=more
        )
        await deciding(self._children[STOPGAP])

    async def close(self) -> None:
        """Stop them all."""
        await asyncio.gather(*(child.stop() for child in self._children.values()))

    async def round(self, number: int, rate: int, count: int) -> None:
        """Release to fresh Deployments of both; then tell each contender of its own, one alert for each, the first in turn."""
        apps = [f"r{number}-x{rate}-i{one}" for one in range(count)]
        all_of_them = [(NAMESPACES[name], app) for name in CONTENDERS for app in apps]
        await self._workloads.make(all_of_them, every=GENTLY)
        for namespace, app in all_of_them:
            await self._workloads.release(namespace, app, NEXT)
            await asyncio.sleep(GENTLY)
        for namespace, app in all_of_them:
            await self._workloads.healthy(namespace, app)
        for name in CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]:
            await asyncio.sleep(2)
            values = await self._load(name, apps, rate)
            self.samples.rates.setdefault(rate, {}).setdefault(name, []).append(values)
            mean = f"{sum(values) / len(values):.1f} ms" if values else "none"
            print(f"  {rate}/s, round {number + 1}, {name}: {len(values)} of {count}, mean {mean}", flush=True)
        for namespace, app in all_of_them:
            await self._workloads.remove(namespace, app)

    async def _load(self, contender: str, apps: list[str], rate: int) -> list[float]:
        """Tell an alert about each, at a steady rate whether or not the ones before are done; wait until nothing is under way."""
        began = time.monotonic()

        async def one(number: int, app: str) -> float | None:
            await asyncio.sleep(began + number / rate - time.monotonic())
            try:
                return await self._undone(contender, app)
            except (RuntimeError, aiohttp.ClientError) as error:
                self.samples.missed.append(f"{contender}, {rate}/s, {app}: {str(error)[:1000]}")
                return None

        values = await asyncio.gather(*(one(number, app) for number, app in enumerate(apps)))
        try:
            for app in apps:
                await self._workloads.healthy(NAMESPACES[contender], app)
            if contender == STOPGAP:
                await self._closed()
        except TimeoutError:
            self.samples.missed.append(f"{contender}, {rate}/s: something did not become healthy or closed in time")
        return [value for value in values if value is not None]

    async def _undone(self, contender: str, app: str) -> float:
        """Return the milliseconds from the POST of an alert to the template of before, as the observer sees it."""
        namespace = NAMESPACES[contender]
        alert = _alert(namespace, app)
        at = time.monotonic()
        await self._post(contender, alert)

        def undone(said: dict[str, Any]) -> bool:
            about = (said.get("what"), said.get("namespace"), said.get("app"), said.get("detail"))
            return about == ("template", namespace, app, GOOD) and said["at"] > at

        try:
            _, seen = await self._children["observer"].hear(undone, 10)
        finally:
            # Real senders say so minutes later. Here it must not be that one cause is suspected behind many alerts of the same minute.
            await self._post(contender, {**alert, "status": "resolved", "endsAt": _now()})
        return float(seen["at"] - at) * 1000

    async def _post(self, contender: str, alert: dict[str, Any]) -> None:
        """Post as Alertmanager does, one group with one alert. Raises where it is not taken."""
        labels = alert["labels"]
        group = {"version": "4", "groupKey": f"{{}}:{labels}", "truncatedAlerts": 0, "status": alert["status"], "receiver": "bench"}
        group |= {"groupLabels": labels, "commonLabels": labels, "commonAnnotations": {}, "externalURL": "", "alerts": [alert]}
        url, headers = f"http://127.0.0.1:{self._ports[contender]}/alerts", {"Authorization": f"Bearer {TOKEN}"}
        async with self._session.post(url, json=group, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"the alert was answered {answer.status}: {await answer.text()}")

    async def _closed(self, seconds: float = 90.0) -> None:
        """Wait until Stopgap has closed every incident, so that nothing of them disturbs what is measured next."""
        async with asyncio.timeout(seconds):
            while True:
                listed = await self._api.ask("GET", f"/apis/stopgap.dev/v1alpha1/namespaces/{NAMESPACES[STOPGAP]}/incidents")
                if all(one["metadata"].get("labels", {}).get("stopgap.dev/closed") == "true" for one in listed["items"]):
                    return
                await asyncio.sleep(0.5)


def _alert(namespace: str, app: str) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": NAME, "namespace": namespace, "deployment": app, "severity": "critical"},
        "annotations": {"summary": "12 % of the requests fail", "description": "More than 5 % for a minute."},
        "startsAt": _now(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.com/graph",
        "fingerprint": f"bench-{app}",
    }


def _now() -> str:
    return dt.datetime.fromtimestamp(time.time(), dt.UTC).isoformat()
