"""Foreign text, cut to a length: for whoever quotes what a kubelet, a controller or an API server said."""

_GAP = " … "


def abridged(text: str, most: int) -> str:
    """Return at most `most` characters: the beginning says what failed, and the end, of which more is kept, says why."""
    if len(text) <= most:
        return text
    head = most // 3
    return text[:head] + _GAP + text[len(text) - (most - head - len(_GAP)) :]
