"""Builds the programs of the development cluster from the modules pinned in go/go.mod, once per machine.

The result lies outside the checkout, in a folder named after everything that decides what comes out, so that a second clone finds it there.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SOURCES = Path(__file__).resolve().parent / "go"
PROGRAMS = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "server": "go.etcd.io/etcd/server/v3",
}
"""What go calls each program, and its package. etcd comes out as "server"; installed() tells it by a better name.

metrics-server, which is started only for the tests that need it, raises the versions of some libraries for all of them.
"""

MINUTES_COLD = "7 to 10 minutes on two cores"
REPORT_EVERY = 15.0
ESTIMATE_AFTER = 90.0
"""The first packages are small ones: an estimate from their pace would promise too much."""


class BuildError(RuntimeError):
    """The programs cannot be built here; the message says what is missing and what to do."""


def installed() -> Path:
    """The folder with the programs, built now if this machine has not built them before."""
    folder = cache_folder()
    if _complete(folder):
        return folder
    _check_go()
    with _alone(folder):
        # Somebody else may have built while we waited for the lock.
        if not _complete(folder):
            _build_into(folder)
    return folder


def cache_folder() -> Path:
    """Where the programs of these very sources and flags lie, or will lie."""
    digest = hashlib.sha256()
    for part in ((SOURCES / "go.mod").read_bytes(), (SOURCES / "go.sum").read_bytes(), " ".join(_arguments()).encode()):
        digest.update(hashlib.sha256(part).digest())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "stopgap" / "bin" / digest.hexdigest()[:16]


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _installed_names())


def _installed_names() -> list[str]:
    return ["etcd" if name == "server" else name for name in PROGRAMS]


def _arguments() -> list[str]:
    version = _pinned("k8s.io/kubernetes")
    stamp = f"k8s.io/component-base/version.gitVersion={version} -X k8s.io/component-base/version.gitMajor={version[1:].split('.')[0]}"
    stamp += f" -X k8s.io/component-base/version.gitMinor={version.split('.')[1]} -X k8s.io/client-go/pkg/version.gitVersion={version}"
    stamp += f" -X sigs.k8s.io/kwok/pkg/consts.Version={_pinned('sigs.k8s.io/kwok')}"
    # Without the symbol table the programs are a third smaller; nobody debugs them here.
    return ["-buildvcs=false", "-mod=readonly", f"-ldflags=-s -w -X {stamp}", *PROGRAMS.values()]


def _pinned(module: str) -> str:
    found = re.search(rf"^\s*(?:require )?{re.escape(module)} (v\S+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise BuildError(f"{SOURCES}/go.mod does not require {module}: restore the file")
    return found[1]


def _environment() -> dict[str, str]:
    # The user's own GOFLAGS or workspace must not decide what is built.
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _check_go() -> None:
    needed = re.search(r"^go (\S+)", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    wanted = needed[1] if needed else "1.26"
    advice = f"The development cluster is built from source: install Go {wanted} or newer (see go.dev/doc/install) and have it on the PATH."
    if not shutil.which("go"):
        raise BuildError(f"`go` was not found. {advice}")
    asked = subprocess.run(["go", "env", "GOVERSION"], cwd=SOURCES, env=_environment(), capture_output=True, text=True, check=False)
    if asked.returncode:
        raise BuildError(f"The installed Go is too old or does not work: {asked.stderr.strip()}. {advice}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another build of the development cluster is under way: waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_into(folder: Path) -> None:
    # Built beside its place and renamed, so that an interrupted build never looks finished.
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        _compile(partial)
        (partial / "server").rename(partial / "etcd")
        partial.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _compile(partial: Path) -> None:
    print(f"Building the development cluster, once on this machine: {MINUTES_COLD}, less where Go has built parts before.", flush=True)
    began = time.monotonic()
    expected = _expected_packages(partial)
    log = partial / "build.log"

    def progress(elapsed: float) -> str:
        # go names a package when it starts on it, and only if its own cache does not hold it yet: the total is an upper bound.
        count = len(log.read_text().splitlines())
        if not count:
            return "starting"
        if count >= expected - len(PROGRAMS):
            return "linking"
        done = f"{count} of at most {expected} packages compiled"
        if elapsed < ESTIMATE_AFTER:
            return done
        return f"{done}, at most about {elapsed * (expected - count) / count / 60:.0f} min left"

    command = ["go", "build", "-v", "-o", f"{partial}/", *_arguments()]
    with log.open("w") as output:
        code = _run_reporting(command, output, output, progress)
    if code:
        raise BuildError("go build failed:\n" + "\n".join(log.read_text().splitlines()[-20:]))
    log.unlink()
    print(f"  built in {time.monotonic() - began:.0f} s", flush=True)


def _expected_packages(partial: Path) -> int:
    """How many packages the programs consist of; asking makes go fetch their modules."""
    packages, messages = partial / "packages", partial / "messages"

    def progress(_: float) -> str:
        return f"{messages.read_text().count('downloading')} modules fetched"

    with packages.open("w") as output, messages.open("w") as errors:
        code = _run_reporting(["go", "list", "-deps", "-mod=readonly", *PROGRAMS.values()], output, errors, progress)
    if code:
        raise BuildError("go could not fetch the pinned modules (is the module proxy reachable?):\n" + messages.read_text()[-2000:])
    count = len(packages.read_text().splitlines())
    packages.unlink()
    messages.unlink()
    return count


def _run_reporting(command: list[str], output: IO[str], errors: IO[str], progress: Callable[[float], str]) -> int:
    """Run a command and print every few seconds how far it is."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=SOURCES, env=_environment(), stdout=output, stderr=errors)
    try:
        while True:
            try:
                return process.wait(REPORT_EVERY)
            except subprocess.TimeoutExpired:
                elapsed = time.monotonic() - began
                print(f"  {elapsed:4.0f} s: {progress(elapsed)}", flush=True)
    finally:
        # After Ctrl-C go must not go on building into a folder that is about to vanish.
        process.terminate()
        process.wait()
