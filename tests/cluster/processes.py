"""Starts and ends the processes of a control plane, and knows them again by their command line after the starter is gone."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Component:
    """One running program. `argv` proves that a process id is still ours: it names files in our own folder."""

    pid: int
    argv: list[str]
    child: subprocess.Popen[bytes] | None = field(default=None, compare=False, repr=False)

    def alive(self) -> bool:
        """Whether the process runs and is the one we started, not a stranger with a recycled id."""
        if self.child is not None:
            # Our own child keeps its id until we reap it; its command line is empty for a moment after it starts.
            return self.child.poll() is None
        try:
            running = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False
        return running == b"".join(os.fsencode(argument) + b"\0" for argument in self.argv)


def spawn(argv: Sequence[str | Path], *, log: Path, environment: dict[str, str]) -> Component:
    """Start a program in a session of its own, so that Ctrl-C on the terminal reaches only whoever holds the control plane."""
    words = [str(word) for word in argv]
    with log.open("ab") as output:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    return Component(child.pid, words, child)


def end(components: Sequence[Component], *, patience: float) -> None:
    """Ask them all to stop, wait, and kill what is left."""
    for component in components:
        _signal(component, signal.SIGTERM)
    if _gone(components, patience):
        return
    for component in components:
        _signal(component, signal.SIGKILL)
    if not _gone(components, 10.0):
        left = [f"{component.argv[0]} ({component.pid})" for component in components if component.alive()]
        raise RuntimeError(f"cannot end {', '.join(left)}")


def _signal(component: Component, number: signal.Signals) -> None:
    if component.alive():
        try:
            os.kill(component.pid, number)
        except ProcessLookupError:
            return


def _gone(components: Sequence[Component], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while any(component.alive() for component in components):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    for component in components:
        if component.child is not None:
            # A process loses its command line a moment before it can be reaped.
            component.child.wait()
    return True
