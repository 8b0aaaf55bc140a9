"""Signals that are asked for: a real Prometheus and an HTTP address tell what pods do not, and releases are undone for it."""

import base64
import json
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster, KubectlError
from tests.cluster.harness import OWN_NAMESPACE, Operator, Shop, config, free_port, wait_for
from tests.cluster.packages import program
from tests.cluster.processes import end, spawn
from tests.cluster.reading import condition, finding, told, wait_for_remediation
from tests.faults.proxy_certificates import issue

pytestmark = pytest.mark.cluster

GOOD, BAD = "shop/api:1.0", "shop/api:2.0"
REQUESTS_A_SECOND, BAD_SHARE = 100, 0.4
RATIO = "sum(rate(http_errors_total[3s])) / sum(rate(http_requests_total[3s]))"
ERRORS = {"query": RATIO, "above": "0.05", "interval": "1s", "failures": 2}
CREDENTIALS = base64.b64encode(b"stopgap:tests-only").decode()
PASSWORD_HASH = "$2b$04$0dXjD0r3jzhj2/LrBXub2Ogk8/D0XQJCZ3.4xa2sDm5U3neX5nahm"  # noqa: S105 - of a password for tests
ENOUGH = {"query": "sum(increase(http_requests_total[3s]))", "atLeast": "20"}


class Web(ThreadingHTTPServer):
    """What the shop's users meet: with the bad release its health turns 500, and two requests in five fail. The pods notice nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.bad = False
        self.probes = 0
        self._requests, self._errors, self._counted = 0.0, 0.0, time.monotonic()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def metrics(self) -> str:
        with self._lock:
            count = REQUESTS_A_SECOND * (time.monotonic() - self._counted)
            self._counted = time.monotonic()
            self._requests += count
            self._errors += count * BAD_SHARE if self.bad else 0
            return f"http_requests_total {self._requests}\nhttp_errors_total {self._errors}\n"


class Answering(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        body = "fine"
        if self.path == "/metrics":
            status, body = 200, self.server.metrics()
        else:
            status = 500 if self.server.bad else 200
            self.server.probes += 1
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Prometheus:
    """The real one, scraping the web twice a second; it answers over TLS only, and only who knows the password."""

    def __init__(self, port: int, ca: str) -> None:
        self.url, self.ca = f"https://127.0.0.1:{port}", ca
        self._context = ssl.create_default_context(cadata=ca)

    def needs(self, plane: Cluster, namespace: str) -> dict[str, Any]:
        """Put what it takes to ask into a Secret that Stopgap may get, and return the fields that say so."""
        secret = {"metadata": {"name": "prometheus"}, "stringData": {"basic": CREDENTIALS, "ca.crt": self.ca}}
        plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", **secret}))
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "stopgap-secret-prometheus"}}
        rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["prometheus"], "verbs": ["get"]}]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "stopgap-secret-prometheus"}
        subjects = [{"kind": "ServiceAccount", "name": "stopgap", "namespace": OWN_NAMESPACE}]
        granted = [{**role, "kind": "Role", "rules": rules}, {**role, "kind": "RoleBinding", "roleRef": reference, "subjects": subjects}]
        plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump_all(granted))
        header = {"name": "Authorization", "secretRef": {"name": "prometheus", "key": "basic"}, "prefix": "Basic "}
        return {"url": self.url, "headers": [header], "ca": {"name": "prometheus", "key": "ca.crt"}}

    def query(self, query: str) -> list[Any]:
        found: list[Any] = json.loads(self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': query})}"))["data"]["result"]
        return found

    def _get(self, path: str) -> str:
        asked = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Basic {CREDENTIALS}"})  # noqa: S310 - of this test
        with urllib.request.urlopen(asked, timeout=5, context=self._context) as answer:  # noqa: S310 - as above
            text: str = answer.read().decode()
            return text

    def value(self, query: str) -> float | None:
        found = self.query(query)
        return float(found[0]["value"][1]) if found else None

    def asked(self) -> int:
        """How often Stopgap asked, as Prometheus itself counts it: it is the only one that posts."""
        lines = self._get("/metrics").splitlines()
        return sum(
            int(float(line.split()[-1])) for line in lines if line.startswith("prometheus_http_requests_total") and '/v1/query"' in line
        )


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def prometheus(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    binary = program("prometheus", "usr/bin/prometheus", untested="the prometheus trigger against a real Prometheus")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    made = Prometheus(port, issue(folder).ca_file.read_text())
    running = spawn(_command(binary, folder, port, web), log=folder / "log", environment={"PATH": "/usr/bin"})

    def ready() -> bool:
        assert running.alive(), (folder / "log").read_text()[-2000:]
        try:
            return made.value(RATIO) == 0
        except OSError:
            return False

    try:
        wait_for("Prometheus knows a rate", ready)
        yield made
    finally:
        end([running], patience=5)


def _command(binary: Path, folder: Path, port: int, web: Web) -> list[str]:
    target = {"targets": [web.url.removeprefix("http://")]}
    scrape = {"job_name": "web", "scrape_interval": "500ms", "scrape_timeout": "500ms", "static_configs": [target]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    certificate = {"cert_file": str(folder / "serving.crt"), "key_file": str(folder / "serving.key")}
    (folder / "web.yml").write_text(yaml.safe_dump({"tls_server_config": certificate, "basic_auth_users": {"stopgap": PASSWORD_HASH}}))
    listen = (f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={folder / 'web.yml'}", "--log.level=warn")
    return [str(binary), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}", *listen]


@pytest.fixture
def served(shop: Shop, web: Web) -> Iterator[Shop]:
    """A shop whose image decides how the web fares."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(0.2):
            with suppress(KubectlError):  # there is no workload yet
                web.bad = shop.image() == BAD

    following = threading.Thread(target=follow, daemon=True)
    following.start()
    yield shop
    ended.set()
    following.join()
    web.bad = False


def at_work(shop: Shop, trigger: dict[str, Any]) -> None:
    shop.policy(triggers=[{"name": "signal", **trigger}])
    shop.deploy(GOOD)
    shop.settle()


def signals(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = condition(shop.get("remediationpolicy", "web"), "SignalsKnown")
    return found


def undone(shop: Shop) -> dict[str, Any]:
    """Wait until the release was undone by one write and this was proven by the signal; return the incident."""
    incident = shop.incident(phase="Mitigated")
    assert shop.image() == GOOD
    assert len(shop.deployment_writes()[0]) == 1
    assert told(incident)[:4] == ["Detected", finding(incident, "signal")["type"], "Executed", "Mitigated"]
    assert wait_for_remediation(shop, "Succeeded")["status"]["message"].startswith("available and every signal quiet for")
    assert incident["status"]["suspectedChange"]["images"] == [f"app: {GOOD} → {BAD}"]
    return incident


def test_errors_that_rise_after_a_release_undo_it_and_prove_that_this_helped(
    served: Shop, prometheus: Prometheus, operator: Operator
) -> None:
    needs = prometheus.needs(served.plane, OWN_NAMESPACE)
    with config(served.plane, outbound={"allow": ["127.0.0.1"]}, prometheus=needs):
        before = prometheus.asked()
        at_work(served, {"prometheus": {**ERRORS, "minSamples": ENOUGH}})
        wait_for("Stopgap has seen that it is quiet", lambda: prometheus.asked() >= before + 4)
        served.release(BAD)
        found = finding(undone(served), "signal")
        assert found["type"] == "MetricThreshold"
        assert found["message"].endswith(" is above 0.05; 2 times in a row")
        value = prometheus.value(RATIO)
        assert value is not None
        assert value <= 0.05
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        told = (answer.read().decode(), operator.log_file.read_text(), served.kubectl("get", "inc,rem,rpol,wh,events", "-o", "yaml"))
    assert not [one for one in told if CREDENTIALS in one or "tests-only" in one]


def test_without_data_nothing_is_concluded_and_the_policy_says_so(served: Shop, prometheus: Prometheus) -> None:
    needs = prometheus.needs(served.plane, served.name)
    with config(served.plane, outbound={"allow": ["127.0.0.1"]}):
        at_work(served, {"prometheus": {**ERRORS, **needs, "query": RATIO.replace("http_errors", "misspelt")}})
        wait_for("the policy says what it lacks", lambda: signals(served).get("status") == "False")
        assert f"such as deployment/api in {served.name}: signal: no data: the query gives no series" in signals(served)["message"]
        before = prometheus.asked()
        served.release(BAD)
        wait_for("it is asked several times more", lambda: prometheus.asked() >= before + 4)
        value = prometheus.value(RATIO)
        assert value is not None
        assert value > 0.05
        assert served.items("incidents") == []
        assert served.deployment_writes() == ([], [])


def test_an_address_that_turns_500_after_a_release_undoes_it(served: Shop, web: Web) -> None:
    with config(served.plane, outbound={"allow": ["127.0.0.1"]}):
        web.probes = 0
        at_work(served, {"httpProbe": {"url": f"{web.url}/health", "interval": "1s", "failures": 2}})
        wait_for("Stopgap has seen that it is quiet", lambda: web.probes >= 2)
        served.release(BAD)
        found = finding(undone(served), "signal")
        assert found["type"] == "HttpProbeFailed"
        assert found["message"].startswith("status 500 is not 200 to 299: status 500 (lookup ")


def test_an_address_that_the_platform_does_not_allow_is_not_asked(served: Shop, web: Web) -> None:
    web.probes = 0
    at_work(served, {"httpProbe": {"url": f"{web.url}/health", "interval": "1s", "failures": 2}})
    wait_for("the policy says why", lambda: signals(served).get("status") == "False")
    assert f"127.0.0.1 is no Service of namespace {served.name}, and the platform does not allow it" in signals(served)["message"]
    with (
        pytest.raises(KubectlError, match=r"an address range is written like 10\.1\.0\.0/16"),
        config(served.plane, outbound={"allow": ["127.0.0.0/99"]}),
    ):
        pass
    assert web.probes == 0
