"""Log lines, as far as they may be told: counted, and folded into shapes without what tells one line from its like.

What a process writes is hostile text and may hold secrets: nothing of a line is kept but its shape. Reading: effects/podlogs.py.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stopgap.model.pattern import compiled
from stopgap.model.text import plain

MOST_LINE: Final = 4096
"""Bytes of a line that are looked at; a longer one counts by its beginning."""
LONGEST_SHAPE: Final = 160
MOST_TOLD: Final = 5
"""Shapes that are told of one count."""
_MOST_FOLDED: Final = 250
"""Lines of one count that are folded. Those that differ from one of them in digits alone are the same at no cost; the rest is counted."""
_SAME_DIGITS: Final = bytes.maketrans(b"0123456789", b"0000000000")
_LONGEST_TEXT: Final = 320
"""Characters of a message that are folded: a shape is shorter."""

_HIDDEN: Final = "[redacted]"
_WORDS: Final = "pass pwd secret token credential signature cookie session key sig auth"
_NAME: Final = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|credentials?|signature|cookie|session[-_]?id"
    r"|(?:api|access|account|private|shared|signing|encryption|master)[-_ ]?key|\b(?:sig|auth|pass)\b"
)
_VALUE: Final = r"""\\?"(?:[^"\\]|\\.)*"?|\\?'(?:[^'\\]|\\.)*'?|[^\s,;&"']+"""
_SECRETS: Final = tuple(
    (words.split(), re.compile(pattern), shown)
    for words, pattern, shown in (
        ("-----begin", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*", _HIDDEN),
        ("authorization cookie", r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)\b(\W{1,4})\S.*", rf"\1\2{_HIDDEN}"),
        ("://", r"://\S+@", f"://{_HIDDEN}@"),
        ("bearer basic", r"(?i:\b(bearer|basic))\s{1,3}(?=[\w.~+/=-]{0,64}[A-Z0-9=])[\w.~+/=-]{6,}", rf"\1 {_HIDDEN}"),
        ("eyj", r"\beyJ[\w-]{4,}(?:\.[\w-]*)*", _HIDDEN),
        ("akia asia", r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}", _HIDDEN),
        ("gh github_pat_ glpat- xox aiza sk pk rk", r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AIza|[rsp]k[-_])[\w-]{12,}", _HIDDEN),
        (_WORDS, rf"""(?i)({_NAME})([\w.-]{{0,32}}["'\\]{{0,3}}\s{{0,3}}(?:=>|[:=])\s{{0,3}})(?:{_VALUE})""", rf"\1\2{_HIDDEN}"),
        (_WORDS, rf"(?i)({_NAME})([\w-]{{0,24}}\s{{1,3}}(?:is\s)?)[^\s,;]{{0,64}}[^\sA-Za-z.,:;\[\]…][^\s,;]*", rf"\1\2{_HIDDEN}"),
        ("--", rf"(?i)((?<!-)--[\w-]{{0,24}}(?:{_NAME})[\w-]{{0,24}}\s{{1,3}})(?:{_VALUE})", rf"\1{_HIDDEN}"),
        ("@", r"(?<![\w.%+-])[\w.%+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+", _HIDDEN),
    )
)
"""What must be there, in lower case, for the expression to be worth its time; the expression; what is shown in place of what it finds."""

_TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_QUOTED: Final = re.compile(r'"[^"\s]*"' + r"|'[^'\s]*'")
"""A quoted value. With a space in it, it is a sentence, and says what went wrong."""
_TOKEN: Final = re.compile(r"[\w+/=-]+")
_NUMBERS: Final = re.compile(r"#(?:[.,:#]*#)+")
_DIGITS: Final = re.compile(r"\d+")
_HEX: Final = re.compile(r"(?:0[xX])?[0-9a-fA-F]{8,}|0[xX][0-9a-fA-F]+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHORTEST_ID, _LONGEST_WORD = 16, 48
_MESSAGES: Final = ("message", "msg", "error", "err", "exception", "event")
"""Where a line of JSON says what happened."""


def redacted(text: str) -> str:
    """Return text without what looks like a password, a token, a key or an e-mail address: rather too much than too little."""
    lower = text.lower()
    for words, pattern, shown in _SECRETS:
        if any(word in lower for word in words):
            text = pattern.sub(shown, text)
    return text


def shape(line: bytes) -> str:
    """Return what a line has in common with its like: on one line, redacted, with numbers as `#` and ids and quoted values as `…`."""
    text = _COLOUR.sub("", _message(line[:MOST_LINE].decode(errors="replace")))
    if len(text) > _LONGEST_TEXT:
        # Not in the middle of a word: the beginning of a secret may not look like one.
        text = " ".join(text[:_LONGEST_TEXT].split(" ")[:-1]) or text[:_LONGEST_TEXT]
    text = _QUOTED.sub("“…”", _TIME.sub("#", redacted(plain(text, _LONGEST_TEXT))))
    return plain(_NUMBERS.sub("#", _TOKEN.sub(_folded, text)), LONGEST_SHAPE)


def _message(text: str) -> str:
    if not text.lstrip().startswith("{"):
        return text
    try:
        fields: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    said = [value for one in _MESSAGES if isinstance(value := fields.get(one), str) and value]
    return ": ".join(said) or text


def _folded(found: re.Match[str]) -> str:
    token = found[0]
    if "/" in token[1:] and token.startswith("/"):
        return "/".join(_folded_word(one) for one in token.split("/"))
    return _folded_word(token)


def _folded_word(token: str) -> str:
    if token.isdecimal():
        return "#"
    long = len(token) >= _SHORTEST_ID
    if len(token) >= _LONGEST_WORD or ((long or _HEX.fullmatch(token)) and _DIGITS.search(token)):
        return "…"
    return _DIGITS.sub("#", token)


@dataclass(frozen=True, slots=True)
class LogDigest:
    """What is told of logs: how much was read, how many lines match, and the most frequent shapes among them."""

    containers: int
    """Whose logs were read."""
    lines: int
    matching: int
    shapes: tuple[tuple[str, int], ...] = ()
    """Most frequent first, each with its number."""
    missed: str = ""
    """Why there may be more than was read, for a person; empty: everything was read."""

    def most_frequent(self) -> str:
        """Return the most frequent shape, with its number, for a person; empty where no line matches."""
        return f"most frequent ({self.shapes[0][1]}): '{self.shapes[0][0]}'" if self.shapes else ""


class LogCount:
    """Counts lines and folds those that match, one by one: nothing but numbers and shapes is kept."""

    def __init__(self, pattern: str) -> None:
        """Count the lines that match an RE2 expression. Raises re2.error."""
        self._matches = compiled(pattern)
        self._shapes: Counter[str] = Counter()
        self._known: dict[bytes, str] = {}
        self.lines = 0
        self.matching = 0

    def take(self, line: bytes) -> None:
        """Count one line."""
        self.lines += 1
        if self._matches.search(line) is None:
            return
        self.matching += 1
        alike = line[:MOST_LINE].translate(_SAME_DIGITS)
        if alike not in self._known and len(self._known) < _MOST_FOLDED:
            self._known[alike] = shape(line)
        if found := self._known.get(alike):
            self._shapes[found] += 1

    def digest(self, containers: int, missed: str = "") -> LogDigest:
        """Return what was counted so far."""
        return LogDigest(containers, self.lines, self.matching, tuple(self._shapes.most_common(MOST_TOLD)), missed)
