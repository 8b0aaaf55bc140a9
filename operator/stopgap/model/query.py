"""What may be asked of the world beyond what the watches tell, and what is kept of the answers.

Plain values: effects/sampler.py asks when it is due, and effects/polling.py knows whom. A further kind of question is a class in `Asked`,
what comes back is one in `Reply`, and one `case` in effects/polling.py.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar
from urllib.parse import urlsplit

from stopgap.model.database import Activity, DatabaseRequest
from stopgap.model.http import Header
from stopgap.model.logs import LogDigest
from stopgap.model.refs import SecretKeyRef, Target
from stopgap.model.usage import Usage
from stopgap.model.workload import State

MOST_SAMPLES: Final = 32
"""Samples that are kept of one question: more than any trigger asks for in a row."""
MISSED: Final = 2
"""A gap of more than so many intervals is a time of which nothing is known."""
PLATFORM: Final = ""
"""The scope of what the platform's own objects declare."""
PLACEHOLDERS: Final = ("$(NAMESPACE)", "$(NAME)")


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf something is asked."""

    target: Target
    scope: str
    """Namespace of the policy, whose own Services may be reached; PLATFORM for a cluster policy."""
    prometheus: "Server | None" = None
    """The platform's Prometheus."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request needs beyond what may be seen by everybody: only where it is found, and read when it is sent."""

    scope: str
    """Namespace of the Secrets; PLATFORM: Stopgap's own."""
    headers: tuple[Header, ...] = ()
    ca: SecretKeyRef | None = None
    """The certificates that the server's must be signed by, in place of those that are trusted anyway."""
    bearer_file: str = ""
    """A file with a token; only of what the platform declares."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that more than one question is for."""

    url: str
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Its headers and its content may hold secrets, so they are not shown with it."""

    url: str
    form: tuple[tuple[str, str], ...] = ()
    """Fields that are sent as a form, by POST."""
    method: str = ""
    """Empty: GET, or POST where there is a form."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """In addition to those that are always sent, or in their place; the host is always that of the URL."""
    content: bytes | None = field(default=None, repr=False)
    """What is sent where there is no form."""
    credentials: Credentials | None = None
    ca: str = field(default="", repr=False)
    """Certificates in PEM that the server's must be signed by; empty: those that are trusted anyway."""

    @property
    def whom(self) -> str:
        """Who answers: few questions are under way to one of them."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class LogRequest:
    """How many lines of a workload's pods match, and what they have in common."""

    target: Target
    pattern: str
    """An RE2 expression."""
    within: timedelta
    """Only the lines of the last so long."""
    container: str = ""
    """Empty: every container of the workload's own template."""

    @property
    def whom(self) -> str:
        """Who answers: the nodes of one namespace."""
        return f"logs of {self.target.namespace}"


@dataclass(frozen=True, slots=True)
class UsageRequest:
    """What the containers of a workload use."""

    target: Target

    @property
    def whom(self) -> str:
        """Who answers: the metrics API, about one namespace."""
        return f"usage in {self.target.namespace}"


Asked = Request | LogRequest | UsageRequest | DatabaseRequest
"""One question, of whatever kind."""


@dataclass(frozen=True, slots=True)
class Query:
    """Questions that are asked together, every so often. Equal ones are asked once, whoever wants to know."""

    requests: tuple[Asked, ...]
    interval: timedelta
    deadline: timedelta
    """For all requests of it together, from the name lookup to the last byte."""
    scope: str


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a request took up to each point, in seconds; counted as `curl -w` does, each from the beginning."""

    lookup: float
    connect: float
    tls: float | None
    """None without TLS."""
    first_byte: float
    total: float

    def __str__(self) -> str:
        """Read as a person would write it."""
        parts = (
            ("lookup", self.lookup),
            ("connect", self.connect),
            ("TLS", self.tls),
            ("first byte", self.first_byte),
            ("total", self.total),
        )
        return ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in parts if seconds is not None)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. The body is somebody else's: it is judged, and never told."""

    status: int
    body: bytes = field(repr=False)
    whole: bool
    """False: it was longer than what is read, and was cut."""
    timing: Timing
    retry_after: timedelta | None = None
    """How long it asks to be left alone, where it says so in seconds."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came back."""

    why: str
    """A fixed sentence, never words of the other side."""
    theirs: bool
    """Whether the one that was asked is to blame: it was found and did not answer. Otherwise nothing is known about it."""
    sent: bool = False
    """Whether anything of the request may have arrived there; if not, it certainly has done nothing."""


Reply = Response | LogDigest | Usage | Activity | Silence
"""What becomes of one question."""
Answer = tuple[Reply, ...]
"""One for each request."""
R = TypeVar("R")


def replies(answer: Answer, kind: type[R]) -> list[R | Silence]:
    """Return the replies of an answer to questions of one kind. Raises TypeError where there is another."""
    found: list[R | Silence] = []
    for one in answer:
        if not isinstance(one, (kind, Silence)):
            raise TypeError(f"{type(one).__name__} is no reply to this question")
        found.append(one)
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer says."""

    at: datetime
    """When it was asked."""
    state: State
    message: str
    """Why, for a person."""
    value: str = ""
    since: datetime | None = None
    """While firing: the first bad sample, if a good one was seen right before it. None: since when is not known."""


def filled(text: str, target: Target) -> str:
    """Put the workload's own namespace and name into what a policy declares for many."""
    for mark, value in zip(PLACEHOLDERS, (target.namespace, target.name), strict=True):
        text = text.replace(mark, value)
    return text


def appended(ring: tuple[Sample, ...], sample: Sample, interval: timedelta) -> tuple[Sample, ...]:
    """Add a sample, with the onset of the trouble that it belongs to; the oldest is dropped where there are too many."""
    if sample.state is State.FIRING:
        sample = replace(sample, since=_onset(ring, sample, interval))
    return (*ring, sample)[-MOST_SAMPLES:]


def _onset(ring: tuple[Sample, ...], sample: Sample, interval: timedelta) -> datetime | None:
    told = next((one for one in reversed(ring) if one.state is not State.UNKNOWN), None)
    if told is None:
        return None
    if told.state is State.FIRING:
        # Nothing good was seen in between, so it is still the same trouble.
        return told.since
    return sample.at if sample.at - told.at <= MISSED * interval else None


def unbroken(samples: tuple[Sample, ...], now: datetime, interval: timedelta) -> tuple[Sample, ...]:
    """Return the latest samples of one state without a gap, newest first; nothing where the last one is too old to count."""
    row: list[Sample] = []
    before = now
    for one in reversed(samples):
        if before - one.at > MISSED * interval or (row and one.state is not row[0].state):
            break
        row.append(one)
        before = one.at
    return tuple(row)
