"""What containers use, as the metrics API tells it, beside what they asked for and may use at most."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_QUANTITY: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3})|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?")
_FACTORS: Final = {
    **{name: 1024.0**power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{name: 1000.0**power for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), start=-3)},
}


def quantity(text: str) -> float:
    """Read a Kubernetes quantity such as 250m or 1.5Gi, in cores or bytes. Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, suffix = found.groups()
    return float(number) * 10.0 ** int(exponent or 0) * _FACTORS[suffix or ""]


@dataclass(frozen=True, slots=True)
class Measured:
    """One running container; each figure by resource (`cpu` in cores, `memory` in bytes)."""

    pod: str
    container: str
    at: datetime
    """When it was measured."""
    used: Mapping[str, float]
    requests: Mapping[str, float]
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the containers of a workload use."""

    containers: tuple[Measured, ...]
    unmeasured: int = 0
    """Containers of which there are no figures yet."""
