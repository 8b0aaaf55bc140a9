"""Gives the cluster tests their control plane, the running operator, and a namespace each."""

from tests.cluster.fixtures import control_plane
from tests.cluster.running import operator, shop

__all__ = ["control_plane", "operator", "shop"]
