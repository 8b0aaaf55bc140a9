"""What is done outside the workload, where no test can guard the write: the base of every such thing, as it is kept in a plan."""

from collections.abc import Mapping
from typing import Self

from stopgap.model.base import ApiModel


class Deed(ApiModel):
    """One thing that is done outside, whole: what it takes to do it and to put it back, so that neither needs the policy any more.

    The base itself stands for what only a newer version knows.
    """

    def repeatable(self, *, inverse: bool) -> bool:
        """Whether doing it (or its inverse) twice does the same as doing it once. Otherwise it is never sent where it may have been."""
        del inverse
        return False

    @property
    def returnable(self) -> bool:
        """Whether there is an inverse that puts it back."""
        return False

    def stands_for(self, planned: "Deed") -> bool:
        """Whether doing it, as a person approved it, is still what would be planned now."""
        return self == planned

    def filled(self, values: Mapping[str, str]) -> Self:
        """Put values in the place of the marks that the policy wrote for many incidents; by default it knows none."""
        del values
        return self
