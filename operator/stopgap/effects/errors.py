"""What an answer of the API server means, or that there was none. By these a writer knows what has happened."""
# ruff: noqa: N818 - they are named for what they say: `except Conflict` reads better than `except ConflictError`.

import msgspec

CUT = 512
"""Characters kept of a message of the API server, which may quote a whole object back."""


class KubeError(Exception):
    """A request that did not succeed. The subclass says what that means; `status` is 0 where there was no answer."""

    def __init__(  # noqa: PLR0913 - one argument for each thing a person wants to know.
        self,
        verb: str,
        path: str,
        *,
        status: int = 0,
        reason: str = "",
        message: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.verb, self.path, self.status, self.reason = verb, path, status, reason
        self.message = message[:CUT]
        self.retry_after = retry_after
        """Seconds that the server asks us to wait, if it said so."""
        answer = f"{status} {reason}".strip() if status else type(self).__name__
        super().__init__(f"{verb} {path}: {answer}: {self.message}")


class NotFound(KubeError):
    """404: the object, or its kind, does not exist."""


class Conflict(KubeError):
    """409: it was changed in between, or exists already. Nothing was written."""

    @property
    def already_exists(self) -> bool:
        """Whether a create met an object of the same name."""
        return self.reason == "AlreadyExists"


class Invalid(KubeError):
    """422: refused by validation or admission, or a `test` of a JSON patch did not hold. Nothing was written."""


class Gone(KubeError):
    """410: that version is too old to continue from; list again."""


class Forbidden(KubeError):
    """401 or 403: we are not known, or may not do this."""


class TooManyRequests(KubeError):
    """429: the server is protecting itself. Nothing was done; `retry_after` says how long to wait."""


class Rejected(KubeError):
    """Any other answer below 500: the request itself is wrong (400) or too big (413). Nothing was written."""


class Unreachable(KubeError):
    """No connection could be made, so the request was never sent: known not to have happened."""


class Unanswered(KubeError):
    """Timeout, reset or 5xx: the request may or may not have been carried out. Only a read can tell."""


_SERVER_ERROR = 500
_MEANING: dict[int, type[KubeError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


def refusal(verb: str, path: str, *, status: int, body: bytes, retry_after: str | None = None) -> KubeError:
    """Turn an answer that is not 2xx, or the Status in an ERROR event of a watch, into the error that names its meaning."""
    try:
        found = msgspec.json.decode(body, type=_Status)
    except msgspec.DecodeError:  # a proxy or load balancer answers in its own words
        found = _Status(message=body[:CUT].decode(errors="replace"))
    meaning = _MEANING.get(status, Unanswered if status >= _SERVER_ERROR else Rejected)
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return meaning(verb, path, status=status, reason=found.reason, message=found.message, retry_after=wait)
