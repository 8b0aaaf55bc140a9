"""`imagePull`: containers of the newest revision cannot be created because of their image or what their configuration names."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field

from stopgap.detectors.share import share_of_all
from stopgap.model.base import ApiModel, Percent
from stopgap.model.duration import Duration, spell
from stopgap.model.observation import Finding, Observation
from stopgap.model.reasons import Reason
from stopgap.model.text import abridged
from stopgap.model.workload import Container, Pod, State

QUOTED: Final = 300
"""Characters of the kubelet's message that a finding quotes; runtimes repeat the image before they come to the point."""
_WAITS: Final = {
    "ErrImagePull": Reason.ErrImagePull,
    "ImagePullBackOff": Reason.ImagePullBackOff,
    "InvalidImageName": Reason.InvalidImageName,
    "CreateContainerConfigError": Reason.CreateContainerConfigError,
}
# The words that containerd, CRI-O and Docker use for "there is no such image". Everything else about pulling is the registry's trouble.
_NOT_FOUND: Final = re.compile(r"not found|manifest unknown|name unknown|no such manifest|does not exist", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"\b(401|403|429|5\d\d)\b|unauthorized|denied|authorization|too many requests|timeout|timed out|dial tcp|no such host|connection|TLS",
    re.IGNORECASE,
)


class ImagePull(ApiModel):
    """Fires when containers of the newest revision cannot start for want of their image or of what their configuration names."""

    for_: Duration = timedelta(seconds=20)
    """How long it must have lasted, so that one hiccup of a registry does not count."""
    pods_at_least: Annotated[Percent, Field()] = "50%"
    """Share of the revision's pods that must be affected."""

    def judge(self, seen: Observation, trigger: str, *, after: datetime | None, quiet_for: timedelta) -> Finding:  # noqa: ARG002 - the detectors' common shape
        """Say whether pods of the newest revision wait for an image or a configuration."""
        newest = seen.newest
        if newest is None or not seen.synced:
            return Finding(trigger, Reason.ErrImagePull, State.UNKNOWN, "the newest revision is not known yet")
        waiting = [(pod, one) for pod in seen.pods_of(newest) if not pod.leaving for one in pod.containers if one.waiting in _WAITS]
        if not waiting:
            return Finding(trigger, Reason.ErrImagePull, State.QUIET, "every container of the newest revision has its image")
        since = min((one.waiting_since for _, one in waiting if one.waiting_since), default=seen.now)
        pods = {pod.uid for pod, one in waiting if one.waiting_since and seen.now - one.waiting_since >= self.for_}
        share = share_of_all(newest, len(pods), self.pods_at_least)
        if not share.reached:
            left = self.for_ - (seen.now - since)
            message = f"{waiting[0][0].name} waits: {waiting[0][1].waiting}; not for {spell(self.for_)} yet, or too few pods"
            return Finding(
                trigger,
                _WAITS[waiting[0][1].waiting],
                State.UNKNOWN,
                message,
                revision=newest.uid,
                look_again=left if left > timedelta(0) else None,
            )
        return _firing(trigger, newest.uid, waiting, since)


def _firing(trigger: str, revision: str, waiting: list[tuple[Pod, Container]], since: datetime) -> Finding:
    pod, container = waiting[0]
    message = f"{pod.name} waits: {container.waiting} for {container.image} ({abridged(container.waiting_message, QUOTED)})"
    nodes = frozenset(one.node for one, _ in waiting if one.node)
    return Finding(
        trigger,
        _WAITS[container.waiting],
        State.FIRING,
        message,
        since=since,
        revision=revision,
        nodes=nodes,
        cause=_cause(waiting),
    )


def _cause(waiting: list[tuple[Pod, Container]]) -> Reason | None:
    pulls = [_words(one) for _, one in waiting if one.waiting in {"ErrImagePull", "ImagePullBackOff"}]
    if not pulls or any(_NOT_FOUND.search(text) and not _REFUSED.search(text) for text in pulls):
        return None
    # ImagePullBackOff alone often says only "Back-off pulling image": then nothing is known, and the image is not blamed.
    return Reason.RegistryUnavailable


def _words(container: Container) -> str:
    """The message without the image's own name, in which any number or word may stand."""
    name, _, tag = container.image.partition("@")[0].rpartition(":")
    text = container.waiting_message
    for part in (container.image, name, tag):
        text = text.replace(part, " ") if part else text
    return text
