"""Gives the fault tests their control plane, and a scene each: the proxy, a namespace, and operators to lose."""

from tests.cluster.fixtures import control_plane
from tests.faults.scene import installed, scene

__all__ = ["control_plane", "installed", "scene"]
