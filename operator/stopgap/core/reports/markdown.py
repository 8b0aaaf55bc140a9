"""Foreign text in Markdown. Titles, log lines and alert labels are hostile: they are shown as they are, on one line, and capped."""

import re
from typing import Final

_INLINE: Final = re.compile(r"[\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_])|&(?=#|[A-Za-z])")
"""What would begin markup, HTML or an entity. An underscore within a word is none."""
_LINK: Final = re.compile(r":(?=//)|(?<=\bwww)\.", re.IGNORECASE)
"""What makes a reader's program turn a bare address into a link."""
_BLOCK: Final = re.compile(r"^(\d{1,9}(?=[.)]))?([#+=>.)-])")
"""What at the beginning of a line would make it a heading, a list, a quotation or a rule."""
_BULLET: Final = re.compile(r"^(?:[-*+]|\d{1,9}[.)])\s+(?=\S)")
_CUT: Final = "…"


def said(text: str, most: int) -> str:
    """Return foreign text as one escaped line of at most `most` bytes; a link in it leads nowhere."""
    return within(_begun(_LINK.sub(r"\\\g<0>", _escaped(text))), most)


def prose(text: str, most: int) -> str:
    """Return what people of the team wrote, in at most `most` bytes: paragraphs, lists and links stay; headings and HTML do not."""
    lines = [_line(one) for one in text.splitlines()]
    return within(re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip("\n")), most)


def within(text: str, most: int) -> str:
    """Cut a text to so many bytes of UTF-8, between two characters and never within an escape, and show that it was cut."""
    if len(text.encode()) <= most:
        return text
    cut = text.encode()[: most - len(_CUT.encode())].decode(errors="ignore").rstrip()
    if (len(cut) - len(cut.rstrip("\\"))) % 2:
        cut = cut[:-1]
    return cut + _CUT


def _line(text: str) -> str:
    bullet = _BULLET.match(text.strip())
    return f"- {_begun(_escaped(text.strip()[bullet.end() :]))}" if bullet else _begun(_escaped(text))


def _escaped(text: str) -> str:
    # Control characters, and those that turn the direction of what follows, are no part of what anybody wants to read.
    plain = "".join(one if one.isprintable() else " " for one in text)
    return _INLINE.sub(r"\\\g<0>", " ".join(plain.split()))


def _begun(text: str) -> str:
    return _BLOCK.sub(r"\1\\\2", text)
