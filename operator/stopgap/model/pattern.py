"""Regular expressions that people declare: RE2, whose time grows with the text alone, whatever the expression."""

from typing import Annotated, Final

import re2
from pydantic import AfterValidator, StringConstraints

_MOST_MEMORY: Final = 1 << 20


def compiled(pattern: str) -> re2._Regexp:
    """Compile an expression for text or bytes. Raises re2.error."""
    options = re2.Options()
    options.max_mem, options.log_errors = _MOST_MEMORY, False
    return re2.compile(pattern, options)


def _can_be_compiled(pattern: str) -> str:
    try:
        compiled(pattern)
    except re2.error as error:
        raise ValueError(f"{pattern!r} is no RE2 expression") from error
    return pattern


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_can_be_compiled)]
