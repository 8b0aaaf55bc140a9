"""SQL without what people put into it: for whoever names a query in a record that many can read."""

import re
from collections.abc import Iterator
from typing import Final

from stopgap.model.text import plain

MOST: Final = 200
"""Characters of a query that are shown."""
_READ: Final = 8192
"""Characters of a query that are looked at."""
_GAP: Final = "…"

_TOKEN: Final = re.compile(
    r"""
      (?P<space> \s+ | --[^\r\n]* )
    | (?P<block> /\* )
    | (?P<dollar> \$ (?:[^\W\d]\w*)? \$ )
    | (?P<kept> \$\d+ | "(?:[^"]|"")*" )
    | (?P<escaped> e' (?: [^'\\] | \\. | '' )* (?P<escaped_ends> ' )? )
    | (?P<string> (?: [bxn] | u& )? ' (?: [^'] | '' )* (?P<string_ends> ' )? )
    | (?P<word> [^\W\d][\w$]* )
    | (?P<number> \.?\d[\w.]* )
    | (?P<cut> " )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"/\*|\*/")
_LIST: Final = re.compile(r"\?(?: ?, ?\?)+")
_ROWS: Final = re.compile(r"\(\?\)(?: ?, ?\(\?\))+")
_SETTING: Final = re.compile(r"((?:^|;)\s*set\s)[^;]*", re.IGNORECASE)
"""What is set may be a word without quotes, and still be nobody's business."""


class _Unclear(Exception):  # noqa: N818 - read as what it says
    """From here on nobody can tell what is a literal, because the text is cut or depends on a setting of the server."""


def without_literals(query: str) -> str:
    """Return a query as one line in which each literal is a `?` and comments are left out; where that is not certain, it ends with `…`."""
    shown: list[str] = []
    text = query[:_READ]
    try:
        shown.extend(_parts(text))
        whole = len(text) == len(query)
    except _Unclear:
        whole = False
    said = plain("".join(shown), 4 * _READ)
    said = _ROWS.sub("(?)", _LIST.sub("?", said))
    said = _SETTING.sub(rf"\1{_GAP}", said)
    return said if whole and len(said) <= MOST else said[: MOST - len(_GAP)].rstrip() + _GAP


def _parts(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise AssertionError("any character is a token")
        at = token.end()
        match token.lastgroup:
            case "space":
                yield " "
            case "block":
                at = _after_comment(text, at)
                yield " "
            case "dollar":
                yield "?"
                at = _after(text, token.group(), at)
            case "kept" | "word" | "other":
                yield token.group()
            case "number":
                yield "?"
            case "cut":
                raise _Unclear
            case _:
                yield "?"
                if not _ends(token):
                    raise _Unclear


def _ends(token: re.Match[str]) -> bool:
    """Whether a string certainly ends where it seems to."""
    if token.group("escaped"):
        return token.group("escaped_ends") is not None
    # Whether a backslash takes the next quote with it depends on standard_conforming_strings of that session.
    return token.group("string_ends") is not None and "\\" not in token.group()


def _after(text: str, tag: str, at: int) -> int:
    end = text.find(tag, at)
    if end < 0:
        raise _Unclear
    return end + len(tag)


def _after_comment(text: str, at: int) -> int:
    """Return where a comment ends; comments lie within comments."""
    depth = 1
    for one in _COMMENT.finditer(text, at):
        depth += 1 if one.group() == "/*" else -1
        if depth == 0:
            return one.end()
    raise _Unclear
