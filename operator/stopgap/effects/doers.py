"""Connects what is done outside workloads with those who do it: one Doer for each kind, under the name of its action."""

from collections.abc import Callable

from stopgap.effects.calling import Caller
from stopgap.effects.ending import Ender
from stopgap.effects.execute import Executor
from stopgap.effects.index import Index
from stopgap.effects.jobs import Jobs
from stopgap.effects.kube import Kube
from stopgap.effects.outside import Doer, Outsider
from stopgap.effects.patching import Patcher
from stopgap.effects.polling import Polling
from stopgap.effects.record import Recorder
from stopgap.effects.rights import Rights
from stopgap.effects.secrets import Secrets


def executor(  # noqa: PLR0913 - all that it takes to do anything
    kube: Kube, index: Index, rights: Rights, recorder: Recorder, polling: Polling, *, leading: Callable[[], bool]
) -> Executor:
    """Return who carries out everything."""
    doers: dict[str, Doer] = {
        "http": Caller(polling.egress, Secrets(kube, rights.own_namespace)),
        "postgres": Ender(polling.databases),
        "job": Jobs(kube),
        "patch": Patcher(kube),
    }
    return Executor(kube, index, rights, Outsider(recorder, doers, leading=leading, now=kube.clock.now))
