"""Who may tell us of alerts, and about which namespaces: tokens and signing keys from a mounted file, read again when it changes."""

import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

SIGNATURE: Final = "X-Grafana-Alerting-Signature"
SIGNED_AT: Final = "X-Grafana-Alerting-Timestamp"
SIGNED_WITHIN: Final = 300.0
"""Seconds by which a signed time may differ from ours: what somebody recorded is not taken later."""
SHORTEST: Final = 16
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KINDS: Final = frozenset({"bearer", "hmac"})


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """One line of the file. It has no repr, so that no secret gets into a log."""

    kind: str
    """bearer, or hmac."""
    secret: bytes
    namespaces: tuple[str, ...]
    """What its alerts may name; empty: every namespace."""

    @property
    def key(self) -> str:
        """Tells this one from the others, without the secret."""
        return hashlib.sha256(self.kind.encode() + b" " + self.secret).hexdigest()[:12]

    def may_name(self, namespace: str) -> bool:
        """Whether its alerts may be about workloads of a namespace."""
        return not self.namespaces or namespace in self.namespaces


class Credentials:
    """The file of credentials: on each line `bearer` or `hmac`, the secret, and the namespaces, if it is bound to some."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read_as: tuple[int, int, int] | None = None
        self._known: tuple[Credential, ...] = ()

    def known(self) -> tuple[Credential, ...]:
        """Return what the file holds now; nothing where it cannot be read."""
        try:
            found = self._file.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if version != self._read_as:
                self._known, self._read_as = parse(self._file.read_text(encoding="utf-8")), version
        except (OSError, UnicodeDecodeError) as error:
            if self._read_as is not None or self._known:
                log.warning("the credentials of the alert receiver cannot be read", extra={"error": type(error).__name__})
            self._known, self._read_as = (), None
        return self._known

    def bearer(self, authorization: str) -> Credential | None:
        """Return the token that an Authorization header shows. Every token is compared, each in constant time."""
        scheme, _, given = authorization.partition(" ")
        shown = hashlib.sha256(given.strip().encode(errors="surrogateescape")).digest()
        right = None
        for one in self.known():
            if one.kind == "bearer" and hmac.compare_digest(hashlib.sha256(one.secret).digest(), shown):
                right = one
        return right if scheme.lower() == "bearer" else None

    def signed(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Credential | None:
        """Return the key that a body is signed with, as Grafana signs; with a time, only if that is near `now`."""
        given, at = headers.get(SIGNATURE, "").lower(), headers.get(SIGNED_AT, "")
        if at and not (at.isdecimal() and len(at) <= SHORTEST and abs(now.timestamp() - int(at)) <= SIGNED_WITHIN):
            return None
        text = at.encode() + b":" + body if at else body
        right = None
        for one in self.known():
            if one.kind == "hmac" and _same(hmac.new(one.secret, text, hashlib.sha256).hexdigest(), given):
                right = one
        return right


def _same(wanted: str, given: str) -> bool:
    return hmac.compare_digest(wanted.encode(), given.encode(errors="surrogateescape"))


def parse(text: str) -> tuple[Credential, ...]:
    """Return the credentials in a file. A line that cannot be meant is left out, and named in the log by its number."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        if not words:
            continue
        kind, secret, namespaces = words[0], words[1] if len(words) > 1 else "", tuple(words[2:])
        if kind not in _KINDS or len(secret) < SHORTEST or not all(map(_NAMESPACE.fullmatch, namespaces)):
            told = f"expected: bearer or hmac, a secret of at least {SHORTEST} characters, and names of namespaces"
            log.warning("a line of the alert receiver's credentials is left out", extra={"line": number, "why": told})
            continue
        found.append(Credential(kind, secret.encode(), namespaces))
    return tuple(found)
