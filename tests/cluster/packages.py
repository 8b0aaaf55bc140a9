"""Programs from the distribution's packages, for tests against the real thing: unpacked in the user's cache, not installed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def program(package: str, path: str, *, untested: str) -> Path:
    """Return a program of a Debian package: the installed one, or one that is fetched once for this machine.

    `path` is where it lies in the package. Where there is neither it nor apt, the test is skipped and says what went untested.
    """
    installed = shutil.which(Path(path).name)
    if installed:
        return Path(installed)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stopgap" / "packages"
    found = cache / package / path
    if not found.is_file():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            pytest.skip(f"{untested} went untested: install {package}")
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{package}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not found.is_file():
                _fetch(package, cache)
    return found


def _fetch(package: str, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        if not _downloaded(package, folder):
            # The lists of a fresh machine are empty. Without the right to fill them this fails as well, and says so below.
            subprocess.run(["apt-get", "update"], check=False, capture_output=True)
            if not _downloaded(package, folder):
                raise RuntimeError(f"apt-get cannot fetch {package}: install it by hand (apt-get update && apt-get install {package})")
        (archive,) = folder.glob("*.deb")
        unpacked = folder / "unpacked"
        subprocess.run(["dpkg-deb", "-x", str(archive), str(unpacked)], check=True)
        unpacked.chmod(0o755)
        # Renamed when it is whole, so that what was interrupted never looks finished.
        unpacked.rename(cache / package)


def _downloaded(package: str, folder: Path) -> bool:
    return subprocess.run(["apt-get", "download", package], cwd=folder, check=False, capture_output=True).returncode == 0
