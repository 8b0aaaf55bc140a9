"""`httpProbe`: an address does not answer as it should."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Final

from pydantic import Field

from stopgap.detectors.polled import PolledInARow
from stopgap.model.base import HttpUrl
from stopgap.model.duration import Duration, spell
from stopgap.model.pattern import Pattern, compiled
from stopgap.model.query import Answer, Asking, Query, Request, Response, Sample, Silence, filled, replies
from stopgap.model.reasons import Reason
from stopgap.model.workload import State

_USUAL: Final = range(200, 300)


class HttpProbe(PolledInARow):
    """Fires when an HTTP GET fails: no answer, another status, too slow, or not the expected body. Redirects are not followed.

    A namespaced policy reaches the Services of its own namespace, and what the platform allows (RemediationConfig `outbound.allow`).
    """

    reason: ClassVar = Reason.HttpProbeFailed
    url: HttpUrl
    """What is asked, such as http://api.shop.svc:8080/health. `$(NAMESPACE)` and `$(NAME)` stand for those of the workload; without them,
    one bad answer is held against every workload of this policy. No passwords: this field can be read by many."""
    status: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(max_length=16)] = ()
    """The status codes that are good. Default: 200 to 299."""
    slower_than: Duration | None = None
    """A whole answer that takes longer than this is bad."""
    body_matches: Pattern | None = None
    """A regular expression (RE2) that must be found in the first 64 KiB of the body."""

    def wants(self, asking: Asking) -> Query:
        """Ask the URL."""
        return Query((Request(filled(self.url, asking.target)),), self.interval, self.deadline, asking.scope)

    def assess(self, answer: Answer, at: datetime) -> Sample:
        """Say whether the answer is as it should be."""
        (reply,) = replies(answer, Response)
        if isinstance(reply, Silence):
            return Sample(at, State.FIRING if reply.theirs else State.UNKNOWN, reply.why)
        told = f"status {reply.status} ({reply.timing})"
        wrong = "; ".join(self._wrong(reply))
        return Sample(at, State.FIRING if wrong else State.QUIET, f"{wrong}: {told}" if wrong else told, str(reply.status))

    def _wrong(self, reply: Response) -> Iterator[str]:
        if reply.status not in (self.status or _USUAL):
            yield f"status {reply.status} is not {', '.join(map(str, self.status)) or '200 to 299'}"
        if self.slower_than is not None and reply.timing.total > self.slower_than.total_seconds():
            yield f"slower than {spell(self.slower_than)}"
        if self.body_matches is not None and not compiled(self.body_matches).search(reply.body.decode(errors="replace")):
            yield "the body does not match" + ("" if reply.whole else " in its first 64 KiB")
