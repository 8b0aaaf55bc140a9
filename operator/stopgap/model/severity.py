"""How bad it is: the one scale that incidents, policies and freeze windows share."""

from enum import StrEnum


class Severity(StrEnum):
    """How bad it is, P1 worst."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"
