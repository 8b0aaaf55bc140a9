"""What the proxy saw: one value per request, a way to say which ones are meant, and the log of all of them."""

import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs

_ROOT = r"^/(?:api/[^/]+|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?"
_A_WATCH = r"(?:^|&)watch=(?:true|1)(?:&|$)"


@dataclass(slots=True, eq=False)
class Request:
    """One request as it arrived, and what has become of it so far."""

    method: str
    path: str
    """Without the query, escaped as it came."""
    query: str
    headers: Mapping[str, str] = field(repr=False)
    """By their names in lower case."""
    body: bytes = field(repr=False)
    time: float = field(default_factory=time.time)
    """When it had arrived, as Unix time: comparable with the audit log."""
    answered: int | None = None
    """The status that upstream answered with. None: it has not (yet), so perhaps it never got there."""
    status: int | None = None
    """The status that was sent to the client. None: none was (yet)."""
    gone: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set once the client's connection was lost before it had the beginning of a reply."""

    @property
    def json(self) -> Any:
        """The body, parsed. Raises ValueError for one that is not JSON."""
        return json.loads(self.body)

    @property
    def user_agent(self) -> str:
        """Who says to be asking; empty if nobody."""
        return self.headers.get("user-agent", "")

    @property
    def target(self) -> str:
        """Path and query, as in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def is_stream(self) -> bool:
        """Whether its reply has no end of its own: a watch, or a log that is followed."""
        query = parse_qs(self.query)
        return bool({"true", "1"} & {*query.get("watch", ()), *query.get("follow", ())})


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests are meant: those for which everything that is not None holds. `Match()` means all."""

    method: str | None = None
    path: str | None = None
    """A regular expression, searched for in the path."""
    body: str | None = None
    """Text that the body contains."""
    user_agent: str | None = None
    """Text that the User-Agent header contains."""
    query: str | None = None
    """A regular expression, searched for in the query as it was sent."""

    def __call__(self, request: Request) -> bool:
        """Return whether this request is meant."""
        return (
            self.method in {None, request.method}
            and (self.path is None or re.search(self.path, request.path) is not None)
            and (self.query is None or re.search(self.query, request.query) is not None)
            and (self.body is None or self.body.encode() in request.body)
            and (self.user_agent is None or self.user_agent in request.user_agent)
        )

    @classmethod
    def get(cls, resource: str, name: str | None = None) -> Self:
        """Mean reads of single objects. Here and below, a resource is a plural or, only then meant, `plural/subresource`."""
        return cls("GET", _item(resource, name))

    @classmethod
    def listing(cls, resource: str) -> Self:
        """Mean lists of a collection, watches not among them."""
        return cls("GET", _collection(resource), query=f"^(?!.*{_A_WATCH})")

    @classmethod
    def watch(cls, resource: str) -> Self:
        """Mean the opening of watches."""
        return cls("GET", _collection(resource), query=_A_WATCH)

    @classmethod
    def create(cls, resource: str, *, body: str | None = None) -> Self:
        """Mean creates; `pods/eviction` and its like are creates too."""
        return cls("POST", _item(resource, None) if "/" in resource else _collection(resource), body)

    @classmethod
    def patch(cls, resource: str, name: str | None = None, *, body: str | None = None) -> Self:
        """Mean patches, whatever their kind. `body="/spec/template"` tells a JSON patch that acts from one that annotates."""
        return cls("PATCH", _item(resource, name), body)

    @classmethod
    def replace(cls, resource: str, name: str | None = None, *, body: str | None = None) -> Self:
        """Mean replacements (PUT)."""
        return cls("PUT", _item(resource, name), body)

    @classmethod
    def delete(cls, resource: str, name: str | None = None) -> Self:
        """Mean deletions of single objects."""
        return cls("DELETE", _item(resource, name))


def _collection(resource: str) -> str:
    return f"{_ROOT}/{re.escape(resource)}$"


def _item(resource: str, name: str | None) -> str:
    plural, _, subresource = resource.partition("/")
    path = f"{_ROOT}/{re.escape(plural)}/{'[^/]+' if name is None else re.escape(name)}"
    return f"{path}/{re.escape(subresource)}$" if subresource else f"{path}$"


class RequestLog:
    """All requests in the order in which they had arrived. Written by the proxy's thread, read by the test's."""

    def __init__(self) -> None:
        self._requests: list[Request] = []
        self._changed = threading.Condition()

    def add(self, request: Request) -> None:
        """Enter a request."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def all(self) -> list[Request]:
        """Return a copy."""
        with self._changed:
            return list(self._requests)

    def wait_for(self, match: Match, timeout: float, count: int) -> list[Request]:
        """Block until this many requests that match have arrived, and return them. Raises TimeoutError."""

        def found() -> list[Request]:
            return [request for request in self._requests if match(request)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise TimeoutError(f"{len(found())} of {count} requests that match {match} arrived within {timeout} s")
            return found()
