"""What an answer that is no success means, in one sentence for the person who asked."""

import re
from typing import Final

from stopgap.effects.connection import NoConnection
from stopgap.effects.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, TooManyRequests, Unanswered, Unreachable
from stopgap.effects.kube import resource_of
from stopgap.model.base import GROUP
from stopgap.model.text import plain


class Refused(Exception):  # noqa: N818 - read as what it says
    """What was asked for cannot be had or done: one sentence, and the exit status."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


_WHO_MAY_NOT: Final = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<what>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<where>[^"]+)")?'
)
_DENIED: Final = re.compile(r"^.*?denied (?:the )?request: ", re.DOTALL)
_ROLES: Final = {"get": "stopgap-viewer", "list": "stopgap-viewer", "watch": "stopgap-viewer"}


def sentence(error: Exception) -> str:  # noqa: PLR0911 - one line for each meaning
    """Say what is the matter and what to do, without a path, a code or a traceback."""
    match error:
        case Forbidden():
            return _forbidden(error)
        case NotFound():
            return _missing(error)
        case Invalid():
            return plain(_DENIED.sub("", error.message), 600)
        case Conflict():
            return f"it was changed in between; look again, and say it again ({plain(error.message, 200)})"
        case Unreachable():
            return f"the API server cannot be reached: {plain(error.message, 300)}"
        case Unanswered():
            wrote = error.verb in {"create", "patch", "delete"}
            return f"the API server did not answer{'; whether it was done is not known, so look before you repeat it' if wrote else ''}"
        case TooManyRequests():
            return "the API server is protecting itself from too many requests; try again in a moment"
        case KubeError():
            return plain(error.message, 600) or f"the API server answered {error.status}"
        case NoConnection():
            return str(error)
    return str(error)


def _forbidden(error: Forbidden) -> str:
    found = _WHO_MAY_NOT.search(error.message)
    if error.status == 401:  # noqa: PLR2004 - the code for somebody unknown
        return "the API server does not know you: your credentials are missing or have expired"
    if found is None:
        return f"you may not do this: {plain(error.message, 400)}"
    where = f" in namespace {found['where']}" if found["where"] else " in the whole cluster"
    hint = ""
    if found["group"] == GROUP:
        resource = found["what"].partition("/")[0]
        role = _ROLES.get(found["verb"]) or ("stopgap-approver" if resource == "remediations" else "stopgap-editor")
        hint = f"; ask for a binding to ClusterRole {role}"
    return f"you ({found['user']}) may not {found['verb']} {found['what']}{where}{hint}"


def _missing(error: NotFound) -> str:
    resource, one = resource_of(error.path)
    if one and "not found" in error.message:
        return plain(error.message, 300)
    if f"/{GROUP}/" in error.path:
        return f"this cluster has no {resource}; is Stopgap installed? kubectl stopgap check tells"
    return f"this cluster has no {resource}"
