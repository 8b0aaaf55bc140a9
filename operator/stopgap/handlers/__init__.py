"""The Kopf side: startable with `kopf run -m stopgap.handlers` as well as with `stopgap run`. Importing it registers everything."""

from stopgap.handlers import objects, process

__all__ = ["objects", "process"]
