"""HTTP calls as policies declare them, and as they are kept in the plan of a Remediation."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator

from stopgap.model.base import ApiModel, HttpUrl, Rule
from stopgap.model.deed import Deed
from stopgap.model.duration import Duration
from stopgap.model.refs import SecretKeyRef

_OURS = ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect", "idempotency-key")
_HIDDEN = "authorization|cookie|token|secret|password|api-?key"
LONGEST = timedelta(minutes=1)


class Header(ApiModel):
    """One header of a request."""

    cel: ClassVar = (
        Rule("has(self.value) != has(self.secretRef)", "a header has either a value or a secretRef"),
        Rule("!has(self.prefix) || has(self.secretRef)", "prefix stands before what comes from a Secret (secretRef)"),
        Rule(
            f"!has(self.value) || !self.name.lowerAscii().matches('{_HIDDEN}')",
            "a header of this name holds a secret: take it from a Secret (secretRef), for a policy can be read by many",
        ),
        Rule(f"!(self.name.lowerAscii() in {list(_OURS)})", "this header is set by Stopgap itself"),
    )
    name: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[-A-Za-z0-9_]+$")]
    """Name of the header."""
    value: Annotated[str, StringConstraints(max_length=256, pattern=r"^[ -~]*$")] | None = None
    """What is sent. Everybody who may read the policy can read it."""
    secret_ref: SecretKeyRef | None = None
    """Where it is read from when it is sent; it is shown nowhere."""
    prefix: Annotated[str, StringConstraints(max_length=32, pattern=r"^[ -~]*$")] = ""
    """What stands before it, such as `Bearer ` with the space."""

    def __str__(self) -> str:
        """Read as it is sent, masked."""
        return f"{self.name}: {self.value if self.secret_ref is None else f'{self.prefix}***'}"


class HttpCall(ApiModel):
    """One HTTP request. In `url` and `body`, `$(INCIDENT)`, `$(NAMESPACE)`, `$(NAME)` (of the workload) and `$(SEVERITY)` are filled in."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: HttpUrl
    """Whom to ask. From a namespaced policy only Services of its own namespace, unless the platform allows more (spec.outbound.allow)."""
    headers: Annotated[tuple[Header, ...], Field(max_length=8)] = ()
    """In addition to `Idempotency-Key`, which is always sent, and `Content-Type: application/json` where there is a body."""
    body: Annotated[str, StringConstraints(max_length=4096)] = ""
    """JSON that is sent."""
    expect: Annotated[tuple[Annotated[int, Field(ge=200, le=499)], ...], Field(max_length=8)] = ()
    """Statuses that mean that it was done. Default: 200, 201, 202 and 204."""
    timeout: Duration = timedelta(seconds=10)
    """From the name lookup to the last byte; at most a minute."""
    idempotent: bool = False
    """Whether sending it twice does the same as sending it once.

    Only then is it sent again when no answer came, or when a crash left it open whether it was sent. Otherwise people are called then.
    """

    @field_validator("body")
    @classmethod
    def _is_json(cls, body: str) -> str:
        if body:
            json.loads(body)
        return body

    @field_validator("timeout")
    @classmethod
    def _is_short(cls, timeout: timedelta) -> timedelta:
        if not timedelta(0) < timeout <= LONGEST:
            raise ValueError("a timeout is more than nothing and at most 1m")
        return timeout

    @property
    def means_done(self) -> tuple[int, ...]:
        """Statuses that mean that it was done."""
        return self.expect or (200, 201, 202, 204)

    def __str__(self) -> str:
        """Read as it is sent, with secrets masked."""
        parts = (*(str(one) for one in self.headers), *([" ".join(self.body.split())] if self.body else ()))
        return f"{self.method} {self.url}{' with ' if parts else ''}{', '.join(parts)}"

    def filled(self, values: Mapping[str, str]) -> Self:
        """Put the incident's own names in the place of the marks."""
        return self.model_copy(update={"url": put_in(self.url, values), "body": put_in(self.body, values)})


class HttpChange(HttpCall, Deed):
    """A call that changes something, and the one that puts it back."""

    restore: HttpCall | None = None
    """The call that puts it back; without it, nothing is ever put back. Its `Idempotency-Key` is another one."""

    def repeatable(self, *, inverse: bool) -> bool:
        """As the policy says of each."""
        return self.restore.idempotent if inverse and self.restore else self.idempotent

    @property
    def returnable(self) -> bool:
        """Whether the policy says how."""
        return self.restore is not None

    def filled(self, values: Mapping[str, str]) -> Self:
        """Put the incident's own names into both calls."""
        restore = self.restore.filled(values) if self.restore else None
        return super().filled(values).model_copy(update={"restore": restore})

    @property
    def calls(self) -> tuple[HttpCall, ...]:
        """Both calls."""
        return (self, self.restore) if self.restore else (self,)


def put_in(text: str, values: Mapping[str, str]) -> str:
    """Put values in the place of their marks: `$(NAME)`. All of them are names of Kubernetes, so that none needs escaping anywhere."""
    for name, value in values.items():
        text = text.replace(f"$({name})", value)
    return text
