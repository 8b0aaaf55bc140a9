"""Foreign text, cut to a length: for whoever quotes what a kubelet, a controller or an API server said."""

import unicodedata

_GAP = " … "


def abridged(text: str, most: int) -> str:
    """Return at most `most` characters: the beginning says what failed, and the end, of which more is kept, says why."""
    if len(text) <= most:
        return text
    head = most // 3
    return text[:head] + _GAP + text[len(text) - (most - head - len(_GAP)) :]


def plain(text: str, most: int) -> str:
    """Return foreign text as one line without control or invisible characters, which a terminal would obey, cut to `most` characters."""
    shown = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text[: most * 4])
    return abridged(" ".join(shown.split()), most)
