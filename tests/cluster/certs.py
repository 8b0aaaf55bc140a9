"""The certificates and keys of one control plane: its own authority, a serving certificate, one client certificate per component."""

import datetime as dt
import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVICE_ADDRESS = "10.96.0.1"
CLIENTS = {
    "admin": "admin",
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "kwok": "kwok",
    "kubelet-client": "kube-apiserver-kubelet-client",
    "aggregator": "front-proxy-client",
}
"""File name and user name of each client; all are cluster administrators, and the audit log tells them apart by these names."""

_VALID_FOR = dt.timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files of one control plane lie."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that signed all others."""
        return self.folder / "ca.crt"

    @property
    def service_account_key(self) -> Path:
        """The key that signs and checks the tokens of ServiceAccounts."""
        return self.folder / "service-account.key"

    def certificate(self, name: str) -> Path:
        """The certificate of a client, or of "serving"."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """The private key beside it."""
        return self.folder / f"{name}.key"


def make(folder: Path) -> Certificates:
    """Write a fresh set into the folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = Certificates(folder)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    files.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    _write_key(files.service_account_key, ec.generate_private_key(ec.SECP256R1()))
    for name in ("serving", *CLIENTS):
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(files.key(name), key)
        signed = _leaf(name, key).sign(authority_key, hashes.SHA256())
        files.certificate(name).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return files


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _base(_name("stopgap-development"), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).add_extension(usage, critical=True)
    return builder.sign(key, hashes.SHA256())


def _leaf(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    if name != "serving":
        builder = _base(_name(CLIENTS[name], "system:masters"), key.public_key())
        return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    names: list[x509.GeneralName] = [
        x509.DNSName(host) for host in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    ]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", SERVICE_ADDRESS)]
    builder = _base(_name("stopgap-development-serving"), key.public_key())
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)


def _base(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    # Certificates are judged by the host's clock, so its clock dates them; an hour back forgives a little skew between machines.
    begin = dt.datetime.fromtimestamp(time.time(), dt.UTC) - dt.timedelta(hours=1)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(_name("stopgap-development")).public_key(public_key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + _VALID_FOR)


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
