import asyncio
import datetime as dt
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stopgap.effects.connection import NoConnection, connect

PLUGIN = "client.authentication.k8s.io/v1"


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def kubeconfig(path: Path, user: dict[str, Any] | None, **cluster: Any) -> str:
    context = {"cluster": "c", "user": "u"}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": context}, {"name": "there", "context": {**context, "cluster": "d"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://kube.example:6443/", **cluster}},
            {"name": "d", "cluster": {"server": "https://other.example"}},
        ],
        "users": [{"name": "u", "user": user}] if user is not None else [],
    }
    path.write_text(yaml.safe_dump(whole))
    return str(path)


def plugin(folder: Path, script: str) -> dict[str, Any]:
    program = folder / "plugin.sh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": PLUGIN, "command": str(program)}}


def credential(token: str, expires: str | None = None) -> str:
    status = f'"token": "{token}"' + (f', "expirationTimestamp": "{expires}"' if expires else "")
    return f'{{"apiVersion": "{PLUGIN}", "kind": "ExecCredential", "status": {{{status}}}}}'


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=9999))
    signed = made.sign(key, hashes.SHA256())
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    return pem, secret


async def test_a_token_of_a_kubeconfig_is_used_against_its_server(tmp_path: Path) -> None:
    found = await connect(kubeconfig(tmp_path / "config", {"token": "secret"}))
    assert found.server == "https://kube.example:6443"
    assert await found.authorization() == "Bearer secret"
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert (found.insecure, found.server_hostname, found.ca_path, found.certificate_path) == (False, None, None, None)
    assert "secret" not in repr(found)


async def test_another_context_may_be_chosen(tmp_path: Path) -> None:
    found = await connect(kubeconfig(tmp_path / "config", {"token": "secret"}), "there")
    assert found.server == "https://other.example"


async def test_the_kubeconfig_is_found_by_environment_and_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home/.kube").mkdir(parents=True)
    kubeconfig(tmp_path / "home/.kube/config", {"token": "at-home"})
    assert await (await connect()).authorization() == "Bearer at-home"
    named = kubeconfig(tmp_path / "named", {"token": "named"})
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/missing:{named}")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")  # in a pod, a KUBECONFIG is meant
    assert await (await connect()).authorization() == "Bearer named"


async def test_certificates_are_used_and_can_be_handed_on_as_files(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    user = {"client-certificate": "cert.pem", "client-key": "key.pem"}
    file = kubeconfig(tmp_path / "config", user, **{"certificate-authority": "cert.pem", "tls-server-name": "kube"})
    found = await connect(file)
    assert await found.authorization() is None
    assert (found.ca_path, found.certificate_path, found.private_key_path) == (str(pem), str(pem), str(key))
    assert found.server_hostname == "kube"
    assert found.tls is not None
    assert found.tls.cert_store_stats()["x509"] == 1


async def test_a_server_that_is_not_to_be_verified_is_not(tmp_path: Path) -> None:
    found = await connect(kubeconfig(tmp_path / "c", {"token": "t"}, **{"insecure-skip-tls-verify": True}))
    assert found.insecure
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_NONE


async def test_a_token_file_is_read_without_its_newline_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stopgap.effects.connection.REREAD_AFTER", 0.0)
    (tmp_path / "token").write_text("first\n")
    found = await connect(kubeconfig(tmp_path / "config", {"tokenFile": "token"}))
    assert await found.authorization() == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert await found.authorization() == "Bearer second"
    (tmp_path / "token").unlink()
    with pytest.raises(NoConnection, match="the credentials cannot be renewed"):
        await found.authorization()


async def test_a_plugin_is_asked_again_when_its_token_expires_and_only_once_for_many_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stopgap.effects.connection.REREAD_AFTER", 0.0)
    script = (
        f"echo run >> {tmp_path}/runs; n=$(wc -l < {tmp_path}/runs)\n"
        f"if [ $n = 1 ]; then echo '{credential('one', '2026-01-01T00:00:00Z')}'\n"
        f"else echo '{credential('two', '2199-01-01T00:00:00Z')}'; fi"
    )
    found = await connect(kubeconfig(tmp_path / "config", plugin(tmp_path, script)))
    given = await asyncio.gather(*(found.authorization() for _ in range(5)))
    assert given == ["Bearer two"] * 5
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("exit 1", id="it fails"),
        pytest.param("echo nonsense", id="it prints nonsense"),
        pytest.param(f"""echo '{{"apiVersion": "{PLUGIN}", "kind": "x", "status": {{}}}}'""", id="it gives nothing"),
    ],
)
async def test_a_plugin_without_result_is_refused_rather_than_being_anonymous(tmp_path: Path, script: str) -> None:
    with pytest.raises(NoConnection, match=r"plugin\.sh` gave no credentials.*Run the plugin by hand"):
        await connect(kubeconfig(tmp_path / "config", plugin(tmp_path, script)))


async def test_plain_http_needs_no_credentials(tmp_path: Path) -> None:
    found = await connect(kubeconfig(tmp_path / "config", {"x": "y"}, server="http://localhost:8001"))
    assert (found.server, found.tls) == ("http://localhost:8001", None)


async def test_an_unusable_kubeconfig_is_refused_with_what_and_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{[")
    (tmp_path / "list").write_text("- a")
    (tmp_path / "bad.pem").write_text("no certificate")
    cases = {
        "there is no such kubeconfig": str(tmp_path / "nowhere"),
        "the kubeconfig cannot be used: it is no kubeconfig, or its context names no user that exists": kubeconfig(tmp_path / "1", None),
        "its user has no credentials": kubeconfig(tmp_path / "2", {"x": "y"}),
        "the kubeconfig cannot be used": str(tmp_path / "broken"),
        "the kubeconfig cannot be used: ": str(tmp_path / "list"),
        "its certificates cannot be used": kubeconfig(tmp_path / "3", {"token": "t"}, **{"certificate-authority": "bad.pem"}),
        "it asks for a proxy": kubeconfig(tmp_path / "4", {"token": "t"}, **{"proxy-url": "http://p:1"}),
    }
    for what, where in cases.items():
        with pytest.raises(NoConnection) as caught:
            await connect(where)
        assert caught.value.what.startswith(what)
        assert caught.value.where == where
        assert caught.value.what_to_do
        assert str(caught.value).startswith(what)


async def test_an_unknown_context_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(NoConnection, match="nowhere"):
        await connect(kubeconfig(tmp_path / "config", {"token": "t"}), "nowhere")


async def test_in_a_pod_without_a_token_the_missing_service_account_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(NoConnection, match=r"in this pod.*automountServiceAccountToken"):
        await connect()


async def test_in_a_pod_its_service_account_is_used_and_its_token_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.aio.config import incluster_config  # noqa: PLC0415 - as slow as it is in the product

    pem, _ = certificate(tmp_path)
    (tmp_path / "token").write_text("mounted\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(pem))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = await connect()
    assert (found.server, found.ca_path) == ("https://[fd00::1]:443", str(pem))
    assert await found.authorization() == "bearer mounted"


def test_the_process_starts_without_what_it_never_or_seldom_uses() -> None:
    seldom = {"requests", "oauthlib", "urllib3", "websocket", "httpx", "psycopg", "rich", "typer"}
    program = (
        "import sys; from stopgap.effects.connection import without_clients; without_clients(); "
        "import stopgap.handlers; from kubernetes.aio import config; from kubernetes.aio.client import Configuration; "
        "config.load_kube_config, config.load_incluster_config, Configuration(); "
        f"print(*sorted({seldom} & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not ran.stdout.strip()
